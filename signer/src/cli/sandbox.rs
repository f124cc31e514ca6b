//! `sealcard-signer sandbox`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::{Folder, output};
use crate::{
    os,
    pkcs11::config::TokenConfig,
    sandbox::{self, Outcome},
};

/// Show what the sandbox around the keys prevents
///
/// Enters the sandbox of the environment's worker, tries what must fail there and prints the results. Exit code 1 if an
/// attempt succeeded. Changes nothing, and can run while the signer runs; run it as the signer's user.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sealcard-signer sandbox --folder /var/lib/sealcard/signer/default")]
pub(super) struct Sandbox {
    #[command(flatten)]
    folder: Folder,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Sandbox {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let folder = std::path::absolute(&self.folder.folder)?;
        anyhow::ensure!(folder.is_dir(), "{} is not a folder", folder.display());
        let rules = sandbox::rules(TokenConfig::load(&folder)?.as_ref());
        os::shield().context("the process can't be shielded")?;
        let enforced = sandbox::enter(&rules)?;
        let attempts = sandbox::attempts(&rules, &folder);
        let allowed = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Allowed).count();
        if self.json {
            let report =
                json!({ "landlock": enforced.landlock, "not-enforced": enforced.missing, "attempts": attempts });
            output::line(&report.to_string());
        } else {
            let width = attempts.iter().map(|attempt| attempt.what.len()).max().unwrap_or(0);
            for attempt in &attempts {
                let mark = if attempt.outcome == Outcome::Refused { "refused" } else { "ALLOWED" };
                output::line(&format!("{mark}  {:width$}  {}", attempt.what, attempt.answer));
            }
            output::line(&format!("Landlock version {}; not enforced: {enforced}", enforced.landlock));
        }
        Ok(if allowed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
