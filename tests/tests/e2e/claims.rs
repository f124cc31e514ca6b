//! What workstations say of uses: the record has the programs that asked, the host and the justification.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_record::{
    Event,
    event::{Asked, ClaimedProcess, SignerOperation},
};
use sealcard_tests::{Algorithm, Flavour, Playground, chroot_folder, run};

use crate::{
    packages::CHANGES,
    support::{expect_no_prompt, playground, record::read_record, rest::Rest, ssh_agent::Agent},
};

const DEADLINE: Duration = Duration::from_secs(60);

const VARIABLE: &str = "SEALCARD_JUSTIFICATION";

with_every_gpg![
    git_tag_claims_gpg_and_the_git_that_started_it,
    gpg_that_run_at_once_never_get_each_others_claims,
    ssh_signature_claims_the_program_that_asked,
];

fn git_tag_claims_gpg_and_the_git_that_started_it(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let repository = station.repository("repository", key)?;
    // The first signature starts gpg-agent and the scdaemon, the second finds them.
    for tag in ["v1.0", "v2.0"] {
        station.run("git", &["-C", &repository, "tag", "-s", "-m", "A version", tag])?;
        let claims = newest(&playground)?.claims.context("nothing is claimed")?;
        ensure!(claims.host == Some(fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned()), "{claims:?}");
        ensure!(claims.justification.is_none(), "{claims:?}");
        let [gpg, git, ..] = claims.processes.as_slice() else { anyhow::bail!("{claims:?}") };
        expect_program(flavour, gpg, "/usr/bin/gpg")?;
        let program = station.run("sh", &["-c", "readlink -f $(command -v git)"])?.text();
        expect_program(flavour, git, program.trim())?;
        let command = gpg.command.as_deref().unwrap_or_default();
        ensure!(command.starts_with("gpg --status-fd=2 -bsau ") && command.ends_with(key.as_str()), "{gpg:?}");
        let command = format!("git -C {repository} tag -s -m 'A version' {tag}");
        ensure!(git.command.as_ref() == Some(&command), "{git:?}");
    }
    expect_no_prompt(&playground)
}

/// The program that a process claims is the one that ran.
fn expect_program(flavour: Flavour, process: &ClaimedProcess, program: &str) -> Result<()> {
    let file = match flavour.suite() {
        Some(suite) => chroot_folder(suite).join(program.trim_start_matches('/')),
        None => program.into(),
    };
    let sum = run(Command::new("sha256sum").arg(&file), DEADLINE)?.success()?.text();
    let expected = sum.split(' ').next();
    ensure!(process.sha256.as_deref() == expected, "{process:?} is not {sum}");
    let path = process.path.as_deref().context("no path")?;
    // Each command in a chroot has a mount namespace of its own, from where paths begin elsewhere.
    let same = if flavour == Flavour::Machine { path == program } else { path.ends_with(program) };
    ensure!(same, "{process:?} is not {program}");
    Ok(())
}

#[test]
fn justification_is_recorded_from_each_of_its_sources() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let repository = station.repository("repository", key)?;
    let git = |arguments: &[&str], variable: Option<&str>| -> Result<Option<String>> {
        let commit = ["-C", &repository, "commit", "-q", "-S", "--allow-empty", "-m", "x"];
        let mut command = station.command("git", &[arguments, &commit].concat());
        run(command.envs(variable.map(|text| (VARIABLE, text))), DEADLINE)?.success()?;
        Ok(newest(&playground)?.claims.context("nothing is claimed")?.justification)
    };
    let is = |found: Option<String>, expected: Option<&str>| {
        ensure!(found.as_deref() == expected, "{found:?} is not {expected:?}");
        Ok(())
    };
    is(git(&[], None)?, None)?;
    station.run("git", &["-C", &repository, "config", "sealcard.justification", "Of the repository"])?;
    is(git(&[], None)?, Some("Of the repository"))?;
    is(git(&["-c", "sealcard.justification=Of the command line"], None)?, Some("Of the command line"))?;
    ensure!(!station.run_sealcard(&["status"])?.text().contains("justification"));
    station.run_sealcard(&["justify", "--for", "2h", " Stored\nfor a while "])?;
    is(git(&[], None)?, Some("Stored for a while"))?;
    for command in ["status", "justify"] {
        ensure!(station.run_sealcard(&[command])?.text().contains("Stored for a while"), "{command} does not show it");
    }
    is(git(&[], Some("Of the environment"))?, Some("Of the environment"))?;
    is(git(&[], Some(" "))?, Some("Stored for a while"))?;
    station.run_sealcard(&["justify", "--clear"])?;
    is(git(&[], None)?, Some("Of the repository"))?;

    // gpg by hand has no git, and the nearest process that says something counts.
    let file = station.write("text", "What is signed\n")?;
    let sign = format!("gpg --batch --yes -u {key} --detach-sign {file}");
    station.run("sh", &["-c", &sign])?;
    is(newest(&playground)?.claims.context("nothing is claimed")?.justification, None)?;
    let nested =
        format!("export {VARIABLE}=outer; sh -c '{VARIABLE}=inner sh -c \"env -u {VARIABLE} {sign}; true\"'; true");
    station.run("sh", &["-c", &nested])?;
    is(newest(&playground)?.claims.context("nothing is claimed")?.justification, Some("inner"))?;
    expect_no_prompt(&playground)
}

