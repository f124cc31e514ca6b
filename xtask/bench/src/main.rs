//! `cargo xtask bench`: Sealcard against a local key, measured in turns in one run.

mod abuse;
mod bench;
mod cases;
mod client;
mod local;
mod log;
mod pkcs11;
mod policy;
mod processes;
mod quiet;
mod record;
mod releases;
mod report;
mod side;
mod throughput;
mod waiting;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::output;

use abuse::AbuseInstalled;
use bench::Bench;
use throughput::RawToken;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", max_term_width = 110)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    bench: Bench,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    RawToken(RawToken),
    AbuseInstalled(AbuseInstalled),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.part {
        Some(Part::RawToken(token)) => token.run(),
        Some(Part::AbuseInstalled(abuse)) => abuse.run(),
        None => arguments.bench.run(),
    };
    result.unwrap_or_else(|error| {
        output::error(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}
