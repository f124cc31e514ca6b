//! What an administrator does with keys on a token, with the commands that people have.

use anyhow::{Context, Result, ensure};
use cryptoki_sys::CKR_FUNCTION_FAILED;
use sealcard_tests::{Algorithm, DatabaseKind, ENVIRONMENT, Fault, Finished, Token, run, wait_until};

use super::{Pin, Scene};
use crate::support::PATIENCE;

#[test]
fn a_key_that_lies_on_the_token_is_adopted_once_and_signs() -> Result<()> {
    let scene = Scene::new(DatabaseKind::Sqlite)?;
    let admin = &scene.playground.admin;
    let token = scene.playground.token.as_ref().context("there is no token")?;
    token.tool_as_user(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "release", "--id", "0a0b"])?;
    let adopt = |name: &'static str, which: &'static str| {
        ["key", "adopt", name, "--environment", ENVIRONMENT, "--user-id", "Adopted <a@example.org>", "--sign", which]
    };
    scene.refuses(&adopt("playground/other", "label:other"), "No private key on the token")?;
    ensure!(admin.admin(&["record", "list", "--json"])?.text().contains("key-failed"), "the failure is not recorded");
    let key = admin.json(&adopt("playground/adopted", "label:release"))?;
    ensure!(key["algorithm"] == "nistp256" && key["components"].as_array().is_some_and(|all| all.len() == 2), "{key}");
    // Under another name and time it would be the same key material once more.
    let again = [adopt("playground/again", "id:0a0b").as_slice(), &["--created", "2024-05-01T12:00:00Z"]].concat();
    let on_token = || token.tool_as_user(&["--list-objects", "--type", "privkey"]).map(|listed| listed.text());
    let before = on_token()?;
    scene.refuses(&again, "is here already: it signs in playground/adopted")?;
    ensure!(on_token()? == before, "something was made: {}", on_token()?);
    let evidence = admin.json(&["key", "evidence", "adopted"])?;
    let signs = evidence["evidence"].as_array().and_then(|all| all.iter().find(|one| one["role"] == "sign"));
    let signs = signs.context("no evidence")?;
    ensure!(signs["label"] == "release" && signs["id"] == "0a0b" && signs["sensitive"] == true, "{evidence}");

    let station = &scene.playground.workstation;
    station.run_sealcard(&["sync"])?;
    let fingerprint = key["fingerprint"].as_str().context("no fingerprint")?.to_uppercase();
    station.try_sign(&fingerprint)?.success()?;
    let verified =
        station.gpg(&["--status-fd", "1", "--verify", &station.path("to-sign.sig"), &station.path("to-sign")])?;
    ensure!(sealcard_tests::good_signatures(&verified.text(), &fingerprint) == 1, "{}", verified.description());

    admin.admin(&["key", "disable", "adopted"])?;
    scene.refuses(&["key", "destroy", "adopted", "--yes-destroy", &fingerprint], "token's own tools")?;
    token.tool_as_user(&["--read-object", "--type", "pubkey", "--id", "0a0b"])?;
    admin.admin(&["record", "verify"])?;
    Ok(())
}

#[test]
fn a_destroyed_key_is_gone_from_the_token_and_has_no_way_back() -> Result<()> {
    let scene = Scene::new(DatabaseKind::Sqlite)?;
    let admin = &scene.playground.admin;
    let token = scene.playground.token.as_ref().context("there is no token")?;
    let private_keys = || -> Result<usize> {
        Ok(token.tool_as_user(&["--list-objects", "--type", "privkey"])?.text().matches("Private Key Object").count())
    };
    let before = private_keys()?;
    let key = admin.create_key_in(ENVIRONMENT, Algorithm::NistP256, "doomed")?;
    ensure!(private_keys()? == before + 4, "{} private keys", private_keys()?);
    // What is refused leaves nothing on the token.
    let place = ["key", "create", "playground/doomed", "--environment", ENVIRONMENT];
    let again = [place.as_slice(), &["--algorithm", "nistp256", "--user-id", "Again <again@example.org>"]].concat();
    scene.refuses(&again, "A key named doomed already exists in playground")?;
    ensure!(private_keys()? == before + 4, "{} private keys", private_keys()?);
    let destroy = ["key", "destroy", "doomed", "--yes-destroy", &key.fingerprint];
    scene.refuses(&destroy, "Disable it first")?;
    admin.admin(&["key", "disable", "doomed"])?;
    scene.refuses(&["key", "destroy", "doomed", "--yes-destroy", "00"], "nothing was destroyed")?;
    ensure!(admin.json(&destroy)?["state"] == "destroyed", "the key has another state");
    ensure!(private_keys()? == before, "{} private keys", private_keys()?);
    scene.refuses(&["key", "enable", "doomed"], "no way back")?;
    // Whoever doubts that the first attempt got to its end repeats it.
    ensure!(admin.json(&destroy)?["state"] == "destroyed", "the key has another state");
    let revoke = ["key", "revoke", "doomed", "--reason", "retired", "--yes"];
    scene.refuses(&revoke, "Publish the revocation certificate")?;
    admin.admin(&["record", "verify"])?;
    Ok(())
}

