//! `sealcard-signer keeper-key`.

use clap::Args;

use super::{Folder, output};
use crate::keeper;

/// Print the fingerprint of the key that a passphrase or PIN for this signer is encrypted to
///
/// Who runs `sealcard admin environment unseal` compares it, or passes it with `--signer-fingerprint`. It lies in the folder's
/// keeper.key and needs no running signer.
#[derive(Debug, Args)]
pub(super) struct KeeperKey {
    #[command(flatten)]
    folder: Folder,
}

impl KeeperKey {
    pub(super) fn run(self) -> anyhow::Result<()> {
        output::line(&keeper::fingerprint(&self.folder.folder)?.to_string());
        Ok(())
    }
}
