//! Uses and changes that wait for people, with real tools.

mod changes;
mod flows;
mod in_time;
mod nodes;
mod page;
mod programs;
mod tools;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Daemon, Finished, PROJECT, Playground, PlaygroundBuilder, Workstation, run, wait_until};
use serde_json::Value;

use crate::{
    rules::{apply, tools::Tools},
    support::builder,
};

/// What a test waits for comes much sooner.
const DEADLINE: Duration = Duration::from_secs(60);

const PASSWORD: &str = "approver-battery-4711";

/// The people who approve.
const ANN: &str = "ann";
const BEN: &str = "ben";
const SUE: &str = "sue";

/// A playground with approvers, each with a workstation.
struct Office {
    playground: Playground,
    ann: Workstation,
    ben: Workstation,
    sue: Workstation,
}

impl Office {
    /// `ann` and `ben` are in the group approvers, `sue` in security.
    fn open() -> Result<Self> {
        Self::of(builder()?)
    }

    fn of(builder: PlaygroundBuilder<'_>) -> Result<Self> {
        let playground = builder.start()?;
        let admin = &playground.admin;
        for (group, members) in [("approvers", [ANN, BEN].as_slice()), ("security", &[SUE])] {
            admin.admin(&["group", "add", group])?;
            for name in members {
                admin.add_user(name, PASSWORD)?;
                admin.admin(&["group", "add-member", group, name])?;
            }
        }
        // So that they see the keys of the project.
        admin.admin(&["project", "add-member", PROJECT, "--group", "approvers", "--role", "approver"])?;
        let station = |name: &str| -> Result<Workstation> {
            let flavour = sealcard_tests::Flavour::Machine;
            let station = Workstation::new(&playground.binaries, &playground.scratch, name, flavour)?;
            station.login_as(&playground.server, name, PASSWORD, &["--no-sync"])?;
            Ok(station)
        };
        let (ann, ben, sue) = (station(ANN)?, station(BEN)?, station(SUE)?);
        Ok(Self { playground, ann, ben, sue })
    }

    fn rules(&self, text: &str) -> Result<()> {
        apply(&self.playground.admin, text)
    }

    fn tools(&self) -> Result<Tools<'_>> {
        Tools::new(&self.playground, "repository")
    }

    /// Starts a command of the requester's that is going to wait.
    fn start(&self, tools: &Tools<'_>, tool: crate::rules::tools::Tool) -> Result<Daemon> {
        Daemon::spawn(&tools.command(tool)?, &self.playground.scratch.path().join("waiting.log"))
    }
}

/// What `sealcard requests` lists for somebody.
fn requests(station: &Workstation, more: &[&str]) -> Result<Vec<Value>> {
    let listed = station.run_sealcard(&[&["requests", "--json"], more].concat())?;
    let list: Value = serde_json::from_str(&listed.text())?;
    Ok(list["approvals"].as_array().cloned().unwrap_or_default())
}

/// Waits until somebody can decide about so many requests; their ids.
fn wait_for(station: &Workstation, count: usize) -> Result<Vec<String>> {
    wait_until("requests that wait", DEADLINE, || {
        let mine = requests(station, &["--mine"])?;
        let ids: Vec<String> = mine.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
        Ok((ids.len() == count).then_some(ids))
    })
}

/// One request that somebody can decide about.
fn wait_for_one(station: &Workstation) -> Result<String> {
    wait_for(station, 1)?.pop().context("no request")
}

fn approve(station: &Workstation, id: &str) -> Result<Finished> {
    station.run_sealcard(&["approve", id, "--yes"])
}

/// How a request stands, for somebody who may see it.
fn state(station: &Workstation, id: &str) -> Result<String> {
    let all = requests(station, &["--all"])?;
    let found = all.iter().find(|one| one["id"] == id).with_context(|| format!("{id} is not listed"))?;
    Ok(found["state"].as_str().unwrap_or_default().to_owned())
}

fn wait_for_state(station: &Workstation, id: &str, wanted: &str) -> Result<()> {
    wait_until(&format!("a request that is {wanted}"), DEADLINE, || Ok((state(station, id)? == wanted).then_some(())))
}

fn succeeds(daemon: &mut Daemon) -> Result<()> {
    let status = daemon.wait(DEADLINE)?;
    ensure!(status.success(), "{status}: {}", daemon.log());
    Ok(())
}

fn fails(daemon: &mut Daemon) -> Result<()> {
    let status = daemon.wait(DEADLINE)?;
    ensure!(!status.success(), "it succeeded: {}", daemon.log());
    Ok(())
}

/// What `sealcard last` says of the last use on the requester's workstation.
fn last(office: &Office) -> Result<String> {
    Ok(run(&mut office.playground.workstation.sealcard(&["last"]), DEADLINE)?.text())
}

const ONE: &str = "[rule.release]\napproval = [{ group = \"approvers\" }]\n";

const TWO_STAGES: &str = "[rule.release]\napproval = \"release\"\n\n[flow.release]\n\
    stages = [{ group = \"approvers\", count = 2 }, { group = \"security\" }]\n";
