//! `sealcard admin key export`, `revocation` and `revoke`.

use std::{io::Write as _, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum, ValueHint};
use sealcard_api::keys::{Key, KeyRevocation, RevocationCertificate, RevocationReason};
use sealcard_openpgp::PublicCertificate;

use super::full_name;
use crate::{
    cli::{
        App,
        ask::Yes,
        output::{clean, line, note, show},
    },
    config::files,
    remote::path,
};

#[derive(Debug, Args)]
pub(in super::super) struct Export {
    /// NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
    pub(super) key: String,
    /// Write the bytes themselves instead of ASCII armor
    #[arg(long)]
    binary: bool,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(self, key: &Key) -> anyhow::Result<()> {
        let bytes = if self.binary {
            PublicCertificate::read(key.certificate.as_bytes())
                .and_then(|certificate| certificate.bytes())
                .context("the certificate can't be read")?
        } else {
            key.certificate.clone().into_bytes()
        };
        match self.output {
            Some(file) => std::fs::write(&file, bytes).with_context(|| format!("can't write {}", file.display())),
            None => {
                // A reader that went away is no error of ours.
                let _ = std::io::stdout().lock().write_all(&bytes);
                Ok(())
            }
        }
    }
}

#[derive(Debug, Args)]
pub(in super::super) struct Revocation {
    /// NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
    pub(super) key: String,
    /// Write to this file, which nobody else may read, instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

impl Revocation {
    pub(super) async fn run(self, app: &App, key: &Key, json: bool) -> anyhow::Result<()> {
        let made: RevocationCertificate = app.remote.get(&path(&["keys", &key.id.to_string(), "revocation"])).await?;
        if let Some(file) = self.output {
            files::write_private(&file, made.certificate.as_bytes())?;
            note(format!(
                "Written to {}. Importing it revokes the key permanently: keep the file secret.",
                file.display()
            ));
            return Ok(());
        }
        show(json, &made, |made| made.certificate.lines().for_each(|text| line(clean(text))))
    }
}

#[derive(Debug, Args)]
pub(in super::super) struct Revoke {
    /// NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
    pub(super) key: String,
    /// Why. With `unspecified` and `compromised` nothing that the key ever signed counts any more
    #[arg(long, value_enum)]
    reason: Reason,
    /// A sentence for those who read the certificate
    #[arg(long, value_name = "TEXT", default_value = "")]
    message: String,
    #[command(flatten)]
    yes: Yes,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reason {
    /// Somebody else may have the private key
    Compromised,
    /// Another key takes its place
    Superseded,
    /// It is not used any more
    Retired,
    /// None is given
    Unspecified,
}

impl Revoke {
    pub(super) async fn run(self, app: &App, key: &Key, json: bool) -> anyhow::Result<()> {
        self.yes.confirm(&format!("Revoke {} ({}) permanently?", full_name(key), key.fingerprint))?;
        let reason = match self.reason {
            Reason::Compromised => RevocationReason::Compromised,
            Reason::Superseded => RevocationReason::Superseded,
            Reason::Retired => RevocationReason::Retired,
            Reason::Unspecified => RevocationReason::Unspecified,
        };
        let body = KeyRevocation { reason, message: self.message };
        let key: Key = app.remote.post(&path(&["keys", &key.id.to_string(), "revoke"]), &body).await?;
        show(json, &key, |key| {
            line(format!("The key {} is revoked.", full_name(key)));
            let name = full_name(key);
            note(format!("Publish its certificate again, so that others learn it: sealcard admin key export {name}"));
        })
    }
}
