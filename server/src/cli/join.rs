//! `sealcard-server join`: one more server on a database that another one uses.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{Data, database, init, listen, output};
use crate::{
    authn::NAME_KEY_FILE,
    config::{self, Config},
    files,
    storage::Store,
    tls,
};

/// Create one more server on the PostgreSQL database of another
///
/// Takes configuration, certificate and key store from a copy of the other server's data folder (or the folder itself,
/// on the same machine). Each server has its own journal. Put all servers behind one address: each of them
/// serves any request, and when one stops the others continue.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, with a copy of the first server's data folder:
  sealcard-server join --from /root/first-server --listen 0.0.0.0:8443
  sealcard-server serve")]
pub(super) struct Join {
    #[command(flatten)]
    data: Data,
    /// The other server's data folder, or a copy of it
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
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
        let existed = init::prepare(&data)?;
        let made = self.make(&data, &from, &config);
        if made.is_err() {
            init::clean(&data)?;
            if !existed {
                let _ = fs::remove_dir(&data);
            }
        }
        made?;
        output::line(format_args!("Created the data folder {}.", data.display()));
        output::line(format_args!("\nStart it:\n  sealcard-server serve --data {}", data.display()));
        Ok(())
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
        fs::remove_file(data.join(init::UNFINISHED)).context("can't finish the data folder")?;
        files::sync_entry(&data.join(init::UNFINISHED))?;
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

/// All but what belongs to the other server alone: its journal, its socket.
pub(super) fn join_key_store(from: &Path, folder: &Path) -> anyhow::Result<()> {
    const JOURNAL: &str = "journal.jsonl";
    files::make_folder(folder)?;
    for entry in fs::read_dir(from).context("can't read the other server's key store")? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_file() && !name.as_encoded_bytes().starts_with(JOURNAL.as_bytes()) {
            copy(from, folder, Path::new(&name))?;
        }
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
    let content = zeroize::Zeroizing::new(files::read(&from.join(file))?);
    Ok(files::write_new(&target, &content)?)
}
