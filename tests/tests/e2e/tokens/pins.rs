//! A wrong PIN costs one attempt.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{DatabaseKind, ENVIRONMENT, Fault, Server, ServerBuilder, Token, run, wait_until};

use super::{Pin, Scene, kill_now, unseal};
use crate::support::PATIENCE;

/// A keeper starts several workers in this time.
const SEVERAL_WORKERS: Duration = Duration::from_secs(3);

/// A server looks after a token that is open more often.
const LOOKS_AGAIN: Duration = Duration::from_secs(12);

/// PKCS#11 section 3.6, `CKR_PIN_INCORRECT`.
const CKR_PIN_INCORRECT: u64 = 0xa0;

const WRONG: &str = "not-the-pin-16180";

#[test]
fn a_wrong_pin_costs_one_login_whatever_dies_until_a_person_acts() -> Result<()> {
    let mut scene = Scene::with(DatabaseKind::Sqlite, Pin::File(WRONG), &[])?;
    scene.wait_for_refusal()?;
    let failed = scene.playground.workstation.try_sign(scene.key()?)?.failure()?;
    ensure!(failed.stderr.contains("signing failed: Not operational"), "{}", failed.description());
    let worker = scene.worker_after(None)?;
    kill_now(worker)?;
    scene.worker_after(Some(worker))?;
    scene.wait_for_state("sealed", "")?;
    let keeper = scene.keeper()?;
    kill_now(keeper)?;
    wait_until("a new keeper", PATIENCE, || Ok(scene.keeper().ok().filter(|new| *new != keeper)))?;
    scene.wait_until_spent()?;
    for _ in 0..2 {
        scene.playground.server.stop()?;
        scene.playground.server.start_again(&[])?;
        scene.wait_until_spent()?;
    }
    scene.playground.server.kill()?;
    scene.playground.server.start_again(&[])?;
    scene.wait_until_spent()?;
    ensure!(scene.shim.count("C_Login")? == 1, "{} calls of C_Login", scene.shim.count("C_Login")?);

    fs::write(&scene.token()?.pin_file, Token::PIN)?;
    unseal(&scene.playground, None)?.success()?;
    scene.wait_until_ready()?;
    ensure!(scene.shim.count("C_Login")? == 2, "{} calls of C_Login", scene.shim.count("C_Login")?);
    scene.expect_good_signature()
}

#[test]
fn a_mended_pin_opens_the_token_and_serves_the_next_start_and_an_unmended_one_costs_nothing() -> Result<()> {
    let mut scene = Scene::with(DatabaseKind::Sqlite, Pin::File(WRONG), &[])?;
    scene.wait_for_refusal()?;
    let admin = &scene.playground.admin;
    let through_the_server = admin.command(&["admin", "environment", "unseal", ENVIRONMENT]);
    let unmended = run(&mut { through_the_server }, PATIENCE)?.failure()?;
    ensure!(unmended.stderr.contains("still the one that the token refused"), "{}", unmended.description());
    unseal(&scene.playground, None)?.failure()?;
    ensure!(scene.shim.count("C_Login")? == 1, "{} calls of C_Login", scene.shim.count("C_Login")?);

    fs::write(&scene.token()?.pin_file, Token::PIN)?;
    admin.admin(&["environment", "unseal", ENVIRONMENT])?;
    scene.wait_until_ready()?;
    wait_until("the server's note of it", PATIENCE, || {
        Ok(admin.admin(&["record", "list", "--json"])?.text().contains("pin-mended").then_some(()))
    })?;
    scene.playground.server.stop()?;
    scene.playground.server.start_again(&[])?;
    scene.wait_until_ready()?;
    ensure!(scene.shim.count("C_Login")? == 3, "{} calls of C_Login", scene.shim.count("C_Login")?);
    scene.expect_good_signature()
}

#[test]
fn a_mended_pin_that_is_changed_on_the_token_later_costs_one_login() -> Result<()> {
    let mut scene = Scene::with(DatabaseKind::Sqlite, Pin::File(WRONG), &[])?;
    scene.wait_for_refusal()?;
    fs::write(&scene.token()?.pin_file, Token::PIN)?;
    let admin = &scene.playground.admin;
    admin.admin(&["environment", "unseal", ENVIRONMENT])?;
    wait_until("the server's note of it", PATIENCE, || {
        Ok(admin.admin(&["record", "list", "--json"])?.text().contains("pin-mended").then_some(()))
    })?;
    ensure!(scene.shim.count("C_Login")? == 2, "{} calls of C_Login", scene.shim.count("C_Login")?);

    scene.shim.always("C_Login", Fault::Return(CKR_PIN_INCORRECT))?;
    let worker = scene.worker_after(None)?;
    kill_now(worker)?;
    scene.worker_after(Some(worker))?;
    scene.wait_for_state("sealed", "refused the PIN")?;
    for _ in 0..2 {
        scene.playground.server.stop()?;
        scene.playground.server.start_again(&[])?;
        scene.wait_until_spent()?;
    }
    ensure!(scene.shim.count("C_Login")? == 3, "{} calls of C_Login", scene.shim.count("C_Login")?);
    Ok(())
}

