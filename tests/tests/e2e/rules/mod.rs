//! Rules of keys with the real tools: what they allow, what they deny and how they say so, and when changes count.

mod kinds;
mod proxies;
mod quotas;
mod takeaway;
pub(crate) mod tools;
mod trials;
mod under_change;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{
    Admin, Algorithm, Finished, PROJECT, Playground, PlaygroundBuilder, Workstation, run, run_with_input,
};
use serde_json::Value;

use crate::support::builder;

const DEADLINE: Duration = Duration::from_secs(60);

/// Many uses are denied here, and each is looked at. Else the server would record most of them as one.
const MANY_DENIALS: [(&str, &str); 1] = [("SEALCARD_SERVER_LIMITS__DENIALS_PER_MINUTE", "10000")];

/// What `sealcard last` tells to whom a rule of the project stands in the way.
const WHOM_TO_ASK: &str = "Ask an owner of the project playground.";

fn many_denials<'a>() -> Result<PlaygroundBuilder<'a>> {
    let [(name, value)] = MANY_DENIALS;
    Ok(builder()?.environment(name, value))
}

/// Puts rules of the playground's project into force.
pub(crate) fn apply(admin: &Admin, rules: &str) -> Result<()> {
    let mut apply = admin.command(&["admin", "policy", "apply", PROJECT, "-", "--yes"]);
    run_with_input(&mut apply, rules.as_bytes(), DEADLINE)?.success().with_context(|| rules.to_owned())?;
    Ok(())
}

fn apply_template(admin: &Admin, template: &str) -> Result<()> {
    let mut apply = admin.command(&["admin", "template", "apply", "-", "--yes"]);
    run_with_input(&mut apply, template.as_bytes(), DEADLINE)?.success().with_context(|| template.to_owned())?;
    Ok(())
}

fn remove(admin: &Admin) -> Result<()> {
    admin.admin(&["policy", "remove", PROJECT, "--yes"]).map(drop)
}

/// `sealcard last --json`.
fn last(station: &Workstation) -> Result<Value> {
    Ok(serde_json::from_slice(&station.run_sealcard(&["last", "--json"])?.stdout)?)
}

/// What came of a use that a rule denied, if it is said as it should be.
fn expect_reason(station: &Workstation, denied: &Finished, says: &[&str]) -> Result<()> {
    let last = last(station)?;
    let about = || format!("{last}\n{}", denied.description());
    ensure!(
        last["outcome"] == "failed" && last["code"] == "forbidden" && last["gpg_error"] == "Forbidden",
        "{}",
        about()
    );
    let reason = last["reason"].as_str().with_context(about)?;
    for text in says {
        ensure!(reason.contains(text), "no {text:?} in {}", about());
    }
    // The advice of another denial would lead people to the wrong place.
    ensure!(!last["advice"].as_str().unwrap_or_default().contains("role"), "{}", about());
    Ok(())
}

/// Any exit code is fine.
fn admin(playground: &Playground, arguments: &[&str]) -> Result<Finished> {
    run(&mut playground.admin.command(&[&["admin"], arguments].concat()), DEADLINE)
}

fn key_name() -> String {
    format!("{PROJECT}/{}", Algorithm::Ed25519)
}
