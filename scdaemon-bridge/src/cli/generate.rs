//! `sealcard completions` and `sealcard man`: made from the same definitions as the help.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealcard completions bash > ~/.local/share/bash-completion/completions/sealcard
  sealcard completions zsh > ~/.zfunc/_sealcard
  sealcard completions fish > ~/.config/fish/completions/sealcard.fish")]
pub(super) struct CompletionArguments {
    /// For this shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sealcard man | man -l -")]
pub(super) struct ManArguments {
    /// Write a page for each command into this folder, instead of the first page to standard output
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
}

pub(super) fn completions(arguments: &CompletionArguments) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "sealcard", &mut script);
    write(&script)
}

pub(super) fn man(arguments: &ManArguments) -> anyhow::Result<()> {
    let command = super::Arguments::command();
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        return clap_mangen::generate_to(command, folder)
            .with_context(|| format!("can't write the pages into {}", folder.display()));
    }
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    write(&page)
}

fn write(content: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(content) {
        // `| head` is no error of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("can't write"),
        _ => Ok(()),
    }
}
