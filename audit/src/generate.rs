//! `sealcard-audit completions` and `man`: made from the same definitions as the help.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueHint};
use sealcard_manual::{INSTALL, Program, Shell};

use crate::{cli, output};

const NAME: &str = "sealcard-audit";

#[derive(Debug, Args)]
#[command(after_help = INSTALL.replace("NAME", NAME))]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sealcard-audit man | man -l -")]
pub(crate) struct Man {
    /// Write a page for each command into this folder, instead of the first page to standard output
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
}

const PROGRAM: Program = Program {
    environment: &[("NO_COLOR", "If it is set, nothing is colored.")],
    files: &[],
    exit_status: "0 all is well, 1 it could not be checked, 2 wrong usage, 3 something is wrong with the log.",
    see_also: &["sealcard(1)", "sealcard-server(1)"],
};

impl Completions {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        self.shell.print_script(NAME).context("can't write")
    }
}

impl Man {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        if let Some(folder) = &self.out {
            std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
            return PROGRAM
                .write(cli::command(), folder)
                .with_context(|| format!("can't write the pages into {}", folder.display()));
        }
        match PROGRAM.pages(cli::command()).into_iter().next() {
            Some((_, page)) => output::bytes(page.as_bytes()).context("can't write"),
            None => Ok(()),
        }
    }
}
