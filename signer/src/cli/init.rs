//! `sealcard-signer init`.

use clap::Args;

use super::{Folder, output, seal_options::SealOptions};
use crate::{keeper, seal};

/// Create a key store: a new master key, its seal and an empty journal
///
/// Prints what it created as one line of JSON, without secrets. An existing key store is never changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, for a signer of its own user:
  sealcard-signer init --seal passphrase \\
    --folder /var/lib/sealcard-signer/release")]
pub(super) struct Init {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    seal: SealOptions,
}

/// What was made.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct Made {
    #[serde(flatten)]
    made: seal::Initialized,
    /// The fingerprint of the keeper's own key, which a passphrase is encrypted to that comes through the server.
    keeper_key: String,
}

impl Init {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.seal.check()?;
        let folder = &self.folder.folder;
        seal::ensure_uninitialized(folder)?;
        let method = self.seal.method()?;
        let made = seal::init(folder, &method)?;
        let keeper_key = keeper::create_identity(folder)?.fingerprint().to_string();
        output::line(&serde_json::to_string(&Made { made, keeper_key })?);
        Ok(())
    }
}
