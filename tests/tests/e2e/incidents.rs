//! `docs/incidents.md`: what its commands do when it has happened.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, DatabaseKind, Finished, PROJECT, Playground, run, wait_until};
use serde_json::Value;

use crate::support::{PATIENCE, builder, database, page::Page};

/// Names on the page, which stand for those of the test.
const KEY: &str = "release/tags";
const SERVER: &str = "https://sign.example.org:8443";
const DATA: &str = "/var/lib/sealcard";

#[test]
fn key_that_was_misused_is_stopped_listed_and_revoked() -> Result<()> {
    let playground = builder()?.algorithms(&[Algorithm::Ed25519]).start()?;
    let station = &playground.workstation;
    let key = playground.key(Algorithm::Ed25519)?;
    let bad = sign(&playground, "bad")?;
    sign(&playground, "worse")?;
    let commands = Page::read("incidents.md")?.commands("A key signed what it should not have")?;
    let typed = |command: &str| {
        let named = command.replace(KEY, &format!("{PROJECT}/{}", Algorithm::Ed25519));
        // The window in which it happened.
        let mut named = named.replace("--from 2026-11-27 --to 2026-11-29T12:00", "--from 1h");
        if named.contains("key revoke") {
            // Nobody is at a terminal who could say so.
            named.push_str(" --yes");
        }
        in_shell(&playground, &playground.admin.command(&[]), &named, &playground.scratch.path().join("admin"))
    };
    let mut done = Vec::new();
    for command in &commands {
        let said = typed(command)?.success()?;
        if command.contains("key disable") {
            station.try_sign(&key.fingerprint)?.failure()?;
            // A signature from before still verifies: it is not revoked yet.
            station.run_sealcard(&["verify", &bad])?;
        }
        if command.contains("report impact") {
            ensure!(said.description().contains("2 uses of"), "{}", said.description());
            let files = [bad.clone(), bad.replace("bad", "worse")].map(|file| format!("{file}.sig"));
            for file in files {
                let found = playground.admin.admin(&["record", "find", &file])?.text();
                ensure!(found.contains("use-outcome") || found.contains("sign"), "{found}");
            }
        }
        done.push(command.as_str());
    }
    for part in ["key disable", "report impact", "record verify", "key revoke", "key export"] {
        ensure!(done.iter().any(|command| command.contains(part)), "the page has no {part}: {done:?}");
    }
    // Whoever imports the published certificate sees that the old signature counts no more.
    let exported = playground.scratch.path().join("admin/tags.asc");
    let outsider = playground.scratch.folder("outsider")?;
    let gpg = |words: &[&str]| {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--status-fd", "1", "--homedir"]).arg(&outsider).args(words);
        run(command.env("LC_ALL", "C.UTF-8"), PATIENCE)
    };
    gpg(&["--import", text(&exported)?])?.success()?;
    let verified = gpg(&["--verify", &format!("{bad}.sig"), &bad])?;
    ensure!(verified.text().contains("REVKEYSIG"), "{}", verified.description());
    ensure!(verified.text().contains("KEYREVOKED"), "{}", verified.description());
    Ok(())
}

