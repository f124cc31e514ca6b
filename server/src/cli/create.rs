//! Making a data folder: configuration, key store, certificate, database and the first people and keys.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use sealcard_api::{Timestamp, admin::EnvironmentKind, algorithm::KeyAlgorithm, rules::Name};
use zeroize::Zeroizing;

use super::{database, first, seal::SealOptions};
use crate::{
    authn::{NAME_KEY_FILE, NameKey, hash_password_now},
    config::{self, Config, DatabaseConfig},
    files,
    signers::{SOCKET_FILE, SocketFile},
    storage::Store,
    tls,
};

/// Marks a data folder that is not complete.
pub(super) const UNFINISHED: &str = "init-unfinished";

/// The environment that a new server has.
pub(super) const ENVIRONMENT: &str = "default";

/// The environment of the log's key on a server whose signers run as users of their own.
pub(super) const LOG_ENVIRONMENT: &str = "log";

/// Everything that is made here, which the next attempt removes after one that was interrupted.
const MADE: [&str; 10] = [
    config::FILE,
    database::FILE,
    "sealcard.db-wal",
    "sealcard.db-shm",
    "sealcard.lock",
    database::HOST_FILE,
    NAME_KEY_FILE,
    "tls",
    "signer",
    UNFINISHED,
];

/// A server to be made.
pub(super) struct Plan<'a> {
    pub(super) data: &'a Path,
    pub(super) listen: SocketAddr,
    /// Names and addresses that clients use.
    pub(super) names: &'a [String],
    pub(super) database: DatabaseConfig,
    pub(super) certificate: Certificate,
    pub(super) key_store: KeyStore<'a>,
    pub(super) administrator: &'a Account,
    pub(super) first: First<'a>,
}

/// Where the server's certificate comes from.
pub(super) enum Certificate {
    /// The server gets an authority of its own, which issues it.
    Own,
    /// These files stay where they are.
    Files { certificate: PathBuf, key: PathBuf },
    /// This chain and this key (PEM) are put into the data folder.
    Given { chain: Vec<u8>, key: Zeroizing<Vec<u8>> },
}

/// Where the private keys of the first environment are kept.
pub(super) enum KeyStore<'a> {
    /// In the data folder, by a signer that the server starts: for trying Sealcard out.
    Trial { seal: &'a SealOptions, program: &'a Path, configured: Option<PathBuf> },
    /// With a signer that runs as its own user and listens on this socket. `log` is the socket of the one with the log's
    /// key, if that is another one.
    Signer { socket: PathBuf, kind: EnvironmentKind, log: Option<PathBuf> },
}

/// A person and the first password.
pub(super) struct Account {
    pub(super) name: String,
    pub(super) password: Zeroizing<String>,
    /// Until when the password may be used, if it is a one-time password.
    pub(super) one_time_until: Option<Timestamp>,
}

/// Project and key that a new server begins with.
#[derive(Default)]
pub(super) struct First<'a> {
    pub(super) project: Option<String>,
    pub(super) key: Option<FirstKey<'a>>,
}

/// The first key, in the first project, and its user.
pub(super) struct FirstKey<'a> {
    pub(super) name: &'a str,
    pub(super) user_id: &'a str,
    pub(super) algorithm: KeyAlgorithm,
    pub(super) user: &'a Account,
    /// Opens the key store, if a person's passphrase does.
    pub(super) unseal: &'a dyn Fn() -> anyhow::Result<()>,
}

/// Makes the server. An error removes all of it.
pub(super) fn make(plan: &Plan<'_>) -> anyhow::Result<()> {
    let existed = prepare(plan.data)?;
    let made = fill(plan);
    if made.is_err() {
        clean(plan.data)?;
        if !existed {
            let _ = fs::remove_dir(plan.data);
        }
    }
    made
}

fn fill(plan: &Plan<'_>) -> anyhow::Result<()> {
    let data = plan.data;
    let (certificate, key) = plan.certificate.places(data);
    files::write_new(&data.join(config::FILE), configuration(plan, &certificate, &key)?.as_bytes())?;
    match &plan.certificate {
        Certificate::Own => {
            files::make_folder(&data.join("tls"))?;
            tls::make_authority(data)?;
            tls::issue_server(data, plan.names, &certificate, &key)?;
        }
        Certificate::Given { chain, key: private } => {
            files::make_folder(&data.join("tls"))?;
            files::write_new(&key, private)?;
            files::write_new(&certificate, chain)?;
        }
        Certificate::Files { .. } => {}
    }
    NameKey::of(data)?;
    files::make_folder(&data.join("signer"))?;
    match &plan.key_store {
        KeyStore::Trial { seal, program, .. } => {
            seal.run(program, &make_environment(data, ENVIRONMENT)?)?;
        }
        KeyStore::Signer { socket, kind, log } => {
            let log = log.as_ref().map(|log| (LOG_ENVIRONMENT, log, EnvironmentKind::Sealed));
            for (environment, socket, kind) in std::iter::once((ENVIRONMENT, socket, *kind)).chain(log) {
                let text = toml::to_string(&SocketFile { socket: socket.clone(), kind })?;
                files::write_new(&make_environment(data, environment)?.join(SOCKET_FILE), text.as_bytes())?;
            }
        }
    }
    let database = database::of(data, &plan.database)?;
    let administrator = hash_password_now(&plan.administrator.password)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::create(&database).await?;
        let made = first::make(&store, data, plan, administrator).await;
        store.close().await;
        made
    })?;
    fs::remove_file(data.join(UNFINISHED)).context("can't finish the data folder")?;
    files::sync_entry(&data.join(UNFINISHED))?;
    Ok(())
}

