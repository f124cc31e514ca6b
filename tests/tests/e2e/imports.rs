//! Keys that gpg made, brought to the server's signer.

mod merges;
mod unusual;

use anyhow::{Context, Result, ensure};
use sealcard_openpgp::tag;
use sealcard_openpgp_testing::Secrets;
use sealcard_tests::{Finished, Flavour, PROJECT, Playground, Workstation, good_signatures, run};

use crate::support::{builder, expect_no_prompt};

with_every_gpg![
    a_key_of_gpg_goes_on_with_its_fingerprints_user_ids_and_certifications,
    keys_of_other_algorithms_are_imported,
    a_key_whose_primary_key_is_offline_is_imported_without_it,
];

#[test]
fn what_can_not_be_imported_is_refused_with_its_cause_and_nothing_is_kept() -> Result<()> {
    let import = Import::start(Flavour::Machine)?;
    let key = import.generate("Ada <ada@example.org>", &["ed25519/sign,cert", "cv25519/encr"])?;
    let secret = import.export("--export-secret-keys", &key)?;
    let public = import.source.path("public.asc");
    import.source.gpg(&["--armor", "-o", &public, "--export", &key])?;
    let wrong = import.source.write("wrong-passphrase", "not the passphrase\n")?;
    let other = "00".repeat(32);
    let trusted = import.fingerprint.as_str();
    // Nobody can be asked, and the signer was never compared.
    let failed = import.run("refused", &["--passphrase-file", &import.passphrase, &secret])?.failure()?;
    ensure!(failed.stderr.contains("--signer-fingerprint"), "{}", failed.description());
    let cases: [(&str, &str, &str, &str); 4] = [
        (&secret, &wrong, trusted, "does not open"),
        (&secret, &import.passphrase, &other, "has another key"),
        (&public, &import.passphrase, trusted, "holds no secret key"),
        (&wrong, &import.passphrase, trusted, "no secret key as gpg exports it"),
    ];
    for (file, passphrase, signer, cause) in cases {
        let arguments = ["--passphrase-file", passphrase, "--signer-fingerprint", signer, file];
        let failed = import.run("refused", &arguments)?.failure()?;
        ensure!(failed.stderr.contains(cause), "{cause}: {}", failed.description());
    }
    let keys = import.playground.admin.json(&["key", "list"])?;
    ensure!(keys["keys"].as_array().is_some_and(|keys| keys.len() == 1), "{keys}");

    // And the same key can't come twice.
    import.import("mine", &secret)?;
    let failed = import.run_with_trust("again", &secret)?.failure()?;
    ensure!(failed.stderr.contains("it is playground/mine"), "{}", failed.description());
    import.verify_record()
}

fn a_key_of_gpg_goes_on_with_its_fingerprints_user_ids_and_certifications(flavour: Flavour) -> Result<()> {
    let import = Import::start(flavour)?;
    let key = import.generate("Ada <ada@example.org>", &["ed25519/sign,cert", "cv25519/encr", "ed25519/auth"])?;
    let friend = import.generate("Bob <bob@example.org>", &["ed25519/sign,cert"])?;
    let pass = ["--pinentry-mode", "loopback", "--passphrase-file", &import.passphrase];
    import.source.gpg(&[pass.as_slice(), &["-u", &friend, "--quick-sign-key", &key]].concat())?;
    import.source.gpg(&[pass.as_slice(), &["--quick-add-uid", &key, "Ada at work <ada@work.example>"]].concat())?;
    let before = import.subkeys(&import.source, &key)?;

    import.import("mine", &import.export("--export-secret-keys", &key)?)?;
    let station = &import.playground.workstation;
    station.run_sealcard(&["sync"])?;
    ensure!(import.subkeys(station, &key)? == before, "other fingerprints than before: {before:?}");
    let signatures = |station: &Workstation| -> Result<String> {
        let list = station.gpg(&["--with-colons", "--list-sigs", &key])?.text();
        ensure!(list.contains("Ada at work <ada@work.example>"), "{list}");
        Ok(list.lines().filter(|line| line.starts_with("sig:")).map(|line| format!("{line}\n")).collect())
    };
    // What others say of the key is published, but no server can bring it into a keyring unasked.
    ensure!(!signatures(station)?.contains(&friend[24..]), "the certification came with a sync");
    let published = station.path("published.asc");
    import.playground.admin.admin(&["key", "export", "mine", "--output", &published])?;
    station.gpg(&["--import", &published])?;
    ensure!(signatures(station)?.contains(&friend[24..]), "no certification in the exported key");
    let status = station.gpg(&["--with-colons", "--card-status", "all"])?.text();
    let card = status.lines().find(|l| l.starts_with("fpr:") && l.contains(&key)).context("no such card")?;
    ensure!(before.iter().all(|fingerprint| card.contains(fingerprint.as_str())), "{card} lacks one of {before:?}");

    // What either home makes, the other one takes.
    let file = station.write("text", "What is signed\n")?;
    let signature = station.path("text.sig");
    station.gpg(&["-u", &key, "-o", &signature, "--detach-sign", &file])?;
    let verified = import.source.gpg(&["--status-fd", "1", "--verify", &signature, &file])?.text();
    ensure!(good_signatures(&verified, &key) == 1, "{verified}");
    let encrypted = station.path("text.gpg");
    import.source.gpg(&["--trust-model", "always", "-r", &key, "-o", &encrypted, "--encrypt", &file])?;
    ensure!(station.gpg(&["-q", "--decrypt", &encrypted])?.text() == "What is signed\n");
    expect_no_prompt(&import.playground)?;
    import.verify_record()
}

