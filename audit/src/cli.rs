//! The command line.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint};

use crate::{
    consistency, follow, generate, output,
    source::{Access, Source},
    verify, witness,
};

/// The exit code if something is wrong with a log.
pub(crate) const FINDING: u8 = 3;

const EXAMPLES: &str = "\
Examples:
  sealcard-audit verify /srv/log --policy trusted.tlog-policy
  sealcard-audit follow https://sign.example.org:8443/v1/log \\
    --policy trusted.tlog-policy --state log.state

Exit codes: 0 all is well, 1 it could not be checked, 2 wrong usage, 3 something is wrong with the log.";

/// Verify, compare and follow the log of a Sealcard record, without trusting the server
#[derive(Debug, Parser)]
#[command(name = "sealcard-audit", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify the whole log
    Verify(verify::Arguments),
    /// Check that the log only grew from one checkpoint to another
    Consistency(consistency::Arguments),
    /// Watch a log, and raise an alarm if it went back or was rewritten
    Follow(follow::Arguments),
    /// Cosign logs that only grow
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Witness(witness::Arguments),
    /// Print a script that makes your shell complete this command
    Completions(generate::Completions),
    /// Print the manual page, or write all of them
    Man(generate::Man),
}

/// A log, and who is trusted with it.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// The folder or URL of the log
    #[arg(value_name = "LOG", value_hint = ValueHint::DirPath)]
    log: String,
    /// Trust the logs and witnesses of this policy (C2SP's tlog-policy)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

impl Log {
    pub(crate) fn open(&self) -> anyhow::Result<Source> {
        Source::open(&self.log, &self.access)
    }

    pub(crate) fn policy(&self) -> Option<&Path> {
        self.policy.as_deref()
    }

    /// Whether the server is asked as somebody who may read the entries.
    pub(crate) const fn has_grant(&self) -> bool {
        self.access.grant.is_some()
    }

    pub(crate) fn place(&self) -> &str {
        &self.log
    }
}

/// The definition of the command, for help, manual pages and completion.
pub(crate) fn command() -> clap::Command {
    sealcard_manual::flowing(Arguments::command())
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    sealcard_manual::answer_shell(command);
    let mut command = command();
    let matches = command.get_matches_mut();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit());
    run(&arguments.command).unwrap_or_else(|error| {
        output::error(&error);
        ExitCode::FAILURE
    })
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Verify(arguments) => runtime.block_on(verify::run(arguments)),
        Command::Consistency(arguments) => runtime.block_on(consistency::run(arguments)),
        Command::Follow(arguments) => runtime.block_on(follow::run(arguments)),
        Command::Witness(arguments) => runtime.block_on(witness::run(arguments)),
        Command::Completions(arguments) => arguments.run().map(done),
        Command::Man(arguments) => arguments.run().map(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_well_formed() {
        command().debug_assert();
    }
}
