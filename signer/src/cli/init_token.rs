//! `sealcard-signer init-token`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::PathBuf,
};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;

use super::{Folder, output};
use crate::{
    folder::{self, JOURNAL_FILE},
    keeper,
    pkcs11::config::{MAX_TOKEN_FILE, TOKEN_FILE, TokenConfig},
    seal,
};

/// Create the folder of a signer whose keys are on a PKCS#11 token
///
/// Checks the description of the token and copies it; the token itself is not changed. Prints what it created as one
/// line of JSON, without secrets. An existing folder is never changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, for a signer of its own user:
  sealcard-signer init-token --config hsm.toml \\
    --folder /var/lib/sealcard-signer/hsm")]
pub(super) struct InitToken {
    #[command(flatten)]
    folder: Folder,
    /// The description of the token: token.toml (- for standard input)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// What was made.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct Made {
    config: PathBuf,
    journal: PathBuf,
    /// The fingerprint of the key that a PIN is encrypted to when it comes through the server.
    keeper_key: String,
}

impl InitToken {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut text = Vec::new();
        let most = MAX_TOKEN_FILE as u64 + 1;
        let read = match self.config.as_os_str() == "-" {
            true => io::stdin().lock().take(most).read_to_end(&mut text),
            false => File::open(&self.config).and_then(|file| file.take(most).read_to_end(&mut text)),
        };
        read.with_context(|| self.config.display().to_string())?;
        if text.len() > MAX_TOKEN_FILE {
            bail!("{} is too large for a description of a token", self.config.display());
        }
        TokenConfig::parse(&text).map_err(|error| anyhow!("{}, {error}", self.config.display()))?;
        let folder = &self.folder.folder;
        folder::create(folder).with_context(|| folder.display().to_string())?;
        seal::ensure_uninitialized(folder)?;
        let write = |name: &str, content: &[u8]| {
            let path = folder.join(name);
            folder::write_new(&path, content).with_context(|| path.display().to_string()).map(|()| path)
        };
        let config = write(TOKEN_FILE, &text)?;
        let journal = write(JOURNAL_FILE, b"")?;
        let keeper_key = keeper::create_identity(folder)?.fingerprint().to_string();
        output::line(&serde_json::to_string(&Made { config, journal, keeper_key })?);
        Ok(())
    }
}