fn keys_of_other_algorithms_are_imported(flavour: Flavour) -> Result<()> {
    let import = Import::start(flavour)?;
    for (name, keys) in [
        ("rsa", ["rsa2048/cert", "rsa2048/sign", "rsa2048/encr"]),
        ("p384", ["nistp384/ecdsa/cert", "nistp384/ecdsa/sign", "nistp384/ecdh/encr"]),
        ("p521", ["nistp521/ecdsa/cert", "nistp521/ecdsa/sign", "nistp521/ecdh/encr"]),
        ("mixed", ["rsa3072/cert", "ed25519/sign", "nistp256/ecdh/encr"]),
    ] {
        let key = import.generate(&format!("{name} <{name}@example.org>"), &keys)?;
        import.import(name, &import.export("--export-secret-keys", &key)?)?;
        let station = &import.playground.workstation;
        station.run_sealcard(&["sync"])?;
        let file = station.write("text", "What is signed\n")?;
        let signature = station.path("text.sig");
        station.gpg(&["-u", &key, "-o", &signature, "--detach-sign", &file])?;
        let verified = import.source.gpg(&["--status-fd", "1", "--verify", &signature, &file])?.text();
        ensure!(good_signatures(&verified, &key) == 1, "{name}: {verified}");
        let encrypted = station.path("text.gpg");
        import.source.gpg(&["--trust-model", "always", "-r", &key, "-o", &encrypted, "--encrypt", &file])?;
        ensure!(station.gpg(&["-q", "--decrypt", &encrypted])?.text() == "What is signed\n", "{name}");
    }
    expect_no_prompt(&import.playground)
}

fn a_key_whose_primary_key_is_offline_is_imported_without_it(flavour: Flavour) -> Result<()> {
    let import = Import::start(flavour)?;
    let key = import.generate("Ada <ada@example.org>", &["ed25519/cert", "ed25519/sign"])?;
    let said = import.import("subkeys", &import.export("--export-secret-subkeys", &key)?)?;
    ensure!(said.contains("primary key's secret is not imported"), "{said}");
    let station = &import.playground.workstation;
    station.run_sealcard(&["sync"])?;
    station.try_sign(&key)?.success()?;
    // What needs the primary key says so.
    let admin = &import.playground.admin;
    for arguments in
        [&["key", "revocation", "subkeys"][..], &["key", "revoke", "subkeys", "--reason", "retired", "--yes"]]
    {
        let failed = run(admin.command(&["admin"]).args(arguments), DEADLINE)?.failure()?;
        ensure!(failed.stderr.contains("primary key"), "{}", failed.description());
    }
    import.verify_record()
}

#[test]
fn secret_packets_that_are_not_understood_are_stored_nowhere() -> Result<()> {
    type Change = fn(&mut Vec<u8>);
    let import = Import::start(Flavour::Machine)?;
    // Another version, an unknown algorithm, and a part of what gpg wrote.
    let changes: [(&str, Change); 3] =
        [("version", |body| body[0] = 5), ("algorithm", |body| body[5] = 99), ("cut", |body| body.truncate(60))];
    for (name, change) in changes {
        let key = import.generate(&format!("{name} <{name}@example.org>"), &["ed25519/sign,cert", "cv25519/encr"])?;
        let file = import.export("--export-secret-keys", &key)?;
        let whole = std::fs::read(&file)?;
        let secrets = Secrets::of(&whole);
        let mut changed = Vec::new();
        for frame in sealcard_openpgp::frames(&whole)? {
            let mut body = frame.body.to_vec();
            if frame.tag == tag::SECRET_SUBKEY {
                change(&mut body);
            }
            changed.extend([0xC0 | frame.tag, 0xFF]);
            changed.extend(u32::try_from(body.len())?.to_be_bytes());
            changed.extend(body);
        }
        std::fs::write(&file, changed)?;
        let said = import.import(name, &file)?;
        ensure!(said.contains("left out: subkey") && said.contains("keep the file"), "{said}");
        ensure!(!said.contains("--delete-secret-keys"), "{said}");
        std::fs::remove_file(&file)?;
        import.playground.workstation.run_sealcard(&["sync"])?;
        let mut files = Vec::new();
        walk(import.playground.scratch.path(), &mut files)?;
        let mut with_key = 0;
        for path in files {
            let content = std::fs::read(&path)?;
            let blocks = armored(&content);
            ensure!(!secrets.are_in(&content), "{} holds a secret", path.display());
            ensure!(!blocks.iter().any(|block| secrets.are_in(block)), "{} publishes a secret", path.display());
            with_key += usize::from(!blocks.is_empty());
        }
        // The database and the list of cards: the search sees what it should.
        ensure!(with_key >= 2, "certificates in {with_key} files only");
    }
    import.verify_record()
}

