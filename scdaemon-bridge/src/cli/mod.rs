//! The `sealcard` command: what a person does on a workstation, and administration.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. `status`, `sign`, `verify` and `break-glass` have codes of their own,
//! which their help names.

mod admin;
mod approvals;
mod ask;
mod bundle;
mod can;
mod certificates;
mod complete;
mod doctor;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod documented;
mod error;
mod generate;
mod grants;
mod justify;
mod keys;
mod last;
mod login;
mod logout;
mod machine;
mod output;
mod ownertrust;
mod pages;
mod passwd;
mod progress;
mod proxy;
mod receipt;
mod reset;
mod secret_file;
mod selection;
mod settoken;
mod setup;
mod sign;
mod ssh;
mod status;
mod sync;
mod table;
mod trace;
mod trust;
mod verify;
mod version;
mod when;

use std::process::ExitCode;

use clap::{
    FromArgMatches as _, Parser, Subcommand,
    builder::styling::{AnsiColor, Styles},
};
use sealcard_api::context::UseContext;
use tokio::task::JoinHandle;

use crate::{
    claims::Claims,
    config::{Config, ConfigError, Paths, Trust, files},
    gpg::Gnupg,
    local_time,
    remote::{Anonymous, Remote, RemoteError, Route, ServerUrl},
    trace::Trace,
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
First steps:
  sealcard login https://sealcard.example.org:8443 --setup
                              log in, tell gpg about Sealcard, fetch your keys
  sealcard keys               list the keys that you can use
  sealcard setup --git --trust
                              make git sign with your key
  git tag -s v1.0             sign as always

When a signature waits for people:
  sealcard status --waiting   who can approve it, and how long it waits
  sealcard requests --mine    what you can approve

When something does not work:
  sealcard last               show why signing failed
  sealcard doctor             check all links to the server

Exit codes: 0 done, 1 failed, 2 wrong usage (`status`, `sign` and `verify` have their own).";

/// Sign with keys that never leave the Sealcard server. gpg, git, rpm and ssh use them like a smart card.
#[derive(Debug, Parser)]
#[command(name = "sealcard", version, styles = STYLES, after_help = EXAMPLES, max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = false)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Show tables in full, wider than the terminal if they must be
    #[arg(long, global = true)]
    wide: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Log in to a server; with --setup, everything up to the first signature
    Login(Box<login::Arguments>),
    /// Log in with a service account's token or a grant, without a question
    Settoken(settoken::Arguments),
    /// Change your password
    Passwd(passwd::Arguments),
    /// Log out
    Logout(logout::Arguments),
    /// List your logins on all machines, and end some
    Grants(grants::Arguments),
    /// Show who is logged in where, until when, and what ends soon
    Status(status::Arguments),
    /// Look at the server's certificate, and trust a new one after a renewal
    Trust(trust::Arguments),
    /// Show or choose the HTTP proxy for connections to the server
    Proxy(proxy::Arguments),
    /// List the keys that you can use
    Keys(keys::Arguments),
    /// Fetch your keys from the server and add them to gpg
    Sync(sync::Arguments),
    /// Undo sync: remove your keys from gpg
    Unsync(sync::undo::Arguments),
    /// Set gpg up to use Sealcard's cards, or undo that
    Setup(setup::Arguments),
    /// Show or choose the keys that are offered to ssh
    Ssh(ssh::Arguments),
    /// Say whether you may use a key now, and what is missing
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Can(can::Arguments),
    /// Sign files without gpg
    Sign(sign::Arguments),
    /// Say why you sign, for all that is signed in the next time
    Justify(justify::Arguments),
    /// List what waits for an approval, and show one
    Requests(approvals::requests::Arguments),
    /// Approve what waits
    Approve(approvals::decide::ApproveArguments),
    /// Reject what waits
    Reject(approvals::decide::RejectArguments),
    /// Ask for uses of a key in advance; list such pre-approvals, end one
    Preapprove(Box<approvals::advance::PreapproveArguments>),
    /// Ask for the use of a key in an emergency
    BreakGlass(Box<approvals::advance::BreakGlassArguments>),
    /// Verify signatures of files without gpg
    Verify(verify::Arguments),
    /// Prove that a signature is in the server's record
    Receipt(receipt::Arguments),
    /// Check every link from gpg to the server and say what to do
    Doctor(doctor::Arguments),
    /// Show what the last operation was and why it failed
    Last(last::Arguments),
    /// Log what the scdaemon and this command do
    Trace(trace::Arguments),
    /// Show the versions of this program, of the server and of gpg
    Version(version::Arguments),
    /// Return to a fresh workstation: log out and undo setup and sync
    Reset(reset::Arguments),
    /// Manage users, projects, keys and the record
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Admin(Box<admin::Arguments>),
    /// Print a script that makes your shell complete this command
    Completions(generate::CompletionArguments),
    /// Print the manual page, or write all of them
    Man(generate::ManArguments),
}

