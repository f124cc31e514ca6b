//! A server whose clock jumps. It sees another time than the machine, through libfaketime.

use std::fs;

use anyhow::{Context, Result, ensure};
use sealcard_record::Event;
use sealcard_tests::{Algorithm, Playground, run, wait_until};

use crate::support::{PATIENCE, builder, expect_no_prompt, record::read_record, rest::Rest};

/// Restarts the server with a clock that shows what is in a file of offsets.
pub(crate) fn with_fake_clock(playground: &mut Playground, offset: &str) -> Result<()> {
    let file = playground.scratch.file("offset", offset)?;
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    let file = file.to_str().context("a path that is no text")?;
    let clock = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    playground.server.stop()?;
    playground.server.start_again(&clock)
}

fn jumps(playground: &Playground) -> Result<Vec<(i64, bool)>> {
    let record = read_record(&Rest::admin(playground)?)?;
    let jumps = record.into_iter().filter_map(|entry| match entry.event {
        Event::ClockJumped(jumped) => Some((jumped.seconds, jumped.at_start)),
        _ => None,
    });
    Ok(jumps.collect())
}

#[test]
fn step_of_the_servers_clock_is_in_doubt_until_an_administrator_confirms_it() -> Result<()> {
    let mut playground = builder()?.start()?;
    with_fake_clock(&mut playground, "+0")?;
    let admin = &playground.admin;
    ensure!(admin.json(&["clock", "show"])?["doubt"].is_null(), "in doubt without a reason");

    // Replaced at once, so that the server never reads half of it.
    let (old, new) = (playground.scratch.path().join("offset"), playground.scratch.file("offset.new", "+600")?);
    fs::rename(new, old)?;
    let doubt = wait_until("the doubt of the clock", PATIENCE, || {
        let doubt = admin.json(&["clock", "show"])?["doubt"].clone();
        Ok((!doubt.is_null()).then_some(doubt))
    })?;
    let seconds = doubt["seconds"].as_i64().context("no seconds")?;
    ensure!((595..=605).contains(&seconds) && doubt["here"] == true, "{doubt}");
    ensure!(playground.server.log().contains("the server's clock went"), "{}", playground.server.log());
    let status = run(&mut admin.command(&["status"]), PATIENCE)?.description();
    ensure!(status.contains("sealcard admin clock confirm"), "{status}");

    // It is not confirmed from a machine whose clock differs.
    let refused = run(&mut admin.command(&["admin", "clock", "confirm", "--yes"]), PATIENCE)?.failure()?;
    ensure!(refused.stderr.contains("set the wrong one right first"), "{}", refused.description());
    let back = playground.scratch.file("offset.new", "+0")?;
    fs::rename(back, playground.scratch.path().join("offset"))?;
    wait_until("the second jump", PATIENCE, || Ok((jumps(&playground)?.len() == 2).then_some(())))?;
    admin.admin(&["clock", "confirm", "--yes"])?;
    ensure!(admin.json(&["clock", "show"])?["doubt"].is_null(), "still in doubt");

    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    expect_no_prompt(&playground)
}

#[test]
fn server_that_starts_with_a_clock_behind_its_record_doubts_it_once() -> Result<()> {
    let mut playground = builder()?.start()?;
    for _ in 0..2 {
        with_fake_clock(&mut playground, "-400")?;
        let found = jumps(&playground)?;
        let [(seconds, true)] = found.as_slice() else { anyhow::bail!("{found:?}") };
        ensure!((-410..=-301).contains(seconds), "{seconds}");
    }
    // Set right: what was confirmed is no reason for a doubt at the next start.
    with_fake_clock(&mut playground, "+0")?;
    playground.admin.admin(&["clock", "confirm", "--yes"])?;
    with_fake_clock(&mut playground, "+0")?;
    ensure!(playground.admin.json(&["clock", "show"])?["doubt"].is_null(), "in doubt again");
    Ok(())
}
