//! `sealcard-audit` and a real server: its exported log, its log over the network, and the pages about both.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, DatabaseKind, Finished, Playground, run, wait_until};
use serde_json::Value;

use crate::support::{
    PATIENCE, builder, database,
    page::{Page, commands},
    transcript::{matches, normalized},
};

/// The log's name and the server on the pages.
const LOG: &str = "sign.example.org/record";
const SERVER: &str = "https://sign.example.org:8443";

#[test]
fn pages_of_the_auditor_and_the_outsider_run_as_they_are_printed() -> Result<()> {
    let playground = builder()?.algorithms(&[Algorithm::Ed25519]).start()?;
    let desks = Desks::prepare(&playground)?;
    let mut wrong = Vec::new();
    for name in ["audit.md", "outsider.md"] {
        let mut count = 0;
        for (person, block) in console_blocks(&Page::read(name)?) {
            for (command, shown) in commands(&block) {
                count += 1;
                let mut said = desks.type_in(&person, command)?;
                if command.contains("export-log") {
                    // The log may still grow by what was done before.
                    said = wait_until("a log that does not grow", PATIENCE, || {
                        said = if desks.is_shown(&shown, &said) {
                            said.clone()
                        } else {
                            desks.type_in(&person, command)?
                        };
                        Ok(desks.is_shown(&shown, &said).then(|| said.clone()))
                    })?;
                }
                if !desks.is_shown(&shown, &said) {
                    wrong.push(format!(
                        "{name}: {person} types {command}\nthe page:\n{}\nthe terminal:\n{said}",
                        shown.join("\n")
                    ));
                }
                desks.hand_over(&person, command)?;
            }
        }
        ensure!(count >= 5, "only {count} commands on {name}");
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

#[test]
fn log_of_a_running_server_is_verified_over_the_network_while_it_grows() -> Result<()> {
    let playground = builder()?.database(DatabaseKind::Sqlite).algorithms(&[Algorithm::Ed25519]).start()?;
    let scratch = playground.scratch.path();
    let (url, ca) = (format!("{}/v1/log", playground.server.url()), playground.server.ca());
    let token = |name: &str, grant: PathBuf| -> Result<PathBuf> {
        let grant: Value = serde_json::from_slice(&fs::read(grant)?)?;
        let file = scratch.join(name);
        fs::write(&file, grant["token"].as_str().context("no token")?)?;
        Ok(file)
    };
    let admin = token("admin.token", scratch.join("admin/config/sealcard/grant"))?;
    let user = token("user.token", playground.workstation.home().join("config/sealcard/grant"))?;
    let state = scratch.join("log.state");
    let verify = |grant: &Path| {
        let mut command = audit(&playground, &["verify", &url, "--json"]);
        run(command.arg("--grant").arg(grant).arg("--ca-file").arg(&ca).arg("--state").arg(&state), PATIENCE)
    };
    let covered = |finished: Finished| -> Result<u64> {
        let report: Value = serde_json::from_slice(&finished.success()?.stdout)?;
        ensure!(report["checked"] == serde_json::json!(["hashes", "leaves", "entries"]), "{report:#}");
        report["entries"].as_u64().context("no number of entries")
    };
    let first =
        wait_until("a checkpoint", PATIENCE, || Ok(Some(verify(&admin)?).filter(|said| said.status.success())))?;
    let before = covered(first)?;
    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    wait_until("a checkpoint of the signature", PATIENCE, || {
        Ok((covered(verify(&admin)?)? > before + 1).then_some(()))
    })?;
    // Somebody who may not read the record.
    let refused = verify(&user)?;
    ensure!(refused.status.code() == Some(1), "{}", refused.description());
    ensure!(refused.stderr.contains("HTTP status 403"), "{}", refused.description());

    // An entry is changed in the database, with its columns.
    let change = "DROP TRIGGER record_is_never_changed; UPDATE record SET body = replace(body, 'ada', 'eve')
        WHERE event = 'use-outcome'";
    database::execute(&playground, change)?;
    let found = verify(&admin)?;
    ensure!(found.status.code() == Some(3), "{}", found.description());
    Ok(())
}

#[test]
fn hashes_that_are_public_are_followed_without_a_login() -> Result<()> {
    let mut playground = builder()?.algorithms(&[Algorithm::Ed25519]).start()?;
    let (url, ca) = (format!("{}/v1/log", playground.server.url()), playground.server.ca());
    let state = playground.scratch.path().join("log.state");
    let follow = |playground: &Playground| {
        let mut command = audit(playground, &["follow", &url, "--once"]);
        run(command.arg("--ca-file").arg(&ca).arg("--state").arg(&state), PATIENCE)
    };
    let refused = follow(&playground)?;
    ensure!(refused.status.code() == Some(1) && refused.stderr.contains("--grant"), "{}", refused.description());
    playground.server.stop()?;
    playground.server.start_again(&[("SEALCARD_SERVER_RECORD__PUBLIC_HASHES", "true")])?;
    let public = || Ok(Some(follow(&playground)?).filter(|said| said.status.success()));
    let followed = wait_until("a checkpoint", PATIENCE, public)?;
    ensure!(followed.stderr.contains("entries."), "{}", followed.description());
    playground.admin.wait_for_environment("default")?;
    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    wait_until("a newer checkpoint", PATIENCE, || {
        Ok(follow(&playground)?.success()?.stderr.contains("entries.").then_some(()))
    })
}

/// Tables and log are exported on the server and compared on another machine.
#[test]
fn row_that_no_entry_explains_is_found_by_the_auditor() -> Result<()> {
    let playground = builder()?.algorithms(&[Algorithm::Ed25519]).start()?;
    let scratch = playground.scratch.path();
    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    let compare = |name: &str| -> Result<Finished> {
        let (tables, log) = (scratch.join(format!("{name}.jsonl")), scratch.join(name));
        run(playground.server.command(&["database", "export-tables"]).arg(&tables), PATIENCE)?.success()?;
        // The first checkpoint comes within a second, and the one that covers the tables.
        wait_until("a log that has all of the tables", PATIENCE, || {
            let mut export = playground.admin.command(&["admin", "record", "export-log", "--entries"]);
            if !run(export.arg(&log), PATIENCE)?.status.success() {
                return Ok(None);
            }
            let mut verify = audit(&playground, &["verify"]);
            let said = run(verify.arg(&log).arg("--tables").arg(&tables), PATIENCE)?;
            Ok((!said.stderr.contains("export the record anew")).then_some(said))
        })
    };
    let well = compare("well")?.success()?;
    ensure!(well.text().contains("All is well") && well.text().contains("well.jsonl"), "{}", well.description());
    let hexadecimal = if playground.cluster.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
    database::execute(
        &playground,
        &format!("INSERT INTO principal_group (id, name, created) VALUES ({hexadecimal}, 'intruders', 0)"),
    )?;
    let found = compare("changed")?;
    ensure!(found.status.code() == Some(3), "{}", found.description());
    ensure!(found.text().contains("intruders"), "{}", found.description());
    // An approval that nobody asked for and nobody gave.
    database::execute(
        &playground,
        &format!(
            "INSERT INTO approval (id, kind, state, version, change, created, expires, use_seconds, asked_by, max_uses,
                used, body)
             VALUES ({hexadecimal}, 'pre-approval', 'approved', 1, 1, 0, 4000000000, 60, {hexadecimal}, 1, 0, '{{}}')"
        ),
    )?;
    let found = compare("approved")?;
    ensure!(found.status.code() == Some(3), "{}", found.description());
    let named = |text: &str| text.contains("table approval: the approval") && text.contains("is not in the record");
    ensure!(named(&found.text()), "{}", found.description());
    let verify = run(&mut playground.admin.command(&["admin", "record", "verify"]), PATIENCE)?;
    ensure!(!verify.status.success(), "{}", verify.description());
    ensure!(named(&format!("{}{}", verify.text(), verify.stderr)), "{}", verify.description());
    Ok(())
}

fn audit(playground: &Playground, arguments: &[&str]) -> Command {
    let mut command = Command::new(playground.binaries.audit());
    command.args(arguments).env_clear();
    command
}

/// The console blocks with whose terminal they show, in order.
fn console_blocks(page: &Page) -> Vec<(String, String)> {
    let pieces = page.pieces();
    let blocks = pieces.iter().filter_map(|piece| {
        let person = piece.info?.strip_prefix("console,")?;
        Some((person.to_owned(), piece.text.to_owned()))
    });
    blocks.collect()
}

/// The people of the pages, each in a folder of their own.
struct Desks<'a> {
    playground: &'a Playground,
    folders: BTreeMap<&'static str, PathBuf>,
    /// The name of the real log.
    log: String,
}

