//! `sealcard-signer keeper-key`.

use anyhow::bail;
use clap::Args;

use super::{Folder, output};
use crate::{folder::SEAL_FILE, keeper, pkcs11::config::TOKEN_FILE};

/// Print the fingerprint to enter at `sealcard admin environment unseal`
///
/// It is that of the key that a passphrase or PIN is encrypted to. Enter it when you run `sealcard admin environment
/// unseal`, or pass it with `--signer-fingerprint`. It is stored in the folder's keeper.key; no signer needs to run.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sealcard-signer keeper-key --folder /var/lib/sealcard/signer/default")]
pub(super) struct KeeperKey {
    #[command(flatten)]
    folder: Folder,
    /// Make a new key in place of a lost one; administrators must compare its fingerprint anew
    #[arg(long)]
    new: bool,
}

impl KeeperKey {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = &self.folder.folder;
        if folder.join("socket.toml").exists() {
            bail!("the signer of {} has its own folder: run this command there, as its user", folder.display());
        }
        if self.new {
            if ![SEAL_FILE, TOKEN_FILE].iter().any(|name| folder.join(name).exists()) {
                bail!("{} is not a signer's folder", folder.display());
            }
            keeper::create_identity(folder)?;
        }
        output::line(&keeper::fingerprint(&self.folder.folder)?.to_string());
        Ok(())
    }
}
