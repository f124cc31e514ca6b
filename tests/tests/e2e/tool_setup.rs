//! git, rpm's and Debian's tools sign after `sealcard setup --git --rpm --deb --trust`, and nobody copies a
//! fingerprint.

use std::fs;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour, USER, Workstation, good_signatures, run};
use serde_json::Value;

use crate::support::{PATIENCE, builder, expect_no_prompt, playground};

with_every_gpg![a_tag_is_signed_and_verified_without_a_fingerprint_or_warning];

const SETUP: [&str; 7] = ["setup", "--git", "--rpm", "--trust", "--key", "playground/ed25519", "--sign-tags"];

fn a_tag_is_signed_and_verified_without_a_fingerprint_or_warning(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    station.run_sealcard(&SETUP)?;
    let repository = repository(station)?;
    station.run("git", &["-C", &repository, "tag", "v1.0", "-m", "Version 1.0"])?;
    let verified = station.run("git", &["-C", &repository, "tag", "-v", "v1.0"])?;
    ensure!(
        verified.stderr.contains("Good signature") && verified.stderr.contains("[ultimate]"),
        "{}",
        verified.stderr
    );
    ensure!(!verified.stderr.contains("WARNING"), "{}", verified.stderr);
    ensure!(!verified.stderr.contains("trustdb"), "{}", verified.stderr);

    let package = station.build_rpm(&[])?;
    let package = package.to_str().context("a path that is not UTF-8")?;
    station.run("rpmsign", &["--addsign", package])?;
    // It fails, because no rpm database knows the key, and names the signatures all the same.
    let signatures = run(&mut station.command("rpmkeys", &["-Kv", package]), PATIENCE)?.text().to_lowercase();
    ensure!(signatures.contains("signature, key"), "{signatures}");

    let again = station.run_sealcard(&SETUP)?.text();
    ensure!(again.contains("git signs with playground/ed25519 already (~/.gitconfig)"), "{again}");
    expect_no_prompt(&playground)
}

#[test]
fn debsign_signs_with_the_key_of_the_setup() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.run_sealcard(&["setup", "--deb", "--key", key])?;
    let changes = station.write("t_1-1_all.changes", super::packages::CHANGES)?;
    station.run("debsign", &[&changes])?;
    let status = station.gpg(&["--status-fd", "1", "--verify", &changes])?.text();
    ensure!(good_signatures(&status, key) == 1, "{status}");
    let config = fs::read_to_string(station.path("config/dpkg/buildpackage.conf"))?;
    ensure!(config.contains(&format!("sign-keyid={key}")), "{config}");
    expect_no_prompt(&playground)
}

#[test]
fn setup_remove_gives_every_file_of_the_tools_back() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let own = [
        (".gitconfig", "[user]\n  signingkey=ABCD ; mine\n[gpg]\n\tformat = ssh\n"),
        (".rpmmacros", "%_topdir /build\n%_gpg_name Ada\n"),
    ];
    for (name, text) in own {
        station.write(name, text)?;
    }
    let trust = station.gpg(&["--export-ownertrust"])?.text();
    let done = station.run_sealcard(&[&SETUP[..], &["--deb", "--json"]].concat())?;
    ensure!(done.stderr.contains("user.signingkey = ABCD"), "{}", done.stderr);
    ensure!(done.stderr.contains("%_gpg_name Ada"), "{}", done.stderr);
    let done: Value = serde_json::from_slice(&done.stdout)?;
    ensure!(outcomes(&done)? == TOOLS.map(|tool| (tool, "set-up")), "{done}");
    ensure!(done["tools"][0]["set_aside"][1] == "gpg.format = ssh", "{done}");
    ensure!(done["trusted"].as_array().is_some_and(|keys| keys.len() == 1), "{done}");
    ensure!(station.gpg(&["--export-ownertrust"])?.text() != trust);
    let status: Value = serde_json::from_slice(&station.run_sealcard(&["status", "--json"])?.stdout)?;
    let tools = status["tools"].as_array().context("no tools")?;
    let tools: Vec<_> = tools.iter().map(|tool| (tool["tool"].as_str(), tool["key"].as_str())).collect();
    let key = Some("playground/ed25519");
    ensure!(tools == [(Some("git"), key), (Some("rpmsign"), key), (Some("debsign"), key)], "{status}");

    let undone: Value = serde_json::from_slice(&station.run_sealcard(&["setup", "--remove", "--json"])?.stdout)?;
    ensure!(outcomes(&undone)? == TOOLS.map(|tool| (tool, "removed")), "{undone}");
    ensure!(undone["gpg"]["outcome"] == "removed" && undone["trust_removed"] == 1, "{undone}");
    for (name, text) in own {
        ensure!(fs::read_to_string(station.path(name))? == text, "{name}");
    }
    ensure!(!fs::exists(station.path(".devscripts"))? && !fs::exists(station.path("config/dpkg"))?);
    let is_set = |line: &&str| line.contains(":6:");
    ensure!(station.gpg(&["--export-ownertrust"])?.text().lines().find(is_set).is_none());
    Ok(())
}

