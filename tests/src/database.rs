//! Which database the server of a test uses.

use std::{fmt, str::FromStr};

use anyhow::{Result, bail};
use sealcard_test_cluster::Cluster;

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

/// The arguments of `sealcard-server init` that name a cluster's database.
pub(crate) fn database_arguments(url: Option<&str>) -> Vec<&str> {
    url.map(|url| vec!["--database-url", url]).unwrap_or_default()
}
