//! `sealcard-server init`.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use sealcard_api::rules::Name;

use super::{
    Data,
    database::{self, DatabaseOptions},
    listen, output,
    passwords::new_password,
    seal::SealOptions,
};
use crate::{
    authn::{NAME_KEY_FILE, NameKey, hash_password_now},
    config::{self, Config, Limits},
    directory::{Author, Directory, NewProject, NewUser},
    files, signers,
    storage::{Database, Store},
    tls::{self, ServerTls},
};

/// Create a server: configuration, key store, certificate, administrator
///
/// Asks on the terminal for what is missing, and prints what to do next. A folder that already holds a server is never
/// changed. If init was killed, run it again: it removes what the earlier run left behind.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealcard-server init --name sign.example.org --listen 0.0.0.0:8443
  sealcard-server init --seal passphrase --project release
  sealcard-server init --database-password-file password --database-url \\
    'postgres://sealcard@db.example.org/sealcard?sslmode=require'")]
pub(super) struct Init {
    #[command(flatten)]
    data: Data,
    /// Where the server will listen
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen::parse, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// A name or address that clients will use; may be repeated [default: localhost, 127.0.0.1, ::1 and this host's
    /// name]
    #[arg(long = "name", value_name = "HOSTNAME")]
    names: Vec<String>,
    /// The first administrator
    #[arg(long, value_name = "NAME", default_value = "admin")]
    admin: String,
    /// Read the administrator's password from the first line of this file instead of asking
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// Make this project too, so that the first user can be added to it
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    #[command(flatten)]
    seal: SealOptions,
    #[command(flatten)]
    database: DatabaseOptions,
    /// Use this certificate chain (PEM) instead of making an authority and a certificate
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key that belongs to --tls-cert
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The signer's program, if it is not in the folder of this one
    #[arg(long, value_name = "FILE")]
    signer_program: Option<PathBuf>,
}

/// Stands in the data folder until all of it is made.
pub(super) const UNFINISHED: &str = "init-unfinished";

/// What an init makes, and so what the next one may clean up after a half-made one.
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

impl Init {
    pub(super) fn run(mut self: Box<Self>) -> anyhow::Result<()> {
        // Everything that can be refused is refused before anything is made.
        self.seal.check()?;
        Name::check(&self.admin).map_err(anyhow::Error::msg).context("--admin")?;
        if let Some(project) = &self.project {
            Name::check(project).map_err(anyhow::Error::msg).context("--project")?;
        }
        if self.names.is_empty() {
            self.names = tls::default_names();
        }
        if let Some(name) = self.names.iter().find(|name| !tls::is_host_name(name)) {
            bail!("--name {name:?} is neither a host name nor an address");
        }
        let data = std::path::absolute(&self.data.data).context("--data")?;
        let (certificate, key) = self.certificate_files(&data)?;
        let program = signers::program(self.signer_program.as_deref()).context("can't find the signer's program")?;
        if !program.is_file() {
            bail!("{} is missing: it belongs beside sealcard-server", program.display());
        }
        let existed = prepare(&data)?;
        let made = self.make(&data, &program, &certificate, &key);
        if made.is_err() {
            clean(&data)?;
            if !existed {
                let _ = fs::remove_dir(&data);
            }
        }
        made?;
        self.report(&data, &certificate)
    }

    fn make(&self, data: &Path, program: &Path, certificate: &Path, key: &Path) -> anyhow::Result<()> {
        let limits = Limits::default();
        let password = new_password(self.admin_password_file.as_deref(), &self.admin, limits.password_characters)?;
        files::write_new(&data.join(config::FILE), self.configuration(data, certificate, key)?.as_bytes())?;
        if self.tls_cert.is_none() {
            files::make_folder(&data.join("tls"))?;
            tls::make_authority(data)?;
            tls::issue_server(data, &self.names, certificate, key)?;
        }
        NameKey::of(data)?;
        files::make_folder(&data.join("signer"))?;
        let signer = data.join("signer/default");
        files::make_folder(&signer)?;
        self.seal.run(program, &signer)?;
        let database = database::of(data, &self.database.section()?)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(make_database(
            &database,
            &self.admin,
            &hash_password_now(&password)?,
            self.project.as_deref(),
        ))?;
        fs::remove_file(data.join(UNFINISHED)).context("can't finish the data folder")?;
        files::sync_entry(&data.join(UNFINISHED))?;
        Ok(())
    }

