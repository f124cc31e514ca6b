//! The project's own commands: `cargo xtask COMMAND`.

mod chroot;
mod commands;
mod kryoptic;
mod zig;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::output;

/// The project's own commands. Each installs what it needs and is missing (Debian; as root or through sudo).
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(commands::demo::Demo),
    Dist(commands::dist::Dist),
    DistDocs(commands::dist_docs::DistDocs),
    Test(commands::test::Test),
    Bench(commands::bench::Bench),
    Cross(commands::cross::Cross),
    Fuzz(commands::fuzz::Fuzz),
    Playground(commands::playground::Playground),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(demo) => demo.run(),
        Command::Dist(dist) => dist.run(),
        Command::DistDocs(docs) => docs.run(),
        Command::Test(test) => test.run(),
        Command::Bench(bench) => bench.run(),
        Command::Cross(cross) => cross.run(),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::Playground(playground) => playground.run(),
    };
    result.unwrap_or_else(|error| {
        output::error(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}
