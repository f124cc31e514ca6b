//! The rate of signatures of these programs beside that of another release's.

use std::{path::Path, time::Duration};

use anyhow::Result;
use sealcard_tests::{Algorithm, Binaries, Playground, PlaygroundBuilder, USER};
use xtask::output;

use crate::{
    bench::NO_CEILING,
    cases::{ALGORITHMS, Contest},
    client::Client,
    processes::many_descriptors,
    report::{Report, median},
    throughput::{Load, Processes},
};

/// Clients at once.
const CLIENTS: usize = 128;

/// Measures both in turns: the medians of short turns compare, also on a machine that is shared.
pub(crate) fn measure(
    binaries: &Binaries,
    other: &Path,
    contest: &Contest<'_>,
    quick: bool,
    report: &mut Report,
) -> Result<()> {
    many_descriptors()?;
    let other = Binaries::in_folder(other)?;
    let mut sides = Vec::new();
    for binaries in [binaries, &other] {
        output::step(&format!("starting a server of the programs in {}", binaries.folder().display()));
        let (name, value) = NO_CEILING;
        let builder = PlaygroundBuilder::new(binaries.clone()).algorithms(&ALGORITHMS).environment(name, value);
        sides.push(builder.note(output::note).start()?);
    }
    let (turns, time) = if quick { (1, Duration::from_secs(1)) } else { (11, Duration::from_secs(2)) };
    for algorithm in ALGORITHMS {
        let name = format!("{CLIENTS} clients {algorithm}");
        if !(contest.wanted)(&name) {
            continue;
        }
        output::step(&format!("{name}, in turns"));
        let mut rates: [Vec<f64>; 2] = Default::default();
        for _ in 0..turns {
            for (side, rates) in sides.iter().zip(&mut rates) {
                (contest.check)()?;
                rates.push(rate(side, algorithm, time)?);
            }
        }
        let [ours, theirs] = rates;
        report.add(&name, "1/s", median(ours)?, "other release", median(theirs)?);
    }
    Ok(())
}

/// Signatures a second.
fn rate(playground: &Playground, algorithm: Algorithm, time: Duration) -> Result<f64> {
    let server = &playground.server;
    let target = Client::login(server.url(), &server.ca(), USER, &playground.facts.user_password)?;
    let processes = Processes { server: server.pid(), signers: server.signers()? };
    let load = Load { target: &target, key: &playground.key(algorithm)?.id, clients: CLIENTS, time };
    Ok(load.run(&processes)?.rate)
}