impl<'a> Desks<'a> {
    fn prepare(playground: &'a Playground) -> Result<Self> {
        let folder = |name: &'static str| Ok((name, playground.scratch.folder(name)?));
        let mut folders: BTreeMap<_, _> = ["auditor", "outsider"].into_iter().map(folder).collect::<Result<_>>()?;
        folders.insert("admin", playground.scratch.path().join("admin"));
        folders.insert("publisher", playground.workstation.home().to_owned());
        let station = &playground.workstation;
        station.write("release.tar.gz", "a release\n")?;
        let fingerprint = &playground.key(Algorithm::Ed25519)?.fingerprint;
        station.try_sign(fingerprint)?.success()?;
        // What the auditor got from somebody who was there.
        let first = playground.scratch.path().join("first");
        let export = || {
            let mut export = playground.admin.command(&["admin", "record", "export-log"]);
            run(export.arg(&first), PATIENCE)?.success()
        };
        // Journals are compared with the log, so it must have all that was done.
        let entries = playground.admin.admin(&["record", "export"])?.text().lines().count();
        wait_until("a checkpoint of all entries", PATIENCE, || {
            // The first checkpoint comes within a second.
            if export().is_err() {
                return Ok(None);
            }
            let checkpoint = fs::read_to_string(first.join("checkpoint"))?;
            let size: usize = checkpoint.lines().nth(1).context("no size")?.parse()?;
            Ok((size >= entries).then_some(()))
        })?;
        let policy = fs::read_to_string(first.join("log.tlog-policy"))?;
        let log = policy.split([' ', '+']).nth(1).context("no log in the policy")?.to_owned();
        for person in ["auditor", "outsider"] {
            fs::write(folders[person].join("trusted.tlog-policy"), &policy)?;
            copy_folder(&first, &folders[person].join("log"))?;
        }
        fs::copy(first.join("checkpoint"), folders["auditor"].join("kept-checkpoint"))?;
        let certificate = station.gpg(&["--armor", "--export", fingerprint])?;
        fs::write(folders["outsider"].join("release.asc"), certificate.stdout)?;
        fs::copy(playground.server.ca(), folders["auditor"].join("ca.pem"))?;
        let grant: Value = serde_json::from_slice(&fs::read(folders["admin"].join("config/sealcard/grant"))?)?;
        fs::write(folders["auditor"].join("auditor.token"), grant["token"].as_str().context("no token")?)?;
        Ok(Self { playground, folders, log })
    }

