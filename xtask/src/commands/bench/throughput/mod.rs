//! How many signatures a second the server gives to many clients, beside what the key store alone can do.

mod load;
mod raw;

use std::{thread::available_parallelism, time::Duration};

use anyhow::{Context, Result};
use sealcard_tests::{Algorithm, Playground, USER};

use super::{ALGORITHMS, cases::Contest, report::Report};
use crate::output;
use load::Target;

/// Clients at once.
const CLIENTS: [usize; 2] = [8, 128];

/// What the record of the design asks of Ed25519 with many clients, in signatures a second.
const ED25519_GOAL: f64 = 10_000.0;

/// Measures the sealed store.
pub(super) fn sealed(playground: &Playground, contest: &Contest<'_>, quick: bool, report: &mut Report) -> Result<()> {
    let name = |algorithm: Algorithm, clients: usize| format!("{clients} clients {algorithm} over HTTPS");
    if !ALGORITHMS.iter().any(|it| CLIENTS.iter().any(|clients| (contest.wanted)(&name(*it, *clients)))) {
        return Ok(());
    }
    output::step("signing over HTTPS with many clients, beside the library alone");
    let target =
        Target::login(playground.server.url(), &playground.server.ca(), USER, &playground.facts.user_password)?;
    let time = Duration::from_secs(if quick { 1 } else { 5 });
    let threads = available_parallelism().context("processors")?.get();
    for algorithm in ALGORITHMS {
        if !CLIENTS.iter().any(|clients| (contest.wanted)(&name(algorithm, *clients))) {
            continue;
        }
        let raw = raw::library(algorithm, threads, time)?;
        for clients in CLIENTS {
            let name = name(algorithm, clients);
            if !(contest.wanted)(&name) {
                continue;
            }
            (contest.check)()?;
            let measured = target.run(&playground.key(algorithm)?.id, clients, time)?;
            output::note(&format!(
                "{name}: {:.0}/s, the client kept {:.2} processors busy",
                measured.rate, measured.client
            ));
            report.add(&name, "1/s", measured.rate, "aws-lc-rs", raw);
            if algorithm == Algorithm::Ed25519 && clients == 128 {
                report.add(&format!("{name}, the goal"), "1/s", measured.rate, "goal", ED25519_GOAL);
            }
        }
    }
    Ok(())
}
