//! Handing the making of the key store to the signer, which alone sees its secrets.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

/// What opens the key store when the server starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SealKind {
    /// A file: starts unattended; keep it apart from backups of the database
    KeyFile,
    /// A passphrase: after each start a person runs `sealcard-signer unseal`
    Passphrase,
    /// A systemd credential: starts unattended, bound to the machine and its TPM, if it has one
    SystemdCredential,
    /// The TPM, by a systemd credential that is bound to it: starts unattended; only for an installed server
    Tpm,
}

impl SealKind {
    const fn name(self) -> &'static str {
        match self {
            Self::KeyFile => "key-file",
            Self::Passphrase => "passphrase",
            Self::SystemdCredential => "systemd-credential",
            Self::Tpm => "tpm",
        }
    }
}

/// How the key store is sealed.
#[derive(Debug, Args)]
pub(super) struct SealOptions {
    /// What opens the key store when the server starts [default: key-file; on an installed server tpm, if this machine
    /// has one]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(super) seal: Option<SealKind>,
    /// The key file; created if it is missing [default: master.key in the signer's folder]
    #[arg(long, value_name = "FILE")]
    seal_key_file: Option<PathBuf>,
    /// Read the passphrase from the first line of this file instead of asking
    #[arg(long, value_name = "FILE")]
    seal_passphrase_file: Option<PathBuf>,
    /// The name of the systemd credential
    #[arg(long, value_name = "NAME")]
    seal_credential: Option<String>,
}

/// What of the signer's answer is shown.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SealMade {
    /// The fingerprint of the key that secrets for the signer are encrypted to.
    pub(super) envelope_key: String,
    /// The fingerprint of the key that a passphrase is encrypted to when it comes through the server.
    pub(super) keeper_key: String,
}

impl SealOptions {
    /// What a server for trying out takes.
    fn kind(&self) -> SealKind {
        self.seal.unwrap_or(SealKind::KeyFile)
    }

    /// Refuses what does not go together, before anything is made.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let given = [
            ("--seal-key-file", self.seal_key_file.is_some(), SealKind::KeyFile),
            ("--seal-passphrase-file", self.seal_passphrase_file.is_some(), SealKind::Passphrase),
            ("--seal-credential", self.seal_credential.is_some(), SealKind::SystemdCredential),
        ];
        for (option, given, kind) in given {
            if given && kind != self.kind() {
                bail!("{option} goes with --seal {}, not with --seal {}", kind.name(), self.kind().name());
            }
        }
        Ok(())
    }

    /// Refuses what a signer that the server starts can't have.
    pub(super) fn check_trial(&self) -> anyhow::Result<()> {
        if self.kind() == SealKind::Tpm {
            bail!("--seal tpm is for an installed server: see sealcard-server setup");
        }
        if self.kind() == SealKind::SystemdCredential && self.seal_credential.is_none() {
            bail!("--seal systemd-credential needs --seal-credential NAME");
        }
        Ok(())
    }

    /// The file with the passphrase of a signer that runs as its own user.
    ///
    /// # Errors
    /// If an option is given that only a signer can use that the server starts.
    pub(super) fn installed(&self) -> anyhow::Result<Option<&Path>> {
        for (option, given) in
            [("--seal-key-file", self.seal_key_file.is_some()), ("--seal-credential", self.seal_credential.is_some())]
        {
            if given {
                bail!("{option} is only for a server that tries Sealcard out");
            }
        }
        Ok(self.seal_passphrase_file.as_deref())
    }

    /// Runs `sealcard-signer init`, which asks on the terminal where it must.
    pub(super) fn run(&self, program: &Path, folder: &Path) -> anyhow::Result<SealMade> {
        let mut command = Command::new(program);
        command.arg("init").arg("--folder").arg(folder).arg("--seal").arg(self.kind().name());
        let options = [
            ("--key-file", self.seal_key_file.as_deref().map(std::path::absolute).transpose()?),
            ("--passphrase-file", self.seal_passphrase_file.clone()),
            ("--credential", self.seal_credential.as_ref().map(PathBuf::from)),
        ];
        for (option, value) in options {
            if let Some(value) = value {
                command.arg(option).arg(value);
            }
        }
        // What it prints is for programs; its questions and errors go to the terminal.
        let output = command
            .stdin(Stdio::inherit())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("can't start {} (it belongs beside sealcard-server)", program.display()))?;
        if !output.status.success() {
            bail!("the signer could not create its key store ({})", output.status);
        }
        serde_json::from_slice(&output.stdout).context("the signer's answer is incomplete")
    }

    /// One sentence about what opens the key store, for the person who set it up.
    pub(super) fn describe(&self, folder: &Path) -> String {
        match self.kind() {
            SealKind::KeyFile => {
                let default = folder.join("master.key");
                let file = self.seal_key_file.as_deref().unwrap_or(&default);
                format!("opened by {}", file.display())
            }
            SealKind::Passphrase => format!(
                "sealed by your passphrase; after each start run: sealcard-signer unseal --folder {}",
                folder.display()
            ),
            SealKind::SystemdCredential | SealKind::Tpm => {
                format!("opened at each start by the systemd credential {}", self.credential())
            }
        }
    }

    /// What the person has to do with what opens the key store.
    pub(super) fn care(&self) -> Option<&'static str> {
        match self.kind() {
            SealKind::KeyFile => Some("Back that file up, apart from the database."),
            SealKind::Passphrase | SealKind::SystemdCredential | SealKind::Tpm => None,
        }
    }

    /// How a person starts the server, indented.
    pub(super) fn start(&self, data: &Path) -> String {
        let serve = format!("sealcard-server serve --data {}", data.display());
        match self.kind() {
            SealKind::KeyFile | SealKind::Passphrase => format!("  {serve}"),
            // Started by hand it would have no credential, and come up sealed.
            SealKind::SystemdCredential | SealKind::Tpm => format!(
                "  as a unit: systemctl edit sealcard-server, with the lines\n    [Service]\n    ExecStart=\n    \
                 ExecStart=/usr/bin/{serve}\n    LoadCredentialEncrypted={}\n  then: systemctl enable --now sealcard-server",
                self.credential()
            ),
        }
    }

    fn credential(&self) -> &str {
        self.seal_credential.as_deref().unwrap_or_default()
    }
}
