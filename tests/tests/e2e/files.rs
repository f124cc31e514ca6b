//! `sealcard sign` and `sealcard verify`: files without gpg, judged by gpg, and the other way round.

use std::{collections::HashSet, fs, os::unix::fs::FileExt as _, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sealcard_api::record::RequestState;
use sealcard_tests::{
    Algorithm, Daemon, Finished, Flavour, Playground, SignatureKind, good_signatures, run, wait_until,
};
use serde_json::{Value, json};

use crate::support::{
    playground,
    record::{expect_no_findings, expect_recorded, read_journal, read_record, uses_in_state},
    rest::Rest,
};

with_every_gpg![gpg_verifies_what_sign_makes_with_every_algorithm, what_gpg_signs_is_verified_and_a_change_is_found,];

const DEADLINE: Duration = Duration::from_secs(120);

fn gpg_verifies_what_sign_makes_with_every_algorithm(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    for key in &playground.facts.keys {
        let text = "- begins with a dash\nFrom here\ntrailing blanks \t \n\nlast line";
        let file = station.write(&format!("text-{}", key.algorithm), text)?;
        let of_key = ["sign", "--key", &key.fingerprint];
        let made = station.run_sealcard(&[of_key.as_slice(), &[&file]].concat())?.text();
        ensure!(made.trim() == format!("{file}.asc"), "{made}");
        station.run_sealcard(&[of_key.as_slice(), &["--binary", &file]].concat())?;
        let clear = station.path("clear.txt");
        station.run_sealcard(&[of_key.as_slice(), &["--clear", "--force", "--output", &clear, &file]].concat())?;
        let detached = SignatureKind::Detached;
        station.verify(detached, &key.fingerprint, &format!("{file}.asc"), &file).context("armored")?;
        station.verify(detached, &key.fingerprint, &format!("{file}.sig"), &file).context("binary")?;
        station.verify(SignatureKind::Clear, &key.fingerprint, &clear, &file).context("clear")?;
        // gpg gives the text back, without the blanks that do not count.
        let plain = station.gpg(&["-q", "--output", "-", "--decrypt", &clear])?.text();
        ensure!(plain.trim_end() == text.replace(" \t \n", "\n"), "{plain:?}");
        let verified = station.run_sealcard(&["verify", &file, &clear])?.text();
        ensure!(verified.matches(&key.fingerprint).count() == 2, "{verified}");
    }
    Ok(())
}

fn what_gpg_signs_is_verified_and_a_change_is_found(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let file = station.write("text", "What is signed\n")?;
    let detached = station.sign(SignatureKind::Detached, key, &file, &["--armor"])?;
    let inline = station.sign(SignatureKind::Inline, key, &file, &[])?;
    let clear = station.sign(SignatureKind::Clear, key, &file, &[])?;
    let signed = ["verify", "--json", "--signature", &detached, &file];
    ensure!(judgements(&station.run_sealcard(&signed)?)? == ["good"]);
    ensure!(judgements(&station.run_sealcard(&["verify", "--json", &inline, &clear])?)? == ["good", "good"]);
    let plain = station.path("plain");
    station.run_sealcard(&["verify", "--output", &plain, &clear])?;
    ensure!(fs::read(&plain)? == fs::read(&file)?, "another text came out");

    // By other certificates alone, nothing can be said.
    let other = station.gpg(&["--armor", "--export", &playground.key(Algorithm::NistP256)?.fingerprint])?.text();
    let other = station.write("other.asc", other)?;
    let unknown = run(&mut station.sealcard(&[signed.as_slice(), &["--certificate", &other]].concat()), DEADLINE)?;
    ensure!(unknown.status.code() == Some(3) && judgements(&unknown)? == ["unknown-key"], "{}", unknown.description());

    station.write("text", "What is signed?\n")?;
    let bad = run(&mut station.sealcard(&signed), DEADLINE)?;
    ensure!(bad.status.code() == Some(1) && judgements(&bad)? == ["bad"], "{}", bad.description());
    let message = fs::read_to_string(&clear)?.replace("What is signed", "What is singed");
    station.write("text.clear", message)?;
    fs::remove_file(&plain)?;
    let changed = station.path("text.clear");
    let bad = run(&mut station.sealcard(&["verify", "--output", &plain, &changed]), DEADLINE)?;
    ensure!(bad.status.code() == Some(1) && !Path::new(&plain).exists(), "{}", bad.description());
    Ok(())
}

#[test]
fn a_signed_message_beside_a_file_says_nothing_of_the_file() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let file = station.write("notes.txt", "What is signed\n")?;
    station.run_sealcard(&["sign", "--key", key, "--clear", &file])?;
    station.write("notes.txt", "Something else\n")?;
    run(&mut station.sealcard(&["verify", &file]), DEADLINE)?.failure()?;
    station.run_sealcard(&["verify", &format!("{file}.asc")])?;
    Ok(())
}