#[test]
fn own_commands_claim_themselves() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let file = station.write("text", "What is signed\n")?;
    for (way, justification) in [(vec!["--clear"], "One text"), (vec!["--force"], "A batch")] {
        let mut command = station.sealcard(&[&["sign", "--key", key.as_str()], way.as_slice(), &[&file]].concat());
        run(command.env(VARIABLE, justification), DEADLINE)?.success()?;
        let claims = newest(&playground)?.claims.context("nothing is claimed")?;
        ensure!(claims.justification.as_deref() == Some(justification), "{claims:?}");
        let [sealcard, this, ..] = claims.processes.as_slice() else { anyhow::bail!("{claims:?}") };
        let program = Path::new(command.get_program()).canonicalize()?;
        expect_program(Flavour::Machine, sealcard, program.to_str().context("no UTF-8")?)?;
        ensure!(sealcard.command == Some(format!("sealcard sign --key {key} {} {file}", way[0])), "{sealcard:?}");
        ensure!(this.path.as_deref() == std::env::current_exe()?.to_str(), "{this:?}");
    }
    Ok(())
}

#[test]
fn packages_claim_the_tools_that_signed_them() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let package = station.build_rpm(&[])?;
    let package = package.to_str().context("no UTF-8")?;
    let changes = station.write("t_1-1_all.changes", CHANGES)?;
    let (name, option) = (format!("_gpg_name {key}"), format!("-k{key}"));
    let tools: [(&str, &[&str], &str); 2] = [
        ("rpmsign", &["--define", &name, "--addsign", package], "rpmsign --define '_gpg_name "),
        ("debsign", &["--no-conf", &option, &changes], "/debsign --no-conf -k"),
    ];
    for (tool, arguments, command) in tools {
        station.run(tool, arguments)?;
        let claims = newest(&playground)?.claims.context("nothing is claimed")?;
        let gpg = claims.processes.first().context("no process")?;
        expect_program(Flavour::Machine, gpg, "/usr/bin/gpg")?;
        let commands = claims.processes.iter().filter_map(|process| process.command.as_deref());
        ensure!(commands.skip(1).any(|line| line.contains(command)), "{tool}: {claims:?}");
    }
    expect_no_prompt(&playground)
}

fn ssh_signature_claims_the_program_that_asked(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let agent = Agent::new(&playground)?;
    let key = agent.public_keys()?.first().cloned().context("no key")?;
    let (public, file) = (station.write("key.pub", format!("{key}\n"))?, station.write("text", "What is signed\n")?);
    let mut command = agent.command("ssh-keygen", &["-Y", "sign", "-n", "file", "-f", &public, &file]);
    run(command.env(VARIABLE, "With ssh"), DEADLINE)?.success()?;
    let asked = newest(&playground)?;
    ensure!(asked.signer_operation == SignerOperation::AuthenticateSsh || asked.digest.is_some(), "{asked:?}");
    let claims = asked.claims.context("nothing is claimed")?;
    expect_program(flavour, claims.processes.first().context("no process")?, "/usr/bin/ssh-keygen")?;
    ensure!(claims.justification.as_deref() == Some("With ssh"), "{claims:?}");
    Ok(())
}

