//! Newer certificates of keys that are on the server, from a gpg that has the primary key.

use anyhow::{Context as _, Result, ensure};
use sealcard_tests::{Finished, Flavour, run_with_input, wait_until};

use super::{DEADLINE, Import};

with_every_gpg![
    a_key_with_an_offline_primary_key_is_prolonged_after_its_end,
    a_subkey_that_gpg_revokes_is_used_no_more,
    a_new_subkey_is_added_with_its_secret,
];

impl Import {
    /// A key on the server, and on the workstation's card, without its primary key.
    fn offline(&self, keys: &[&str]) -> Result<String> {
        let key = self.generate("Ada <ada@example.org>", keys)?;
        self.import("tags", &self.export("--export-secret-subkeys", &key)?)?;
        self.playground.workstation.run_sealcard(&["sync"])?;
        Ok(key)
    }

    /// The certificate as the gpg with the primary key has it.
    fn public(&self, key: &str) -> Result<String> {
        let file = self.source.path(&format!("{key}.public"));
        self.source.gpg(&["-o", &file, "--export", key])?;
        Ok(file)
    }

    /// The public certificate, given to `key import`; nothing about trust or passphrases is needed for it.
    fn merge(&self, key: &str, more: &[&str]) -> Result<Finished> {
        let file = self.public(key)?;
        self.run("tags", &[more, &[file.as_str()]].concat())
    }

    /// The subkeys by their names, and before the key, which would have expired already.
    fn set_expire(&self, key: &str, when: &str) -> Result<()> {
        let keys = self.subkeys(&self.source, key)?;
        let subkeys: Vec<&str> = keys.iter().skip(1).map(String::as_str).collect();
        self.source_gpg(&[&["--quick-set-expire", key, when], subkeys.as_slice()].concat())?;
        self.source_gpg(&["--quick-set-expire", key, when]).map(drop)
    }

    fn state(&self) -> Result<String> {
        let shown = self.playground.admin.json(&["key", "show", "tags"])?;
        Ok(shown["state"].as_str().context("no state")?.to_owned())
    }
}

fn a_key_with_an_offline_primary_key_is_prolonged_after_its_end(flavour: Flavour) -> Result<()> {
    let import = Import::start(flavour)?;
    let key = import.offline(&["ed25519/cert", "ed25519/sign"])?;
    let station = &import.playground.workstation;
    station.try_sign(&key)?.success()?;
    // The refusal to extend leads to this.
    let extend = import.playground.admin.command(&["admin", "key", "extend", "tags"]);
    let failed = sealcard_tests::run(&mut { extend }, DEADLINE)?.failure()?;
    ensure!(
        failed.stderr.contains(&format!("gpg --quick-set-expire {key} 2y"))
            && failed.stderr.contains(&format!("gpg --export {key} | sealcard admin key import playground/tags")),
        "{}",
        failed.description()
    );

    import.set_expire(&key, "seconds=2")?;
    let said = import.merge(&key, &[])?.success()?;
    ensure!(said.text().contains("expires "), "{}", said.description());
    wait_until("the key's end", DEADLINE, || Ok((import.state()? == "expired").then_some(())))?;
    station.run_sealcard(&["sync"])?;
    station.try_sign(&key)?.failure()?;

    import.set_expire(&key, "3y")?;
    let said = import.merge(&key, &[])?.success()?;
    ensure!(
        said.text().contains("primary key: expires ") && said.text().contains("(sign): expires "),
        "{}",
        said.description()
    );
    ensure!(import.state()? == "active");
    station.run_sealcard(&["sync"])?;
    station.try_sign(&key)?.success()?;
    let ends = |station: &sealcard_tests::Workstation| -> Result<Vec<String>> {
        let list = station.gpg(&["--with-colons", "-k", &key])?.text();
        let keys = list.lines().filter(|line| line.starts_with("pub:") || line.starts_with("sub:"));
        Ok(keys.filter_map(|line| line.split(':').nth(6)).map(str::to_owned).collect())
    };
    ensure!(ends(station)? == ends(&import.source)?, "{:?} {:?}", ends(station)?, ends(&import.source)?);

    // The same again is nothing new. A signature that was made before is good as ever.
    let said = import.merge(&key, &[])?.success()?;
    ensure!(said.text().contains("Nothing new"), "{}", said.description());
    import.verify_record()
}

