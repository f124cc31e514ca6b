//! `sealcard-signer envelope-key`.

use anyhow::{Context as _, bail};
use clap::Args;

use super::{Folder, output};
use crate::keeper::{ControlReply, ControlRequest, ask};

/// Print the fingerprint to enter at `sealcard admin key import`
///
/// It is that of the key that imported secrets are encrypted to. The signer must run. Enter it when you import a key
/// with `sealcard admin key import`, or pass it with `--signer-fingerprint`. It belongs to the master key and changes
/// only with it (`rekey --finish`).
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sealcard-signer envelope-key --folder /var/lib/sealcard/signer/default")]
pub(super) struct EnvelopeKey {
    #[command(flatten)]
    folder: Folder,
}

impl EnvelopeKey {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = &self.folder.folder;
        let reply = ask(folder, &ControlRequest::EnvelopeKey)
            .with_context(|| format!("no signer answers in {}; is the server running?", folder.display()))?;
        match reply {
            ControlReply::EnvelopeKey(fingerprint) => output::line(&fingerprint),
            ControlReply::Refused(why) => bail!("{why}"),
            _ => bail!("the signer sent an unexpected answer"),
        }
        Ok(())
    }
}
