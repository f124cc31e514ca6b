//! ssh, packages of several files, and Sealcard's own commands wait.

use std::fs;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Daemon, good_signatures, run, wait_until};
use serde_json::Value;

use super::{DEADLINE, ONE, Office, approve, fails, requests, succeeds, wait_for, wait_for_one};
use crate::{
    packages::{CHANGES, build_source, changes_of},
    rules::tools::Tool,
    support::{builder, ssh_agent::Agent, sshd::Sshd},
};

#[test]
fn ssh_login_and_ssh_signature_wait() -> Result<()> {
    let office = Office::open()?;
    office.rules(ONE)?;
    let (playground, station) = (&office.playground, &office.playground.workstation);
    let agent = Agent::new(playground)?;
    let keys = agent.public_keys()?;
    let key = keys.iter().find(|key| key.starts_with("ssh-ed25519 ")).context("no key")?;
    let sshd = Sshd::start(&playground.scratch, &format!("{key}\n"))?;
    let (file, port) = (station.write("login.pub", format!("{key}\n"))?, sshd.port.to_string());
    let options = [
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-p",
        &port,
        "-i",
        &file,
        "root@127.0.0.1",
        "echo",
        "let in",
    ];
    let log = playground.scratch.path().join("ssh.log");
    for verdict in ["approve", "reject"] {
        fs::remove_file(&log).ok();
        let mut login = Daemon::spawn(&agent.command("ssh", &options), &log)?;
        let id = wait_for_one(&office.ann)?;
        let shown = office.ann.run_sealcard(&["requests", "show", &id])?.text();
        for part in ["log in", "root", "ssh -F none"] {
            ensure!(shown.contains(part), "{part} is not in\n{shown}");
        }
        if verdict == "approve" {
            approve(&office.ann, &id)?;
            succeeds(&mut login).with_context(|| sshd.log())?;
            ensure!(login.log().contains("let in"), "{}", login.log());
        } else {
            office.ann.run_sealcard(&["reject", &id, "--reason", "not now"])?;
            fails(&mut login)?;
            ensure!(login.log().contains("Permission denied"), "{}", login.log());
        }
    }
    // git's signature by ssh.
    let repository = station.repository("by-ssh", &format!("key::{key}"))?;
    let mut tag = agent.command("git", &["-C", &repository, "-c", "gpg.format=ssh", "tag", "-s", "-m", "One", "v1"]);
    let mut waiting = Daemon::spawn(tag.env("LANG", "C.UTF-8"), &log)?;
    let id = wait_for_one(&office.ann)?;
    let shown = office.ann.run_sealcard(&["requests", "show", &id])?.text();
    ensure!(shown.contains("git"), "{shown}");
    approve(&office.ann, &id)?;
    succeeds(&mut waiting)?;
    let allowed = station.write("allowed", format!("ada@example.org {key}\n"))?;
    let allowed = format!("gpg.ssh.allowedSignersFile={allowed}");
    station.run("git", &["-C", &repository, "-c", "gpg.format=ssh", "-c", &allowed, "verify-tag", "v1"])?;
    Ok(())
}

#[test]
fn debsign_waits_for_each_file_or_is_approved_ahead() -> Result<()> {
    let office = Office::open()?;
    office.rules(ONE)?;
    let (playground, station) = (&office.playground, &office.playground.workstation);
    build_source(station, "--no-sign")?;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let changes = station.path(&changes_of(station)?);
    let by = format!("-k{key}");
    let debsign = |log: &str| {
        let command = station.command("debsign", &["--no-conf", "--re-sign", &by, &changes]);
        Daemon::spawn(&command, &playground.scratch.path().join(log))
    };
    let signed = || -> Result<()> {
        for file in ["s_1.dsc", &changes_of(station)?] {
            let status = station.gpg(&["--status-fd", "1", "--verify", &station.path(file)])?.text();
            ensure!(good_signatures(&status, key) == 1, "{file}: {status}");
        }
        Ok(())
    };
    // debsign signs one file after the other: the .dsc, the .buildinfo and the .changes.
    let mut waiting = debsign("one-by-one.log")?;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let id = wait_until("the next file", DEADLINE, || {
            ensure!(waiting.ended()?.is_none(), "after {} files: {}", seen.len(), waiting.log());
            let mine = requests(&office.ann, &["--mine"])?;
            let new = mine.iter().filter_map(|one| one["id"].as_str()).find(|id| !seen.contains(&(*id).to_owned()));
            Ok(new.map(str::to_owned))
        })?;
        office.ann.run_sealcard(&["approve", "--all", "--yes"])?;
        seen.push(id);
    }
    succeeds(&mut waiting)?;
    signed()?;
    // Or all three are approved before.
    let pre = ["preapprove", "playground/ed25519", "--for", sealcard_tests::USER, "--uses", "3", "--for-time", "10m"];
    office.ann.run_sealcard(&[pre.as_slice(), &["--reason", "the upload"]].concat())?;
    succeeds(&mut debsign("ahead.log")?)?;
    signed()?;
    ensure!(requests(&office.ann, &[])?.is_empty(), "something is left");
    Ok(())
}