/// Database and journals are put back together by somebody who controls both, so that no signer objects, and the server
/// goes on with other entries.
#[test]
fn log_that_was_rewritten_is_proved_and_begun_anew() -> Result<()> {
    let builder = builder()?.database(DatabaseKind::Sqlite).algorithms(&[Algorithm::Ed25519]);
    let mut playground = builder.environment("SEALCARD_SERVER_RECORD__PUBLIC_HASHES", "true").start()?;
    let public = [("SEALCARD_SERVER_RECORD__PUBLIC_HASHES", "true")];
    let auditor = playground.scratch.folder("auditor")?;
    fs::copy(playground.server.ca(), auditor.join("ca.pem"))?;
    sign(&playground, "first")?;
    receipt(&playground, "first")?;
    wait_for_quiet(&playground)?;
    let older = playground.scratch.path().join("older");
    playground.server.stop()?;
    copy_data(&playground, playground.server.data(), &older)?;
    playground.server.start_again(&public)?;
    playground.admin.wait_for_environment("default")?;

    // What the auditor keeps: the keys, and a checkpoint that covers what will be gone.
    sign(&playground, "gone")?;
    receipt(&playground, "gone")?;
    let export = playground.scratch.path().join("exported");
    run(playground.admin.command(&["admin", "record", "export-log"]).arg(&export), PATIENCE)?.success()?;
    fs::copy(export.join("log.tlog-policy"), auditor.join("trusted.tlog-policy"))?;
    fs::copy(export.join("checkpoint"), auditor.join("kept-checkpoint"))?;
    let audit = |playground: &Playground, command: &str| {
        in_shell(playground, &Command::new("sh"), &command.replace(SERVER, playground.server.url()), &auditor)
    };
    let page = Page::read("incidents.md")?;
    let commands = page.commands("The log was rewritten")?;
    let with = |part: &str| -> Result<&str> {
        let found = commands.iter().find(|command| command.contains(part));
        found.map(String::as_str).with_context(|| format!("the page has no {part}: {commands:?}"))
    };
    audit(&playground, with("sealcard-audit follow")?)?.success()?;

    playground.server.stop()?;
    fs::remove_dir_all(playground.server.data())?;
    copy_data(&playground, &older, playground.server.data())?;
    playground.server.start_again(&public)?;
    playground.admin.wait_for_environment("default")?;
    // The workstation objects, so the attacker uses another one: the log gets longer than the kept checkpoint.
    for number in 0..20 {
        playground.admin.admin(&["group", "add", &format!("forged-{number}")])?;
    }
    wait_until("a checkpoint of the rewritten log", PATIENCE, || {
        let said = audit(&playground, with("sealcard-audit follow")?)?;
        Ok((said.status.code() == Some(3)).then_some(()))
    })?;
    ensure!(auditor.join("log.state.alarm").is_file(), "no evidence was kept");
    let proved = wait_until("a longer log", PATIENCE, || {
        let proved = audit(&playground, with("sealcard-audit consistency")?)?;
        Ok((!proved.description().contains("the log went back")).then_some(proved))
    })?;
    ensure!(proved.status.code() == Some(3), "{}", proved.description());
    ensure!(proved.description().contains("rewritten"), "{}", proved.description());
    let refused = run(&mut playground.workstation.sealcard(&["sync"]), PATIENCE)?.failure()?;
    ensure!(refused.stderr.contains("record"), "{}", refused.description());

    // The honest copy is gone for good: a new log begins, and people accept it.
    playground.server.stop()?;
    let begin = with("new-log")?.trim_start_matches("# ").replace(DATA, text(playground.server.data())?);
    in_shell(&playground, &Command::new("sh"), &begin, &auditor)?.success()?;
    playground.server.start_again(&public)?;
    playground.admin.wait_for_environment("default")?;
    wait_until("a workstation that sees another log", PATIENCE, || {
        let refused = run(&mut playground.workstation.sealcard(&["sync"]), PATIENCE)?;
        Ok(refused.stderr.contains("another one than before").then_some(()))
    })?;
    in_shell(&playground, &playground.workstation.command("sh", &[]), with("--accept-log")?, &auditor)?.success()?;
    sign(&playground, "after")?;
    receipt(&playground, "after")?;
    let begun = playground.admin.admin(&["record", "list", "--kind", "administration"])?.text();
    ensure!(begun.matches("log begun").count() == 2, "{begun}");
    Ok(())
}

/// Runs a line as a person types it, with the environment of `like`.
fn in_shell(playground: &Playground, like: &Command, line: &str, folder: &Path) -> Result<Finished> {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(folder).env_clear();
    shell.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let path = format!("{}:/usr/bin:/bin", playground.binaries.folder().display());
    run(shell.env("PATH", path).env("LC_ALL", "C.UTF-8"), PATIENCE)
}

fn sign(playground: &Playground, name: &str) -> Result<String> {
    let station = &playground.workstation;
    let content = station.write(name, format!("What is signed: {name}\n"))?;
    station.gpg(&["--yes", "-u", &playground.key(Algorithm::Ed25519)?.fingerprint, "--detach-sign", &content])?;
    Ok(content)
}

/// Waits for the receipt of a signature, and so for a checkpoint that covers it.
fn receipt(playground: &Playground, name: &str) -> Result<()> {
    let signature = format!("{}.sig", playground.workstation.path(name));
    playground.workstation.run_sealcard(&["receipt", &signature]).map(drop)
}

/// Waits until the newest checkpoint covers all entries.
fn wait_for_quiet(playground: &Playground) -> Result<()> {
    wait_until("a checkpoint of all entries", PATIENCE, || {
        let said = run(&mut playground.admin.command(&["admin", "status", "--json"]), PATIENCE)?;
        let status: Value = serde_json::from_slice(&said.stdout)?;
        Ok((status["record"]["published"] == status["record"]["entries"]).then_some(()))
    })
}

/// Copies the data folder of a server that is stopped.
fn copy_data(playground: &Playground, from: &Path, to: &Path) -> Result<()> {
    if from == playground.server.data() {
        database::execute(playground, "PRAGMA wal_checkpoint(TRUNCATE)")?;
    }
    let mut copy = Command::new("cp");
    run(copy.arg("-a").arg(from).arg(to), PATIENCE)?.success().map(drop)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
