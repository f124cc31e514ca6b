//! `sealcard-signer probe`.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, bail};
use clap::Args;
use sealcard_signer_protocol::{AlgorithmReport, TokenReport};

use super::{Folder, output};
use crate::{
    os,
    pkcs11::{
        Token,
        config::{TOKEN_FILE, TokenConfig},
    },
    sandbox,
};

/// Show what a token is and what it can do
///
/// Loads the module of the folder's token.toml and asks it for token, firmware, limits and mechanisms. Needs no PIN and
/// uses no key. Warns about what an administrator should correct.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sealcard-signer probe --folder /var/lib/sealcard/signer/hsm")]
pub(super) struct Probe {
    #[command(flatten)]
    folder: Folder,
    /// Print the whole report, all mechanisms included, as JSON
    #[arg(long)]
    json: bool,
    /// Set by the command itself, once its environment is the module's
    #[arg(long, hide = true)]
    environment_is_set: bool,
}

impl Probe {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = &self.folder.folder;
        let config = TokenConfig::load(folder)?
            .with_context(|| format!("{} has no {TOKEN_FILE}: it is not the folder of a token", folder.display()))?;
        if !self.environment_is_set {
            return self.again(&config);
        }
        // As the worker is: a module that lacks something there must show it here.
        os::shield().context("the process can't be shielded")?;
        sandbox::enter(&sandbox::rules(Some(&config)))?;
        let token = Token::open(&config, |timed_out| {
            output::error(&format!(
                "sealcard-signer: {} took longer than {} s",
                timed_out.what,
                timed_out.deadline.as_secs()
            ));
            // The module hangs; nothing else ends it.
            std::process::abort();
        })?;
        let report = token.probe()?;
        if self.json {
            output::line(&serde_json::to_string_pretty(&report)?);
        } else {
            print(&report);
        }
        Ok(())
    }

    /// Runs the command again, with the environment that the module will have. There is no safe way to change one's
    /// own.
    fn again(&self, config: &TokenConfig) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe().context("this program's own file can't be found")?);
        command.args(["probe", "--environment-is-set", "--folder"]).arg(&self.folder.folder);
        if self.json {
            command.arg("--json");
        }
        let error = command.env_clear().envs(&config.sandbox.environment).exec();
        bail!("the command can't be run again with the module's environment: {error}")
    }
}

fn print(report: &TokenReport) {
    let sessions = match (report.sessions, report.max_sessions) {
        (Some(open), Some(max)) => format!("{open} of {max} open"),
        (Some(open), None) => format!("{open} open, limit unknown"),
        (None, Some(max)) => format!("{max} at most"),
        (None, None) => "not told".to_owned(),
    };
    for (name, value) in [
        ("token", report.label.as_str()),
        ("serial", &report.serial),
        ("model", &format!("{} ({})", report.model, report.manufacturer)),
        ("versions", &format!("hardware {}, firmware {}", report.hardware, report.firmware)),
        ("module", &report.module),
        ("library", &format!("{}, Cryptoki {}", report.library, report.cryptoki)),
        ("sessions", &sessions),
        ("PIN", &format!("{} to {} characters", report.min_pin, report.max_pin)),
        ("mechanisms", &format!("{} (--json lists them)", report.mechanisms.len())),
    ] {
        output::line(&format!("{name:<12}{value}"));
    }
    output::line("algorithms");
    for algorithm in &report.algorithms {
        output::line(&format!("  {}", line(algorithm)));
    }
    for warning in &report.warnings {
        output::line(&format!("warning: {warning}"));
    }
}

fn line(report: &AlgorithmReport) -> String {
    let can: Vec<&str> = [(report.sign, "sign"), (report.decrypt, "decrypt"), (report.generate, "make keys")]
        .into_iter()
        .filter_map(|(can, what)| can.then_some(what))
        .collect();
    let mut text =
        format!("{:<10}{}", report.algorithm.name(), if can.is_empty() { "no".to_owned() } else { can.join(", ") });
    if !report.missing.is_empty() {
        text.push_str(&format!("; lacks {}", report.missing.join("; ")));
    }
    text
}
