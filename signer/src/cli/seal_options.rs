//! What opens a key store, as `init` and `reseal` are told.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::passphrase;
use crate::seal::{Argon2Cost, SealMethod};

/// How the key store is sealed.
#[derive(Debug, Args)]
pub(super) struct SealOptions {
    /// What opens the seal when the server starts
    #[arg(long = "seal", value_enum, value_name = "KIND")]
    pub(super) kind: Kind,
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
pub(super) enum Kind {
    /// A file: starts unattended; keep it apart from backups of the database
    KeyFile,
    /// A passphrase: after each start a person runs `sealcard-signer unseal`
    Passphrase,
    /// A systemd credential: starts unattended, bound to the machine or its TPM
    SystemdCredential,
}

impl SealOptions {
    /// Refuses what does not go together, before anything is asked.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let foreign = [
            (self.key_file.is_some(), Kind::KeyFile, "--key-file"),
            (self.passphrase_file.is_some(), Kind::Passphrase, "--passphrase-file"),
            (self.credential.is_some(), Kind::SystemdCredential, "--credential"),
        ];
        if let Some((_, _, option)) = foreign.iter().find(|(given, kind, _)| *given && *kind != self.kind) {
            bail!("{option} can't be used with this --seal");
        }
        Ok(())
    }

    /// How the seal is made. Asks for a new passphrase where one is needed.
    pub(super) fn method(&self) -> anyhow::Result<SealMethod> {
        Ok(match self.kind {
            Kind::KeyFile => SealMethod::KeyFile(self.key_file.clone()),
            Kind::Passphrase => {
                SealMethod::Passphrase(passphrase::new(self.passphrase_file.as_deref())?, Argon2Cost::default())
            }
            Kind::SystemdCredential => {
                SealMethod::SystemdCredential(self.credential.clone().context("--credential NAME is needed")?)
            }
        })
    }
}