    /// What a command prints, on both outputs.
    fn type_in(&self, person: &str, command: &str) -> Result<String> {
        let folder = &self.folders[person];
        let typed = command.replace(SERVER, self.playground.server.url());
        let typed = typed.replace("release@example.org", &self.playground.key(Algorithm::Ed25519)?.fingerprint);
        let mut shell = match person {
            "publisher" => self.playground.workstation.command("sh", &["-c", &format!("{typed} 2>&1")]),
            _ => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{{ {typed}; }} 2>&1")]).env_clear().env("HOME", folder);
                shell.env("XDG_CONFIG_HOME", folder.join("config")).env("XDG_STATE_HOME", folder.join("state"));
                shell
            }
        };
        let path = format!("{}:/usr/bin:/bin", self.playground.binaries.folder().display());
        shell.env("PATH", path).env("TZ", "UTC").env("LC_ALL", "C.UTF-8").current_dir(folder);
        Ok(run(&mut shell, PATIENCE)?.text())
    }

    fn is_shown(&self, shown: &[&str], said: &str) -> bool {
        let said = said.replace(&self.log, LOG);
        let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
        matches(&normalized(shown), &normalized(&lines))
    }

    /// Brings what somebody has made to where it is used.
    fn hand_over(&self, person: &str, command: &str) -> Result<()> {
        if person == "admin" && command.contains("export-log") {
            let log = self.folders["auditor"].join("log");
            fs::remove_dir_all(&log)?;
            copy_folder(&self.folders["admin"].join("log"), &log)?;
            let journal = self.playground.server.data().join("signer/default/journal.jsonl");
            fs::copy(journal, self.folders["auditor"].join("default.jsonl"))?;
        }
        if person == "publisher" && command.contains("--bundle") {
            for file in ["release.tar.gz", "release.tar.gz.sig", "release.tar.gz.sealcard-bundle.json"] {
                fs::copy(self.folders["publisher"].join(file), self.folders["outsider"].join(file))?;
            }
        }
        Ok(())
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