/// Makes the folder of an environment.
fn make_environment(data: &Path, name: &str) -> Result<PathBuf, files::FileError> {
    let folder = data.join("signer").join(name);
    files::make_folder(&folder)?;
    Ok(folder)
}

impl Certificate {
    /// Where certificate and key are, or will be.
    pub(super) fn places(&self, data: &Path) -> (PathBuf, PathBuf) {
        match self {
            Self::Files { certificate, key } => (certificate.clone(), key.clone()),
            Self::Own | Self::Given { .. } => tls::default_pair(data),
        }
    }
}

impl Account {
    /// Checks the name that an option gives.
    pub(super) fn check(name: &str, option: &'static str) -> anyhow::Result<()> {
        Name::check(name).map_err(anyhow::Error::msg).context(option)
    }
}

/// The name that tells this server from others: the first one that is neither an address nor `localhost`, if there is one.
fn public_name(names: &[String]) -> &str {
    let is_public = |name: &&String| name.parse::<std::net::IpAddr>().is_err() && *name != "localhost";
    names.iter().find(is_public).or_else(|| names.first()).map_or("localhost", String::as_str)
}

/// The text of the configuration, with limits and such as comments.
fn configuration(plan: &Plan<'_>, certificate: &Path, key: &Path) -> anyhow::Result<String> {
    let relative = |path: &Path| path.strip_prefix(plan.data).unwrap_or(path).to_owned();
    let mut config = Config { listen: plan.listen, ..Config::default() };
    if let KeyStore::Trial { configured, .. } = &plan.key_store {
        config.trial = true;
        config.signer_program.clone_from(configured);
    }
    config.tls.certificate = relative(certificate);
    config.tls.key = relative(key);
    config.tls.names = plan.names.to_vec();
    config.database.clone_from(&plan.database);
    config.record.origin = Some(format!("{}/record", public_name(plan.names)));
    if let KeyStore::Signer { log: Some(_), .. } = plan.key_store {
        LOG_ENVIRONMENT.clone_into(&mut config.record.environment);
    }
    let text = toml::to_string(&config)?;
    // They are written as comments: a later release may have better defaults.
    let mut in_limits = false;
    let mut out = String::from(
        "# Configuration of sealcard-server. Check it with: sealcard-server config check --data DIR\n\
         # Every key can also be given in the environment, as SEALCARD_SERVER_KEY or\n\
         # SEALCARD_SERVER_SECTION__KEY.\n\n",
    );
    for line in text.lines() {
        if line.starts_with('[') {
            in_limits = ["[limits]", "[notices]"].contains(&line);
        }
        let comment = if in_limits && !line.starts_with('[') && !line.is_empty() { "# " } else { "" };
        out.push_str(comment);
        out.push_str(line);
        out.push('\n');
        if line == "[metrics]" {
            out.push_str("# listen = \"127.0.0.1:9464\"\n");
        }
    }
    Ok(out)
}

/// Expects that a server can be made here: the folder is missing, empty or half-made.
pub(super) fn expect_free(data: &Path) -> anyhow::Result<()> {
    if !data.is_dir() || data.join(UNFINISHED).exists() {
        return Ok(());
    }
    let mut entries = fs::read_dir(data).with_context(|| format!("can't read {}", data.display()))?;
    let Some(entry) = entries.next() else { return Ok(()) };
    let entry = entry?.file_name();
    bail!(
        "{} already holds {}: nothing was changed. Choose an empty or new folder.",
        data.display(),
        Path::new(&entry).display()
    );
}

/// Makes the folder, or takes over an empty or incomplete one. Returns whether it existed.
pub(super) fn prepare(data: &Path) -> anyhow::Result<bool> {
    expect_free(data)?;
    let existed = data.is_dir();
    if existed {
        if data.join(UNFINISHED).exists() {
            clean(data)?;
        }
        let owner_only = fs::Permissions::from_mode(0o700);
        fs::set_permissions(data, owner_only).with_context(|| format!("can't protect {}", data.display()))?;
    } else {
        files::make_folder(data)?;
        files::sync_entry(data)?;
    }
    files::write_new(&data.join(UNFINISHED), b"the making of this server has not come to its end\n")?;
    Ok(existed)
}

/// Removes everything that is made here, the mark last.
pub(super) fn clean(data: &Path) -> anyhow::Result<()> {
    for name in MADE {
        let path = data.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("can't remove the half-made {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}