#[test]
fn a_folder_is_signed_in_batches_and_every_digest_is_recorded_on_its_own() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = playground.key(Algorithm::Ed25519)?;
    let folder = folder_of_files(&playground, 600)?;
    let before = uses_in_state(&read_record(&Rest::admin(&playground)?)?, RequestState::Signed);
    let signed = station.run_sealcard(&["sign", "--json", "--key", &key.fingerprint, &folder])?;
    ensure!(!signed.stderr.contains('\u{1b}') && !signed.stderr.contains("signed  "), "progress without a terminal");
    let report: Value = serde_json::from_slice(&signed.stdout)?;
    let requests: Vec<String> = report["signed"]
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(|one| one["request_id"].as_str().map(ToOwned::to_owned))
        .collect();
    ensure!(requests.iter().collect::<HashSet<_>>().len() == 600, "{} requests", requests.len());
    let admin = Rest::admin(&playground)?;
    let record = read_record(&admin)?;
    ensure!(uses_in_state(&record, RequestState::Signed) - before == 600);
    expect_recorded(&record, &read_journal(playground.server.data())?, &requests)?;
    expect_no_findings(&admin)?;

    station.run_sealcard(&["verify", &folder])?;
    let signature = format!("{folder}/below/file-7.asc");
    let status = station.gpg(&["--status-fd", "1", "--verify", &signature, signature.trim_end_matches(".asc")])?.text();
    ensure!(good_signatures(&status, &key.fingerprint) == 1, "{status}");
    // Nothing is signed twice, and nothing is replaced that was not asked for.
    run(&mut station.sealcard(&["sign", "--key", &key.fingerprint, &folder]), DEADLINE)?.failure()?;
    fs::remove_file(&signature)?;
    let again = station.run_sealcard(&["sign", "--json", "--missing", "--key", &key.fingerprint, &folder])?;
    let report: Value = serde_json::from_slice(&again.stdout)?;
    ensure!(report["already_signed"] == 599 && report["signed"].as_array().map(Vec::len) == Some(1), "{report}");
    Ok(())
}

#[test]
fn an_interrupted_run_leaves_whole_signatures_and_is_finished_later() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = playground.key(Algorithm::Rsa4096)?;
    let folder = folder_of_files(&playground, 800)?;
    let arguments = ["sign", "--missing", "--key", &key.fingerprint, &folder];
    let mut sealcard = Daemon::spawn(&station.sealcard(&arguments), &playground.scratch.path().join("sign.log"))?;
    wait_until("the first signature", DEADLINE, || Ok((!signatures(&folder)?.is_empty()).then_some(())))?;
    sealcard.signal(Signal::SIGINT)?;
    let status = sealcard.wait(DEADLINE)?;
    ensure!(status.code() == Some(130), "{status}: {}", sealcard.log());
    let made = signatures(&folder)?;
    ensure!((1..800).contains(&made.len()), "{} signatures", made.len());
    for signature in &made {
        let text = fs::read_to_string(signature)?;
        ensure!(text.ends_with("-----END PGP SIGNATURE-----\n"), "{signature} is half written");
    }
    let is_temporary = |entry: fs::DirEntry| entry.file_name().to_string_lossy().contains("sealcard-tmp");
    ensure!(!fs::read_dir(&folder)?.any(|entry| entry.is_ok_and(is_temporary)), "a temporary file is left");
    run(&mut station.sealcard(&arguments), DEADLINE)?.success()?;
    ensure!(signatures(&folder)?.len() == 800);
    run(&mut station.sealcard(&["verify", &folder]), DEADLINE)?.success()?;
    expect_no_findings(&Rest::admin(&playground)?)
}

#[test]
fn one_file_that_can_t_be_signed_leaves_the_others() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = playground.key(Algorithm::Ed25519)?;
    let folder = folder_of_files(&playground, 20)?;
    // A folder where the signature belongs.
    fs::create_dir(format!("{folder}/file-3.asc"))?;
    let failed = run(&mut station.sealcard(&["sign", "--force", "--key", &key.fingerprint, &folder]), DEADLINE)?;
    ensure!(failed.status.code() == Some(1) && failed.stderr.contains("19 of 20 signed"), "{}", failed.description());
    fs::remove_dir(format!("{folder}/file-3.asc"))?;
    ensure!(signatures(&folder)?.len() == 19);
    Ok(())
}

