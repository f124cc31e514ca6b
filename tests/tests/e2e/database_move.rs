//! A server moves from SQLite to PostgreSQL.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use sealcard_test_cluster::Cluster;
use sealcard_tests::{Algorithm, DatabaseKind, Playground, prepare_database, run};

use crate::support::builder;

const DEADLINE: Duration = Duration::from_secs(60);

fn moving(playground: &Playground, cluster: &Cluster) -> Command {
    playground.server.command(&["database", "move", "--database-url", &cluster.server_url()])
}

#[test]
fn moved_server_signs_on_with_the_same_logins_keys_and_record() -> Result<()> {
    let mut playground = builder()?.database(DatabaseKind::Sqlite).start()?;
    let key = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    playground.workstation.try_sign(&key)?.success()?;
    let cluster = Cluster::start()?;
    let refused = run(&mut moving(&playground, &cluster), DEADLINE)?.failure()?;
    ensure!(refused.stderr.contains("stop it first"), "{}", refused.description());

    let toml = playground.server.data().join("server.toml");
    let before = fs::read_to_string(&toml)?;
    playground.server.stop()?;
    cluster.sql("CREATE TABLE wiki_page (id BIGINT)")?;
    let refused = prepare_database(&playground.binaries, &cluster, &[]).map(drop).err().context("prepared")?;
    ensure!(refused.to_string().contains("it has a table wiki_page"), "{refused:#}");
    let refused = run(&mut moving(&playground, &cluster), DEADLINE)?.failure()?;
    ensure!(refused.stderr.contains("needs schema step 1"), "{}", refused.description());
    ensure!(fs::read_to_string(&toml)? == before, "the configuration was changed");
    cluster.sql("DROP TABLE wiki_page")?;
    prepare_database(&playground.binaries, &cluster, &[])?;

    let moved = run(&mut moving(&playground, &cluster), DEADLINE)?.success()?;
    let text = String::from_utf8_lossy(&moved.stdout).into_owned();
    ensure!(text.contains("Both databases have the same rows."), "{text}");
    ensure!(text.contains("sealcard.db"), "the old database is not named: {text}");
    ensure!(fs::read_to_string(&toml)?.contains(&cluster.server_url()), "the configuration does not name the database");
    playground.server.start_again(&[])?;
    playground.workstation.try_sign(&key)?.success().context("after the move")?;
    playground.admin.admin(&["record", "verify"])?;
    let events =
        cluster.sql("SELECT event FROM record WHERE event IN ('database-moved', 'use-outcome') ORDER BY sequence")?;
    ensure!(
        events.split_whitespace().collect::<Vec<_>>() == ["use-outcome", "database-moved", "use-outcome"],
        "{events}"
    );

    let again = run(&mut moving(&playground, &cluster), DEADLINE)?.failure()?;
    ensure!(again.stderr.contains("uses PostgreSQL already"), "{}", again.description());

    // The way back that the command has named.
    playground.server.stop()?;
    fs::write(&toml, before)?;
    run(&mut playground.server.command(&["new-log"]), DEADLINE)?.success()?;
    playground.server.start_again(&[])?;
    playground.workstation.accept_log()?;
    playground.workstation.try_sign(&key)?.success().context("after the way back")?;
    Ok(())
}
