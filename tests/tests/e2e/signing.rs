//! What people do with gpg and git, with each algorithm and each version of GnuPG.

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour, SignatureKind, good_signatures};

use crate::support::{expect_no_prompt, playground};

with_every_gpg![
    the_gpg_under_test_is_the_one_it_says,
    card_status_all_lists_a_card_for_each_key,
    detached_inline_and_clear_signatures_verify,
    nist_keys_sign_digests_as_long_as_their_order_and_longer,
    what_is_encrypted_to_a_key_decrypts,
    git_tags_are_signed_and_verified,
    git_commits_are_signed_and_verified,
];

fn the_gpg_under_test_is_the_one_it_says(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let text = playground.workstation.gpg(&["--version"])?.text();
    let version = text.lines().next().and_then(|line| line.rsplit(' ').next()).context("no version")?;
    let parts = version.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    ensure!(
        match flavour {
            Flavour::Machine => parts.as_slice() >= [2, 2].as_slice(),
            Flavour::Trixie => parts == [2, 4, 7],
            // Debian 14 is not finished yet and may go further.
            Flavour::Forky => parts.as_slice() >= [2, 4, 9].as_slice(),
        },
        "{text}"
    );
    Ok(())
}

fn card_status_all_lists_a_card_for_each_key(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let status = playground.workstation.gpg(&["--with-colons", "--card-status", "all"])?.text();
    for key in &playground.facts.keys {
        ensure!(status.contains(&key.serial), "no card {} in\n{status}", key.serial);
    }
    // One line of three component keys for each card.
    let fingerprints: Vec<&str> = status.lines().filter(|line| line.starts_with("fpr:")).collect();
    ensure!(fingerprints.len() == playground.facts.keys.len(), "{status}");
    for line in fingerprints {
        let keys = line.split(':').skip(1).filter(|field| field.len() == 40);
        ensure!(keys.count() == 3, "a card lacks a key: {line}");
    }
    expect_no_prompt(&playground)
}

fn detached_inline_and_clear_signatures_verify(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    for key in &playground.facts.keys {
        let file = station.write(&format!("text-{}", key.algorithm), "What is signed\n")?;
        for kind in SignatureKind::ALL {
            let signature = station.sign(kind, &key.fingerprint, &file, &[])?;
            station.verify(kind, &key.fingerprint, &signature, &file).with_context(|| format!("{key:?} {kind:?}"))?;
        }
    }
    expect_no_prompt(&playground)
}

fn nist_keys_sign_digests_as_long_as_their_order_and_longer(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let file = station.write("text", "What is signed\n")?;
    // With OpenPGP's numbers of the hash algorithms. gpg itself refuses shorter ones.
    let hashes = [("SHA256", "8"), ("SHA384", "9"), ("SHA512", "10")];
    for (shortest, algorithm) in [Algorithm::NistP256, Algorithm::NistP384, Algorithm::NistP521].into_iter().enumerate()
    {
        let key = &playground.key(algorithm)?.fingerprint;
        for (hash, number) in hashes.into_iter().skip(shortest) {
            let signature = station.sign(SignatureKind::Detached, key, &file, &["--digest-algo", hash])?;
            let status = station.gpg(&["--status-fd", "1", "--verify", &signature, &file])?.text();
            ensure!(good_signatures(&status, key) == 1, "{status}");
            let valid = status.lines().find(|line| line.contains("VALIDSIG")).context("no VALIDSIG")?;
            // Fields: fingerprint, date, time, expiry, version, reserved, public-key algorithm, hash algorithm.
            ensure!(valid.split(' ').nth(9) == Some(number), "{algorithm} with {hash}: {valid}");
        }
    }
    Ok(())
}

fn what_is_encrypted_to_a_key_decrypts(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    for key in &playground.facts.keys {
        let file = station.write("secret.txt", format!("for {}\n", key.algorithm))?;
        let encrypted = station.path("secret.gpg");
        let recipient = ["--trust-model", "always", "-r", &key.fingerprint];
        station.gpg(&[recipient.as_slice(), &["-o", &encrypted, "--encrypt", &file]].concat())?;
        let plain = station.gpg(&["-q", "--decrypt", &encrypted])?.text();
        ensure!(plain == format!("for {}\n", key.algorithm), "decrypted to {plain:?}");
    }
    expect_no_prompt(&playground)
}

fn git_tags_are_signed_and_verified(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    for key in &playground.facts.keys {
        let repository = station.repository(key.algorithm.name(), &key.fingerprint)?;
        station.run("git", &["-C", &repository, "tag", "-s", "v1.0", "-m", "Version 1.0"])?;
        station.run("git", &["-C", &repository, "tag", "-v", "v1.0"])?;
        let raw = station.run("git", &["-C", &repository, "verify-tag", "--raw", "v1.0"])?.stderr;
        ensure!(good_signatures(&raw, &key.fingerprint) == 1, "{raw}");
    }
    expect_no_prompt(&playground)
}

fn git_commits_are_signed_and_verified(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    for key in &playground.facts.keys {
        let repository = station.repository(key.algorithm.name(), &key.fingerprint)?;
        station.run("git", &["-C", &repository, "commit", "-q", "-S", "--allow-empty", "-m", "Signed"])?;
        let raw = station.run("git", &["-C", &repository, "verify-commit", "--raw", "HEAD"])?.stderr;
        ensure!(good_signatures(&raw, &key.fingerprint) == 1, "{raw}");
    }
    expect_no_prompt(&playground)
}