/// Where things are, for every command.
struct App {
    paths: Paths,
    gnupg: Gnupg,
    remote: Remote,
    claims: Claims,
}

impl App {
    /// Begins to find out what to say of the uses that this command asks for.
    fn begin_claims(&self) -> JoinHandle<UseContext> {
        tokio::spawn(self.claims.clone().of_this_process())
    }

    /// The way to a server.
    fn route(&self, server: &ServerUrl) -> Result<Route, ConfigError> {
        Route::to(server.clone(), &self.paths)
    }

    /// A client for what needs no grant.
    fn anonymous(&self, config: &Config) -> Result<Anonymous, RemoteError> {
        let server: ServerUrl =
            config.server.parse().map_err(|error| ConfigError::invalid(self.paths.config_file(), error))?;
        let paths = self.paths.in_use();
        let authorities = match config.trust {
            Trust::CaFile {} => files::read(&paths.ca_file())?,
            _ => None,
        };
        Anonymous::new(Route::to(server, &paths)?, &config.trust, authorities.as_deref())
    }

    fn trace(&self) -> Trace {
        Trace::of(&self.paths)
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    complete::answer_shell();
    let arguments = parse();
    if arguments.wide {
        output::use_full_width();
    }
    let result = match arguments.command {
        // These need no home folder and no configuration: packages are built with them.
        Command::Completions(arguments) => generate::completions(&arguments).map(done),
        Command::Man(arguments) => generate::man(&arguments).map(done),
        command => run(command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            error::show(&error);
            ExitCode::FAILURE
        }
    }
}

/// Ends the process where the arguments can't be understood, or ask for help.
fn parse() -> Arguments {
    let mut command = complete::command();
    let matches = command.get_matches_mut();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let paths = Paths::for_person()?;
    let remote = Remote::open(&paths)?;
    let claims = Claims::new(Some(paths.clone()));
    let app = App { paths, gnupg: Gnupg::of_environment()?, remote, claims };
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
        Command::Settoken(arguments) => settoken::run(app, arguments).await.map(done),
        Command::Login(arguments) => login::run(app, *arguments).await.map(done),
        Command::Passwd(arguments) => passwd::run(app, &arguments).await.map(done),
        Command::Logout(arguments) => logout::run(app, arguments).await.map(done),
        Command::Grants(arguments) => grants::run(app, arguments).await.map(done),
        Command::Status(arguments) => status::run(app, arguments).await,
        Command::Trust(arguments) => trust::run(app, arguments).await.map(done),
        Command::Proxy(arguments) => proxy::run(app, arguments).await.map(done),
        Command::Keys(arguments) => keys::run(app, arguments).await.map(done),
        Command::Can(arguments) => can::run(app, arguments).await,
        Command::Sync(arguments) => sync::run(app, arguments).await.map(done),
        Command::Unsync(arguments) => sync::undo::run(app, &arguments).map(done),
        Command::Setup(arguments) => setup::run(app, arguments).await.map(done),
        Command::Ssh(arguments) => ssh::run(app, arguments).map(done),
        Command::Sign(arguments) => sign::run(app, arguments).await,
        Command::Justify(arguments) => justify::run(app, &arguments).map(done),
        Command::Requests(arguments) => approvals::requests::run(app, arguments).await.map(done),
        Command::Approve(arguments) => approvals::decide::approve(app, arguments).await.map(done),
        Command::Reject(arguments) => approvals::decide::reject(app, arguments).await.map(done),
        Command::Preapprove(arguments) => approvals::advance::preapprove(app, *arguments).await.map(done),
        Command::BreakGlass(arguments) => approvals::advance::break_glass(app, *arguments).await,
        Command::Receipt(arguments) => receipt::run(app, arguments).await,
        Command::Verify(arguments) => verify::run(app, &arguments),
        Command::Doctor(arguments) => doctor::run(app, arguments).await,
        Command::Last(arguments) => last::run(app, &arguments).map(done),
        Command::Trace(arguments) => trace::run(app, &arguments).map(done),
        Command::Version(arguments) => version::run(app, arguments).await.map(done),
        Command::Reset(arguments) => reset::run(app, arguments).await.map(done),
        Command::Admin(arguments) => admin::run(app, *arguments).await,
        Command::Completions(arguments) => generate::completions(&arguments).map(done),
        Command::Man(arguments) => generate::man(&arguments).map(done),
    }
}

const fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Arguments::command().debug_assert();
    }
}
