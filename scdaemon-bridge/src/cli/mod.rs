//! The `sealcard` command: what a person does on a workstation, and administration.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. `status` has codes of its own, which its help names.

mod admin;
mod ask;
mod doctor;
mod error;
mod keys;
mod last;
mod login;
mod logout;
mod output;
mod setup;
mod status;
mod sync;
mod trust;
mod when;

use std::process::ExitCode;

use clap::{
    Parser, Subcommand,
    builder::styling::{AnsiColor, Styles},
};

use crate::{config::Paths, gpg::Gnupg, remote::Remote};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
First steps:
  sealcard login https://sealcard.example.org:8443 --setup
                              log in, tell gpg about Sealcard, fetch your keys
  sealcard keys               show the keys that you may use
  git config user.signingkey FINGERPRINT
  git tag -s v1.0             sign as always

When something does not work:
  sealcard last               why the last signature was refused
  sealcard doctor             look at every link from gpg to the server

Exit codes: 0 done, 1 failed, 2 wrong usage (`status` has its own).";

/// Sign with keys that never leave the Sealcard server. gpg, git, rpm and ssh use them like a smart card.
#[derive(Debug, Parser)]
#[command(name = "sealcard", version, styles = STYLES, after_help = EXAMPLES, max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Log in to a server; with --setup, everything up to the first signature
    Login(login::Arguments),
    /// Give the grant back and forget it
    Logout(logout::Arguments),
    /// Who is logged in where, and until when
    Status(status::Arguments),
    /// Look at the server's certificate, and trust a new one after a renewal
    Trust(trust::Arguments),
    /// The keys that you may use
    Keys(keys::Arguments),
    /// Fetch your keys from the server and make gpg know them
    Sync(sync::Arguments),
    /// Make gpg use Sealcard's cards, or undo that
    Setup(setup::Arguments),
    /// Look at every link from gpg to the server and say what to do
    Doctor(doctor::Arguments),
    /// Why the last signature, login or decryption with a card failed
    Last(last::Arguments),
    /// Manage users, projects, keys and the record
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Admin(Box<admin::Arguments>),
}

/// Where things are, for every command.
struct App {
    paths: Paths,
    gnupg: Gnupg,
    remote: Remote,
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            error::show(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let paths = Paths::for_person()?;
    let remote = Remote::open(&paths)?;
    let app = App { paths, gnupg: Gnupg::of_environment()?, remote };
    let result = runtime.block_on(async {
        // Boxed: the commands together are large, and each is awaited once.
        let result = Box::pin(dispatch(&app, command)).await;
        app.remote.settle().await;
        result
    });
    // A keyring that still waits for its password must not keep the command.
    runtime.shutdown_background();
    result
}

async fn dispatch(app: &App, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Login(arguments) => login::run(app, arguments).await.map(done),
        Command::Logout(arguments) => logout::run(app, arguments).await.map(done),
        Command::Status(arguments) => status::run(app, arguments).await,
        Command::Trust(arguments) => trust::run(app, arguments).await.map(done),
        Command::Keys(arguments) => keys::run(app, arguments).await.map(done),
        Command::Sync(arguments) => sync::run(app, arguments).await.map(done),
        Command::Setup(arguments) => setup::run(app, arguments).await.map(done),
        Command::Doctor(arguments) => doctor::run(app, arguments).await,
        Command::Last(arguments) => last::run(app, &arguments).map(done),
        Command::Admin(arguments) => admin::run(app, *arguments).await,
    }
}

const fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_has_a_help_text() {
        fn look(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no help");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {} has no help", argument.get_id());
            }
            for below in command.get_subcommands() {
                look(below, &path);
            }
        }
        look(&Arguments::command(), "");
    }
}
