//! `sealcard-server completions` and `man`, for the server and the signer.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;
use sealcard_manual::Program as Manual;

/// Print a script that makes your shell complete this command
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
    /// The command to complete
    #[arg(long, value_enum, default_value_t = Program::Server)]
    of: Program,
}

/// Write the manual pages of the server and the signer
#[derive(Debug, Args)]
pub(super) struct ManPages {
    /// The folder to write them into
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

const MANUAL: Manual = Manual {
    environment: &[],
    files: &[
        ("/var/lib/sealcard", "The data folder: database, certificates and, below signer/, the folder of each signer."),
        ("/var/lib/sealcard/server.toml", "The server's configuration; see sealcard-server.toml(5)."),
        ("/var/lib/sealcard/signer/NAME/token.toml", "The signer's token, if it has one; see sealcard-token.toml(5)."),
    ],
    exit_status: "0 done, 1 failed, 2 wrong usage.",
    see_also: &["sealcard(1)", "sealcard-server.toml(5)", "sealcard-token.toml(5)"],
};

/// A program that this one describes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Program {
    Server,
    Signer,
}

impl Program {
    fn command(self) -> clap::Command {
        match self {
            Self::Server => super::Cli::command(),
            Self::Signer => sealcard_signer::cli::command(),
        }
    }
}

impl Completions {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut command = self.of.command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        io::stdout().write_all(&script).context("can't write")
    }
}

impl ManPages {
    pub(super) fn run(self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.out).with_context(|| format!("can't make {}", self.out.display()))?;
        for program in [Program::Server, Program::Signer] {
            MANUAL
                .write(program.command(), &self.out)
                .with_context(|| format!("can't write the pages into {}", self.out.display()))?;
        }
        Ok(())
    }
}
