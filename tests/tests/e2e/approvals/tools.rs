//! gpg, git, rpmsign and debsign wait, go on, and give up.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use sealcard_tests::{DatabaseKind, USER, run, wait_until};

use super::{
    DEADLINE, ONE, Office, TWO_STAGES, approve, fails, last, requests, state, succeeds, wait_for, wait_for_one,
    wait_for_state,
};
use crate::{rules::tools::Tool, support::builder};

#[test]
fn tools_wait_for_two_stages_on_sqlite() -> Result<()> {
    two_stages(DatabaseKind::Sqlite)
}

#[test]
fn tools_wait_for_two_stages_on_postgres() -> Result<()> {
    two_stages(DatabaseKind::Postgres)
}

fn two_stages(database: DatabaseKind) -> Result<()> {
    let office = Office::of(builder()?.database(database))?;
    office.rules(TWO_STAGES)?;
    let tools = office.tools()?;
    for tool in Tool::ALL {
        let mut waiting = office.start(&tools, tool)?;
        let id = wait_for_one(&office.ann)?;
        ensure!(requests(&office.sue, &["--mine"])?.is_empty(), "it is not the turn of security");
        approve(&office.ann, &id)?;
        let twice = run(&mut office.ann.sealcard(&["approve", &id, "--yes"]), DEADLINE)?.failure()?;
        ensure!(twice.stderr.contains("You have approved it already"), "{}", twice.description());
        ensure!(waiting.ended()?.is_none(), "{}", waiting.log());
        wait_for_one(&office.ben)?;
        approve(&office.ben, &id)?;
        wait_for_one(&office.sue)?;
        approve(&office.sue, &id)?;
        succeeds(&mut waiting)?;
        tools.expect_signed(tool)?;
        ensure!(state(&office.ann, &id)? == "spent");
    }
    // Neither the requester nor a stranger decides.
    let mut waiting = office.start(&tools, Tool::Gpg)?;
    let id = wait_for_one(&office.ann)?;
    let own = run(&mut office.playground.workstation.sealcard(&["approve", &id, "--yes"]), DEADLINE)?.failure()?;
    ensure!(own.stderr.contains("You asked for this yourself"), "{}", own.description());
    let shown = office.ann.run_sealcard(&["requests", "show", &id])?.text();
    for part in [USER, "gpg --batch", "claimed", "approvers", "security"] {
        ensure!(shown.contains(part), "{part} is not in\n{shown}");
    }
    office.sue.run_sealcard(&["reject", &id, "--reason", "the tag is on the wrong commit"])?;
    fails(&mut waiting)?;
    let story = last(&office)?;
    ensure!(story.contains("sue rejected it: the tag is on the wrong commit"), "{story}");
    office.playground.admin.admin(&["record", "verify"])?;
    Ok(())
}

#[test]
fn several_waiting_requests_are_approved_at_once() -> Result<()> {
    let office = Office::open()?;
    office.rules(ONE)?;
    let tools = office.tools()?;
    let mut waiting = [office.start(&tools, Tool::GitTag)?, office.start(&tools, Tool::Rpmsign)?];
    wait_for(&office.ann, 2)?;
    let mut third = office.start(&tools, Tool::Debsign)?;
    wait_for(&office.ann, 3)?;
    let approved = office.ann.run_sealcard(&["approve", "--all", "--yes"])?.text();
    ensure!(approved.contains('3'), "{approved}");
    for one in &mut waiting {
        succeeds(one)?;
    }
    succeeds(&mut third)?;
    for tool in [Tool::GitTag, Tool::Rpmsign, Tool::Debsign] {
        tools.expect_signed(tool)?;
    }
    Ok(())
}

#[test]
fn late_approval_serves_the_next_attempt_once() -> Result<()> {
    let office = Office::of(builder()?.environment("SEALCARD_SERVER_APPROVALS__WAIT_SECONDS", "3"))?;
    office.rules(ONE)?;
    let tools = office.tools()?;
    let late = tools.sign(Tool::Gpg, None)?.failure()?;
    ensure!(late.stderr.contains("imeout") || late.stderr.contains("imed out"), "{}", late.description());
    let story = last(&office)?;
    ensure!(story.contains("approve"), "{story}");
    let id = wait_for_one(&office.ann)?;
    approve(&office.ann, &id)?;
    tools.sign(Tool::Gpg, None)?.success()?;
    tools.expect_signed(Tool::Gpg)?;
    ensure!(state(&office.ann, &id)? == "spent");
    tools.sign(Tool::Gpg, None)?.failure()?;
    Ok(())
}

