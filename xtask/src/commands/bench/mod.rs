//! `cargo xtask bench`: Sealcard against a local key, measured interleaved in one run.

mod cases;
mod local;
mod processes;
mod quiet;
mod report;

use std::{process::ExitCode, sync::mpsc};

use anyhow::{Result, bail};
use clap::Args;
use sealcard_tests::PlaygroundBuilder;

use self::{cases::Contest, local::LocalKeys, report::Report};
use crate::{cargo, interrupts, output, packages};

/// Measure Sealcard against a local key
///
/// Measures optimized programs: `gpg --detach-sign` and `git tag -s` with a local key and through Sealcard, turn by turn,
/// so that a slow spell of the machine hits both alike; eight gpg at once; start-up time and memory. Prints medians and
/// writes target/bench/results.json. Quote ratios: the times of two machines do not compare.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Few repetitions: good enough to see whether it works
    #[arg(long)]
    quick: bool,
    /// Measures only what has this in its name
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        packages::ensure(packages::DEMO)?;
        output::step("building optimized programs");
        let binaries = cargo::build(true)?;
        let (sender, interrupted) = mpsc::channel();
        interrupts::hold(sender, |signal| signal)?;
        let check = || match interrupted.try_recv() {
            Ok(signal) => bail!("stopped by signal {signal}"),
            Err(_) => Ok(()),
        };

        output::step("starting a server and a workstation");
        let playground = PlaygroundBuilder::new(binaries).note(output::note).start()?;
        let wanted = |name: &str| name.contains(&self.filter);
        let mut report = Report::default();
        processes::idle_memory(&playground, &wanted, &mut report)?;
        processes::start_up(&playground, &wanted, if self.quick { 10 } else { 50 }, &mut report)?;

        output::step("making local keys of the same algorithms");
        let local = LocalKeys::make(&playground, &cases::ALGORITHMS)?;
        let contest = Contest { playground: &playground, local: &local, check: &check };
        quiet::wait()?;
        output::step("signing in turns");
        contest.latency(&wanted, if self.quick { 5 } else { 40 }, &mut report)?;
        output::step("signing with 8 gpg at once, in turns");
        contest.parallel(&wanted, if self.quick { (1, 16) } else { (5, 80) }, &mut report)?;
        processes::scdaemon_memory(&playground, &wanted, &mut report)?;

        report.print();
        let file = cargo::target()?.join("bench").join("results.json");
        report.write(&file)?;
        output::note(&format!("written to {}", file.display()));
        Ok(ExitCode::SUCCESS)
    }
}
