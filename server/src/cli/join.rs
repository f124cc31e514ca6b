//! `sealcard-server join`: one more server on a database that another one uses.

use std::{
    ffi::OsString,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use zeroize::Zeroizing;

use super::{
    Data, create, database,
    installed::{self, Acting, Instance, Keys, Making},
    listen, output,
};
use crate::{
    authn::NAME_KEY_FILE,
    config::{self, Config},
    files,
    signers::{self, SOCKET_FILE, discover},
    storage::Store,
    tls,
};

/// Create one more server on the PostgreSQL database of another
///
/// Takes configuration, certificate and key stores from copies of the other server's folders. Each server has its own
/// journal. Put all servers behind one address: each of them serves any request, and when one stops the others
/// continue. Run by root, this creates the signers with their users and units; you start the server.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, with copies of the first server's folders:
  sealcard-server join --from /root/sealcard \\
    --signers /root/sealcard-signer
  systemctl enable --now sealcard-server")]
pub(super) struct Join {
    #[command(flatten)]
    data: Data,
    /// The other server's data folder, or a copy of it
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The folder of the other server's signers, or a copy of it; they run as their own users here, too
    #[arg(long, value_name = "DIR")]
    signers: Option<PathBuf>,
    /// Where this server will listen, in place of what the other's configuration says
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen::parse)]
    listen: Option<SocketAddr>,
}

impl Join {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let data = std::path::absolute(&self.data.data).context("--data")?;
        let from = std::path::absolute(&self.from).context("--from")?;
        let config = Config::load(&from).with_context(|| format!("{} is not a data folder", from.display()))?;
        if config.database.url.is_none() {
            bail!(
                "the server in {} keeps its data in a file, which only one server can use. Servers share a PostgreSQL \
                 database: sealcard-server init --database-url URL",
                from.display()
            );
        }
        if let Some(signers) = &self.signers {
            return self.install(&data, &from, signers, &config);
        }
        self.make_or_clean(&data, &from, &config)?;
        output::line(format_args!("Created the data folder {}.", data.display()));
        output::line(format_args!("\nStart it:\n  sealcard-server serve --data {}", data.display()));
        Ok(())
    }

    /// Makes the signers with their users, then the data folder as the server's user.
    fn install(&self, data: &Path, from: &Path, signers: &Path, config: &Config) -> anyhow::Result<()> {
        installed::expect_administrator("sealcard-server join --signers")?;
        ensure!(data == Path::new(installed::DATA), "only the server in {} has units", installed::DATA);
        ensure!(!config.trial, "{} is a server for trying out: its signers are in its data folder", from.display());
        create::expect_free(data)?;
        let program = signers::program(None).context("can't find the signer's program")?;
        let mut made: Vec<Making> = Vec::new();
        let result =
            discover(&from.join("signer")).context("can't read the other server's environments").and_then(|found| {
                for found in found {
                    made.push(Instance::new(&found.name, program.clone())?.begin(None)?);
                    if let Some(making) = made.last() {
                        making.make(&Keys::Copy(&signers.join(&found.name)))?;
                    }
                }
                // The copy belongs to root.
                let readable = tempfile::tempdir_in("/run").context("can't make a folder in memory")?;
                installed::copy_for(installed::USER, from, readable.path())?;
                let _acting = Acting::begin(installed::USER)?;
                self.make_or_clean(data, readable.path(), config)
            });
        let number = made.len();
        if result.is_err() {
            made.into_iter().for_each(Making::undo);
            return result;
        }
        made.into_iter().try_for_each(|making| making.finish().map(drop))?;
        output::line(format_args!("Created the data folder {} and {number} signers.", data.display()));
        output::line(format_args!("\nStart it:\n  systemctl enable --now sealcard-server"));
        Ok(())
    }

    fn make_or_clean(&self, data: &Path, from: &Path, config: &Config) -> anyhow::Result<()> {
        let existed = create::prepare(data)?;
        let made = self.make(data, from, config);
        if made.is_err() {
            create::clean(data)?;
            if !existed {
                let _ = fs::remove_dir(data);
            }
        }
        made
    }

    fn make(&self, data: &Path, from: &Path, config: &Config) -> anyhow::Result<()> {
        files::write_new(&data.join(config::FILE), self.configuration(from)?.as_bytes())?;
        for file in [NAME_KEY_FILE, tls::CA_FILE, tls::CA_KEY_FILE]
            .map(Path::new)
            .into_iter()
            .chain([config.tls.certificate.as_path(), config.tls.key.as_path()])
        {
            copy(from, data, file)?;
        }
        for file in [&config.database.password_file, &config.database.ca_file].into_iter().flatten() {
            copy(from, data, file)?;
        }
        files::make_folder(&data.join("signer"))?;
        let entries = fs::read_dir(from.join("signer")).context("can't read the other server's key stores")?;
        for entry in entries {
            let environment = Path::new("signer").join(entry?.file_name());
            join_key_store(&from.join(&environment), &data.join(&environment))?;
        }
        let database = database::of(data, &config.database)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Proves that the database can be reached from here and holds a server.
        runtime.block_on(async {
            Store::open(&database).await?.close().await;
            anyhow::Ok(())
        })?;
        fs::remove_file(data.join(create::UNFINISHED)).context("can't finish the data folder")?;
        files::sync_entry(&data.join(create::UNFINISHED))?;
        Ok(())
    }

    /// The other server's text, with its comments.
    fn configuration(&self, from: &Path) -> anyhow::Result<String> {
        let text = String::from_utf8(files::read(&from.join(config::FILE))?)?;
        let Some(listen) = self.listen else { return Ok(text) };
        let mut found = false;
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| {
                let is = line.split('=').next().is_some_and(|key| key.trim() == "listen");
                found |= is;
                if is { format!("listen = \"{listen}\"") } else { line.to_owned() }
            })
            .collect();
        if !found {
            lines.insert(0, format!("listen = \"{listen}\""));
        }
        Ok(lines.join("\n") + "\n")
    }
}

