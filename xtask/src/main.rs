//! The project's own commands: `cargo xtask COMMAND`.

mod cargo;
mod chroot;
mod commands;
mod interrupts;
mod output;
mod packages;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands. Each installs what it needs and is missing (Debian; as root or through sudo).
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the whole way once, step by step: from an empty folder to a signed and verified git tag
    Demo(commands::demo::Demo),
    /// Runs every check: format, lints, unit, crate and end-to-end tests, documentation
    Test(commands::test::Test),
    /// Measures Sealcard against a local key, interleaved in one run
    Bench(commands::bench::Bench),
    /// Fuzzes the parsers of outside bytes
    Fuzz(commands::fuzz::Fuzz),
    /// Starts a server with a user, a project and keys, and runs a command against it
    Playground(commands::playground::Playground),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(demo) => demo.run(),
        Command::Test(test) => test.run(),
        Command::Bench(bench) => bench.run(),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::Playground(playground) => playground.run(),
    };
    result.unwrap_or_else(|error| {
        output::error(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}