fn a_subkey_that_gpg_revokes_is_used_no_more(flavour: Flavour) -> Result<()> {
    let import = Import::start(flavour)?;
    let key = import.offline(&["ed25519/cert", "ed25519/sign", "cv25519/encr"])?;
    let station = &import.playground.workstation;
    station.try_sign(&key)?.success()?;
    let edit = ["--batch", "--command-fd", "0", "--pinentry-mode", "loopback", "--passphrase-file", &import.passphrase];
    let mut command = import.source.command("gpg", &[&edit[..], &["--edit-key", &key]].concat());
    run_with_input(&mut command, b"key 1\nrevkey\ny\n1\n\ny\nsave\n", DEADLINE)?.success()?;

    // There is no way back, so it is asked for.
    let failed = import.merge(&key, &[])?.failure()?;
    ensure!(failed.stderr.contains("revoked") && failed.stderr.contains("--yes"), "{}", failed.description());
    station.try_sign(&key)?.success()?;
    let said = import.merge(&key, &["--yes"])?.success()?;
    ensure!(said.text().contains("(sign): revoked"), "{}", said.description());
    ensure!(import.state()? == "revoked");
    station.try_sign(&key)?.failure()?;
    station.run_sealcard(&["sync"])?;
    let list = station.gpg(&["--with-colons", "-k", &key])?.text();
    ensure!(list.lines().any(|line| line.starts_with("sub:r:")), "{list}");
    import.verify_record()
}

fn a_new_subkey_is_added_with_its_secret(flavour: Flavour) -> Result<()> {
    let import = Import::start(flavour)?;
    let key = import.offline(&["ed25519/cert", "ed25519/sign"])?;
    import.source_gpg(&["--quick-add-key", &key, "cv25519", "encr", "1y"])?;
    // Its public half alone stays out: others would encrypt to it.
    let said = import.merge(&key, &[])?.success()?;
    ensure!(
        said.text().contains("Nothing new") && said.stderr.contains("--export-secret-subkeys"),
        "{}",
        said.description()
    );
    let file = import.export("--export-secret-keys", &key)?;
    let said = import.run_with_trust("tags", &file)?.success()?;
    ensure!(said.text().contains("(decrypt): added"), "{}", said.description());
    ensure!(said.stderr.contains("primary key's secret stays out"), "{}", said.description());

    let station = &import.playground.workstation;
    station.run_sealcard(&["sync"])?;
    let (text, encrypted) = (station.write("text", "What is said\n")?, station.path("text.gpg"));
    import.source.gpg(&["--trust-model", "always", "-r", &key, "-o", &encrypted, "--encrypt", &text])?;
    ensure!(station.gpg(&["-q", "--decrypt", &encrypted])?.text() == "What is said\n");
    station.try_sign(&key)?.success()?;
    let shown = import.playground.admin.json(&["key", "show", "tags"])?;
    let components = shown["components"].as_array().context("no components")?;
    ensure!(components.len() == 2, "the primary key came in too: {shown}");
    import.verify_record()
}

#[test]
fn another_key_with_the_same_subkey_is_not_merged() -> Result<()> {
    let import = Import::start(Flavour::Machine)?;
    let one = import.generate("One <one@example.org>", &["ed25519/cert", "ed25519/sign"])?;
    let other = import.generate("Other <other@example.org>", &["ed25519/cert"])?;
    let list = import.source.gpg(&["--with-colons", "--with-keygrip", "-k", &one])?.text();
    let grip = list.lines().rfind(|line| line.starts_with("grp:")).context("no keygrip")?;
    let grip = grip.split(':').nth(9).context("no keygrip")?;
    let edit = ["--batch", "--command-fd", "0", "--pinentry-mode", "loopback", "--passphrase-file", &import.passphrase];
    let mut command = import.source.command("gpg", &[&edit[..], &["--expert", "--edit-key", &other]].concat());
    run_with_input(&mut command, format!("addkey\n13\n{grip}\nq\n0\nsave\n").as_bytes(), DEADLINE)?.success()?;
    import.import("one", &import.export("--export-secret-keys", &one)?)?;
    let before = import.playground.admin.json(&["key", "show", "one"])?;
    let other = import.export("--export-secret-keys", &other)?;
    for name in ["one", "other"] {
        let failed = import.run_with_trust(name, &other)?.failure()?;
        let parts = before["components"].as_array().context("no components")?;
        let named = parts.iter().any(|part| part["fingerprint"].as_str().is_some_and(|it| failed.stderr.contains(it)));
        ensure!(named && failed.stderr.contains("playground/one"), "{}", failed.description());
    }
    ensure!(import.playground.admin.json(&["key", "show", "one"])? == before);
    import.verify_record()
}
