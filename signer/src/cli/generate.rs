//! `sealcard-signer completions` and `man`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueHint};
use sealcard_manual::{INSTALL, Program, Shell};

const NAME: &str = "sealcard-signer";

/// Print a script that makes your shell complete this command
#[derive(Debug, Args)]
#[command(after_help = INSTALL.replace("NAME", NAME))]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual pages of this command
#[derive(Debug, Args)]
pub(super) struct ManPages {
    /// The folder to write them into
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
}

const MANUAL: Program = Program {
    environment: &[],
    files: &[
        ("/var/lib/sealcard/signer/NAME", "The signer's folder: seal, journal and keeper's key."),
        ("/var/lib/sealcard/signer/NAME/token.toml", "The signer's token, if it has one; see sealcard-token.toml(5)."),
    ],
    exit_status: "0 done, 1 failed, 2 wrong usage.",
    see_also: &["sealcard(1)", "sealcard-server(1)", "sealcard-token.toml(5)"],
};

impl Completions {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.shell.print_script(NAME).context("can't write")
    }
}

impl ManPages {
    pub(super) fn run(self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.out).with_context(|| format!("can't make {}", self.out.display()))?;
        MANUAL
            .write(super::command(), &self.out)
            .with_context(|| format!("can't write the pages into {}", self.out.display()))
    }
}
