//! Which database the server of a test uses.

use std::{fmt, process::Command, str::FromStr, time::Duration};

use anyhow::{Result, bail};
use sealcard_test_cluster::Cluster;

use crate::{Binaries, Finished, run};

const PREPARE: Duration = Duration::from_secs(60);

/// SQLite or PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DatabaseKind {
    /// A file in the data folder.
    #[default]
    Sqlite,
    /// A cluster of the test's own, made from the installed programs.
    Postgres,
}

impl DatabaseKind {
    /// What the environment variable `SEALCARD_TEST_DATABASE` says; SQLite if it is not set.
    ///
    /// # Errors
    /// It says something else than `sqlite` or `postgres`.
    pub fn of_environment() -> Result<Self> {
        match std::env::var("SEALCARD_TEST_DATABASE") {
            Ok(name) => name.parse(),
            Err(_) => Ok(Self::Sqlite),
        }
    }

    /// A new cluster, if one is needed.
    ///
    /// # Errors
    /// It does not start.
    pub fn cluster(self) -> Result<Option<Cluster>> {
        match self {
            Self::Sqlite => Ok(None),
            Self::Postgres => Ok(Some(Cluster::start()?)),
        }
    }
}

impl FromStr for DatabaseKind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            other => bail!("{other:?} is no database: say sqlite or postgres"),
        }
    }
}

impl fmt::Display for DatabaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// Makes the tables, or brings them up to date, and lets servers work as [`Cluster::server_role`], as an administrator
/// does who has the owner's role.
///
/// # Errors
/// `database prepare` failed.
pub fn prepare_database(binaries: &Binaries, cluster: &Cluster, environment: &[(&str, &str)]) -> Result<Finished> {
    let mut command = Command::new(binaries.server());
    command.args(["database", "prepare", "--database-url", &cluster.url(), "--server-role", cluster.server_role()]);
    run(command.env_clear().envs(environment.iter().copied()), PREPARE)?.success()
}

/// The arguments of `sealcard-server init` that name a cluster's database.
pub(crate) fn database_arguments(url: Option<&str>) -> Vec<&str> {
    url.map(|url| vec!["--database-url", url]).unwrap_or_default()
}
