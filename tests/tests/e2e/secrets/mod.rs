//! Nothing secret is where it must not be.

pub(crate) mod keys;
mod needles;
mod places;
mod token;

use std::fs;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour, Playground, USER, run};

use self::{
    needles::Needles,
    places::{files_below, memory, processes},
};
use crate::support::{builder, database, playground, rest::Rest};

/// Typed by mistake where a password belongs, and sent in a request that makes no sense.
const CANARY: &str = "canary-in-the-coal-mine-31337";
/// Protects the key that is imported.
const IMPORT_PASSPHRASE: &str = "passphrase-of-an-old-key-1618";
/// In the environment of the server, to prove that the search sees its memory.
const PLANTED: &str = "planted-needle-in-the-haystack-2718";

#[test]
fn nothing_secret_is_in_logs_record_database_process_list_or_memory_of_the_server() -> Result<()> {
    let playground = builder()?.environment("PLANTED", PLANTED).start()?;
    let mut needles = Needles::default();
    import_a_key(&playground)?;
    for key in keys::private_keys(&playground, None)? {
        needles.add_private_key(&key.name, &key.bytes);
    }
    ensure!(needles.len() >= 4 * Algorithm::ALL.len() + 2, "only {} private keys", needles.len());
    needles.add("the passphrase of an imported key", IMPORT_PASSPHRASE.as_bytes());
    needles.add("the user's password", playground.facts.user_password.as_bytes());
    needles.add("the administrator's password", playground.facts.admin_password.as_bytes());
    needles.add("the user's grant", Rest::user(&playground)?.token().as_bytes());
    needles.add("the administrator's grant", Rest::admin(&playground)?.token().as_bytes());
    needles.add("the canary", CANARY.as_bytes());
    needles.add("a decrypted session key", &use_everything(&playground)?);
    needles.add("a service account's token", use_a_service_account(&playground)?.as_bytes());
    type_the_canary(&playground)?;

    // Ends every kept-alive connection of the workstation.
    playground.workstation.end_agent()?;
    let record = Rest::admin(&playground)?.get("/v1/record?limit=500")?.to_string();
    let needles = needles.build()?;
    let mut found = Vec::new();
    found.extend(needles.find("the log", playground.server.log().as_bytes()));
    found.extend(needles.find("the record", record.as_bytes()));
    for (name, content) in files_below(playground.server.data())? {
        found.extend(needles.find(&name, &content));
    }
    if let Some(folder) = database::files(&playground)? {
        for (name, content) in files_below(&folder)? {
            found.extend(needles.find(&name, &content));
        }
    }
    for (name, content) in files_below(&playground.workstation.home().join("state"))? {
        found.extend(needles.find(&name, &content));
    }
    for (name, content) in processes(&playground)? {
        found.extend(needles.find(&name, &content));
    }
    memory(playground.server.pid(), |region, content| found.extend(needles.find(region, content)))?;
    ensure!(found.is_empty(), "found: {found:#?}");
    Ok(())
}

#[test]
fn the_search_finds_what_is_there_in_every_form() -> Result<()> {
    let playground = builder()?.environment("PLANTED", PLANTED).start()?;
    let mut needles = Needles::default();
    needles.add("planted", PLANTED.as_bytes());
    let needles = needles.build()?;
    let mut found = Vec::new();
    memory(playground.server.pid(), |region, content| found.extend(needles.find(region, content)))?;
    ensure!(!found.is_empty(), "the memory of the server does not hold its own environment");
    let processes = processes(&playground)?;
    ensure!(processes.iter().any(|(name, content)| !needles.find(name, content).is_empty()));
    for form in needles::forms(PLANTED.as_bytes()) {
        let hay = [b"prefix".as_slice(), &form, b"suffix"].concat();
        ensure!(needles.find("", &hay).len() == 1, "not found: {}", String::from_utf8_lossy(&form));
    }
    // In base64 a needle looks different at each offset within the bytes that were encoded.
    for offset in 0..3 {
        let bytes = [&b"xyz"[..offset], PLANTED.as_bytes(), b"tail"].concat();
        let text = data_encoding::BASE64.encode(&bytes);
        ensure!(needles.find("", text.as_bytes()).len() == 1, "not found in {text}");
    }
    Ok(())
}

#[test]
fn private_keys_are_found_where_they_are() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let keys = keys::private_keys(&playground, None)?;
    for key in &keys {
        let mut needles = Needles::default();
        needles.add_private_key(&key.name, &key.bytes);
        let found = needles.build()?.find("the key itself", &key.bytes);
        ensure!(!found.is_empty(), "the search does not know {}", key.name);
    }
    Ok(())
}

