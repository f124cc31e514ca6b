//! Witnesses that the server asks: real ones, and one that answers as it should not.

mod fake;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Admin, Algorithm, Binaries, Daemon, Finished, Playground, Workstation, run, wait_until};
use serde_json::Value;

use self::fake::{Behaviour, FakeWitness};
use crate::{
    nodes,
    support::{PATIENCE, builder, database},
};

/// The variable that names the policy.
const WITNESSES: &str = "SEALCARD_SERVER_RECORD__WITNESSES";

/// A program that cosigns.
struct Witness {
    name: String,
    /// Its public keys.
    keys: Vec<String>,
    url: String,
    command: Vec<String>,
    log: PathBuf,
    daemon: Option<Daemon>,
}

impl Witness {
    /// Starts one that knows the logs in `policy`.
    fn start(binaries: &Binaries, folder: &Path, name: &str, policy: &Path) -> Result<Self> {
        let state = folder.join(name);
        let (ed25519, ml_dsa) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.ml-dsa.key")));
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
        let keys = [make_key(binaries, name, &ed25519, &[])?, make_key(binaries, name, &ml_dsa, &["--ml-dsa-44"])?];
        let [ed25519, ml_dsa, policy, state] = [text(&ed25519)?, text(&ml_dsa)?, text(policy)?, text(&state)?];
        let command = ["witness", "serve", "--key", &ed25519, "--key", &ml_dsa, "--policy", &policy, "--state", &state];
        let mut witness = Self {
            name: name.to_owned(),
            keys: keys.into(),
            url: "http://127.0.0.1:0".to_owned(),
            command: command.map(str::to_owned).into(),
            log: folder.join(format!("{name}.log")),
            daemon: None,
        };
        witness.start_again(binaries)?;
        Ok(witness)
    }

    /// Starts it at the address that it had.
    fn start_again(&mut self, binaries: &Binaries) -> Result<()> {
        fs::write(&self.log, "")?;
        let mut command = Command::new(binaries.audit());
        command.args(&self.command).args(["--listen", self.url.trim_start_matches("http://")]).env_clear();
        let daemon = Daemon::spawn(&command, &self.log)?;
        self.url = wait_until("the address of a witness", PATIENCE, || {
            let log = daemon.log();
            let address = log.lines().find_map(|line| line.strip_prefix("Listening at ")?.strip_suffix('.'));
            Ok(address.map(str::to_owned))
        })?;
        self.daemon = Some(daemon);
        Ok(())
    }

    fn stop(&mut self) {
        self.daemon = None;
    }

    /// Its lines in a policy, and the names that they define.
    fn lines(&self, with_url: bool) -> (String, Vec<String>) {
        let url = if with_url { self.url.as_str() } else { "" };
        let names: Vec<String> = (0..self.keys.len()).map(|place| format!("{}-{place}", self.name)).collect();
        let lines = names.iter().zip(&self.keys).map(|(name, key)| format!("witness {name} {key} {url}\n"));
        (lines.collect(), names)
    }
}

/// Makes a private key. Gives the public one.
fn make_key(binaries: &Binaries, name: &str, file: &Path, more: &[&str]) -> Result<String> {
    let mut command = Command::new(binaries.audit());
    command.args(["witness", "key", name]).arg(file).args(more).env_clear();
    Ok(run(&mut command, PATIENCE)?.success()?.text().trim().to_owned())
}

/// Writes the keys of the log into a file.
fn log_keys(admin: &Admin, scratch: &Path) -> Result<PathBuf> {
    let folder = scratch.join("log");
    let export = || {
        let exported = run(admin.command(&["admin", "record", "export-log"]).arg(&folder), PATIENCE)?;
        Ok(exported.status.success().then_some(()))
    };
    wait_until("the first checkpoint", PATIENCE, export)?;
    Ok(folder.join("log.tlog-policy"))
}