#[test]
fn keys_of_a_creation_that_failed_are_removed_from_the_token() -> Result<()> {
    let scene = Scene::new(DatabaseKind::Sqlite)?;
    let admin = &scene.playground.admin;
    let token = scene.playground.token.as_ref().context("there is no token")?;
    let private_keys = || -> Result<usize> {
        Ok(token.tool_as_user(&["--list-objects", "--type", "privkey"])?.text().matches("Private Key Object").count())
    };
    let before = private_keys()?;
    // The second of four fails; the module dies in the second.
    for (key, fault) in
        [("playground/refused", Fault::Return(CKR_FUNCTION_FAILED)), ("playground/crashed", Fault::Crash)]
    {
        scene.shim.nth("C_GenerateKeyPair", 2, fault)?;
        let place = ["key", "create", key, "--environment", ENVIRONMENT];
        let create = [place.as_slice(), &["--algorithm", "nistp256", "--user-id", "A <a@example.org>"]].concat();
        scene.refuses(&create, "")?;
        wait_until("a token as it was before", PATIENCE, || {
            let record = admin.admin(&["record", "list", "--json"])?;
            let discarded = record.text().matches("\"key-discarded\"").count();
            Ok((discarded >= 4 && private_keys()? == before).then_some(()))
        })?;
    }
    admin.admin(&["record", "verify"])?;
    Ok(())
}

#[test]
fn a_key_of_a_sealed_store_can_not_be_destroyed() -> Result<()> {
    let scene = Scene::new(DatabaseKind::Sqlite)?;
    let admin = &scene.playground.admin;
    let key = admin.create_key_in("default", Algorithm::NistP256, "sealed")?;
    // It is said before the fingerprint is asked for.
    let destroy = ["key", "destroy", "sealed", "--yes-destroy", &key.fingerprint];
    scene.refuses(&destroy, "Only keys on a token can be destroyed")?;
    scene.refuses(&destroy[..3], "Only keys on a token can be destroyed")?;
    Ok(())
}

#[test]
fn a_pin_comes_through_the_server_and_a_probe_needs_none() -> Result<()> {
    let scene = Scene::with(DatabaseKind::Sqlite, Pin::Person, &[])?;
    scene.wait_for_state("sealed", "")?;
    let admin = &scene.playground.admin;
    let report = admin.json(&["environment", "probe", ENVIRONMENT])?;
    let token = scene.playground.token.as_ref().context("there is no token")?;
    ensure!(report["label"] == token.label.as_str(), "{report}");
    let ed25519 = report["algorithms"].as_array().and_then(|all| all.iter().find(|one| one["algorithm"] == "ed25519"));
    ensure!(ed25519.is_some_and(|one| one["sign"] == true && one["generate"] == true), "{report}");
    ensure!(scene.shim.count("C_Login")? == 0, "the probe logged in");

    let scratch = &scene.playground.scratch;
    let (right, wrong) = (scratch.file("right-pin", Token::PIN)?, scratch.file("wrong-pin", "not-the-pin-16180")?);
    let (right, wrong) = (right.to_str().context("a path")?, wrong.to_str().context("a path")?);
    let mut keeper_key = std::process::Command::new(scene.playground.binaries.signer());
    let keeper_key =
        run(keeper_key.args(["keeper-key", "--folder"]).arg(scene.signer_folder()), PATIENCE)?.success()?;
    let fingerprint = keeper_key.text();
    let fingerprint = fingerprint.trim();
    let unseal = |file, fingerprint| {
        ["environment", "unseal", ENVIRONMENT, "--secret-file", file, "--signer-fingerprint", fingerprint]
    };
    let stranger = fingerprint.chars().rev().collect::<String>();
    scene.refuses(&unseal(right, &stranger), "another key")?;
    scene.refuses(&unseal(wrong, fingerprint), "refused the PIN")?;
    ensure!(admin.json(&unseal(right, fingerprint))?["state"] == "ready", "it is not ready");
    ensure!(scene.shim.count("C_Login")? == 2, "{} calls of C_Login", scene.shim.count("C_Login")?);
    ensure!(!scene.playground.server.log().contains(Token::PIN), "the PIN is in the log");
    let record = admin.admin(&["record", "list", "--json"])?;
    for (event, times) in [("unseal-with-secret", 2), ("unseal-failed", 1)] {
        ensure!(record.text().matches(&format!("\"{event}\"")).count() == times, "{}", record.description());
    }
    Ok(())
}

impl Scene {
    /// Runs `sealcard admin …`, which must fail with these words.
    fn refuses(&self, arguments: &[&str], words: &str) -> Result<Finished> {
        let finished = run(self.playground.admin.command(&["admin"]).args(arguments), PATIENCE)?.failure()?;
        ensure!(finished.stderr.contains(words), "not {words:?}: {}", finished.description());
        Ok(finished)
    }
}
