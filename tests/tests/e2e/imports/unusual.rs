//! Keys of unusual shape: each secret key of the file is taken or left out by name, with what helps in gpg.

use anyhow::{Context as _, Result, ensure};
use sealcard_tests::{Flavour, run_with_input};

use super::{DEADLINE, Import};

impl Import {
    /// Fingerprints of the primary key and the subkeys, as gpg lists them.
    fn keys(&self, key: &str) -> Result<Vec<String>> {
        self.subkeys(&self.source, key)
    }

    /// What an import that is refused says.
    fn refusal(&self, name: &str, file: &str) -> Result<String> {
        let failed = self.run_with_trust(name, file)?.failure()?;
        // Lines are broken where the terminal ends.
        Ok(failed.stderr.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

#[test]
fn algorithms_that_no_signer_takes_are_named() -> Result<()> {
    let import = Import::start(Flavour::Machine)?;
    // The subkey works without a primary key of DSA.
    let dsa = import.generate("Dsa <dsa@example.org>", &["dsa2048/cert", "rsa2048/sign", "elg2048/encr"])?;
    let said = import.import("dsa", &import.export("--export-secret-keys", &dsa)?)?;
    let keys = import.keys(&dsa)?;
    ensure!(keys.len() == 3 && keys.iter().all(|key| said.contains(key.as_str())), "{keys:?}: {said}");
    ensure!(said.contains("left out: primary key") && said.contains("dsa2048 is not supported"), "{said}");
    ensure!(
        said.contains("elg2048 is not supported") && said.contains("the primary key's secret is not imported"),
        "{said}"
    );
    ensure!(said.contains("keep the file") && !said.contains("key revocation"), "{said}");
    let station = &import.playground.workstation;
    station.run_sealcard(&["sync"])?;
    station.try_sign(&dsa)?.success()?;

    // Signatures by this primary key can't be verified, so nothing of it is believed.
    let brainpool = import.generate("Pool <pool@example.org>", &["brainpoolP256r1/cert", "rsa2048/sign"])?;
    let said = import.refusal("brainpool", &import.export("--export-secret-keys", &brainpool)?)?;
    ensure!(said.contains(&brainpool) && said.contains("brainpoolP256r1 is not supported"), "{said}");
    ensure!(said.contains("none of its subkeys") && !said.contains("as gpg exports it"), "{said}");
    // As a subkey it is left out alone.
    let mixed = import.generate("Mix <mix@example.org>", &["ed25519/cert", "ed25519/sign", "brainpoolP256r1/encr"])?;
    let said = import.import("mixed", &import.export("--export-secret-keys", &mixed)?)?;
    let keys = import.keys(&mixed)?;
    ensure!(keys.iter().all(|key| said.contains(key.as_str())), "{keys:?}: {said}");
    ensure!(said.contains("brainpoolP256r1 is not supported"), "{said}");
    import.verify_record()
}

#[test]
fn a_key_without_key_flags_is_refused_with_what_helps() -> Result<()> {
    let import = Import::start(Flavour::Machine)?;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../openpgp/tests/data/no-key-flags.asc");
    let said = import.refusal("flagless", file)?;
    ensure!(said.contains("9525F8F029D17258B5F646E7B127C159F25AD57E"), "{said}");
    ensure!(said.contains("key flags are missing") && said.contains("change-usage"), "{said}");
    ensure!(said.contains("gpg --expert --edit-key 9525F8F029D17258B5F646E7B127C159F25AD57E"), "{said}");
    Ok(())
}

#[test]
fn uses_that_a_card_has_no_place_for_are_warned_of() -> Result<()> {
    let import = Import::start(Flavour::Machine)?;
    let two = import.generate("Two <two@example.org>", &["ed25519/sign,cert", "cv25519/encr", "cv25519/encr"])?;
    let said = import.import("two", &import.export("--export-secret-keys", &two)?)?;
    let keys = import.keys(&two)?;
    ensure!(keys.len() == 3 && keys.iter().all(|key| said.contains(key.as_str())), "{keys:?}: {said}");
    ensure!(said.contains("a newer key has the same use (decrypt)"), "{said}");
    ensure!(said.contains("can be decrypted only with gpg's own copy") && said.contains("keep the file"), "{said}");

    let both = import.generate("Both <both@example.org>", &["ed25519/cert", "ed25519/sign,auth"])?;
    let said = import.import("both", &import.export("--export-secret-keys", &both)?)?;
    ensure!(said.contains("also authenticates (ssh) elsewhere") && said.contains("keep the file"), "{said}");
    ensure!(said.contains(&format!("gpg --quick-add-key {both} ed25519 auth")), "{said}");
    // The advice holds: the new subkey comes in.
    import.source_gpg(&["--quick-add-key", &both, "ed25519", "auth", "1y"])?;
    let said = import.run_with_trust("both", &import.export("--export-secret-keys", &both)?)?.success()?;
    ensure!(said.text().contains("(authenticate): added"), "{}", said.description());
    Ok(())
}

#[test]
fn a_sha1_self_signature_is_warned_of_and_judged_alike() -> Result<()> {
    let import = Import::start(Flavour::Machine)?;
    let pass = ["--pinentry-mode", "loopback", "--passphrase-file", &import.passphrase, "--cert-digest-algo", "SHA1"];
    let made = ["--quick-gen-key", "Sha <sha@example.org>", "ed25519", "sign,cert", "1y"];
    import.source.gpg(&[pass.as_slice(), &made].concat())?;
    let list = import.source.gpg(&["--with-colons", "-k", "sha@example.org"])?.text();
    let key = list.lines().find(|line| line.starts_with("fpr:")).and_then(|line| line.split(':').nth(9));
    let key = key.context("no fingerprint")?;
    let said = import.import("sha", &import.export("--export-secret-keys", key)?)?;
    ensure!(said.contains("made with SHA-1"), "{said}");
    ensure!(said.contains(&format!("gpg --cert-digest-algo SHA512 --quick-set-expire {key} 2y")), "{said}");

    // What import takes, verify takes.
    let station = &import.playground.workstation;
    station.run_sealcard(&["sync"])?;
    let file = station.write("text", "What is signed\n")?;
    station.run_sealcard(&["sign", "--key", "sha", &file])?;
    let verified = station.run_sealcard(&["verify", &file])?.text();
    ensure!(verified.contains("good"), "{verified}");

    // The advice holds: the renewed certificate is merged, and the warning is gone.
    import.source_gpg(&["--cert-digest-algo", "SHA512", "--quick-set-expire", key, "2y"])?;
    let renewed = import.run_with_trust("sha", &import.export("--export-secret-keys", key)?)?.success()?;
    ensure!(renewed.text().contains("expires ") && !renewed.stderr.contains("SHA-1"), "{}", renewed.description());
    Ok(())
}

#[test]
fn a_long_photo_is_refused_in_words_and_can_be_left_out() -> Result<()> {
    let import = Import::start(Flavour::Machine)?;
    let key = import.generate("Photo <photo@example.org>", &["ed25519/sign,cert"])?;
    let mut photo = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec();
    photo.extend((0..300_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]));
    photo.extend(b"\xff\xd9");
    let photo = import.source.write("photo.jpg", photo)?;
    let edit =
        ["--no-tty", "--command-fd", "0", "--pinentry-mode", "loopback", "--passphrase-file", &import.passphrase];
    let mut command = import.source.command("gpg", &[&edit[..], &["--edit-key", &key]].concat());
    run_with_input(&mut command, format!("addphoto\n{photo}\ny\nsave\n").as_bytes(), DEADLINE)?.success()?;
    let file = import.export("--export-secret-keys", &key)?;
    let said = import.refusal("photo", &file)?;
    ensure!(said.contains("at most 262 KB can be imported") && said.contains("--without-photos"), "{said}");

    let trust = ["--passphrase-file", &import.passphrase, "--signer-fingerprint", &import.fingerprint];
    import.run("photo", &[&trust[..], &["--without-photos", &file]].concat())?.success()?;
    let exported = import.source.path("photo.public");
    import.playground.admin.admin(&["key", "export", "photo", "--output", &exported])?;
    ensure!(std::fs::metadata(&exported)?.len() < 4000, "the photo is in the certificate");
    Ok(())
}
