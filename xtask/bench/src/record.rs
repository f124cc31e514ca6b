//! The memory that `sealcard admin record verify` takes over a long record.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use sealcard_tests::{Algorithm, Playground, USER};
use xtask::output;

use crate::{
    cases::Contest,
    client::Client,
    processes::resident,
    report::Report,
    throughput::{Load, Processes},
};

/// Signatures that fill the record; each has two entries, and one in the signer's journal.
const SIGNATURES: u64 = 1_000_000;

/// How long is signed between two lines of progress.
const CHUNK: Duration = Duration::from_secs(20);

/// How often memory is read.
const SAMPLE: Duration = Duration::from_millis(20);

/// How long the processes rest before their memory is called idle.
const REST: Duration = Duration::from_secs(5);

/// What a name begins with that is measured only when it is asked for: it takes minutes.
pub(crate) const PREFIX: &str = "record";

/// Memory above idle that each process may take, in MiB.
const GOAL: f64 = 128.0;

/// Fills the record with signatures, then verifies it.
pub(crate) fn verification(
    playground: &Playground,
    contest: &Contest<'_>,
    quick: bool,
    report: &mut Report,
) -> Result<()> {
    let wanted = if quick { SIGNATURES / 20 } else { SIGNATURES };
    output::step(&format!("filling the record with {wanted} signatures"));
    let server = &playground.server;
    let target = Client::login(server.url(), &server.ca(), USER, &playground.facts.user_password)?;
    let processes = Processes { server: server.pid(), signers: server.signers()? };
    let mut load = Load { target: &target, key: &playground.key(Algorithm::Ed25519)?.id, clients: 128, time: CHUNK };
    let mut signed = 0;
    while signed < wanted {
        (contest.check)()?;
        let measured = load.run(&processes)?;
        signed += measured.signatures;
        // The last part need not take as long.
        #[allow(clippy::cast_precision_loss)] // fewer than 2^52
        let rest = Duration::from_secs_f64((wanted.saturating_sub(signed) as f64 / measured.rate).max(1.0));
        load.time = CHUNK.min(rest);
        output::note(&format!("{signed} signatures, {:.0}/s", measured.rate));
    }
    thread::sleep(REST);
    output::step("verifying the record");
    let signer = *processes.signers.last().context("no signer")?;
    let (pids, ended) = ([server.pid(), signer], AtomicBool::new(false));
    let idle = memory(pids)?;
    let started = Instant::now();
    let (verified, peak) = thread::scope(|scope| {
        let sampler = scope.spawn(|| -> Result<[f64; 2]> {
            let mut peak = idle;
            while !ended.load(Ordering::Relaxed) {
                let now = memory(pids)?;
                peak = [peak[0].max(now[0]), peak[1].max(now[1])];
                thread::sleep(SAMPLE);
            }
            Ok(peak)
        });
        let verified = playground.admin.admin(&["record", "verify"]);
        ended.store(true, Ordering::Relaxed);
        (verified, sampler.join())
    });
    let peak = peak.map_err(|_| anyhow::anyhow!("the sampling thread panicked"))??;
    output::note(verified?.text().trim());
    let took = started.elapsed().as_secs_f64();
    output::note(&format!("in {took:.1} s; idle: server {:.0} MiB, signer {:.0} MiB", idle[0], idle[1]));
    let name = |process| format!("record verify of {signed} signatures, {process} above idle");
    report.add(&name("server"), "MiB", peak[0] - idle[0], "goal", GOAL);
    report.add(&name("signer"), "MiB", peak[1] - idle[1], "goal", GOAL);
    Ok(())
}

fn memory([server, signer]: [u32; 2]) -> Result<[f64; 2]> {
    Ok([resident(server)?, resident(signer)?])
}
