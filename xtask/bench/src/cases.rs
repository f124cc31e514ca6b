//! Two sides at the same task, turn by turn.

use anyhow::{Result, bail};
use sealcard_tests::Algorithm;

use crate::{
    report::{Report, median},
    side::{Person, Side, Task},
};
use xtask::output;

/// One of each kind: what sizes between them cost lies between them.
pub(crate) const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rsa4096, Algorithm::NistP256, Algorithm::Ed25519];

/// What is measured: the same task done by both.
pub(crate) struct Case<'a> {
    pub(crate) name: String,
    pub(crate) task: Task,
    pub(crate) ours: Person<'a>,
    pub(crate) peer: Person<'a>,
    pub(crate) peer_name: &'static str,
}

/// How cases are measured.
pub(crate) struct Contest<'a> {
    /// Fails when the person wants to stop.
    pub(crate) check: &'a dyn Fn() -> Result<()>,
    /// Whether a case of this name is measured.
    pub(crate) wanted: &'a dyn Fn(&str) -> bool,
}

impl Contest<'_> {
    /// Medians of the time of one command, in milliseconds. All cases take turns, so that a slow spell of the machine
    /// hits them alike.
    pub(crate) fn latency(&self, cases: Vec<Case<'_>>, rounds: usize, report: &mut Report) -> Result<()> {
        let mut turns = Vec::new();
        for case in cases.into_iter().filter(|case| (self.wanted)(&case.name)) {
            let sides = [Side::new(case.ours, case.task)?, Side::new(case.peer, case.task)?];
            turns.push((case, sides, [Vec::new(), Vec::new()]));
        }
        // The first round starts agents and fills caches; it is not counted.
        for round in 0..=rounds {
            for (_, sides, times) in &mut turns {
                (self.check)()?;
                for (side, times) in sides.iter().zip(times) {
                    let time = side.timed(round)?;
                    if round > 0 {
                        times.push(time);
                    }
                }
            }
        }
        for (case, _, [ours, peer]) in turns {
            report.add(&case.name, "ms", median(ours)?, case.peer_name, median(peer)?);
        }
        Ok(())
    }

    /// Medians of the signatures per second that 8 parallel gpg make. None may fail on either side.
    pub(crate) fn parallel(
        &self,
        cases: Vec<Case<'_>>,
        (rounds, signatures): (usize, usize),
        report: &mut Report,
    ) -> Result<()> {
        for case in cases.into_iter().filter(|case| (self.wanted)(&case.name)) {
            output::note(&case.name);
            let sides = [Side::new(case.ours, case.task)?, Side::new(case.peer, case.task)?];
            let mut rates: [Vec<f64>; 2] = Default::default();
            for _ in 0..rounds {
                for (side, rates) in sides.iter().zip(&mut rates) {
                    (self.check)()?;
                    let (rate, failed) = side.rate(8, signatures)?;
                    if failed > 0 {
                        bail!("{failed} of {signatures} signatures failed: {}", case.name);
                    }
                    rates.push(rate);
                }
            }
            let [ours, peer] = rates;
            report.add(&case.name, "1/s", median(ours)?, case.peer_name, median(peer)?);
        }
        Ok(())
    }

    /// How many of the signatures of 8 parallel gpg fail.
    #[allow(clippy::cast_precision_loss)] // a few hundred signatures
    pub(crate) fn failures(&self, case: &Case<'_>, signatures: usize, report: &mut Report) -> Result<()> {
        if !(self.wanted)(&case.name) {
            return Ok(());
        }
        (self.check)()?;
        let failed = |person| Ok::<_, anyhow::Error>(Side::new(person, case.task)?.rate(8, signatures)?.1 as f64);
        report.add(&case.name, "failed", failed(case.ours)?, case.peer_name, failed(case.peer)?);
        Ok(())
    }
}
