//! Who is trusted with a checkpoint.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use sealcard_record::export::{KEYS_FILE, LogFile};
use sealcard_transparency::{Checkpoint, Note, TreeHead, TrustPolicy};

use crate::{finding::Finding, output::warn, source::Source, state::State};

/// A policy, and the text of the keys if they come from the log itself.
pub(crate) struct Trust {
    policy: TrustPolicy,
    pub(crate) own_keys: Option<String>,
}

/// A checkpoint that is trusted.
#[derive(Debug, Clone)]
pub(crate) struct Trusted {
    pub(crate) note: Note,
    pub(crate) origin: String,
    pub(crate) tree: TreeHead,
    /// Names of the witnesses of the policy that have cosigned it.
    pub(crate) witnesses: Vec<String>,
}

impl Trust {
    /// The policy in a file; without one, the keys that were seen first, or those that the log states now.
    ///
    /// # Errors
    /// If nobody is trusted.
    pub(crate) async fn load(file: Option<&Path>, state: Option<&State>, source: &Source) -> anyhow::Result<Self> {
        if let Some(file) = file {
            let name = || file.display().to_string();
            let policy = TrustPolicy::parse(&fs::read(file).with_context(name)?).with_context(name)?;
            return Ok(Self { policy, own_keys: None });
        }
        let keys = match state.and_then(|state| state.keys.clone()) {
            Some(keys) => keys,
            None => {
                let Some(keys) = source.read(LogFile::Keys).await? else {
                    bail!(
                        "the log does not state its keys ({KEYS_FILE}): name those that you trust with --policy FILE"
                    );
                };
                warn(
                    "The log's keys come from the log itself, so nobody vouches for them. Name those that you trust with \
                     --policy FILE.",
                );
                String::from_utf8(keys).context(KEYS_FILE)?
            }
        };
        Ok(Self { policy: TrustPolicy::parse(keys.as_bytes()).context(KEYS_FILE)?, own_keys: Some(keys) })
    }

    /// Reads a checkpoint and checks its signatures.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<Trusted, Finding> {
        let note = Note::parse(bytes).map_err(|error| Finding::Checkpoint(error.to_string()))?;
        let accepted = self.policy.check(&note)?;
        let mut witnesses: Vec<String> =
            accepted.witnesses.iter().map(|witness| witness.key.name().to_string()).collect();
        witnesses.dedup();
        let checkpoint: &Checkpoint = &accepted.checkpoint;
        let (origin, tree) = (checkpoint.origin().to_owned(), *checkpoint.tree());
        Ok(Trusted { note, origin, tree, witnesses })
    }
}