#[test]
fn who_may_not_use_the_key_gets_a_reason_and_no_file() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = playground.key(Algorithm::Ed25519)?;
    let file = station.write("text", "text")?;
    let wrong = run(&mut station.sealcard(&["sign", "--key", "nobody", &file]), DEADLINE)?.failure()?;
    ensure!(wrong.stderr.contains("no key named"), "{}", wrong.description());
    let many = run(&mut station.sealcard(&["sign", &file]), DEADLINE)?.failure()?;
    ensure!(many.stderr.contains("--key"), "{}", many.description());
    run(&mut playground.admin.command(&["admin", "key", "disable", &key.fingerprint]), DEADLINE)?.success()?;
    let disabled = run(&mut station.sealcard(&["sign", "--key", &key.fingerprint, &file]), DEADLINE)?.failure()?;
    ensure!(disabled.status.code() == Some(1), "{}", disabled.description());
    ensure!(disabled.stderr.contains("is disabled; ask an owner of playground"), "{}", disabled.description());
    ensure!(!Path::new(&format!("{file}.asc")).exists());
    Ok(())
}

#[test]
fn a_batch_has_limits_and_a_result_for_each_digest() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let user = Rest::user(&playground)?;
    let key = playground.key(Algorithm::Ed25519)?;
    let cards = user.get("/v1/cards")?;
    let card =
        cards["cards"].as_array().context("no cards")?.iter().find(|card| card["fingerprint"] == key.fingerprint);
    let path = format!("/v1/keys/{}/sign-batch", card.context("no card")?["key_id"].as_str().context("no id")?);
    let item = |number: u8, digest: &[u8]| {
        let id = uuid::Uuid::from_u128(u128::from(number));
        json!({"idempotency_key": id, "hash": "sha256", "digest": data_encoding::BASE64.encode(digest)})
    };
    let good = [7; 32];
    for items in [json!([]), json!(vec![item(1, &good); 2])] {
        let answer = user.post(&path, &json!({"items": items}).to_string())?;
        ensure!(answer.code() == "invalid", "{answer:?}");
    }
    let many: Vec<Value> = (0..257_u128)
        .map(|n| json!({"idempotency_key": uuid::Uuid::from_u128(n), "hash": "sha256", "digest": "AA=="}))
        .collect();
    ensure!(user.post(&path, &json!({"items": many}).to_string())?.code() == "invalid");

    let items = json!({"items": [item(1, &good), item(2, &[7; 20]), item(3, &good)]}).to_string();
    let first = user.post(&path, &items)?;
    ensure!(first.status == 200, "{first:?}");
    let results = &first.body["results"];
    ensure!(
        results[0]["signed"]["signature"].is_string() && results[2]["signed"]["signature"].is_string(),
        "{results}"
    );
    ensure!(results[1]["problem"]["code"] == "unsupported-operation", "{results}");
    ensure!(results[1]["problem"]["request_id"].is_string(), "{results}");
    // A repetition gives the same signatures of the same requests, and uses no key.
    let admin = Rest::admin(&playground)?;
    let signed = uses_in_state(&read_record(&admin)?, RequestState::Signed);
    let second = user.post(&path, &items)?;
    ensure!(second.body["results"][0] == results[0] && second.body["results"][2] == results[2], "{second:?}");
    ensure!(uses_in_state(&read_record(&admin)?, RequestState::Signed) == signed);
    expect_no_findings(&admin)
}

/// A folder with this many different files, some of them below a folder.
fn folder_of_files(playground: &Playground, count: usize) -> Result<String> {
    let folder = playground.workstation.path("dist");
    fs::create_dir_all(format!("{folder}/below"))?;
    for number in 0..count {
        let place = if number % 10 == 7 { "below/" } else { "" };
        let file = fs::File::create(format!("{folder}/{place}file-{number}"))?;
        file.write_all_at(format!("content {number}").as_bytes(), 0)?;
    }
    Ok(folder)
}

fn signatures(folder: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in [folder.to_owned(), format!("{folder}/below")] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path().to_string_lossy().into_owned();
            if path.ends_with(".asc") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn judgements(finished: &Finished) -> Result<Vec<String>> {
    let report: Value = serde_json::from_slice(&finished.stdout).with_context(|| finished.description())?;
    let files = report["files"].as_array().context("no files")?;
    Ok(files.iter().filter_map(|one| one["judgement"].as_str().map(ToOwned::to_owned)).collect())
}
