//! One person and two servers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Facts, Flavour, Playground, Scratch, Server, ServerBuilder, provision, run};
use serde_json::Value;

use crate::support::{expect_no_prompt, playground};

with_every_gpg![
    a_login_to_another_server_replaces_the_first_one_and_its_keys_say_so,
    two_servers_serve_one_person_in_two_gnupg_homes,
];

fn a_login_to_another_server_replaces_the_first_one_and_its_keys_say_so(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let first = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.try_sign(first)?.success()?;
    ensure!(valid_grants(&playground)? == 1);
    let other = Other::start(&playground)?;
    let login = station.login(&other.server, &other.facts)?;
    // Said at the moment when it happens, with what to do about it.
    ensure!(login.stderr.contains(playground.server.url()), "{}", login.description());
    ensure!(login.stderr.contains("SEALCARD_CONFIG_FOLDER"), "{}", login.description());
    station.try_sign(&other.key()?)?.success()?;

    let failed = station.try_sign(first)?.failure()?;
    ensure!(["No secret key", "Not found"].iter().any(|text| failed.stderr.contains(text)), "{}", failed.description());
    let last = station.run_sealcard(&["last", "--json"])?;
    let last: Value = serde_json::from_slice(&last.stdout).with_context(|| last.description())?;
    ensure!(last["outcome"] == "failed" && last["advice"].is_string(), "{last}");
    // The first server's grant is of no use to anybody any more, and so is no more.
    ensure!(valid_grants(&playground)? == 0, "the first grant is still good");

    // And back again.
    station.login(&playground.server, &playground.facts)?;
    station.try_sign(first)?.success()?;
    station.try_sign(&other.key()?)?.failure()?;
    expect_no_prompt(&playground)
}

fn two_servers_serve_one_person_in_two_gnupg_homes(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let other = Other::start(&playground)?;
    let gnupg = playground.scratch.folder("ws/other")?;
    std::fs::copy(station.gnupg_home().join("gpg-agent.conf"), gnupg.join("gpg-agent.conf"))?;
    let password = station.write("other-password", &other.facts.user_password)?;
    let ca = station.write("other-ca.pem", std::fs::read(other.server.ca())?)?;
    let user = sealcard_tests::USER;
    let login =
        ["login", other.server.url(), "--user", user, "--password-file", &password, "--ca-file", &ca, "--setup"];
    let mut command = station.sealcard(&login);
    command.env("GNUPGHOME", &gnupg);
    command.env("SEALCARD_CONFIG_FOLDER", station.home().join("other-config"));
    command.env("SEALCARD_STATE_FOLDER", station.home().join("other-state"));
    run(&mut command, Duration::from_secs(60))?.success()?;

    let (file, output) = (station.write("to-sign-other", "something\n")?, station.path("to-sign-other.sig"));
    let sign = ["--batch", "--yes", "-q", "-u", &other.key()?, "-o", &output, "--detach-sign", &file];
    let there = run(station.command("gpg", &sign).env("GNUPGHOME", &gnupg), Duration::from_secs(60));
    let ended = run(station.command("gpgconf", &["--kill", "all"]).env("GNUPGHOME", &gnupg), Duration::from_secs(60));
    there?.success()?;
    ended?.success()?;
    station.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    expect_no_prompt(&playground)
}

/// How many grants of the user the first server takes.
fn valid_grants(playground: &Playground) -> Result<usize> {
    let grants = playground.admin.json(&["grant", "list"])?;
    let grants = grants["grants"].as_array().context("no grants")?.clone();
    let of_user = |grant: &&Value| grant["principal_name"] == sealcard_tests::USER && !grant["revoked"].is_string();
    Ok(grants.iter().filter(of_user).count())
}

/// A second server with a user of the same name and a key of its own.
struct Other {
    server: Server,
    facts: Facts,
    _scratch: Scratch,
}

impl Other {
    fn start(playground: &Playground) -> Result<Self> {
        let scratch = Scratch::new()?;
        let data = scratch.path().join("data");
        let mut facts = Facts::new();
        let builder = ServerBuilder::new(&playground.binaries, &scratch, &data);
        builder.init(&scratch.file("password", &facts.admin_password)?, &[])?;
        let server = builder.start()?;
        let admin = sealcard_tests::Admin::login(&playground.binaries, &scratch, &server, &facts)?;
        provision(&admin, &mut facts, &[Algorithm::Ed25519], &|_| ())?;
        Ok(Self { server, facts, _scratch: scratch })
    }

    fn key(&self) -> Result<String> {
        Ok(self.facts.key(Algorithm::Ed25519)?.fingerprint.clone())
    }
}
