//! Strict separation of duties: a key user with another role can't sign until one of the two is taken away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour, PROJECT, Playground, USER, run};
use serde_json::Value;

use crate::support::{builder, expect_no_prompt};

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn key_user_with_a_second_role_signs_once_it_is_taken_away() -> Result<()> {
    let playground = builder()?.flavour(Flavour::Machine).algorithms(&[Algorithm::Ed25519]).start()?;
    let admin = |arguments: &[&str]| playground.admin.admin(arguments);
    admin(&["group", "add", "reviewers"])?;
    admin(&["group", "add-member", "reviewers", USER])?;
    admin(&["project", "add-member", PROJECT, "--group", "reviewers", "--role", "approver"])?;
    signs(&playground)?;

    let turned_on = admin(&["project", "change", PROJECT, "--strict-separation", "on"])?;
    let who = format!("{USER} can't use the keys, having these roles: approver through the group reviewers, key-user");
    ensure!(turned_on.stderr.contains(&who), "{}", turned_on.description());
    is_denied(
        &playground,
        "its roles key-user and approver can't be held together; an owner of the project must take one of them away",
    )?;
    let shown = playground.admin.json(&["project", "show", PROJECT])?;
    ensure!(shown["strict_separation"] == true && shown["not_separated"][0]["name"] == USER, "{shown}");
    let may = run(&mut playground.workstation.sealcard(&["can", "sign", "ed25519"]), DEADLINE)?.failure()?;
    ensure!(may.text().contains("separates duties strictly"), "{}", may.description());
    admin(&["group", "remove-member", "reviewers", USER])?;
    signs(&playground)?;

    let add = ["admin", "project", "add-member", PROJECT, "--user", USER, "--role", "auditor"];
    let refused = run(&mut playground.admin.command(&add), DEADLINE)?.failure()?;
    let way_out = format!("sealcard admin project remove-member {PROJECT} --user {USER} --role key-user");
    ensure!(refused.stderr.contains(&way_out), "{}", refused.description());
    signs(&playground)?;

    admin(&["user", "change", USER, "--system-role", "auditor"])?;
    is_denied(
        &playground,
        "its role key-user and the system role auditor can't be held together; an administrator must take one of them \
         away",
    )?;
    admin(&["user", "change", USER, "--no-system-role", "auditor"])?;
    signs(&playground)?;
    expect_no_prompt(&playground)
}

fn signs(playground: &Playground) -> Result<()> {
    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success().map(drop)
}

fn is_denied(playground: &Playground, sentence: &str) -> Result<()> {
    let station = &playground.workstation;
    let finished = station.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.failure()?;
    ensure!(finished.stderr.contains("signing failed: Forbidden\n"), "{}", finished.description());
    let last = station.run_sealcard(&["last", "--json"])?;
    let last: Value = serde_json::from_slice(&last.stdout).with_context(|| last.description())?;
    ensure!(last["reason"].as_str().is_some_and(|reason| reason.contains(sentence)), "{last}");
    Ok(())
}