/// A policy with the keys of the log that asks for all keys of these witnesses.
fn policy(keys: &Path, witnesses: &[&Witness], with_url: bool) -> Result<String> {
    let keys = fs::read_to_string(keys)?;
    let mut text: String = keys.lines().filter(|line| line.starts_with("log ")).flat_map(|line| [line, "\n"]).collect();
    let mut members = Vec::new();
    for witness in witnesses {
        let (lines, names) = witness.lines(with_url);
        text.push_str(&lines);
        members.extend(names);
    }
    Ok(format!("{text}group all-of-them all {}\nquorum all-of-them\n", members.join(" ")))
}

/// What administrators see, whether something needs attention or not.
fn status(admin: &Admin) -> Result<Value> {
    let said = run(&mut admin.command(&["admin", "status", "--json"]), PATIENCE)?;
    serde_json::from_slice(&said.stdout).with_context(|| said.description())
}

/// What they see of one witness.
fn witness_status(admin: &Admin, name: &str) -> Result<Value> {
    let status = status(admin)?;
    let witnesses = status["witnesses"].as_array().with_context(|| format!("no witnesses: {status}"))?;
    witnesses.iter().find(|one| one["name"] == name).cloned().with_context(|| format!("no {name}: {status}"))
}

fn sign(station: &Workstation, fingerprint: &str, name: &str) -> Result<String> {
    let content = station.write(name, format!("What is signed: {name}\n"))?;
    station.gpg(&["--yes", "-u", fingerprint, "--detach-sign", &content])?;
    Ok(content)
}

/// The receipt of a signature of this file, in a bundle.
fn bundle(station: &Workstation, content: &str) -> Result<Finished> {
    let (signature, bundle) = (format!("{content}.sig"), format!("{content}.sealcard-bundle.json"));
    run(&mut station.sealcard(&["receipt", &signature, "--bundle", &bundle]), PATIENCE)
}

/// Verifies a signature with its bundle, offline.
fn verify(station: &Workstation, content: &str, policy: &str) -> Result<Finished> {
    let bundle = format!("{content}.sealcard-bundle.json");
    run(&mut station.sealcard(&["verify", "--bundle", &bundle, "--policy", policy, content]), PATIENCE)
}

fn audit(playground: &Playground, words: &[&str]) -> Result<Finished> {
    run(Command::new(playground.binaries.audit()).args(words).env_clear(), PATIENCE)
}