/// The tools whose files `setup --git --rpm --deb` changes, and gpg, which has several keys to choose from.
const TOOLS: [&str; 5] = ["git", "rpmsign", "debsign", "dpkg-buildpackage", "gpg"];

fn outcomes(done: &Value) -> Result<Vec<(&str, &str)>> {
    done["tools"]
        .as_array()
        .context("no tools")?
        .iter()
        .map(|tool| Ok((tool["tool"].as_str().context("no tool")?, tool["outcome"].as_str().context("no outcome")?)))
        .collect()
}

#[test]
fn the_json_of_a_login_holds_what_was_set_up_and_fetched() -> Result<()> {
    let playground = builder()?.without_login().start()?;
    let (station, server) = (&playground.workstation, &playground.server);
    let done = station.login_as(server, USER, &playground.facts.user_password, &["--setup", "--json"])?;
    let done: Value = serde_json::from_slice(&done.stdout)?;
    ensure!(done["gpg"]["outcome"] == "set-up" && done["grant"]["principal_name"] == USER, "{done}");
    ensure!(done["sync"]["cards"][0]["usable"] == true, "{done}");
    ensure!(!done.to_string().contains("scg_"), "{done}");
    Ok(())
}

#[test]
fn a_key_that_appears_later_is_not_trusted() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let trusted = station.run_sealcard(&["sync", "--ownertrust"])?;
    ensure!(trusted.stderr.contains("Trusted as your own:"), "{}", trusted.stderr);
    let later = playground.admin.create_key(Algorithm::Ed25519, "later")?;
    let sync = station.run_sealcard(&["sync"])?;
    ensure!(sync.stderr.contains("Not trusted as your own yet: playground/later."), "{}", sync.stderr);
    let trust = station.gpg(&["--export-ownertrust"])?.text();
    ensure!(trust.contains(&format!("{}:6:", playground.key(Algorithm::Ed25519)?.fingerprint)), "{trust}");
    ensure!(!trust.contains(&later.fingerprint), "{trust}");
    Ok(())
}

#[test]
fn git_setup_for_one_repository_leaves_the_others() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let repository = repository(station)?;
    let mut setup = station.sealcard(&["setup", "--git", "--local", "--key", "ed25519"]);
    run(setup.current_dir(&repository), PATIENCE)?.success()?;
    station.run("git", &["-C", &repository, "tag", "-s", "v1.0", "-m", "Version 1.0"])?;
    ensure!(!fs::exists(station.path(".gitconfig"))?);
    Ok(())
}

/// A repository with one commit whose configuration names no key.
fn repository(station: &Workstation) -> Result<String> {
    let path = station.repository("project", "none")?;
    station.run("git", &["-C", &path, "config", "--unset", "user.signingkey"])?;
    Ok(path)
}
