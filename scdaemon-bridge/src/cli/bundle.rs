//! Receipts of signatures, and bundles of them: what proves offline that a signature is in a server's record.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use sealcard_record::{Body, Salt, Sha256, leaf, parse};
use sealcard_transparency::{Receipt as Proof, TrustPolicy};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::output::clean_path;
use crate::{signatures, witness};

/// The layout of bundles that this release writes.
const FORMAT: &str = "sealcard-bundle-v1";

/// Bundles are not longer.
const MAX_BUNDLE: u64 = 64 << 20;

/// A receipt, as the server answers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Receipt {
    /// The log's name.
    pub(super) origin: String,
    /// Its public keys.
    pub(super) keys: Vec<String>,
    number: u64,
    salt: Salt,
    entry: Box<RawValue>,
    proof: String,
}

/// What others need to check receipts offline.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Bundle {
    format: String,
    receipts: Vec<Receipt>,
}

/// A receipt that was checked.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Proved {
    /// The entry's number.
    pub(super) number: u64,
    /// The log's name.
    pub(super) log: String,
    /// How many entries the checkpoint covers.
    pub(super) size: u64,
    /// The root of these.
    pub(super) root: String,
    /// The entry.
    pub(super) entry: Box<RawValue>,
}

impl Receipt {
    /// Checks the receipt by those who are trusted.
    ///
    /// # Errors
    /// If it does not prove its entry.
    pub(super) fn check(&self, policy: &TrustPolicy) -> anyhow::Result<Proved> {
        let proof = Proof::parse(self.proof.as_bytes())?;
        ensure!(proof.index.checked_add(1) == Some(self.number), "the receipt proves another entry");
        let leaf = leaf(self.entry.get(), &self.salt).context("the receipt's entry")?;
        let accepted = proof.verify(&leaf.to_bytes(), policy)?;
        let checkpoint = &accepted.checkpoint;
        ensure!(checkpoint.origin() == self.origin, "the receipt is of another log");
        Ok(Proved {
            number: self.number,
            log: self.origin.clone(),
            size: checkpoint.tree().size,
            root: checkpoint.tree().root.to_string(),
            entry: self.entry.clone(),
        })
    }

    /// The SHA-256 of the signature in the entry.
    fn signature(&self) -> Option<Sha256> {
        parse(self.entry.get()).ok()?.event.signature_sha256()
    }
}

impl Proved {
    /// What the entry tells.
    pub(super) fn body(&self) -> Option<Body> {
        parse(self.entry.get()).ok()
    }
}

impl Bundle {
    /// A bundle of these.
    pub(super) fn of(receipts: Vec<Receipt>) -> Self {
        Self { format: FORMAT.to_owned(), receipts }
    }

    fn load(path: &Path) -> anyhow::Result<Self> {
        let length = fs::metadata(path).with_context(|| clean_path(path))?.len();
        ensure!(length <= MAX_BUNDLE, "{}: it is too long for a bundle", clean_path(path));
        let content = fs::read(path).with_context(|| clean_path(path))?;
        let bundle: Self =
            serde_json::from_slice(&content).with_context(|| format!("{} is no bundle", clean_path(path)))?;
        ensure!(bundle.format == FORMAT, "{} is a bundle of another release: {}", clean_path(path), bundle.format);
        Ok(bundle)
    }
}

/// The values that the record may have the hash of, for one signature.
pub(super) fn hashes(forms: &[Vec<u8>]) -> impl Iterator<Item = Sha256> {
    forms.iter().map(|form| {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, form).as_ref());
        Sha256(hash)
    })
}

/// Receipts, and who is trusted with them.
#[derive(Debug)]
pub(super) struct Evidence {
    receipts: Vec<Receipt>,
    policy: TrustPolicy,
}

impl Evidence {
    /// Reads bundles, and a policy in the form of C2SP's tlog-policy. Without one, the logs are trusted that this
    /// computer knows.
    ///
    /// # Errors
    /// If a file can't be read, or nobody is trusted.
    pub(super) fn load(bundles: &[impl AsRef<Path>], policy: Option<&Path>, known: &Path) -> anyhow::Result<Self> {
        let mut receipts = Vec::new();
        for bundle in bundles {
            receipts.extend(Bundle::load(bundle.as_ref())?.receipts);
        }
        let policy = match policy {
            Some(path) => {
                let text = fs::read(path).with_context(|| clean_path(path))?;
                TrustPolicy::parse(&text).with_context(|| clean_path(path))?
            }
            None => {
                let logs = witness::known(known)?;
                ensure!(!logs.is_empty(), "name the logs that you trust with --policy FILE: this computer knows none");
                witness::trust(logs.iter().flat_map(|log| &log.keys))?
            }
        };
        Ok(Self { receipts, policy })
    }

    /// Proves each signature in a file.
    ///
    /// # Errors
    /// If one has no receipt that holds.
    pub(super) fn prove(&self, file: &[u8]) -> anyhow::Result<Vec<Proved>> {
        let signatures = signatures::of(file);
        ensure!(!signatures.is_empty(), "there is no signature in it that a record could have");
        let prove = |forms: &Vec<Vec<u8>>| {
            let mut failed = None;
            for receipt in &self.receipts {
                if hashes(forms).any(|hash| receipt.signature() == Some(hash)) {
                    match receipt.check(&self.policy) {
                        Ok(proved) => return Ok(proved),
                        Err(error) => failed = Some(error),
                    }
                }
            }
            Err(failed.unwrap_or_else(|| anyhow::anyhow!("no receipt is of this signature")))
        };
        signatures.iter().map(prove).collect()
    }
}
