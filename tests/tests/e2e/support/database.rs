//! What is in a server's database, whichever it is, past the server.

use std::{path::PathBuf, process::Command};

use anyhow::Result;
use sealcard_tests::{Playground, run};
use serde_json::Value;

use super::PATIENCE;

/// The rows that a query gives, each an object.
pub(crate) fn rows(playground: &Playground, query: &str) -> Result<Vec<Value>> {
    let answer = match &playground.cluster {
        Some(cluster) => cluster.sql(&format!("SELECT coalesce(json_agg(t), '[]') FROM ({query}) t"))?.into_bytes(),
        None => run(sqlite(playground, &["-readonly", "-json"]).arg(query), PATIENCE)?.success()?.stdout,
    };
    Ok(serde_json::from_slice(&answer)?)
}

/// Changes something.
pub(crate) fn execute(playground: &Playground, statement: &str) -> Result<()> {
    match &playground.cluster {
        Some(cluster) => cluster.sql(statement).map(drop),
        None => run(sqlite(playground, &[]).arg(statement), PATIENCE)?.success().map(drop),
    }
}

/// The expression that gives a column of bytes in capital hexadecimal digits, nothing for NULL.
pub(crate) fn hex(playground: &Playground, column: &str) -> String {
    match &playground.cluster {
        Some(_) => format!("coalesce(upper(encode({column}, 'hex')), '')"),
        None => format!("hex({column})"),
    }
}

/// The files of a database that does not lie in the server's data folder, all that is in memory written to them before.
pub(crate) fn files(playground: &Playground) -> Result<Option<PathBuf>> {
    let Some(cluster) = &playground.cluster else { return Ok(None) };
    cluster.sql("CHECKPOINT")?;
    Ok(Some(cluster.data()))
}

fn sqlite(playground: &Playground, options: &[&str]) -> Command {
    let mut sqlite = Command::new("sqlite3");
    sqlite.args(options).args(["-cmd", ".timeout 5000"]).arg(playground.server.data().join("sealcard.db"));
    sqlite
}