    /// Where certificate and key lie; given ones are tried out.
    fn certificate_files(&self, data: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let pair = (std::path::absolute(certificate)?, std::path::absolute(key)?);
                ServerTls::load(pair.0.clone(), pair.1.clone())?;
                Ok(pair)
            }
            _ => Ok(tls::default_pair(data)),
        }
    }

    /// The text of the configuration: what was said here, and what else there is as comments.
    fn configuration(&self, data: &Path, certificate: &Path, key: &Path) -> anyhow::Result<String> {
        let relative = |path: &Path| path.strip_prefix(data).unwrap_or(path).to_owned();
        let mut config = Config { listen: self.listen, ..Config::default() };
        config.signer_program = self.signer_program.as_deref().map(std::path::absolute).transpose()?;
        config.tls.certificate = relative(certificate);
        config.tls.key = relative(key);
        config.tls.names.clone_from(&self.names);
        config.database = self.database.section()?;
        let text = toml::to_string(&config)?;
        // The limits are written as comments: a later release may have better defaults.
        let mut in_limits = false;
        let mut out = String::from(
            "# Configuration of sealcard-server. Check it with: sealcard-server config check --data DIR\n\
             # Every key can also be given in the environment, as SEALCARD_SERVER_KEY or\n\
             # SEALCARD_SERVER_SECTION__KEY.\n\n",
        );
        for line in text.lines() {
            if line.starts_with('[') {
                in_limits = line == "[limits]";
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

    fn report(&self, data: &Path, certificate: &Path) -> anyhow::Result<()> {
        let fingerprint = ServerTls::fingerprint(certificate)?;
        let name = self.names.first().map_or("localhost", String::as_str);
        let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        let port = self.listen.port();
        let own = self.tls_cert.is_none();
        let config = data.join(config::FILE);
        output::line(format_args!("The server is set up in {}.\n", data.display()));
        output::line(format_args!("  Configuration   {}", config.display()));
        output::line(format_args!("  Key store       {}", self.seal.describe(&data.join("signer/default"))));
        if let Some(care) = self.seal.care() {
            output::line(format_args!("                  {care}"));
        }
        output::line(format_args!("  Administrator   {}", self.admin));
        if let Some(project) = &self.project {
            output::line(format_args!("  Project         {project}"));
        }
        output::line(format_args!("  Certificate     {}", certificate.display()));
        if own {
            output::line(format_args!("  valid for       {}", self.names.join(", ")));
            output::line(format_args!("  authority       {}", data.join(tls::CA_FILE).display()));
        }
        output::line(format_args!("\nStart it:\n{}", self.seal.start(data)));
        output::line(format_args!("\nThen, on a workstation:"));
        output::line(format_args!("  sealcard login https://{name}:{port} --user {}", self.admin));
        output::line(format_args!("\nIt shows this SHA-256 fingerprint and asks whether it is the right one:"));
        output::line(format_args!("  {fingerprint}"));
        Ok(())
    }
}

/// Makes the folder, or takes an empty or half-made one. Whether it existed.
pub(super) fn prepare(data: &Path) -> anyhow::Result<bool> {
    let existed = data.is_dir();
    if existed {
        if data.join(UNFINISHED).exists() {
            clean(data)?;
        }
        let mut entries = fs::read_dir(data).with_context(|| format!("can't read {}", data.display()))?;
        if let Some(entry) = entries.next() {
            let entry = entry?.file_name();
            bail!(
                "{} already holds {}: nothing was changed. Choose an empty or new folder.",
                data.display(),
                Path::new(&entry).display()
            );
        }
        let owner_only = fs::Permissions::from_mode(0o700);
        fs::set_permissions(data, owner_only).with_context(|| format!("can't protect {}", data.display()))?;
    } else {
        files::make_folder(data)?;
        files::sync_entry(data)?;
    }
    files::write_new(&data.join(UNFINISHED), b"sealcard-server init has not come to its end\n")?;
    Ok(existed)
}

/// Removes what an init makes and nothing else; the mark goes last.
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

async fn make_database(database: &Database, admin: &str, password: &str, project: Option<&str>) -> anyhow::Result<()> {
    let store = Store::create(database).await?;
    let directory = Directory::new(store.clone(), false);
    let admin =
        NewUser { name: admin.to_owned(), administrator: true, password: password.to_owned(), one_time_until: None };
    directory.add_user(Author::Init, admin).await?;
    if let Some(name) = project {
        let project = NewProject { name: name.to_owned(), description: String::new() };
        directory.add_project(Author::Init, project).await?;
    }
    store.close().await;
    Ok(())
}