/// Has all witnesses asked now, not after the pause that failures bring.
fn hurry(playground: &Playground) -> Result<()> {
    database::execute(playground, "UPDATE log_witness SET next_attempt = 0")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

#[test]
fn receipt_passes_a_policy_with_a_quorum_of_two_witnesses() -> Result<()> {
    let mut playground = builder()?.algorithms(&[Algorithm::Ed25519]).start()?;
    let scratch = playground.scratch.path().to_owned();
    let keys = log_keys(&playground.admin, &scratch)?;
    let one = Witness::start(&playground.binaries, &scratch, "one.example.org", &keys)?;
    let mut two = Witness::start(&playground.binaries, &scratch, "two.example.org", &keys)?;
    let configured = playground.scratch.file("witnesses.tlog-policy", &policy(&keys, &[&one, &two], true)?)?;
    let trusted = playground.workstation.write("trusted.tlog-policy", policy(&keys, &[&one, &two], false)?)?;
    playground.server.stop()?;
    let variables = [(WITNESSES, text(&configured)?), ("SEALCARD_SERVER_RECORD__PUBLIC_HASHES", "true")];
    playground.server.start_again(&variables)?;
    playground.admin.wait_for_environment("default")?;
    let (station, key) = (&playground.workstation, playground.key(Algorithm::Ed25519)?.fingerprint.clone());

    // A receipt has both, and so has what is followed and exported.
    let first = sign(station, &key, "first")?;
    bundle(station, &first)?.success()?;
    let shown = verify(station, &first, &trusted)?.success()?.text();
    ensure!(shown.contains("proved"), "{shown}");
    let (state, ca) = (scratch.join("log.state"), playground.server.ca());
    let url = format!("{}/v1/log", playground.server.url());
    let follow = ["follow", &url, "--once", "--policy", &trusted, "--state", text(&state)?, "--ca-file", text(&ca)?];
    audit(&playground, &follow)?.success()?;
    let exported = scratch.join("exported");
    run(playground.admin.command(&["admin", "record", "export-log"]).arg(&exported), PATIENCE)?.success()?;
    let verified = audit(&playground, &["verify", text(&exported)?, "--policy", &trusted])?.success()?;
    ensure!(verified.text().contains("one.example.org") && verified.text().contains("two.example.org"), "{verified:?}");
    let batch = station.write("batch", "a batch\n")?;
    let batch_bundle = format!("{batch}.sealcard-bundle.json");
    station.run_sealcard(&["sign", "--key", &key, "--bundle", &batch_bundle, &batch])?;
    verify(station, &batch, &trusted)?.success()?;
    wait_until("witnesses that are up to date", PATIENCE, || {
        let status = status(&playground.admin)?;
        let current = |one: &Value| one["state"] == "current";
        let all = status["witnesses"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(current));
        Ok((all && status["record"]["published"] == status["record"]["entries"]).then_some(()))
    })?;

    // One is down: signing goes on, without receipts, and its name is said.
    two.stop();
    let second = sign(station, &key, "second")?;
    let refused = bundle(station, &second)?.failure()?;
    ensure!(refused.stderr.contains("Too few witnesses have cosigned"), "{}", refused.description());
    let failing = wait_until("a witness that is said to be down", PATIENCE, || {
        let status = status(&playground.admin)?;
        Ok(status["attention"].to_string().contains("The witness two.example.org does not cosign").then_some(status))
    })?;
    ensure!(!failing["attention"].to_string().contains("one.example.org"), "{failing}");
    ensure!(witness_status(&playground.admin, "two.example.org")?["state"] == "failing");
    let logged = playground.server.log();
    ensure!(logged.matches("a witness does not cosign the record's log").count() == 1, "not said once: {logged}");
    let shown = run(&mut playground.admin.command(&["admin", "status"]), PATIENCE)?;
    ensure!(shown.status.code() == Some(1) && shown.text().contains("failing"), "{}", shown.description());
    // What was given out stays, and nothing goes back.
    audit(&playground, &follow)?.success()?;
    station.run_sealcard(&["sync"])?;
    sign(station, &key, "third")?;

    // It comes back, and is asked again without a restart.
    two.start_again(&playground.binaries)?;
    wait_until("a receipt", PATIENCE, || Ok(bundle(station, &second)?.status.success().then_some(())))?;
    verify(station, &second, &trusted)?.success()?;
    wait_until("a witness that is up to date", PATIENCE, || {
        Ok((witness_status(&playground.admin, "two.example.org")?["state"] == "current").then_some(()))
    })?;
    audit(&playground, &follow)?.success()?;

    // The server forgets how far it was: the witness tells it.
    playground.server.stop()?;
    database::execute(&playground, "DELETE FROM log_witness WHERE name = 'two.example.org'")?;
    playground.server.start_again(&variables)?;
    playground.admin.wait_for_environment("default")?;
    let fourth = sign(&playground.workstation, &key, "fourth")?;
    bundle(&playground.workstation, &fourth)?.success()?;
    verify(&playground.workstation, &fourth, &trusted)?.success()?;
    // Without witnesses, receipts go on from there, and a policy with a quorum refuses them.
    playground.server.stop()?;
    playground.server.start_again(&[("SEALCARD_SERVER_RECORD__PUBLIC_HASHES", "true")])?;
    playground.admin.wait_for_environment("default")?;
    let fifth = sign(&playground.workstation, &key, "fifth")?;
    bundle(&playground.workstation, &fifth)?.success()?;
    let refused = verify(&playground.workstation, &fifth, &trusted)?.failure()?;
    ensure!(refused.text().contains("quorum is not reached"), "{}", refused.description());
    Ok(())
}

#[test]
fn witness_that_answers_wrongly_is_named_and_holds_up_nobody() -> Result<()> {
    let mut playground = builder()?.algorithms(&[Algorithm::Ed25519]).start()?;
    let scratch = playground.scratch.path().to_owned();
    let keys = log_keys(&playground.admin, &scratch)?;
    let good = Witness::start(&playground.binaries, &scratch, "good.example.org", &keys)?;
    let fake_key = make_key(&playground.binaries, "fake.example.org", &scratch.join("fake.key"), &[])?;
    let fake = FakeWitness::start(&fake_key)?;
    let text_of_policy = format!("witness fake {fake_key} {}\n{}", fake.url(), policy(&keys, &[&good], true)?);
    let configured = playground.scratch.file("witnesses.tlog-policy", &text_of_policy)?;
    let trusted = playground.workstation.write("trusted.tlog-policy", policy(&keys, &[&good], false)?)?;
    playground.server.stop()?;
    playground.server.start_again(&[(WITNESSES, text(&configured)?)])?;
    playground.admin.wait_for_environment("default")?;
    let (station, key) = (&playground.workstation, playground.key(Algorithm::Ed25519)?.fingerprint.clone());
    for (behaviour, expected) in [
        (Behaviour::WrongSignature, "its cosignature with the key fake.example.org+"),
        (Behaviour::Status(404), "it does not know the log"),
        (Behaviour::Status(403), "it has other keys of the log"),
        (Behaviour::Status(400), "it does not understand the request"),
        (Behaviour::Size("18446744073709551616"), "a body that does not belong to it"),
        (Behaviour::Size("1 "), "a body that does not belong to it"),
        (Behaviour::OtherSizes, "another size each time"),
        (Behaviour::Oversize, "its answer has more than 32768 bytes"),
        (Behaviour::Redirect, "redirects are not followed"),
        (Behaviour::Slow, "did not answer in time"),
    ] {
        fake.behave(behaviour);
        wait_until(&format!("{behaviour:?}: {expected}"), PATIENCE, || {
            hurry(&playground)?;
            let status = witness_status(&playground.admin, "fake.example.org")?;
            let said = status["last_error"].as_str().is_some_and(|error| error.contains(expected));
            Ok((said && status["state"] == "failing").then_some(()))
        })?;
    }
    // It is asked while it answers to nobody.
    let asked = fake.asked();
    wait_until("a request that is not answered", PATIENCE, || {
        hurry(&playground)?;
        Ok((fake.asked() > asked).then_some(()))
    })?;
    let content = sign(station, &key, "content")?;
    let receipt = bundle(station, &content)?.success()?;
    ensure!(receipt.took < Duration::from_secs(8), "{:?}", receipt.took);
    verify(station, &content, &trusted)?.success()?;
    let written = fs::read_to_string(format!("{content}.sealcard-bundle.json"))?;
    ensure!(!written.contains("fake.example.org"), "a wrong cosignature was kept: {written}");

    // The log has fewer entries than it has cosigned, or others.
    for (behaviour, expected) in [
        (Behaviour::Size("1000000"), "it has cosigned 1000000 entries of this log"),
        (Behaviour::Status(422), "it does not find that this log"),
    ] {
        fake.behave(behaviour);
        wait_until(&format!("{behaviour:?}: {expected}"), PATIENCE, || {
            hurry(&playground)?;
            let status = status(&playground.admin)?;
            let said = status["attention"].to_string();
            let fork = "THE RECORD'S LOG IS NOT THE ONE THAT THE WITNESS fake.example.org HAS COSIGNED: ";
            Ok(said.contains(&format!("{fork}{expected}")).then_some(()))
        })?;
        ensure!(witness_status(&playground.admin, "fake.example.org")?["state"] == "forked");
    }
    let logged = playground.server.log();
    ensure!(logged.matches("THE RECORD'S LOG IS NOT THE ONE THAT A WITNESS").count() == 1, "not said once: {logged}");
    sign(station, &key, "more")?;
    Ok(())
}

#[test]
fn policy_that_can_not_work_is_refused_at_the_start() -> Result<()> {
    let playground = builder()?.start()?;
    let check = |text: &str| -> Result<Finished> {
        let file = playground.scratch.file("wrong.tlog-policy", text)?;
        let mut command = playground.server.command(&["config", "check"]);
        run(command.env(WITNESSES, file), PATIENCE)
    };
    let key = make_key(&playground.binaries, "w.example.org", &playground.scratch.path().join("w.key"), &[])?;
    for (text, expected) in [
        ("nonsense\n".to_owned(), "line 1 of the policy"),
        ("quorum none\n".to_owned(), "name a quorum"),
        (format!("witness w {key} http://w.example.org/\nquorum w\n"), "must begin with https://"),
    ] {
        let refused = check(&text)?.failure()?;
        let named = refused.stderr.contains("record.witnesses") && refused.stderr.contains("wrong.tlog-policy");
        ensure!(named && refused.stderr.contains(expected), "{}", refused.description());
    }
    check(&format!("witness w {key} https://w.example.org/\nquorum w\n"))?.success()?;
    Ok(())
}

#[test]
fn two_servers_ask_one_witness_and_take_over_from_each_other() -> Result<()> {
    let mut nodes = nodes::start(&[])?;
    let scratch = nodes.playground.scratch.path().to_owned();
    let keys = log_keys(&nodes.playground.admin, &scratch)?;
    let binaries = nodes.playground.binaries.clone();
    let one = Witness::start(&binaries, &scratch, "one.example.org", &keys)?;
    let two = Witness::start(&binaries, &scratch, "two.example.org", &keys)?;
    let configured = nodes.playground.scratch.file("witnesses.tlog-policy", &policy(&keys, &[&one, &two], true)?)?;
    let station = &nodes.playground.workstation;
    let trusted = station.write("trusted.tlog-policy", policy(&keys, &[&one, &two], false)?)?;
    let variables = [(WITNESSES, text(&configured)?)];
    nodes.playground.server.stop()?;
    nodes.playground.server.start_again(&variables)?;
    nodes.second.stop()?;
    nodes.second.start_again(&variables)?;
    nodes.playground.admin.wait_for_environment("default")?;
    let key = nodes.playground.facts.keys.first().context("no key")?.fingerprint.clone();
    let proved = |nodes: &nodes::Nodes, name: &str| -> Result<()> {
        let station = &nodes.playground.workstation;
        let content = sign(station, &key, name)?;
        wait_until("a receipt", PATIENCE, || Ok(bundle(station, &content)?.status.success().then_some(())))?;
        verify(station, &content, &trusted)?.success()?;
        let bundle: Value = serde_json::from_slice(&fs::read(format!("{content}.sealcard-bundle.json"))?)?;
        let proof = bundle["receipts"][0]["proof"].as_str().context("no proof")?;
        for witness in ["one.example.org", "two.example.org"] {
            let lines = proof.matches(&format!("\u{2014} {witness} ")).count();
            ensure!(lines == 2, "{lines} cosignatures of {witness} instead of one for each key: {proof}");
        }
        Ok(())
    };
    for round in 0..5 {
        proved(&nodes, &format!("both-{round}"))?;
    }
    nodes.second.kill()?;
    proved(&nodes, "first-alone")?;
    nodes.second.start_again(&variables)?;
    nodes.playground.server.kill()?;
    proved(&nodes, "second-alone")?;
    for log in [nodes.playground.server.log(), nodes.second.log()] {
        ensure!(!log.contains("a witness does not cosign") && !log.contains("NOT THE ONE"), "{log}");
    }
    Ok(())
}
