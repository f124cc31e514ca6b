//! `sealcard-signer journal`.

use clap::Subcommand;
use data_encoding::HEXLOWER;
use sealcard_signer_protocol::LogHead;

use super::{Folder, output};
use crate::{
    folder::JOURNAL_FILE,
    journal::{Scan, scan},
};

/// Check the journal of key uses
#[derive(Debug, Subcommand)]
pub(super) enum Journal {
    /// Check that no entry was changed, removed or moved
    ///
    /// Verifies the chain of hashes, and prints the number of entries, the hash of the last one, and the last
    /// checkpoint that each key has signed. Compare them with what the server's record says. The signer need not run.
    /// Exit code 1 if an entry was changed, removed or moved.
    Verify(Folder),
}

impl Journal {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self::Verify(folder) = self;
        let Scan { head, torn, checkpoints, .. } = scan(&folder.folder.join(JOURNAL_FILE))?;
        output::line(&format!("entries: {}", head.sequence));
        output::line(&format!("head: {}", HEXLOWER.encode(&head.hash)));
        for (component, LogHead { size, root }) in checkpoints {
            output::line(&format!("checkpoint: {size} entries, root {}, key {component}", HEXLOWER.encode(&root)));
        }
        if let Some(torn) = torn {
            output::line(&format!(
                "unfinished: {} bytes at the end; a write in progress, or a crash's remains that the next start sets \
                 aside",
                torn.len
            ));
        }
        Ok(())
    }
}
