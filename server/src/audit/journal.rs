//! Reading a signer's journal, entry by entry, with its chain.

use sealcard_signer_protocol::{JournalEntry, journal::entry_hash};

use crate::signers::{Signer, UseError};

/// How far a journal has been read.
#[derive(Debug, Default)]
pub(super) struct JournalReader {
    sequence: u64,
    hash: [u8; 32],
}

impl JournalReader {
    /// Reads up to what is the end at the first answer. Findings about the chain go to `findings`.
    pub(super) async fn read(
        &mut self,
        signer: &Signer,
        findings: &mut Vec<String>,
        mut each: impl FnMut(&JournalEntry),
    ) -> Result<(), UseError> {
        let mut end = None;
        loop {
            let (head, entries) = signer.journal(self.sequence.saturating_add(1)).await?;
            let end = *end.get_or_insert(head.sequence);
            if head.sequence < self.sequence {
                findings.push(format!("the journal ends with {} and had {} entries", head.sequence, self.sequence));
                return Ok(());
            }
            for entry in &entries {
                self.follow(entry, findings);
                each(entry);
            }
            if self.sequence >= end || entries.is_empty() {
                if entries.is_empty() && self.sequence < end {
                    findings.push(format!("the journal gives no entry {}", self.sequence.saturating_add(1)));
                }
                return Ok(());
            }
        }
    }

    fn follow(&mut self, entry: &JournalEntry, findings: &mut Vec<String>) {
        let expected = self.sequence.saturating_add(1);
        if entry.sequence != expected {
            findings.push(format!("the journal has entry {} where {expected} belongs", entry.sequence));
        } else if entry_hash(&self.hash, entry) != entry.hash {
            findings.push(format!("the journal's entry {expected} does not fit the one before it"));
        }
        self.sequence = entry.sequence.max(expected);
        self.hash = entry.hash;
    }
}
