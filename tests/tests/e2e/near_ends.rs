//! A key that ends soon is warned of wherever keys are shown, and in the server's log.

use anyhow::{Result, ensure};
use sealcard_tests::{Finished, Flavour, PROJECT, wait_until};

use crate::support::{PATIENCE, playground};

#[test]
fn a_key_that_ends_in_ten_days_is_warned_of_everywhere() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    let key = format!("{PROJECT}/soon");
    let create = ["key", "create", &key, "--user-id", "Soon <soon@example.org>", "--expires-days", "10"];
    playground.admin.admin(&create)?;
    let warning = format!("{key} expires on ");
    let expect = |what: &str, shown: &str| -> Result<()> {
        let line = shown.lines().find(|line| line.contains(&warning));
        ensure!(
            line.is_some_and(|line| line.contains("days)") && line.contains("extend it")),
            "{what} does not warn:\n{shown}"
        );
        ensure!(!shown.contains(&format!("{PROJECT}/ed25519 expires")), "{what} warns of another key:\n{shown}");
        Ok(())
    };
    let station = &playground.workstation;
    for arguments in [&["sync"][..], &["keys"], &["keys", "--offline"], &["status"], &["doctor"]] {
        expect(&arguments.join(" "), &all(&station.run_sealcard(arguments)?))?;
    }
    for arguments in [&["key", "list"][..], &["key", "show", &key]] {
        expect(&arguments.join(" "), &all(&playground.admin.admin(arguments)?))?;
    }
    // It says so when it starts, and once a day.
    playground.server.stop()?;
    playground.server.start_again(&[])?;
    wait_until("the warning in the server's log", PATIENCE, || {
        Ok(playground.server.log().contains(&warning).then_some(()))
    })?;
    expect("the log", &playground.server.log())
}

fn all(finished: &Finished) -> String {
    format!("{}{}", finished.text(), finished.stderr)
}
