//! `sealcard-signer unseal`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use sealcard_signer_protocol::SecretKind;

use super::{Folder, output, passphrase};
use crate::keeper::{ControlReply, ControlRequest, ask};

/// Open the key store of the running signer with its passphrase or PIN
///
/// The passphrase or PIN goes to the signer directly, not through the server. If a key file, PIN file or credential was
/// missing or wrong when the signer started, correct it and run this command. A PIN is tried once, immediately.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealcard-signer unseal --folder /var/lib/sealcard/signer/default
  pass show sealcard | sealcard-signer unseal --passphrase-file - \\
    --folder /var/lib/sealcard/signer/default")]
pub(super) struct Unseal {
    #[command(flatten)]
    folder: Folder,
    /// Read the passphrase or PIN from the first line of this file (- for standard input) instead of asking
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
            ControlReply::Status { wanted: SecretKind::Passphrase, .. } => {
                Some(passphrase::existing("Passphrase of the key store: ", self.passphrase_file.as_deref())?)
            }
            ControlReply::Status { wanted: SecretKind::Pin, .. } => {
                Some(passphrase::existing("PIN of the token: ", self.passphrase_file.as_deref())?)
            }
            _ => None,
        };
        match talk(&ControlRequest::Unseal(passphrase))? {
            ControlReply::Unsealed => output::line("unsealed"),
            ControlReply::AlreadyOpen => output::line("already open"),
            ControlReply::Refused(why) => bail!("{why}"),
            _ => bail!("the signer sent an unexpected answer"),
        }
        Ok(())
    }
}
