//! Which database the configuration means, and `sealcard-server database`.

mod moving;
mod prepare;
mod status;
mod tables;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secrecy::SecretString;
use uuid::Uuid;

use super::Data;
use crate::{
    config::DatabaseConfig,
    files,
    storage::{Database, PostgresOptions},
};

#[derive(Debug, Subcommand)]
pub(super) enum DatabaseCommand {
    Status(status::Status),
    Move(moving::Move),
    Prepare(prepare::Prepare),
    ExportTables(tables::ExportTables),
}

impl DatabaseCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Status(status) => status.run(),
            Self::Move(moving) => moving.run(),
            Self::Prepare(prepare) => prepare.run(),
            Self::ExportTables(export) => export.run(),
        }
    }
}

/// SQLite's file in the data folder.
pub(in crate::cli) const FILE: &str = "sealcard.db";

/// The id of this data folder, by which servers that share a database tell their machines apart.
pub(super) const HOST_FILE: &str = "host-id";

/// The database of the data folder `data`.
///
/// # Errors
/// If a file that the configuration names can't be read.
pub(super) fn of(data: &Path, config: &DatabaseConfig) -> anyhow::Result<Database> {
    let Some(url) = &config.url else { return Ok(Database::Sqlite(data.join(FILE))) };
    Ok(Database::Postgres(postgres(url, config, data, host(data)?)?))
}

/// How PostgreSQL is reached as the machine `host`. Relative paths begin at `data`.
fn postgres(url: &str, config: &DatabaseConfig, data: &Path, host: Uuid) -> anyhow::Result<PostgresOptions> {
    let password = match &config.password_file {
        None => None,
        Some(file) => {
            let text = files::read_secret(&data.join(file)).context("database.password-file")?;
            Some(SecretString::from(text.lines().next().unwrap_or_default()))
        }
    };
    Ok(PostgresOptions {
        url: url.to_owned(),
        password,
        host,
        ca_file: config.ca_file.as_ref().map(|file| data.join(file)),
        allow_cleartext: config.allow_cleartext,
    })
}

/// The data folder's id; made when it is first asked for.
fn host(data: &Path) -> anyhow::Result<Uuid> {
    let path = data.join(HOST_FILE);
    if !path.exists() {
        files::write_new(&path, format!("{}\n", Uuid::now_v7()).as_bytes())?;
    }
    let text = String::from_utf8(files::read(&path)?).with_context(|| format!("{} is damaged", path.display()))?;
    Uuid::try_parse(text.trim()).with_context(|| format!("{} is damaged", path.display()))
}

/// How PostgreSQL is reached.
#[derive(Debug, Args)]
pub(super) struct DatabaseOptions {
    /// Keep the data in this PostgreSQL database instead of a file, so that several servers can share it
    /// (postgres://USER@HOST/DATABASE?sslmode=require; it must exist, without data of another server)
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Read PostgreSQL's password from the first line of this file, now and at each start
    #[arg(long, value_name = "FILE", requires = "database_url")]
    database_password_file: Option<PathBuf>,
    /// Certificates (PEM) that PostgreSQL's must go back to [default: the system's]
    #[arg(long, value_name = "FILE", requires = "database_url")]
    database_ca_file: Option<PathBuf>,
    /// Reach PostgreSQL on another machine without TLS; only where the network itself is encrypted
    #[arg(long, requires = "database_url")]
    database_allow_cleartext: bool,
}

impl DatabaseOptions {
    /// The section of the configuration.
    ///
    /// # Errors
    /// If a path can't be made absolute.
    pub(super) fn section(&self) -> anyhow::Result<DatabaseConfig> {
        let absolute = |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
        Ok(DatabaseConfig {
            url: self.database_url.clone(),
            password_file: absolute(&self.database_password_file)?,
            ca_file: absolute(&self.database_ca_file)?,
            allow_cleartext: self.database_allow_cleartext,
        })
    }
}
