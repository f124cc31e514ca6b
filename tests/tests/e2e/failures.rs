//! Whatever goes wrong, gpg says the right thing at once, asks for no card, and `sealcard last` has the whole story.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::{Signal, kill};
use sealcard_test_pause::Pause;
use sealcard_tests::{Algorithm, Flavour, Playground, Scratch, ServerBuilder, USER, wait_until};
use serde_json::Value;

use crate::support::{
    builder, database, doctor, expect_no_prompt, playground,
    standstill::{scdaemon_pid, wait_for_request},
};

with_every_gpg![
    an_unreachable_server_is_a_refused_connection,
    a_changed_certificate_is_a_bad_certificate,
    an_expired_grant_is_not_authenticated,
    a_revoked_grant_is_not_authenticated,
    a_removed_user_is_not_authenticated,
    a_logged_out_user_is_not_authenticated,
    a_user_without_the_role_is_forbidden,
    a_disabled_key_is_named_as_disabled,
    a_sealed_signer_is_not_operational_until_it_is_unsealed,
    a_failed_decryption_says_why_too,
    a_scdaemon_killed_in_the_middle_of_a_signature_ends_it_and_the_next_one_works,
];

fn an_unreachable_server_is_a_refused_connection(flavour: Flavour) -> Result<()> {
    let mut playground = playground(flavour)?;
    playground.server.stop()?;
    expect_failure(&playground, "Connection refused", "unreachable", None)
}

fn a_changed_certificate_is_a_bad_certificate(flavour: Flavour) -> Result<()> {
    let mut playground = playground(flavour)?;
    let other = Scratch::new()?;
    let data = other.path().join("data");
    let password = other.file("password", "another-admin-4711")?;
    ServerBuilder::new(&playground.binaries, &other, &data).init(&password, &[])?;
    playground.server.stop()?;
    for name in ["ca.pem", "ca.key", "server.pem", "server.key"] {
        fs::copy(data.join("tls").join(name), playground.server.data().join("tls").join(name))?;
    }
    playground.server.start_again(&[])?;
    expect_failure(&playground, "Bad certificate", "certificate-changed", None)
}

#[test]
fn signatures_without_gpg_are_known_to_last() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    let key = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let file = playground.workstation.write("text", "What is signed\n")?;
    let last = |playground: &Playground| -> Result<Value> {
        Ok(serde_json::from_slice(&playground.workstation.run_sealcard(&["last", "--json"])?.stdout)?)
    };
    playground.workstation.run_sealcard(&["sign", "--key", &key, &file])?;
    let signed = last(&playground)?;
    ensure!(signed["outcome"] == "ok" && signed["fingerprint"] == key.as_str(), "{signed}");
    playground.server.stop()?;
    ensure!(playground.workstation.run_sealcard(&["sign", "--force", "--key", &key, &file]).is_err());
    let failed = last(&playground)?;
    ensure!(failed["outcome"] == "failed" && failed["code"] == "unreachable", "{failed}");
    Ok(())
}

fn an_expired_grant_is_not_authenticated(flavour: Flavour) -> Result<()> {
    let mut playground = playground(flavour)?;
    // A running server is the only one that may change its file.
    playground.server.stop()?;
    // Both ends are moved: else the workstation renews the grant, as it should.
    database::execute(&playground, "UPDATE access_grant SET expires = 1, refreshable_until = 1")?;
    playground.server.start_again(&[])?;
    expect_failure(&playground, "Not authenticated", "grant-expired", Some(Id::Known))
}

fn a_revoked_grant_is_not_authenticated(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let grants = playground.admin.json(&["grant", "list", "--of", USER])?;
    let id = items(&grants["grants"]).first().and_then(|grant| grant["id"].as_str()).context("no grant")?.to_owned();
    playground.admin.admin(&["grant", "revoke", &id])?;
    expect_failure(&playground, "Not authenticated", "grant-revoked", Some(Id::Known))
}

fn a_removed_user_is_not_authenticated(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    playground.admin.admin(&["user", "remove", USER, "--yes"])?;
    expect_failure(&playground, "Not authenticated", "grant-revoked", Some(Id::Known))
}

fn a_logged_out_user_is_not_authenticated(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    playground.workstation.run_sealcard(&["logout"])?;
    expect_failure(&playground, "Not authenticated", "not-logged-in", None)
}

fn a_user_without_the_role_is_forbidden(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    playground.admin.admin(&["project", "add-member", "playground", "--user", USER, "--role", "auditor"])?;
    playground.admin.admin(&["project", "remove-member", "playground", "--user", USER, "--role", "key-user"])?;
    expect_failure(&playground, "Forbidden", "forbidden", Some(Id::Known))
}

