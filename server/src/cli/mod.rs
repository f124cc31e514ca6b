//! The `sealcard-server` command.

mod config;
mod database;
mod environment;
pub mod files;
mod generate;
mod init;
mod join;
mod listen;
mod log;
mod output;
mod passwords;
mod renewal;
mod seal;
mod serve;
mod tls;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// The Sealcard server: signing keys behind a policy server, usable by an unchanged GnuPG
#[derive(Debug, Parser)]
#[command(name = "sealcard-server", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(Box<init::Init>),
    Join(join::Join),
    Serve(serve::Serve),
    /// Manage the places where keys are kept
    #[command(subcommand)]
    Environment(environment::EnvironmentCommand),
    /// Check the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Manage the server's certificate
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
    #[arg(long = "data", value_name = "DIR", env = "SEALCARD_SERVER_DATA", default_value = "/var/lib/sealcard")]
    data: PathBuf,
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Init(init) => init.run(),
        Command::Join(join) => join.run(),
        Command::Serve(serve) => serve.run(),
        Command::Environment(command) => command.run(),
        Command::Config(command) => command.run(),
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
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