fn walk(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// The armored keys in a file of any kind.
fn armored(content: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(content).replace("\\n", "\n");
    let blocks = text.split("-----BEGIN PGP PUBLIC KEY BLOCK-----").skip(1).filter_map(|rest| {
        let (block, _) = rest.split_once("-----END PGP")?;
        let block = format!("-----BEGIN PGP PUBLIC KEY BLOCK-----{block}-----END PGP PUBLIC KEY BLOCK-----\n");
        Some(sealcard_openpgp::blocks(block.as_bytes()).ok()?.remove(0).bytes.to_vec())
    });
    blocks.collect()
}

const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

/// A playground with one key, and a GnuPG home with keys of its own.
struct Import {
    playground: Playground,
    source: Workstation,
    passphrase: String,
    fingerprint: String,
}

impl Import {
    fn start(flavour: Flavour) -> Result<Self> {
        let playground = builder()?.flavour(flavour).algorithms(&[sealcard_tests::Algorithm::Ed25519]).start()?;
        let source = Workstation::new(&playground.binaries, &playground.scratch, "source", flavour)?;
        let passphrase = source.write("passphrase", "an old passphrase\n")?;
        let signer = playground.binaries.folder().join("sealcard-signer");
        let folder = playground.server.data().join("signer/default");
        let mut command = std::process::Command::new(signer);
        command.arg("envelope-key").arg("--folder").arg(folder);
        let fingerprint = run(&mut command, DEADLINE)?.success()?.text().trim().to_owned();
        Ok(Self { playground, source, passphrase, fingerprint })
    }

    /// A key protected by the passphrase; `keys` are algorithm and usage of the primary key and the subkeys.
    fn generate(&self, user_id: &str, keys: &[&str]) -> Result<String> {
        let pass = ["--pinentry-mode", "loopback", "--passphrase-file", &self.passphrase];
        let mut fingerprint = String::new();
        for key in keys {
            let (algorithm, usage) = key.rsplit_once('/').context("algorithm/usage")?;
            let arguments = if fingerprint.is_empty() {
                ["--quick-gen-key", user_id, algorithm, usage, "1y"]
            } else {
                ["--quick-add-key", &fingerprint, algorithm, usage, "1y"]
            };
            self.source.gpg(&[pass.as_slice(), &arguments].concat())?;
            if fingerprint.is_empty() {
                let list = self.source.gpg(&["--with-colons", "-k", user_id])?.text();
                let line = list.lines().find(|line| line.starts_with("fpr:")).context("no fingerprint")?;
                line.split(':').nth(9).context("no fingerprint")?.clone_into(&mut fingerprint);
            }
        }
        Ok(fingerprint)
    }

    fn export(&self, how: &str, key: &str) -> Result<String> {
        let file = self.source.path(&format!("{key}.secret"));
        self.source_gpg(&["-o", &file, how, key])?;
        Ok(file)
    }

    /// gpg where the secret keys are.
    fn source_gpg(&self, arguments: &[&str]) -> Result<Finished> {
        let pass = ["--pinentry-mode", "loopback", "--passphrase-file", &self.passphrase];
        self.source.gpg(&[pass.as_slice(), arguments].concat())
    }

    fn run(&self, name: &str, more: &[&str]) -> Result<Finished> {
        let mut command = self.playground.admin.command(&["admin", "key", "import", &format!("{PROJECT}/{name}")]);
        run(command.args(more), DEADLINE)
    }

    /// Imports the key of a file; gives what was said.
    fn import(&self, name: &str, file: &str) -> Result<String> {
        Ok(self.run_with_trust(name, file)?.success()?.stderr)
    }

    /// The same, whatever comes of it.
    fn run_with_trust(&self, name: &str, file: &str) -> Result<Finished> {
        let trust = ["--passphrase-file", &self.passphrase, "--signer-fingerprint", &self.fingerprint, file];
        self.run(name, &trust)
    }

    fn subkeys(&self, station: &Workstation, key: &str) -> Result<Vec<String>> {
        let list = station.gpg(&["--with-colons", "--with-subkey-fingerprint", "-k", key])?.text();
        let lines = list.lines().filter(|line| line.starts_with("fpr:"));
        Ok(lines.filter_map(|line| line.split(':').nth(9)).map(str::to_owned).collect())
    }

    fn verify_record(&self) -> Result<()> {
        self.playground.admin.admin(&["record", "verify"]).map(drop)
    }
}