const JOURNAL: &str = "journal.jsonl";

/// Files of a signer's folder, with their names.
pub(super) type KeyStore = Vec<(OsString, Zeroizing<Vec<u8>>)>;

/// Makes a folder with [what is shared](read_key_store).
pub(super) fn join_key_store(from: &Path, folder: &Path) -> anyhow::Result<()> {
    files::make_folder(folder)?;
    write_key_store(&read_key_store(from)?, folder)
}

/// Reads all but what belongs to the other server alone: its journal, its socket.
pub(super) fn read_key_store(from: &Path) -> anyhow::Result<KeyStore> {
    let mut store = KeyStore::new();
    for entry in fs::read_dir(from).with_context(|| format!("can't read the key store {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_file() && !name.as_encoded_bytes().starts_with(JOURNAL.as_bytes()) {
            store.push((name, Zeroizing::new(files::read(&entry.path())?)));
        }
    }
    ensure!(
        store.iter().any(|(name, _)| ["seal.json", "token.toml", SOCKET_FILE].iter().any(|file| name == file)),
        "{} is not the folder of a signer",
        from.display()
    );
    Ok(store)
}

/// Writes them, with a new journal, into an empty folder.
pub(super) fn write_key_store(store: &KeyStore, folder: &Path) -> anyhow::Result<()> {
    for (name, content) in store {
        files::write_new(&folder.join(name), content)?;
    }
    // One that runs as its own user has its journal there.
    if folder.join(SOCKET_FILE).exists() {
        return Ok(());
    }
    Ok(files::write_new(&folder.join(JOURNAL), b"")?)
}

/// Copies a file of the data folder, if it is one: what is named by an absolute path stays where it is.
fn copy(from: &Path, data: &Path, file: &Path) -> anyhow::Result<()> {
    if file.is_absolute() || !from.join(file).exists() {
        return Ok(());
    }
    let target = data.join(file);
    if let Some(folder) = target.parent().filter(|folder| !folder.exists()) {
        files::make_folder(folder)?;
    }
    let content = Zeroizing::new(files::read(&from.join(file))?);
    Ok(files::write_new(&target, &content)?)
}
