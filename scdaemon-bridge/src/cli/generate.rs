//! `sealcard completions` and `sealcard man`: made from the same definitions as the help.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum, ValueHint};
use clap_complete::env::Shells;
use sealcard_manual::Program;

use super::complete;

#[derive(Debug, Args)]
#[command(after_help = "\
The script asks this command at each Tab, so that the names of your keys, projects and users are completed too. Packages
bring the script.

Examples:
  mkdir -p ~/.local/share/bash-completion/completions
  sealcard completions bash \\
    > ~/.local/share/bash-completion/completions/sealcard
  sealcard completions zsh > ~/.zfunc/_sealcard
  sealcard completions fish > ~/.config/fish/completions/sealcard.fish")]
pub(super) struct CompletionArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl Shell {
    const fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Elvish => "elvish",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
            Self::Zsh => "zsh",
        }
    }
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

/// Zsh loads the script at the first Tab, and then waits for an answer to that Tab.
const ZSH_FIRST_TAB: &str = "[[ ${funcstack[1]} == _sealcard ]] && _clap_dynamic_completer_sealcard\n";

pub(super) fn completions(arguments: &CompletionArguments) -> anyhow::Result<()> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(arguments.shell.name()) else {
        bail!("there is no completion for {}", arguments.shell.name());
    };
    shell.write_registration("COMPLETE", NAME, NAME, NAME, &mut script)?;
    if arguments.shell == Shell::Zsh {
        script.extend_from_slice(ZSH_FIRST_TAB.as_bytes());
    }
    write(&script)
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