#[test]
fn three_debsigns_at_once_are_approved_by_one_command() -> Result<()> {
    let office = Office::open()?;
    office.rules(ONE)?;
    let (playground, station) = (&office.playground, &office.playground.workstation);
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let by = format!("-k{key}");
    let (mut waiting, mut files) = (Vec::new(), Vec::new());
    for name in ["one", "two", "three"] {
        fs::create_dir_all(station.path(name))?;
        let file = station.write(&format!("{name}/t_1-1_all.changes"), CHANGES)?;
        let command = station.command("debsign", &["--no-conf", &by, &file]);
        waiting.push(Daemon::spawn(&command, &playground.scratch.path().join(format!("{name}.log")))?);
        files.push(file);
    }
    let ids = wait_for(&office.ann, 3)?;
    let approve: Vec<&str> = ["approve", "--yes"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    let approved = office.ann.run_sealcard(&approve)?.text();
    ensure!(approved.contains("Approved 3 requests."), "{approved}");
    waiting.iter_mut().try_for_each(succeeds)?;
    for file in files {
        let status = station.gpg(&["--status-fd", "1", "--verify", &file])?.text();
        ensure!(good_signatures(&status, key) == 1, "{status}");
    }
    Ok(())
}

#[test]
fn rpmsign_of_two_packages_waits_for_each() -> Result<()> {
    let office = Office::open()?;
    office.rules(ONE)?;
    let (playground, station) = (&office.playground, &office.playground.workstation);
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let package = station.build_rpm(&[])?;
    let copies = ["one.rpm", "two.rpm"].map(|name| station.path(name));
    for copy in &copies {
        fs::copy(&package, copy)?;
    }
    let name = format!("_gpg_name {key}");
    let rpmsign = station.command("rpmsign", &["--define", &name, "--addsign", &copies[0], &copies[1]]);
    let mut waiting = Daemon::spawn(&rpmsign, &playground.scratch.path().join("rpmsign.log"))?;
    let mut seen = std::collections::BTreeSet::new();
    let status = wait_until("rpmsign", DEADLINE, || {
        for one in requests(&office.ann, &["--mine"])? {
            let id = one["id"].as_str().unwrap_or_default().to_owned();
            // It may have been approved in between.
            if run(&mut office.ann.sealcard(&["approve", &id, "--yes"]), DEADLINE)?.status.success() {
                seen.insert(id);
            }
        }
        waiting.ended()
    })?;
    ensure!(status.success() && seen.len() >= 2, "{seen:?}: {}", waiting.log());
    let keyring = station.path("rpmdb");
    fs::create_dir_all(&keyring)?;
    let public = station.path("public.asc");
    station.gpg(&["--armor", "-o", &public, "--export", key])?;
    station.run("rpmkeys", &["--dbpath", &keyring, "--import", &public])?;
    let checked = station.run("rpmkeys", &["--dbpath", &keyring, "-Kv", &copies[0], &copies[1]])?.text();
    ensure!(checked.matches("ignature, key ID").count() >= 2 && !checked.contains("BAD"), "{checked}");
    Ok(())
}

#[test]
fn sealcard_sign_waits_or_comes_back_later() -> Result<()> {
    let office = Office::open()?;
    office.rules(ONE)?;
    let (playground, station) = (&office.playground, &office.playground.workstation);
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    fs::create_dir_all(station.path("dist"))?;
    let files = ["dist/a.tar.gz", "dist/b.tar.gz"].map(|name| station.write(name, name).unwrap());
    let verify = |file: &str| -> Result<()> {
        let status = station.gpg(&["--status-fd", "1", "--verify", &format!("{file}.asc"), file])?.text();
        ensure!(good_signatures(&status, key) == 1, "{status}");
        Ok(())
    };
    let sign = ["sign", "--key", "playground/ed25519"];
    let folder = station.path("dist");
    let waiting = station.sealcard(&[sign.as_slice(), &[&folder]].concat());
    let mut waiting = Daemon::spawn(&waiting, &playground.scratch.path().join("sign.log"))?;
    wait_for(&office.ann, 2)?;
    wait_until("the line about it", DEADLINE, || Ok(waiting.log().contains("sealcard approve ").then_some(())))?;
    ensure!(waiting.log().contains(" for the approval of a member of approvers."), "{}", waiting.log());
    office.ann.run_sealcard(&["approve", "--all", "--yes"])?;
    succeeds(&mut waiting)?;
    files.iter().try_for_each(|file| verify(file))?;

    let file = station.write("later.tar.gz", "later")?;
    let later = [sign.as_slice(), &["--no-wait", &file]].concat();
    let finished = run(&mut station.sealcard(&later), DEADLINE)?;
    ensure!(finished.status.code() == Some(75), "{}", finished.description());
    ensure!(finished.stderr.contains("run the same command again"), "{}", finished.description());
    // The same file again is the same request.
    let id = wait_for_one(&office.ann)?;
    let again = run(&mut station.sealcard(&[later.as_slice(), &["--json"]].concat()), DEADLINE)?;
    ensure!(again.status.code() == Some(75), "{}", again.description());
    let report: Value = serde_json::from_slice(&again.stdout)?;
    ensure!(report["waiting"][0]["approval"] == id.as_str(), "{report}");
    ensure!(wait_for_one(&office.ann)? == id);
    let other = station.write("other.tar.gz", "other")?;
    let other = [sign.as_slice(), &["--no-wait", "--json", &other]].concat();
    let report = run(&mut station.sealcard(&other), DEADLINE)?;
    ensure!(report.status.code() == Some(75), "{}", report.description());
    let report: Value = serde_json::from_slice(&report.stdout)?;
    ensure!(report["waiting"][0]["approvers"][0] == "ann", "{report}");
    office.ann.run_sealcard(&["approve", "--all", "--yes"])?;
    // Each serves one signature.
    for command in [&later, &other] {
        run(&mut station.sealcard(command), DEADLINE)?.success()?;
    }
    verify(&file)?;

    // Two files of one content are two requests, which each command finds again.
    let same = [station.write("same.one", "the same")?, station.write("same.two", "the same")?];
    let both = [sign.as_slice(), &["--no-wait", &same[0], &same[1]]].concat();
    for _ in 0..3 {
        let finished = run(&mut station.sealcard(&both), DEADLINE)?;
        ensure!(finished.status.code() == Some(75), "{}", finished.description());
        wait_for(&office.ann, 2)?;
    }
    office.ann.run_sealcard(&["approve", "--all", "--yes"])?;
    run(&mut station.sealcard(&both), DEADLINE)?.success()?;
    same.iter().try_for_each(|file| verify(file))?;

    let rejected = station.write("rejected.tar.gz", "rejected")?;
    let rejected = station.sealcard(&[sign.as_slice(), &[&rejected]].concat());
    let mut rejected = Daemon::spawn(&rejected, &playground.scratch.path().join("rejected.log"))?;
    let id = wait_for_one(&office.ann)?;
    office.ann.run_sealcard(&["reject", &id, "--reason", "an old build"])?;
    fails(&mut rejected)?;
    ensure!(rejected.log().contains("ann rejected it: an old build"), "{}", rejected.log());
    Ok(())
}

#[test]
fn watched_requests_come_and_go() -> Result<()> {
    let office = Office::open()?;
    office.rules(ONE)?;
    let tools = office.tools()?;
    let log = |name: &str| office.playground.scratch.path().join(name);
    let watch = |more: &[&str], name: &str| {
        let command = office.ann.sealcard(&[&["requests", "--watch"], more].concat());
        Daemon::spawn(&command, &log(name))
    };
    let (people, programs) = (watch(&[], "watch.log")?, watch(&["--json"], "watch-json.log")?);
    wait_until("the first answer", DEADLINE, || Ok(people.log().contains("Nothing waits").then_some(())))?;
    let mut waiting = office.start(&tools, Tool::GitTag)?;
    let id = wait_for_one(&office.ann)?;
    let short = &id[id.len() - 8..];
    wait_until("the new request", DEADLINE, || Ok(people.log().contains("git ").then_some(())))?;
    ensure!(people.log().contains(short) && people.log().contains("ada"), "{}", people.log());
    approve(&office.ann, &id)?;
    succeeds(&mut waiting)?;
    let end = format!("{short}: approved.");
    wait_until("its end", DEADLINE, || Ok(people.log().contains(&end).then_some(())))?;
    let lines = wait_until("its end as JSON", DEADLINE, || {
        let lines: Vec<Value> = programs.log().lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(lines.last().is_some_and(|last| last["gone"] == true).then_some(lines))
    })?;
    ensure!(lines.iter().all(|line| line["id"] == id.as_str()), "{lines:?}");
    Ok(())
}

const EMERGENCY: &str = "[rule.release]\napproval = \"release\"\n\n[flow.release]\n\
    stages      = [{ group = \"approvers\", count = 2 }]\n\
    break-glass = { stages = [{ group = \"security\" }], window = \"30m\", uses = 2 }\n";

#[test]
fn break_glass_waits_for_few_people_and_is_reviewed() -> Result<()> {
    let office = Office::of(builder()?.environment("SEALCARD_SERVER_APPROVALS__WAIT_SECONDS", "2"))?;
    office.rules(EMERGENCY)?;
    let tools = office.tools()?;
    let (playground, station) = (&office.playground, &office.playground.workstation);
    let break_glass = ["break-glass", "playground/ed25519", "--reason", "CVE-2026-1234", "--wait"];
    // Nobody decides, somebody rejects, somebody approves.
    let undecided = [break_glass.as_slice(), &["--timeout", "1s"]].concat();
    let undecided = run(&mut station.sealcard(&undecided), DEADLINE)?;
    ensure!(undecided.status.code() == Some(75), "{}", undecided.description());
    let id = wait_for_one(&office.sue)?;
    office.sue.run_sealcard(&["reject", &id, "--reason", "no emergency"])?;
    let start = |log: &str| Daemon::spawn(&station.sealcard(&break_glass), &playground.scratch.path().join(log));
    let mut rejected = start("rejected.log")?;
    let id = wait_for_one(&office.sue)?;
    office.sue.run_sealcard(&["reject", &id, "--reason", "wait for Ben"])?;
    fails(&mut rejected)?;
    ensure!(rejected.log().contains("sue rejected it: wait for Ben"), "{}", rejected.log());
    let mut approved = start("approved.log")?;
    let id = wait_for_one(&office.sue)?;
    ensure!(requests(&office.ann, &["--mine"])?.is_empty(), "approvers are not asked");
    approve(&office.sue, &id)?;
    succeeds(&mut approved)?;
    ensure!(approved.log().contains("can be used until"), "{}", approved.log());
    // Two uses, and no more.
    for tool in [Tool::GitTag, Tool::Gpg] {
        tools.sign(tool, None)?.success()?;
        tools.expect_signed(tool)?;
    }
    tools.sign(Tool::Gpg, None)?.failure()?;
    let second = run(&mut station.sealcard(&break_glass), DEADLINE)?.failure()?;
    ensure!(second.stderr.contains("was used and not reviewed"), "{}", second.description());
    let review = ["requests", "review", &id, "--finding", "one hotfix"];
    run(&mut station.sealcard(&review), DEADLINE)?.failure()?;
    office.sue.run_sealcard(&review)?;
    // Three were asked for: the first two were rejected, the third was used twice.
    let report = playground.admin.admin(&["report", "break-glass", "--json"])?.text();
    let rows = report.lines().map(|line| Ok(serde_json::from_str(line)?)).collect::<Result<Vec<Value>>>()?;
    let count = |event: &str| rows.iter().filter(|row| row["event"] == event).count();
    let counts = ["approval-asked", "approval-decided", "use-intent", "review-closed"].map(count);
    ensure!(counts == [3, 3, 2, 1], "{rows:#?}");
    // A use counts in its own time, whenever its break-glass was asked for.
    let last = rows.iter().rfind(|row| row["event"] == "use-intent").and_then(|row| row["time"].as_str());
    let last = last.context("no use")?;
    let later = playground.admin.admin(&["report", "break-glass", "--since", last, "--json"])?.text();
    ensure!(later.contains("use-intent") && !later.contains("approval-asked"), "since {last}: {later}");
    let mut third = start("third.log")?;
    let id = wait_for_one(&office.sue)?;
    approve(&office.sue, &id)?;
    succeeds(&mut third)?;
    playground.admin.admin(&["record", "verify"])?;
    Ok(())
}
