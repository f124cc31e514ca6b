//! `sealcard completions` and `sealcard man`: made from the same definitions as the help.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use sealcard_manual::{INSTALL, Program, Shell};

use super::complete;

#[derive(Debug, Args)]
#[command(after_help = INSTALL.replace("NAME", NAME))]
pub(super) struct CompletionArguments {
    /// The shell
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

const NAME: &str = "sealcard";

const PROGRAM: Program = Program {
    environment: &[
        ("GNUPGHOME", "The GnuPG home whose gpg-agent uses the cards."),
        ("SEALCARD_CONFIG_FOLDER", "The folder with configuration and login, instead of ~/.config/sealcard."),
        (
            "SEALCARD_STATE_FOLDER",
            "The folder with the list of cards and the logs, instead of ~/.local/state/sealcard.",
        ),
        ("NO_COLOR", "If it is set, nothing is colored."),
    ],
    files: &[
        ("~/.config/sealcard/config.toml", "The server and how it is trusted."),
        ("~/.config/sealcard/grant", "The login (mode 0600), unless a keyring keeps it."),
        ("~/.config/sealcard/proxy.toml", "The HTTP proxy (mode 0600)."),
        ("~/.local/state/sealcard/cards.json", "Your keys, as the last sync fetched them."),
        ("~/.local/state/sealcard/trace.log", "The log of sealcard trace."),
        ("/etc/sealcard/config.toml", "The server of a login for the whole machine."),
    ],
    exit_status: "0 done, 1 failed, 2 wrong usage.",
    see_also: &["sealcard-scdaemon(1)", "gpg(1)", "gpg-agent(1)"],
};

pub(super) fn completions(arguments: &CompletionArguments) -> anyhow::Result<()> {
    arguments.shell.print_script(NAME).context("can't write")
}

pub(super) fn man(arguments: &ManArguments) -> anyhow::Result<()> {
    let command = complete::command();
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        return PROGRAM
            .write(command, folder)
            .with_context(|| format!("can't write the pages into {}", folder.display()));
    }
    match PROGRAM.pages(command).into_iter().next() {
        Some((_, page)) => write(page.as_bytes()),
        None => Ok(()),
    }
}

fn write(content: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(content) {
        // `| head` is no error of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("can't write"),
        _ => Ok(()),
    }
}
