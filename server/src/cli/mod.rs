//! The `sealcard-server` command.

mod backup;
mod config;
mod confinement;
mod create;
mod database;
mod environment;
mod first;
mod generate;
mod init;
mod installed;
mod join;
mod listen;
mod log;
mod new_log;
mod output;
mod passwords;
mod renewal;
mod seal;
mod serve;
mod setup;
mod tls;

use std::{os::unix::fs::MetadataExt as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint};

const EXAMPLES: &str = "\
First steps:
  sealcard-server setup       install the server on this machine (as root)
  sealcard-server init --trial --data ~/sealcard
                              or try Sealcard out

Then manage it from any workstation:
  sealcard login https://sign.example.org:8443 --user admin
  sealcard admin --help

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// Set up and run a Sealcard server, whose keys gpg, git, rpm and ssh use from workstations
#[derive(Debug, Parser)]
#[command(name = "sealcard-server", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(Box<setup::Setup>),
    Init(Box<init::Init>),
    Join(join::Join),
    Serve(serve::Serve),
    /// Add and list environments, the places where private keys are kept
    #[command(subcommand)]
    Environment(environment::EnvironmentCommand),
    /// Check the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Look at the database and the servers that share it
    #[command(subcommand)]
    Database(database::DatabaseCommand),
    Backup(backup::Make),
    Restore(backup::Restore),
    NewLog(new_log::NewLog),
    /// Renew or replace the server's certificate, or show the fingerprint to compare
    #[command(subcommand)]
    Tls(tls::TlsCommand),
    /// Show the version
    Version,
    Completions(generate::Completions),
    Man(generate::ManPages),
}

/// The folder with everything that the server keeps.
#[derive(Debug, Clone, Args)]
struct Data {
    /// The data folder
    #[arg(long = "data", value_name = "DIR", env = "SEALCARD_SERVER_DATA", value_hint = ValueHint::DirPath)]
    #[arg(default_value = "/var/lib/sealcard")]
    data: PathBuf,
}

impl Data {
    /// Lets root act as the owner of the folder: what is in it, the owner chose, and new files must be the owner's.
    ///
    /// # Errors
    /// If the folder can't be looked at, or the system refuses.
    fn act_as_owner(&self) -> anyhow::Result<Option<installed::Acting>> {
        let owner = std::fs::metadata(&self.data).with_context(|| self.data.display().to_string())?.uid();
        let change = nix::unistd::geteuid().is_root() && owner != 0;
        change.then(|| installed::Acting::begin_as(owner)).transpose()
    }
}

/// The definition of the command.
fn command() -> clap::Command {
    sealcard_manual::flowing(Cli::command())
}

/// Ends the process where the arguments can't be understood, or ask for help.
fn parse() -> Cli {
    let mut command = command();
    let matches = command.get_matches_mut();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    sealcard_manual::answer_shell(command);
    let outcome = match parse().command {
        Command::Setup(setup) => setup.run(),
        Command::Init(init) => init.run(),
        Command::Join(join) => join.run(),
        Command::Serve(serve) => serve.run(),
        Command::Environment(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Database(command) => command.run(),
        Command::Backup(make) => make.run(),
        Command::Restore(restore) => restore.run(),
        Command::NewLog(restore) => restore.run(),
        Command::Tls(command) => command.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        Command::Version => {
            output::line(format_args!("sealcard-server {}", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use sealcard_manual::check;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_has_a_help_text_that_fits() {
        assert_eq!(check::undocumented(&command()), Vec::<String>::new());
        for columns in [80, 60] {
            assert_eq!(check::lines_too_long(&command(), columns), Vec::<String>::new());
        }
        assert_eq!(check::examples_too_long(&command()), Vec::<String>::new());
    }
}
