//! `sealcard-signer reseal`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::{Folder, output, passphrase, rekey, seal_options::SealOptions};
use crate::{
    keeper::{ControlRequest, ask},
    seal::{self, SealEdit, SealMethod, SealSource},
};

/// Change what opens a key store: another passphrase, key file or credential
///
/// The master key stays, so no key in the database changes. The earlier passphrase or file opens the seal.json of a
/// backup, but not the new one. A running signer takes over the change. If several servers share the store, run the
/// command on each of them, or copy seal.json, and the key file if there is one, to the others.
///
/// To replace a master key that others may know, use `rekey`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealcard-signer reseal --seal passphrase \\
    --folder /var/lib/sealcard/signer/default
  sealcard-signer reseal --seal key-file --key-file /etc/sealcard/new.key \\
    --folder /var/lib/sealcard/signer/default")]
pub(super) struct Reseal {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    seal: SealOptions,
    /// Read the earlier passphrase from the first line of this file (- for standard input) instead of asking
    #[arg(long, value_name = "FILE")]
    old_passphrase_file: Option<PathBuf>,
}

impl Reseal {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.seal.check()?;
        let folder = &self.folder.folder;
        let source = seal::load(folder)?.source().clone();
        let old = match &source {
            SealSource::Passphrase { .. } => {
                let file = self.old_passphrase_file.as_deref();
                Some(passphrase::existing("Earlier passphrase of the key store: ", file)?)
            }
            SealSource::KeyFile { .. } | SealSource::SystemdCredential { .. } => None,
        };
        // Opened before a new passphrase is asked for.
        let edit = SealEdit::open(folder, old.as_ref())?;
        let method = self.seal.method()?;
        if let (SealSource::KeyFile { path, .. }, SealMethod::KeyFile(new)) = (&source, &method) {
            let new = new.as_deref().map(std::path::absolute).transpose()?;
            let new = new.unwrap_or_else(|| folder.join(crate::folder::KEY_FILE));
            if folder.join(path) == new {
                bail!("{} opens the store already: name a new file with --key-file", new.display());
            }
        }
        let made = edit.reseal(&method)?;
        if let Some(file) = made {
            output::line(&format!("Created the key file {}. Back it up, apart from the database.", file.display()));
        }
        output::line("The key store is sealed anew.");
        if let SealSource::KeyFile { path, .. } = &source {
            let path = folder.join(path);
            output::line(&format!("The earlier key file is still there; remove it: {}", path.display()));
        }
        if ask(folder, &ControlRequest::Status).is_err() {
            output::line("No signer runs: it uses the new seal when it starts.");
            return Ok(());
        }
        let new = match method {
            SealMethod::Passphrase(passphrase, _) => Some(passphrase),
            SealMethod::KeyFile(_) | SealMethod::SystemdCredential(_) => None,
        };
        rekey::reload(folder, new)
    }
}