fn a_disabled_key_is_named_as_disabled(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    for key in &playground.facts.keys {
        playground.admin.admin(&["key", "disable", &key.id])?;
    }
    expect_failure(&playground, "Key disabled", "key-disabled", Some(Id::Known))?;
    for key in &playground.facts.keys {
        playground.admin.admin(&["key", "enable", &key.id])?;
        playground.workstation.try_sign(&key.fingerprint)?.success()?;
    }
    Ok(())
}

fn a_sealed_signer_is_not_operational_until_it_is_unsealed(flavour: Flavour) -> Result<()> {
    let passphrase = Scratch::new()?;
    let file = passphrase.file("passphrase", "the passphrase of the master key")?;
    let file = file.to_str().context("path")?;
    let algorithms = [Algorithm::Ed25519];
    let playground = builder()?.flavour(flavour).algorithms(&algorithms).sealed_by_passphrase(file).start()?;
    let mut playground = playground;
    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    playground.server.stop()?;
    playground.server.start_again(&[])?;
    expect_failure(&playground, "Not operational", "sealed", Some(Id::Known))?;
    let custody = custody(&playground)?;
    ensure!(custody["verdict"] == "broken", "{custody}");
    ensure!(custody["text"] == "the environment default is sealed; it holds ed25519", "{custody}");
    let advice = custody["advice"].as_str().unwrap_or_default();
    ensure!(advice.ends_with("sealcard admin environment unseal default"), "{custody}");
    playground.server.unseal(file)?;
    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    let custody = self::custody(&playground)?;
    ensure!(custody["verdict"] == "good" && custody["text"] == "1 key ready", "{custody}");
    Ok(())
}

fn custody(playground: &Playground) -> Result<Value> {
    doctor(playground.workstation.sealcard(&[]), "key store")
}

fn a_failed_decryption_says_why_too(flavour: Flavour) -> Result<()> {
    let mut playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let file = station.write("secret.txt", "secret")?;
    let encrypted = station.path("secret.gpg");
    station.gpg(&["--trust-model", "always", "-r", key, "-o", &encrypted, "--encrypt", &file])?;
    playground.server.stop()?;
    let finished = playground.workstation.try_gpg(&["--decrypt", &encrypted])?.failure()?;
    ensure!(finished.stderr.contains("public key decryption failed: Connection refused"), "{}", finished.description());
    expect_no_prompt(&playground)
}

fn a_scdaemon_killed_in_the_middle_of_a_signature_ends_it_and_the_next_one_works(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.try_sign(key)?.success()?;
    let scdaemon = scdaemon_pid(&playground)?;
    // A server that stands still keeps the signature open for as long as it takes.
    let pause = Pause::of(playground.server.pid())?;
    let finished = thread::scope(|scope| {
        let signing = scope.spawn(|| station.try_sign(key));
        let result = wait_for_request(&playground).and_then(|()| Ok(kill(scdaemon, Signal::SIGKILL)?));
        let finished = signing.join().map_err(|_| anyhow!("the signing thread panicked"))?;
        result.and(finished)
    });
    drop(pause);
    let finished = finished?.failure()?;
    ensure!(finished.stderr.contains("signing failed: End of file"), "{}", finished.description());
    // GnuPG 2.2 takes up to four seconds until it notices, and says "Broken pipe" meanwhile.
    wait_until("a signature after the death of scdaemon", Duration::from_secs(15), || {
        Ok(station.try_sign(key)?.status.success().then_some(()))
    })?;
    ensure!(scdaemon_pid(&playground)? != scdaemon);
    expect_no_prompt(&playground)
}

/// Whether the failure is known to the server under a request id.
enum Id {
    Known,
}

/// A signature fails with this text, at once, and `sealcard last` tells the code and what to do.
fn expect_failure(playground: &Playground, text: &str, code: &str, id: Option<Id>) -> Result<()> {
    let station = &playground.workstation;
    for key in &playground.facts.keys {
        let started = Instant::now();
        let finished = station.try_sign(&key.fingerprint)?.failure()?;
        ensure!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
        let message = format!("signing failed: {text}\n");
        ensure!(finished.stderr.contains(&message), "expected {message:?}: {}", finished.description());
        let last = station.run_sealcard(&["last", "--json"])?;
        let last: Value = serde_json::from_slice(&last.stdout).with_context(|| last.description())?;
        ensure!(last["outcome"] == "failed" && last["code"] == code, "{last}");
        ensure!(last["gpg_error"] == text, "{last}");
        ensure!(last["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "no reason: {last}");
        ensure!(id.is_none() || last["request_id"].is_string(), "no request id: {last}");
        // For a person the same stands in words.
        let words = station.run_sealcard(&["last"])?.text();
        ensure!(words.contains(last["reason"].as_str().unwrap_or_default()), "{words}");
    }
    expect_no_prompt(playground)
}

/// A list's items, whether it comes as a page or plain.
fn items(list: &Value) -> &[Value] {
    list.as_array().or_else(|| list["items"].as_array()).map_or(&[], Vec::as_slice)
}