fn gpg_that_run_at_once_never_get_each_others_claims(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    for (jobs, signatures) in [(2, 40), (8, 60)] {
        at_once(&playground, flavour, jobs, signatures)?;
    }
    // One alone is told for sure.
    let (station, key) = (&playground.workstation, &playground.key(Algorithm::Ed25519)?.fingerprint);
    let file = station.write("text", "What is signed\n")?;
    station.gpg(&["-u", key, "-o", &station.path("alone"), "--detach-sign", &file])?;
    let claims = newest(&playground)?.claims.context("nothing is claimed")?;
    let command = claims.processes.first().and_then(|gpg| gpg.command.clone()).unwrap_or_default();
    ensure!(command.ends_with(&format!("--detach-sign {file}")), "{claims:?}");
    expect_no_prompt(&playground)
}

/// Makes so many signatures, several at once, and compares what is claimed of each.
fn at_once(playground: &Playground, flavour: Flavour, jobs: usize, signatures: usize) -> Result<()> {
    let (station, key) = (&playground.workstation, &playground.key(Algorithm::Ed25519)?.fingerprint);
    let before = intents(playground)?.len();
    let sign = format!(
        "mkdir of-{jobs}; seq {signatures} | xargs -P {jobs} -I @ sh -c 'echo {jobs} @ >text-@; \
         {VARIABLE}=reason-@ gpg --batch -q -u {key} -o of-{jobs}/@ --detach-sign text-@'"
    );
    run(&mut station.command("sh", &["-c", &sign]), Duration::from_secs(200))?.success()?;
    // The beginning of the digest is in the signature, and tells which one it is.
    let mut made: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for number in 1..=signatures {
        let packets = station.gpg(&["--list-packets", &station.path(&format!("of-{jobs}/{number}"))])?.text();
        let begin = packets.lines().find_map(|line| line.trim().rsplit_once("begin of digest "));
        let (_, begin) = begin.with_context(|| packets.clone())?;
        made.entry(begin.replace(' ', "")).or_default().push(number);
    }
    let all = intents(playground)?.split_off(before);
    ensure!(all.len() == signatures, "{} of {signatures} are recorded", all.len());
    let (mut named, mut told, mut justified) = (0, 0, 0);
    for asked in all {
        let digest = asked.digest.context("no digest")?.to_string();
        let numbers = made.get(digest.get(..4).unwrap_or_default()).context("a signature that is not there")?;
        let claims = asked.claims.context("nothing is claimed")?;
        // On a busy machine it may take too long to find out. Else each of them is gpg, whichever it is.
        let Some(gpg) = claims.processes.first() else { continue };
        named += 1;
        expect_program(flavour, gpg, "/usr/bin/gpg")?;
        if let Some(command) = &gpg.command {
            told += 1;
            let is_own = numbers.iter().any(|number| command.ends_with(&format!(" --detach-sign text-{number}")));
            ensure!(is_own, "{numbers:?} was claimed as {command}");
        }
        if let Some(justification) = &claims.justification {
            justified += 1;
            let is_own = numbers.iter().any(|number| *justification == format!("reason-{number}"));
            ensure!(is_own, "{numbers:?} was justified by {justification}");
        }
    }
    ensure!(told == justified, "{told} have a command, {justified} a justification");
    ensure!(named > signatures / 2, "only {named} of {signatures} claims name their program");
    eprintln!("of {signatures} claims with {jobs} gpg at once {named} name the program, {told} its command");
    Ok(())
}

#[test]
fn record_shows_claims_to_people() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let file = station.write("text", "What is signed\n")?;
    let mut gpg = station.command("gpg", &["--batch", "-u", key, "--detach-sign", &file]);
    run(gpg.env(VARIABLE, "Release 1.0"), DEADLINE)?.success()?;
    let record = read_record(&Rest::admin(&playground)?)?;
    let intent = record.iter().rfind(|entry| matches!(entry.event, Event::UseIntent(_))).context("no intent")?;
    let number = intent.sequence.to_string();
    let shown = playground.admin.admin(&["record", "show", &number])?.text();
    for text in ["claims host", "claims processes command", &format!("--detach-sign {file}"), "Release 1.0"] {
        ensure!(shown.contains(text), "no {text} in\n{shown}");
    }
    Ok(())
}

/// What the newest use was asked for.
fn newest(playground: &Playground) -> Result<Asked> {
    intents(playground)?.pop().context("no use is recorded")
}

/// What was asked for, the oldest first.
fn intents(playground: &Playground) -> Result<Vec<Asked>> {
    let record = read_record(&Rest::admin(playground)?)?;
    let asked = record.into_iter().filter_map(|entry| match entry.event {
        Event::UseIntent(intent) => Some(intent.asked),
        _ => None,
    });
    Ok(asked.collect())
}
