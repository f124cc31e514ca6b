//! Changes that need a second person.

use anyhow::{Result, ensure};
use sealcard_tests::{PROJECT, run};

use super::{DEADLINE, Office, approve, wait_for_one};
use crate::support::builder;

const RULES: &str = "[changes]\nmembers = \"second\"\nrules = \"second\"\n\n[flow.second]\n\
    stages = [{ group = \"security\" }]\n";

#[test]
fn change_of_members_needs_a_second_person() -> Result<()> {
    let office = Office::open()?;
    office.rules(RULES)?;
    let admin = &office.playground.admin;
    let add = ["admin", "project", "add-member", PROJECT, "--user", "ben", "--role", "auditor"];
    let refused = run(&mut admin.command(&add), DEADLINE)?.failure()?;
    for part in ["needs the approval of a member of security", "sealcard approve "] {
        ensure!(refused.stderr.contains(part), "{}", refused.description());
    }
    let members = admin.json(&["project", "show", PROJECT])?.to_string();
    ensure!(!members.contains("\"ben\""), "{members}");
    let id = wait_for_one(&office.sue)?;
    let shown = office.sue.run_sealcard(&["requests", "show", &id])?.text();
    ensure!(shown.contains("ben") && shown.contains("auditor"), "{shown}");
    approve(&office.sue, &id)?;
    // Another change is not the one that was approved.
    let other = ["admin", "project", "add-member", PROJECT, "--user", "ann", "--role", "auditor"];
    run(&mut admin.command(&other), DEADLINE)?.failure()?;
    run(&mut admin.command(&add), DEADLINE)?.success()?;
    let members = admin.json(&["project", "show", PROJECT])?.to_string();
    ensure!(members.contains("\"ben\""), "{members}");
    // It was approved once.
    admin.admin(&["project", "remove-member", PROJECT, "--user", "ben", "--role", "auditor"]).unwrap_err();
    admin.admin(&["record", "verify"])?;
    Ok(())
}

#[test]
fn demand_on_rules_can_not_be_lifted_by_new_rules() -> Result<()> {
    let office = Office::open()?;
    office.rules(RULES)?;
    office.rules("[rule.all]\noperations = [\"sign\"]\n").unwrap_err();
    let id = wait_for_one(&office.sue)?;
    let shown = office.sue.run_sealcard(&["requests", "show", &id])?.text();
    ensure!(shown.contains("operations = "), "the new rules are not shown:\n{shown}");
    office.sue.run_sealcard(&["reject", &id, "--reason", "keep the second person"])?;
    let text = office.playground.admin.admin(&["policy", "show", PROJECT])?.text();
    ensure!(text.contains("[changes]"), "{text}");
    Ok(())
}

#[test]
fn group_that_opens_a_project_and_passwords_are_guarded_too() -> Result<()> {
    let office = Office::of(builder()?.prepare(|data| {
        let config = data.join("server.toml");
        let text = std::fs::read_to_string(&config).unwrap_or_default();
        std::fs::write(config, format!("{text}\n[changes.demands.passwords]\ngroup = \"security\"\n"))?;
        Ok(())
    }))?;
    let admin = &office.playground.admin;
    admin.admin(&["project", "add-member", PROJECT, "--group", "approvers", "--role", "key-user"])?;
    office.rules(RULES)?;
    let joined = run(&mut admin.command(&["admin", "group", "add-member", "approvers", "sue"]), DEADLINE)?;
    let joined = joined.failure()?;
    ensure!(joined.stderr.contains("needs the approval"), "{}", joined.description());
    let reset = run(&mut admin.command(&["admin", "user", "reset-password", "ben"]), DEADLINE)?.failure()?;
    ensure!(reset.stderr.contains("needs the approval"), "{}", reset.description());
    Ok(())
}
