//! The command `sealcard-signer`.

mod envelope_key;
mod generate;
mod init;
mod init_token;
mod journal;
mod keeper_key;
mod listen;
mod output;
mod passphrase;
mod probe;
mod rekey;
mod reseal;
mod sandbox;
mod seal_options;
mod unseal;

use std::{os::fd::RawFd, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint};

use crate::log::{self, Level};

const EXAMPLES: &str = "\
Examples:
  sealcard-signer unseal --folder /var/lib/sealcard/signer/default
      gives a key store its passphrase after a start
  sealcard-signer envelope-key --folder /var/lib/sealcard/signer/default
      shows the fingerprint that `sealcard admin key import` asks for
  sealcard-signer probe --folder /var/lib/sealcard/signer/hsm
      shows what a token can do

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// Keep signing keys for a Sealcard server: open them, look at them, check their journal
///
/// The server starts this program (`serve`) and sends requests over a socket that only the two share. Run it yourself
/// to unseal a key store that is sealed with a passphrase, and to check its journal.
#[derive(Debug, Parser)]
#[command(name = "sealcard-signer", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    InitToken(init_token::InitToken),
    Serve(Serve),
    Listen(listen::Listen),
    #[command(hide = true)]
    Worker(Folder),
    Unseal(unseal::Unseal),
    Reseal(reseal::Reseal),
    Rekey(rekey::Rekey),
    EnvelopeKey(envelope_key::EnvelopeKey),
    KeeperKey(keeper_key::KeeperKey),
    Probe(probe::Probe),
    #[command(subcommand)]
    Journal(journal::Journal),
    Sandbox(sandbox::Sandbox),
    Completions(generate::Completions),
    Man(generate::ManPages),
}

/// The folder that holds seal and journal.
#[derive(Debug, Args)]
struct Folder {
    /// The signer's folder, such as /var/lib/sealcard/signer/default
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
}

/// Serve a server over an inherited socket (the server runs this)
///
/// Keeps the secret that opens the keys, and starts another process (`worker`) that uses them. Ends when the server
/// closes the socket. Ignores signals other than KILL. Logs go to standard error, one line for each event.
#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    folder: Folder,
    /// The number of the inherited file descriptor
    #[arg(long, value_name = "FD", default_value_t = 3)]
    socket_fd: RawFd,
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
        Command::Serve(serve) => return run_process(|| crate::keeper::serve(&serve.folder.folder, serve.socket_fd)),
        Command::Worker(folder) => return run_process(|| crate::worker::run(&folder.folder)),
        Command::Init(init) => init.run(),
        Command::InitToken(init) => init.run(),
        Command::Sandbox(sandbox) => match sandbox.run() {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Listen(listen) => listen.run(),
        Command::Unseal(unseal) => unseal.run(),
        Command::Reseal(reseal) => reseal.run(),
        Command::Rekey(rekey) => rekey.run(),
        Command::EnvelopeKey(key) => key.run(),
        Command::KeeperKey(key) => key.run(),
        Command::Probe(probe) => probe.run(),
        Command::Journal(journal) => journal.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(pages) => pages.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&format!("sealcard-signer: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run_process<E: std::error::Error>(run: impl FnOnce() -> Result<(), E>) -> ExitCode {
    // A panic's text could hold anything, so only its place is logged.
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        log::event(Level::Error, "panic", &[("at", &place)]);
    }));
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::event(Level::Error, "failed", &[("why", &log::Chain(&error))]);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use sealcard_manual::check;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
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
