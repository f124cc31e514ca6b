//! `sealcard-server database move`.

use std::{io::IsTerminal as _, path::Path};

use anyhow::{Context as _, bail};
use clap::Args;
use sealcard_record::{Draft, Event, event::DatabaseMoved};
use toml_edit::{DocumentMut, Item, Table};

use super::{super::output, Data, DatabaseOptions, FILE, of};
use crate::{
    config::{self, Config, DatabaseConfig},
    files,
    storage::{Database, StorageError, Store, TransferProgress},
};

/// Move the data of a server from its SQLite file to PostgreSQL
///
/// Stop the server first. All tables are copied in one transaction and compared afterwards: the number of rows, a
/// digest over all rows of each table, and the log of the record. Only then server.toml names the new database. The
/// file stays as it is. If anything fails, the server still uses the file.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  systemctl stop sealcard-server
  sealcard-server database move \\
    --database-url \\
      'postgres://sealcard@db.example.org/sealcard?sslmode=require' \\
    --database-password-file /etc/sealcard/database-password
  systemctl start sealcard-server")]
pub(in crate::cli) struct Move {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    database: DatabaseOptions,
}

impl Move {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let _acting = self.data.act_as_owner()?;
        let data = std::path::absolute(&self.data.data).context("--data")?;
        let config = Config::load(&data)
            .with_context(|| format!("{} can't be used (has it a server? see --data)", data.display()))?;
        if config.database.url.is_some() {
            bail!("the server in {} uses PostgreSQL already", data.display());
        }
        let section = self.database.section()?;
        if section.url.is_none() {
            bail!("name the PostgreSQL database with --database-url; it must exist and be empty");
        }
        let toml = data.join(config::FILE);
        // Before anything is copied: it must be known that the configuration can be changed.
        let text = with_database(&String::from_utf8(files::read(&toml)?)?, &section)?;
        config::parse(&toml, &text, Vec::new()).context("the changed configuration can't be used")?;
        let file = data.join(FILE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(transfer(&data, &file, &section))?;
        files::replace(&toml, text.as_bytes())?;
        output::line(format_args!("{} names the new database.", toml.display()));
        output::line(format_args!("\nStart the server and check it:\n  systemctl start sealcard-server"));
        output::line(format_args!("  sealcard admin record verify"));
        output::line(format_args!("\nThe old database is still in {}.", file.display()));
        output::line(format_args!(
            "To go back, stop the server, remove the section [database] from {} and run",
            toml.display()
        ));
        output::line(format_args!("sealcard-server new-log: what was done with the new database is lost then."));
        output::line(format_args!("When you don't need the old one any more, remove it with its -wal and -shm files."));
        Ok(())
    }
}

/// Copies the data, and proves that a server can be opened there.
async fn transfer(data: &Path, file: &Path, section: &DatabaseConfig) -> anyhow::Result<()> {
    let Database::Postgres(options) = of(data, section)? else { bail!("no PostgreSQL database is named") };
    let host = options.host;
    let mut shown = None;
    let moved = Store::transfer(file, &options, move |progress| show(progress, &mut shown)).await;
    clear();
    let moved = moved.map_err(|error| match error {
        StorageError::InUse(folder) => {
            anyhow::anyhow!("a server uses {}: stop it first (systemctl stop sealcard-server)", folder.display())
        }
        error => anyhow::Error::from(error).context("nothing was moved"),
    })?;
    let store = Store::open(&Database::Postgres(options)).await.context("can't open the new database")?;
    store.append_record(Draft::of_server(Event::DatabaseMoved(DatabaseMoved { host }))).await?;
    store.close().await;
    output::line(format_args!(
        "Moved {} rows of {} tables. Both databases have the same rows.",
        moved.rows, moved.tables
    ));
    output::line(format_args!("The record is whole; it had {} entries.", moved.record.sequence));
    Ok(())
}

/// One line that changes, in a terminal.
fn show(progress: TransferProgress, shown: &mut Option<(&'static str, bool)>) {
    let TransferProgress { table, comparing, done, rows } = progress;
    let what = if comparing { "comparing" } else { "copying" };
    if std::io::stderr().is_terminal() {
        output::replace_line(&format!("{what} {table}: {done} of {rows}"));
    } else if shown.replace((table, comparing)) != Some((table, comparing)) {
        output::note(&format!("{what} {table}, {rows} rows"));
    }
}

fn clear() {
    if std::io::stderr().is_terminal() {
        output::replace_line("");
    }
}

/// The text of a configuration with another section `[database]`. The rest stays, with its comments.
fn with_database(text: &str, section: &DatabaseConfig) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse().context("server.toml")?;
    let new: DocumentMut = toml::to_string(section)?.parse()?;
    let mut table = Table::new();
    for (key, value) in new.iter() {
        table.insert(key, value.clone());
    }
    let at = document.get("database").and_then(Item::as_table).and_then(Table::position);
    table.set_position(at);
    if at.is_none() {
        table.decor_mut().set_prefix("\n");
    }
    document.insert("database", Item::Table(table));
    Ok(document.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_of_the_database_changes() {
        let section = DatabaseConfig {
            url: Some("postgres://a@localhost/b".to_owned()),
            password_file: Some("/etc/password".into()),
            ..DatabaseConfig::default()
        };
        let inside = "url = \"postgres://a@localhost/b\"\npassword-file = \"/etc/password\"\n";
        let before = "# first\nlisten = \"127.0.0.1:1\" # here\n\n[database]\n# none\n\n[limits]\n# requests = 5\n";
        let text = with_database(before, &section).unwrap();
        assert_eq!(
            text,
            format!(
                "# first\nlisten = \"127.0.0.1:1\" # here\n\n[database]\n{inside}# none\n\n[limits]\n# requests = 5\n"
            )
        );
        let text = with_database("listen = \"127.0.0.1:1\"\n", &section).unwrap();
        assert_eq!(text, format!("listen = \"127.0.0.1:1\"\n\n[database]\n{inside}"));
        for text in [text, before.to_owned()] {
            let config = config::parse(Path::new("server.toml"), &with_database(&text, &section).unwrap(), Vec::new());
            assert_eq!(config.unwrap().database, section);
        }
    }
}