/// Signs and decrypts with each key; gives the session key that the RSA key decrypted.
fn use_everything(playground: &Playground) -> Result<Vec<u8>> {
    let station = &playground.workstation;
    for key in &playground.facts.keys {
        station.try_sign(&key.fingerprint)?.success()?;
    }
    let key = &playground.key(Algorithm::Rsa4096)?.fingerprint;
    let file = station.write("secret.txt", "secret")?;
    let encrypted = station.path("secret.gpg");
    station.gpg(&["--trust-model", "always", "-r", key, "-o", &encrypted, "--encrypt", &file])?;
    let shown = station.gpg(&["--show-session-key", "--decrypt", &encrypted])?.stderr;
    let text = shown.split_once("session key: '").context("no session key")?.1;
    let hex = text.split_once('\'').and_then(|(key, _)| key.split_once(':')).context("no session key")?.1;
    Ok(data_encoding::HEXUPPER.decode(hex.as_bytes())?)
}

/// Brings a key with two secrets that gpg made.
fn import_a_key(playground: &Playground) -> Result<()> {
    let source =
        sealcard_tests::Workstation::new(&playground.binaries, &playground.scratch, "source", Flavour::Machine)?;
    let passphrase = source.write("passphrase", IMPORT_PASSPHRASE)?;
    let pass = ["--pinentry-mode", "loopback", "--passphrase-file", &passphrase];
    source
        .gpg(&[pass.as_slice(), &["--quick-gen-key", "Ada <old@example.org>", "default", "default", "1y"]].concat())?;
    let exported = source.path("exported");
    source.gpg(&[pass.as_slice(), &["-o", &exported, "--export-secret-keys"]].concat())?;
    let mut signer = std::process::Command::new(playground.binaries.folder().join("sealcard-signer"));
    signer.arg("envelope-key").arg("--folder").arg(playground.server.data().join("signer/default"));
    let fingerprint = run(&mut signer, std::time::Duration::from_secs(30))?.success()?.text().trim().to_owned();
    let import = ["key", "import", "playground/imported", "--passphrase-file", &passphrase];
    playground.admin.admin(&[import.as_slice(), &["--signer-fingerprint", &fingerprint, &exported]].concat())?;
    Ok(())
}

/// Makes a service account, logs in with its token and signs.
fn use_a_service_account(playground: &Playground) -> Result<String> {
    playground.admin.admin(&["service-account", "add", "robot"])?;
    playground.admin.admin(&[
        "project",
        "add-member",
        "playground",
        "--service-account",
        "robot",
        "--role",
        "key-user",
    ])?;
    let token = playground.admin.json(&["service-account", "token", "add", "robot", "--label", "test"])?;
    let token = token["secret"].as_str().with_context(|| format!("no token in {token}"))?.to_owned();
    let station =
        sealcard_tests::Workstation::new(&playground.binaries, &playground.scratch, "robot", Flavour::Machine)?;
    let file = station.write("token", &token)?;
    let ca = station.path("ca.pem");
    fs::copy(playground.server.ca(), &ca)?;
    station.run_sealcard(&["login", playground.server.url(), "--token-file", &file, "--ca-file", &ca, "--setup"])?;
    station.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    Ok(token)
}

/// A wrong password, and a password where the server expects something else.
fn type_the_canary(playground: &Playground) -> Result<()> {
    let station = &playground.workstation;
    let file = station.write("canary", CANARY)?;
    let ca = station.path("ca.pem");
    let login = ["login", playground.server.url(), "--password-file", &file, "--ca-file", &ca, "--no-sync", "--user"];
    let mut wrong = station.sealcard(&[login.as_slice(), &[USER]].concat());
    run(&mut wrong, std::time::Duration::from_secs(30))?.failure()?;
    fs::remove_file(&file)?;
    for body in [
        format!(r#"{{"type":"password","user":"{USER}","password":{{"text":"{CANARY}"}}}}"#),
        format!(r#"{{"type":"password","user":7,"password":"{CANARY}"}}"#),
        format!(r#"{{"type":"password","password":"{CANARY}" "#),
        format!(r#"{{"type":"nonsense","token":"{CANARY}"}}"#),
    ] {
        let answer = Rest::user(playground)?.post("/v1/login", &body)?;
        ensure!(answer.status == 400, "{answer:?}");
        ensure!(!answer.body.to_string().contains(CANARY), "the answer repeats the password: {answer:?}");
    }
    Ok(())
}