#[test]
fn two_servers_spend_one_login_on_a_wrong_pin() -> Result<()> {
    let mut scene = Scene::with(DatabaseKind::Postgres, Pin::File(WRONG), &[])?;
    let mut second = scene.second_server(&scene.signer_folder().join("token.toml"))?;
    scene.wait_for_refusal()?;
    for _ in 0..2 {
        second.kill()?;
        second.start_again(&[])?;
        scene.playground.server.kill()?;
        scene.playground.server.start_again(&[])?;
        scene.wait_until_spent()?;
    }
    ensure!(scene.shim.count("C_Login")? == 1, "{} calls of C_Login", scene.shim.count("C_Login")?);
    Ok(())
}

#[test]
fn a_module_that_dies_while_it_looks_at_the_pin_is_not_asked_again() -> Result<()> {
    let scene = Scene::with(DatabaseKind::Sqlite, Pin::File(Token::PIN), &[("C_Login", Fault::Crash)])?;
    wait_until("the attempt", PATIENCE, || Ok((scene.shim.count("C_Login")? > 0).then_some(())))?;
    scene.shim.clear()?;
    // Nobody knows whether the token has counted it: a person looks.
    scene.wait_until_spent()?;
    ensure!(scene.shim.count("C_Login")? == 1, "{} calls of C_Login", scene.shim.count("C_Login")?);
    // When a person has said that it is right it is tried by one worker, not by each that follows.
    scene.shim.always("C_Login", Fault::Crash)?;
    let worker = scene.worker_after(None)?;
    drop(unseal(&scene.playground, None)?);
    scene.worker_after(Some(worker))?;
    scene.wait_until_spent()?;
    scene.shim.clear()?;
    std::thread::sleep(SEVERAL_WORKERS);
    ensure!(scene.shim.count("C_Login")? == 2, "{} calls of C_Login", scene.shim.count("C_Login")?);
    unseal(&scene.playground, None)?.success()?;
    scene.wait_until_ready()?;
    scene.expect_good_signature()
}

#[test]
fn a_server_that_is_logged_in_does_not_forgive_a_wrong_pin_of_another_one() -> Result<()> {
    let scene = Scene::with(DatabaseKind::Postgres, Pin::File(Token::PIN), &[])?;
    scene.wait_until_ready()?;
    let playground = &scene.playground;
    let wrong = playground.scratch.file("wrong-pin", WRONG)?;
    let config = fs::read_to_string(scene.signer_folder().join("token.toml"))?;
    let right = scene.token()?.pin_file.display().to_string();
    ensure!(config.contains(&right), "{config}");
    let config = playground.scratch.file("wrong.toml", config.replace(&right, &wrong.display().to_string()))?;
    let mut second = scene.second_server(&config)?;
    wait_until("the refusal", PATIENCE, || Ok((scene.shim.count("C_Login")? > 1).then_some(())))?;
    // Longer than the first server takes to look after its token again.
    std::thread::sleep(LOOKS_AGAIN);
    for _ in 0..2 {
        second.kill()?;
        second.start_again(&[])?;
        std::thread::sleep(SEVERAL_WORKERS);
    }
    ensure!(scene.shim.count("C_Login")? == 2, "{} calls of C_Login", scene.shim.count("C_Login")?);
    Ok(())
}

#[test]
fn a_right_pin_that_was_typed_once_serves_later_workers() -> Result<()> {
    let scene = Scene::with(DatabaseKind::Sqlite, Pin::Person, &[])?;
    scene.wait_for_state("sealed", "")?;
    ensure!(scene.shim.count("C_Login")? == 0, "tried without a PIN");
    unseal(&scene.playground, Some(WRONG))?.failure()?;
    unseal(&scene.playground, Some(Token::PIN))?.success()?;
    scene.wait_until_ready()?;
    let worker = scene.worker_after(None)?;
    kill_now(worker)?;
    scene.worker_after(Some(worker))?;
    scene.wait_until_ready()?;
    ensure!(scene.shim.count("C_Login")? == 3, "{} calls of C_Login", scene.shim.count("C_Login")?);
    scene.expect_good_signature()
}

impl Scene {
    /// Starts a second server on the same database; `config` describes the token to its signer.
    fn second_server(&self, config: &Path) -> Result<Server> {
        let playground = &self.playground;
        let cluster = playground.cluster.as_ref().context("no cluster")?;
        let data = playground.scratch.path().join("data-2");
        let builder = ServerBuilder::new(&playground.binaries, &playground.scratch, &data)
            .environment("SEALCARD_SERVER_DATABASE__URL", &cluster.server_url());
        builder.join(playground.server.data())?;
        let folder = data.join("signer").join(ENVIRONMENT);
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        builder.add_token(ENVIRONMENT, config)?;
        builder.start()
    }

    /// Waits until the token has refused the PIN.
    fn wait_for_refusal(&self) -> Result<()> {
        wait_until("the attempt", PATIENCE, || Ok((self.shim.count("C_Login")? > 0).then_some(())))?;
        self.wait_for_state("sealed", "refused the PIN")
    }

    /// Waits until the server has seen that the only attempt has been made.
    fn wait_until_spent(&self) -> Result<()> {
        self.wait_for_state("sealed", "before a person acts")
    }

    fn token(&self) -> Result<&Token> {
        self.playground.token.as_ref().context("there is no token")
    }
}