#[test]
fn interrupted_gpg_and_killed_agent_cancel_what_waits() -> Result<()> {
    let office = Office::open()?;
    office.rules(ONE)?;
    let tools = office.tools()?;
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let mut waiting = office.start(&tools, Tool::Gpg)?;
        let id = wait_for_one(&office.ann)?;
        waiting.signal(signal)?;
        fails(&mut waiting)?;
        wait_for_state(&office.ann, &id, "cancelled")?;
    }
    let mut waiting = office.start(&tools, Tool::Gpg)?;
    let id = wait_for_one(&office.ann)?;
    office.playground.workstation.run("gpgconf", &["--kill", "gpg-agent"])?;
    fails(&mut waiting)?;
    wait_for_state(&office.ann, &id, "cancelled")?;
    Ok(())
}

#[test]
fn other_uses_go_on_while_one_waits() -> Result<()> {
    let mut office = Office::open()?;
    office.rules(ONE)?;
    let mut waiting = {
        let tools = office.tools()?;
        office.start(&tools, Tool::GitTag)?
    };
    let id = wait_for_one(&office.ann)?;
    let listed = office.playground.workstation.run_sealcard(&["status", "--waiting"])?.text();
    ensure!(listed.contains("approvers") && listed.contains("ann"), "{listed}");
    office.playground.workstation.gpg(&["--card-status"])?;
    // The server is killed and started again: the request waits on.
    office.playground.server.kill()?;
    office.playground.server.start_again(&[])?;
    thread::sleep(Duration::from_millis(500));
    ensure!(waiting.ended()?.is_none(), "{}", waiting.log());
    wait_until("the server", DEADLINE, || Ok(requests(&office.ann, &[]).ok()))?;
    approve(&office.ann, &id)?;
    succeeds(&mut waiting)?;
    office.tools_again()?;
    Ok(())
}

impl Office {
    fn tools_again(&self) -> Result<()> {
        let repository = self.playground.workstation.path("repository");
        self.playground.workstation.run("git", &["-C", &repository, "verify-tag", "v1"])?;
        Ok(())
    }
}

#[test]
fn pre_approval_is_used_up_revoked_and_expires() -> Result<()> {
    let office = Office::of(builder()?.environment("SEALCARD_SERVER_APPROVALS__WAIT_SECONDS", "2"))?;
    office.rules(ONE)?;
    let tools = office.tools()?;
    let reason = ["--reason", "the nightly build"];
    let pre = |more: &[&str]| {
        let arguments = ["preapprove", "playground/ed25519", "--for", USER];
        office.ann.run_sealcard(&[arguments.as_slice(), more, &reason].concat())
    };
    pre(&["--uses", "2"])?;
    tools.sign(Tool::Gpg, None)?.success()?;
    tools.sign(Tool::GitTag, None)?.success()?;
    tools.sign(Tool::Gpg, None)?.failure()?;
    // Only from elsewhere.
    pre(&["--uses", "5", "--network", "192.0.2.0/24"])?;
    tools.sign(Tool::Gpg, None)?.failure()?;
    let made = pre(&["--uses", "5", "--json"])?.text();
    let made: serde_json::Value = serde_json::from_str(&made)?;
    let id = made["id"].as_str().unwrap_or_default();
    tools.sign(Tool::Gpg, None)?.success()?;
    office.ben.run_sealcard(&["preapprove", "revoke", id])?;
    tools.sign(Tool::Gpg, None)?.failure()?;
    // Whoever approved it and left the group does not count any more.
    pre(&["--uses", "5"])?;
    tools.sign(Tool::Gpg, None)?.success()?;
    office.playground.admin.admin(&["group", "remove-member", "approvers", "ann"])?;
    tools.sign(Tool::Gpg, None)?.failure()?;
    office.playground.admin.admin(&["record", "verify"])?;
    Ok(())
}
