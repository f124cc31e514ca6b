//! `sealcard-signer unseal`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use super::{Folder, output, passphrase};
use crate::keeper::{ControlReply, ControlRequest, ask};

/// Open the seal of the running signer
///
/// The passphrase goes straight to the signer, not through the server. For a key file or a credential that was not there
/// when the signer started, run this once it is.
#[derive(Debug, Args)]
pub(super) struct Unseal {
    #[command(flatten)]
    folder: Folder,
    /// Read the passphrase from the first line of this file (- for standard input) instead of asking
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Unseal {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = &self.folder.folder;
        let talk = |request: &ControlRequest| {
            ask(folder, request)
                .with_context(|| format!("no signer answers in {}; is the server running?", folder.display()))
        };
        let passphrase = match talk(&ControlRequest::Status)? {
            ControlReply::Status { sealed: false, .. } => {
                output::line("already open");
                return Ok(());
            }
            ControlReply::Status { passphrase: true, .. } => {
                Some(passphrase::existing(self.passphrase_file.as_deref())?)
            }
            _ => None,
        };
        match talk(&ControlRequest::Unseal(passphrase))? {
            ControlReply::Unsealed => output::line("unsealed"),
            ControlReply::AlreadyOpen => output::line("already open"),
            ControlReply::Refused(why) => bail!("{why}"),
            ControlReply::Status { .. } | ControlReply::EnvelopeKey(_) => {
                bail!("the signer gave an answer that was not asked for")
            }
        }
        Ok(())
    }
}
