//! `sealcard-signer keeper-key`.

use anyhow::bail;
use clap::Args;

use super::{Folder, output};
use crate::{folder::KEEPER_KEY_FILE, keeper};

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
        let folder = &self.folder.folder;
        if folder.join("socket.toml").exists() {
            bail!("the signer of {} has a folder of its own: ask there, as its user", folder.display());
        }
        if !folder.join(KEEPER_KEY_FILE).exists() {
            bail!("{} has no {KEEPER_KEY_FILE}: it is no signer's folder", folder.display());
        }
        output::line(&keeper::fingerprint(&self.folder.folder)?.to_string());
        Ok(())
    }
}
