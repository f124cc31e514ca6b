//! `sealcard-signer init`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::{Folder, output, passphrase};
use crate::{
    keeper,
    seal::{self, Argon2Cost, SealMethod},
};

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
    /// What opens the seal when the server starts
    #[arg(long, value_enum, value_name = "KIND")]
    seal: Kind,
    /// The key file: 32 random bytes with mode 0600, created if it is missing. Default: master.key in the folder
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Read the passphrase from the first line of this file (- for standard input) instead of asking twice
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The name of the systemd credential, which must exist now ($CREDENTIALS_DIRECTORY/NAME) and at each start
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A file: starts unattended; keep it apart from backups of the database
    KeyFile,
    /// A passphrase: after each start a person runs `sealcard-signer unseal`
    Passphrase,
    /// A systemd credential: starts unattended, bound to the machine or its TPM
    SystemdCredential,
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
        let foreign = [
            (self.key_file.is_some(), Kind::KeyFile, "--key-file"),
            (self.passphrase_file.is_some(), Kind::Passphrase, "--passphrase-file"),
            (self.credential.is_some(), Kind::SystemdCredential, "--credential"),
        ];
        if let Some((_, _, option)) = foreign.iter().find(|(given, kind, _)| *given && *kind != self.seal) {
            bail!("{option} can't be used with this --seal");
        }
        let folder = &self.folder.folder;
        seal::ensure_uninitialized(folder)?;
        let method = match self.seal {
            Kind::KeyFile => SealMethod::KeyFile(self.key_file),
            Kind::Passphrase => {
                SealMethod::Passphrase(passphrase::new(self.passphrase_file.as_deref())?, Argon2Cost::default())
            }
            Kind::SystemdCredential => {
                SealMethod::SystemdCredential(self.credential.context("--credential NAME is needed")?)
            }
        };
        let made = seal::init(folder, &method)?;
        let keeper_key = keeper::create_identity(folder)?.fingerprint().to_string();
        output::line(&serde_json::to_string(&Made { made, keeper_key })?);
        Ok(())
    }
}
