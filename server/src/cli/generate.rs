//! `sealcard-server completions` and `man`, for the server and the signer.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

/// Print what makes a shell complete this command
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// For this shell
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
            clap_mangen::generate_to(program.command(), &self.out)
                .with_context(|| format!("can't write the pages into {}", self.out.display()))?;
        }
        Ok(())
    }
}
