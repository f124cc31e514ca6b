//! The same with a token and a passphrase: all that opens keys came through the server, and its memory is searched
//! while the keys are in use.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context, Result, ensure};
use sealcard_signer::seal::Passphrase;
use sealcard_tests::{Algorithm, DatabaseKind, ENVIRONMENT, PROJECT, Playground, StoreKind, Token, run, wait_until};

use super::{
    keys::private_keys,
    needles::{Needles, Search},
    places::{files_below, memory},
};
use crate::{
    support::{PATIENCE, builder},
    tokens::process,
};

const PASSPHRASE: &str = "passphrase-of-the-store-14142";

#[test]
fn the_servers_memory_holds_no_pin_no_passphrase_and_no_key_while_they_are_in_use() -> Result<()> {
    let scratch = sealcard_tests::Scratch::new()?;
    let passphrase = scratch.file("passphrase", PASSPHRASE)?;
    let pin = scratch.file("pin", Token::PIN)?;
    let typed = passphrase.to_str().context("a path")?;
    let mut playground = builder()?
        .database(DatabaseKind::Sqlite)
        .store(StoreKind::SoftHsm)
        .algorithms(&[])
        .sealed_by_passphrase(typed)
        .prepare_token(|token| Ok(token.config_with("\"person\"", "")))
        .start()?;
    let on_token = put_a_known_key_on_the_token(&playground)?;
    // Whatever the making of the environments has left behind goes with this process.
    playground.server.stop()?;
    playground.server.start_again(&[])?;
    unseal(&playground, "default", &passphrase)?;
    unseal(&playground, ENVIRONMENT, &pin)?;
    let adopted = adopt(&playground)?;
    let sealed = playground.admin.create_key_in("default", Algorithm::Ed25519, "sealed")?;
    playground.workstation.run_sealcard(&["sync"])?;

    let mut needles = Needles::default();
    needles.add("the PIN", Token::PIN.as_bytes());
    needles.add("the passphrase", PASSPHRASE.as_bytes());
    needles.add_private_key("the key on the token", &on_token);
    for key in private_keys(&playground, Some(&Passphrase::new(PASSPHRASE.to_owned())))? {
        needles.add_private_key(&key.name, &key.bytes);
    }
    let needles = needles.build()?;
    while_signing(&playground, &[&adopted, &sealed.fingerprint], || {
        let mut found = Vec::new();
        memory(playground.server.pid(), |region, content| found.extend(needles.find(region, content)))?;
        ensure!(found.is_empty(), "found: {found:#?}");
        Ok(())
    })?;
    let mut found = needles.find("the log", playground.server.log().as_bytes());
    for (name, content) in files_below(playground.server.data())? {
        found.extend(needles.find(&name, &content));
    }
    ensure!(found.is_empty(), "found: {found:#?}");
    expect_where_it_belongs(&playground, &needles)
}

/// The search sees the PIN in the process that must hold it.
fn expect_where_it_belongs(playground: &Playground, needles: &Search) -> Result<()> {
    let folder = playground.server.data().join("signer").join(ENVIRONMENT);
    let keeper = process(&folder, "serve")?.context("no keeper runs")?;
    let mut found = Vec::new();
    memory(keeper.as_raw().unsigned_abs(), |_, content| found.extend(needles.find("the keeper", content)))?;
    ensure!(found.iter().any(|what| what.contains("the PIN")), "the keeper does not hold the PIN: {found:#?}");
    Ok(())
}

/// Puts a key onto the token that is known here, and gives its private half.
fn put_a_known_key_on_the_token(playground: &Playground) -> Result<Vec<u8>> {
    let token = playground.token.as_ref().context("there is no token")?;
    let (pem, pkcs8) = (playground.scratch.path().join("known.pem"), playground.scratch.path().join("known.der"));
    let openssl = |arguments: &[&str], from: Option<&Path>, to: &Path| {
        let mut command = Command::new("openssl");
        command.args(arguments).args(from.map(|from| ["-in".as_ref(), from.as_os_str()]).into_iter().flatten());
        run(command.arg("-out").arg(to), PATIENCE)?.success()
    };
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], None, &pem)?;
    openssl(&["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], Some(&pem), &pkcs8)?;
    let mut import = token.command("softhsm2-util");
    import.args(["--token", &token.label, "--pin", Token::PIN, "--label", "known", "--id", "0c0c", "--import"]);
    run(import.arg(&pem), PATIENCE)?.success()?;
    Ok(std::fs::read(pkcs8)?)
}

fn adopt(playground: &Playground) -> Result<String> {
    let name = format!("{PROJECT}/adopted");
    let place = ["key", "adopt", &name, "--environment", ENVIRONMENT];
    let key = ["--user-id", "Adopted <a@example.org>", "--sign", "label:known"];
    let key = playground.admin.json(&[place.as_slice(), &key].concat())?;
    Ok(key["fingerprint"].as_str().context("no fingerprint")?.to_uppercase())
}

/// Types a secret at the administrator's workstation.
fn unseal(playground: &Playground, environment: &str, secret: &Path) -> Result<()> {
    let folder = playground.server.data().join("signer").join(environment);
    let mut key = Command::new(playground.binaries.signer());
    let fingerprint = run(key.args(["keeper-key", "--folder"]).arg(folder), PATIENCE)?.success()?.text();
    let file = secret.to_str().context("a path")?;
    let arguments = ["environment", "unseal", environment, "--secret-file", file, "--signer-fingerprint"];
    playground.admin.admin(&[arguments.as_slice(), &[fingerprint.trim()]].concat())?;
    playground.admin.wait_for_environment(environment)
}

/// Signs with all keys as long as `look` looks.
fn while_signing(playground: &Playground, keys: &[&str], look: impl FnOnce() -> Result<()>) -> Result<()> {
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let signing = scope.spawn(|| -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                for key in keys {
                    playground.workstation.try_sign(key)?.success()?;
                }
                made.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let looked = wait_until("signatures", PATIENCE, || {
            ensure!(!signing.is_finished(), "signing ended");
            Ok((made.load(Ordering::Relaxed) > 1).then_some(()))
        })
        .and_then(|()| {
            let before = made.load(Ordering::Relaxed);
            look()?;
            wait_until("signatures while it was looked", PATIENCE, || {
                Ok((made.load(Ordering::Relaxed) > before).then_some(()))
            })
        });
        stop.store(true, Ordering::Relaxed);
        signing.join().map_err(|_| anyhow::anyhow!("signing panicked"))??;
        looked
    })
}
