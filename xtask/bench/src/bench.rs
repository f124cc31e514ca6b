//! Sealcard against a local key, measured in turns.

use std::{path::PathBuf, process::ExitCode, sync::mpsc};

use anyhow::{Context, Result, bail};
use clap::Args;
use sealcard_tests::{Algorithm, Binaries, DatabaseKind, Playground, PlaygroundBuilder};

use xtask::{cargo, interrupts, output, packages};

use crate::{
    abuse::Abuse,
    cases::{ALGORITHMS, Case, Contest},
    local::{LocalKeys, Shape},
    log,
    pkcs11::{self, Pkcs11Key},
    policy, processes, quiet, record, releases,
    report::Report,
    side::{Person, Task},
    throughput::Throughput,
    waiting,
};

const LOCAL_KEY: &str = "local key";
const PKCS11: &str = "pkcs11-scd";

/// Measure Sealcard against a local key and gnupg-pkcs11-scd
///
/// Measures optimized programs: `gpg --detach-sign`, `git tag -s`, `rpmsign` of 20 packages and a rebase of 200 commits
/// with a local key and through Sealcard, turn by turn, so that a slow spell of the machine hits both alike; the same
/// with gnupg-pkcs11-scd and SoftHSM2, and with another database; eight gpg at once; 8 and 128 clients over HTTPS
/// beside the cryptographic library alone, and beside a token of SoftHSM alone; rules, and 1,000 uses that wait for
/// approval; start-up time and memory; and how four clients fare while another party abuses the server (--filter
/// abuse). Only when asked for, since they take minutes: the memory that `record verify` takes over two million entries
/// (--filter record), and a log of ten million entries beside one of ten thousand (--filter log; 25 GB of the temporary
/// folder's disk). Prints medians and writes target/bench/results.json. Quote ratios: the times of two machines do
/// not compare.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Few repetitions: good enough to see whether it works
    #[arg(long)]
    quick: bool,
    /// Measures only what has this in its name
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Where the server keeps its data (comma-separated: sqlite, postgres). All is measured on the first; the others
    /// are compared with it
    #[arg(long, value_name = "DATABASES", value_delimiter = ',', default_value = "sqlite,postgres")]
    database: Vec<DatabaseKind>,
    /// Compares with the programs of another release in this folder, and nothing else: signatures of 128 clients, in
    /// turns
    #[arg(long, value_name = "DIR")]
    beside: Option<PathBuf>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let only_abuse = self.filter.starts_with(Abuse::PREFIX);
        if !only_abuse {
            packages::ensure(&[packages::DEMO, packages::BENCH, pkcs11::PACKAGES].concat())?;
        }
        if !only_abuse && self.database.contains(&DatabaseKind::Postgres) {
            packages::ensure(packages::POSTGRES)?;
        }
        output::step("building optimized programs");
        let binaries = cargo::build(true)?;
        let (sender, interrupted) = mpsc::channel();
        interrupts::hold(sender, |signal| signal)?;
        let check = || match interrupted.try_recv() {
            Ok(signal) => bail!("stopped by signal {signal}"),
            Err(_) => Ok(()),
        };
        let wanted = |name: &str| name.contains(&self.filter);
        let contest = Contest { check: &check, wanted: &wanted };
        let abuse = Abuse { contest: &contest, quick: self.quick };
        if only_abuse {
            abuse.run(&binaries)?;
            return Ok(ExitCode::SUCCESS);
        }

        let mut report = Report::default();
        if let Some(other) = &self.beside {
            releases::measure(&binaries, other, &contest, self.quick, &mut report)?;
            report.print();
            return Ok(ExitCode::SUCCESS);
        }
        if self.filter.starts_with(log::PREFIX) {
            log::measure(&binaries, &contest, self.quick, &mut report)?;
            report.print();
            return Ok(ExitCode::SUCCESS);
        }

        let (database, others) = self.database.split_first().context("no database to measure on")?;
        output::step(&format!("starting a server on {database} and a workstation"));
        let playground = start(&binaries, *database)?;
        if self.filter.starts_with(record::PREFIX) {
            record::verification(&playground, &contest, self.quick, &mut report)?;
            report.print();
            return Ok(ExitCode::SUCCESS);
        }
        processes::idle_memory(&playground, &wanted, &mut report)?;
        processes::start_up(&playground, &wanted, if self.quick { 10 } else { 50 }, &mut report)?;
        self.against_local_keys(&playground, &contest, &mut report)?;
        self.against_pkcs11(&playground, &contest, &mut report)?;
        for other in others {
            self.between_databases(&playground, *database, *other, &contest, &mut report)?;
        }
        let throughput = Throughput { contest: &contest, quick: self.quick };
        throughput.sealed(&playground, &mut report)?;
        throughput.on_token(&binaries, &mut report)?;
        policy::measure(&playground, &contest, self.quick, &mut report)?;
        waiting::measure(&binaries, &contest, self.quick, &mut report)?;
        processes::scdaemon_memory(&playground, &wanted, &mut report)?;

        report.print();
        let file = cargo::target()?.join("bench").join("results.json");
        report.write(&file)?;
        output::note(&format!("written to {}", file.display()));
        abuse.run(&binaries)?;
        Ok(ExitCode::SUCCESS)
    }

    fn against_local_keys(&self, playground: &Playground, contest: &Contest<'_>, report: &mut Report) -> Result<()> {
        output::step("making local keys of the same algorithms");
        let local = LocalKeys::make(playground, &ALGORITHMS)?;
        let primary = playground.admin.create_key_for_packages(Algorithm::Ed25519, "primary-signs")?;
        playground.workstation.run_sealcard(&["sync"])?;
        let case = |prefix: &str, task: Task, algorithm: Algorithm, shape: Shape| -> Result<Case<'_>> {
            let name = format!("{prefix}{} {algorithm}{}", task.name(), shape.suffix());
            let (mut ours, peer) = (ours(playground, algorithm)?, local.person(algorithm, shape)?);
            if shape == Shape::PrimarySigns {
                ours.key = &primary.fingerprint;
            }
            Ok(Case { name, task, ours, peer, peer_name: LOCAL_KEY })
        };
        let cases = |prefix: &str, tasks: &[Task], algorithms: &[Algorithm]| -> Result<Vec<Case<'_>>> {
            let pairs = algorithms.iter().flat_map(|algorithm| tasks.iter().map(move |task| (*task, *algorithm)));
            let shaped = pairs.flat_map(|(task, algorithm)| {
                LocalKeys::shapes(algorithm).iter().map(move |shape| (task, algorithm, *shape))
            });
            shaped.map(|(task, algorithm, shape)| case(prefix, task, algorithm, shape)).collect()
        };
        quiet::wait()?;
        output::step("signing in turns");
        let short = cases("", &[Task::DetachedSignature, Task::GitTag], &ALGORITHMS)?;
        contest.latency(short, if self.quick { 5 } else { 40 }, report)?;
        output::step("signing many packages and commits, in turns");
        // rpm up to 4.18 takes no keys of NIST's curves.
        let long = cases("", &[Task::RpmSign, Task::Rebase], &[Algorithm::Rsa4096, Algorithm::Ed25519])?;
        contest.latency(long, if self.quick { 1 } else { 7 }, report)?;
        output::step("signing with 8 gpg at once, in turns");
        let parallel = cases("8 parallel ", &[Task::DetachedSignature], &ALGORITHMS)?;
        contest.parallel(parallel, if self.quick { (1, 16) } else { (5, 80) }, report)
    }

    fn against_pkcs11(&self, playground: &Playground, contest: &Contest<'_>, report: &mut Report) -> Result<()> {
        let (task, algorithm) = (Task::DetachedSignature, Algorithm::Rsa4096);
        let signatures = if self.quick { 30 } else { 150 };
        let single = format!("{} {algorithm} on a token", task.name());
        let parallel = format!("failures of {signatures} by 8 parallel gpg {algorithm}");
        if !(contest.wanted)(&single) && !(contest.wanted)(&parallel) {
            return Ok(());
        }
        output::step("making a token with SoftHSM2 for gnupg-pkcs11-scd");
        let token = Pkcs11Key::make(playground)?;
        let case = |name: String| -> Result<Case<'_>> {
            Ok(Case { name, task, ours: ours(playground, algorithm)?, peer: token.person(), peer_name: PKCS11 })
        };
        contest.latency(vec![case(single)?], if self.quick { 5 } else { 40 }, report)?;
        contest.failures(&case(parallel)?, signatures, report)
    }

    /// The same signatures through a server on another database.
    fn between_databases(
        &self,
        playground: &Playground,
        database: DatabaseKind,
        other: DatabaseKind,
        contest: &Contest<'_>,
        report: &mut Report,
    ) -> Result<()> {
        let task = Task::DetachedSignature;
        let algorithms = [Algorithm::Rsa4096, Algorithm::Ed25519];
        let single = |algorithm| format!("{} {algorithm} on {other}", task.name());
        let parallel = |algorithm| format!("8 parallel {} {algorithm} on {other}", task.name());
        if !algorithms.iter().any(|it| (contest.wanted)(&single(*it)) || (contest.wanted)(&parallel(*it))) {
            return Ok(());
        }
        output::step(&format!("starting a server on {other}"));
        let second = start(&playground.binaries, other)?;
        let cases = |name: &dyn Fn(Algorithm) -> String| -> Result<Vec<Case<'_>>> {
            let case = |algorithm: &Algorithm| {
                let (ours, peer) = (ours(&second, *algorithm)?, ours(playground, *algorithm)?);
                Ok(Case { name: name(*algorithm), task, ours, peer, peer_name: short_name(database) })
            };
            algorithms.iter().map(case).collect()
        };
        contest.latency(cases(&single)?, if self.quick { 5 } else { 40 }, report)?;
        contest.parallel(cases(&parallel)?, if self.quick { (1, 16) } else { (5, 80) }, report)
    }
}

fn start(binaries: &Binaries, database: DatabaseKind) -> Result<Playground> {
    let (name, value) = NO_CEILING;
    PlaygroundBuilder::new(binaries.clone()).database(database).environment(name, value).note(output::note).start()
}

/// The servers that are measured sign as fast as they can for one user.
pub(crate) const NO_CEILING: (&str, &str) = ("SEALCARD_SERVER_LIMITS__USES_PER_MINUTE", "4000000000");

const fn short_name(database: DatabaseKind) -> &'static str {
    match database {
        DatabaseKind::Sqlite => "sqlite",
        DatabaseKind::Postgres => "postgres",
    }
}

fn ours(playground: &Playground, algorithm: Algorithm) -> Result<Person<'_>> {
    Ok(Person { workstation: &playground.workstation, key: &playground.key(algorithm)?.fingerprint })
}
