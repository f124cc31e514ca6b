//! Private keys of a witness: `PRIVATE+KEY+NAME+ID+BASE64(type ‖ seed)` in one line, as Go's `sumdb/note` writes them.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::rand;
use data_encoding::BASE64;
use sealcard_transparency::{KeyName, KeyType, SEED_LENGTH, SeedSigner, Signer as _, VerifierKey};
use zeroize::Zeroizing;

const PREFIX: &str = "PRIVATE+KEY+";

/// Files of keys are not longer.
const MAX_FILE: u64 = 4096;

/// Makes a key and writes it into a new file.
///
/// # Errors
/// If the name is none, or the file exists or can't be written.
pub(super) fn make(name: &str, file: &Path, ml_dsa_44: bool) -> anyhow::Result<VerifierKey> {
    let name: KeyName = name.parse()?;
    let mut seed = Zeroizing::new([0; SEED_LENGTH]);
    rand::fill(seed.as_mut_slice()).ok().context("the system gives no random numbers")?;
    let key_type = if ml_dsa_44 { KeyType::MlDsa44 } else { KeyType::Ed25519Cosignature };
    let signer = SeedSigner::new(name.clone(), key_type, &seed)?;
    let mut bytes = Zeroizing::new(vec![key_type.byte()]);
    bytes.extend_from_slice(seed.as_slice());
    let encoded = Zeroizing::new(BASE64.encode(&bytes));
    let text = Zeroizing::new(format!("{PREFIX}{name}+{}+{}\n", signer.key().id(), *encoded));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| file.display().to_string())?;
    Ok(signer.key().clone())
}

/// Reads a key.
///
/// # Errors
/// If the file can't be read, is for others too, or has no key of a witness.
pub(super) fn load(file: &Path) -> anyhow::Result<SeedSigner> {
    let name = || file.display().to_string();
    let about = fs::metadata(file).with_context(name)?;
    ensure!(about.permissions().mode() & 0o077 == 0, "{}: others can read it: chmod 600", name());
    ensure!(about.len() <= MAX_FILE, "{}: it is too long for a key", name());
    let text = Zeroizing::new(fs::read_to_string(file).with_context(name)?);
    parse(text.trim_end()).with_context(name)
}

fn parse(text: &str) -> anyhow::Result<SeedSigner> {
    let mut parts = text.strip_prefix(PREFIX).context("it has no private key")?.splitn(3, '+');
    let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        bail!("it has no private key");
    };
    let bytes = Zeroizing::new(BASE64.decode(encoded.as_bytes()).ok().context("the private key is not base64")?);
    let (byte, seed) = bytes.split_first().context("the private key is empty")?;
    let key_type = [KeyType::Ed25519Cosignature, KeyType::MlDsa44].into_iter().find(|kind| kind.byte() == *byte);
    let key_type = key_type.context("it is no key that cosigns")?;
    let seed: [u8; SEED_LENGTH] = seed.try_into().ok().context("the private key has a wrong length")?;
    let signer = SeedSigner::new(name.parse()?, key_type, &Zeroizing::new(seed))?;
    ensure!(signer.key().id().to_string() == id, "the id is not that of the key");
    Ok(signer)
}
