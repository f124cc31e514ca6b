//! `sealcard grants`: one's own logins.

use std::time::Duration;

use anyhow::{Result, ensure};
use sealcard_tests::{Algorithm, Flavour, Workstation, run};
use serde_json::Value;

use crate::support::builder;

const DEADLINE: Duration = Duration::from_secs(60);

const PASSWORD: &str = "own-logins-battery-4711";

#[test]
fn own_logins_are_listed_and_ended_by_name_or_all_but_one() -> Result<()> {
    let playground = builder()?.algorithms(&[Algorithm::Ed25519]).start()?;
    playground.admin.add_user("carol", PASSWORD)?;
    let station = |folder: &str, label: &str| -> Result<Workstation> {
        let station = Workstation::new(&playground.binaries, &playground.scratch, folder, Flavour::Machine)?;
        station.login_as(&playground.server, "carol", PASSWORD, &["--no-sync", "--label", label])?;
        Ok(station)
    };
    let (laptop, desk, build) = (station("laptop", "laptop")?, station("desk", "desk")?, station("build", "build")?);
    let listed = |station: &Workstation| -> Result<Vec<Value>> {
        let text = station.run_sealcard(&["grants", "--json"])?.text();
        Ok(serde_json::from_str::<Value>(&text)?["grants"].as_array().cloned().unwrap_or_default())
    };
    let own = listed(&laptop)?;
    let labels: Vec<&str> = own.iter().filter_map(|one| one["label"].as_str()).collect();
    ensure!(labels == ["laptop", "desk", "build"], "{own:?}");
    ensure!(own.iter().filter(|one| one["here"] == true).count() == 1 && own[0]["here"] == true, "{own:?}");
    ensure!(own.iter().all(|one| one["login_method"] == "password"), "{own:?}");
    ensure!(own.iter().all(|one| one["login_address"] == "127.0.0.1" || one["login_address"] == "::1"), "{own:?}");
    let shown = laptop.run_sealcard(&["--wide", "grants"])?.text();
    ensure!(shown.contains("this one") && shown.contains("desk") && shown.contains("127.0.0.1"), "{shown}");

    // Without a terminal nothing is ended unasked.
    let unasked = run(&mut laptop.sealcard(&["grants", "revoke", "desk"]), DEADLINE)?.failure()?;
    ensure!(unasked.stderr.contains("End the login desk?"), "{}", unasked.description());
    laptop.run_sealcard(&["grants", "revoke", "desk", "--yes"])?;
    let refused = run(&mut desk.sealcard(&["grants"]), DEADLINE)?.failure()?;
    ensure!(refused.stderr.contains("sealcard login"), "{}", refused.description());
    let unknown = run(&mut laptop.sealcard(&["grants", "revoke", "desk", "--yes"]), DEADLINE)?.failure()?;
    ensure!(unknown.stderr.contains("no valid login named desk"), "{}", unknown.description());

    let said = laptop.run_sealcard(&["grants", "revoke", "--others", "--yes"])?.text();
    ensure!(said.contains("Ended the login build."), "{said}");
    run(&mut build.sealcard(&["grants"]), DEADLINE)?.failure()?;
    ensure!(listed(&laptop)?.len() == 1);
    laptop.run_sealcard(&["grants", "revoke", "--all", "--yes"])?;
    run(&mut laptop.sealcard(&["grants"]), DEADLINE)?.failure()?;
    // Each is in the record, by its holder, and the tables follow.
    let record = playground.admin.admin(&["record", "list", "--json"])?.text();
    ensure!(record.matches("grant-revoked").count() == 3, "{record}");
    playground.admin.admin(&["record", "verify"])?;
    Ok(())
}
