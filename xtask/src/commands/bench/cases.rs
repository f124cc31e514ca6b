//! Signing with a local key and through Sealcard, turn by turn.

use std::{
    fs,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, bail};
use sealcard_tests::{Algorithm, Playground, Workstation};

use super::{
    local::LocalKeys,
    report::{Report, median},
};
use crate::output;

/// One of each kind: what sizes between them cost lies between them.
pub(crate) const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rsa4096, Algorithm::NistP256, Algorithm::Ed25519];

pub(crate) struct Contest<'a> {
    pub(crate) playground: &'a Playground,
    pub(crate) local: &'a LocalKeys,
    /// Fails when the person wants to stop.
    pub(crate) check: &'a dyn Fn() -> Result<()>,
}

/// What both sides do.
#[derive(Clone, Copy)]
enum Task {
    DetachedSignature,
    GitTag,
}

impl Contest<'_> {
    /// Medians of the time of one command, in milliseconds.
    pub(crate) fn latency(&self, wanted: &dyn Fn(&str) -> bool, runs: usize, report: &mut Report) -> Result<()> {
        let mut cases = Vec::new();
        for algorithm in ALGORITHMS {
            for task in [Task::DetachedSignature, Task::GitTag] {
                let name = match task {
                    Task::DetachedSignature => format!("gpg --detach-sign {algorithm}"),
                    Task::GitTag => format!("git tag -s {algorithm}"),
                };
                if wanted(&name) {
                    let [ours, peer] = self.sides(task, algorithm)?;
                    cases.push((name, ours, peer, Vec::new(), Vec::new()));
                }
            }
        }
        // The first rounds start agents and fill caches; they are not counted.
        const WARM_UP: usize = 2;
        for round in 0..runs + WARM_UP {
            (self.check)()?;
            for (_, ours, peer, our_times, peer_times) in &mut cases {
                let (our_time, peer_time) = (ours.timed(round)?, peer.timed(round)?);
                if round >= WARM_UP {
                    our_times.push(our_time);
                    peer_times.push(peer_time);
                }
            }
        }
        for (name, _, _, ours, peer) in cases {
            report.add(&name, "ms", median(ours)?, "local key", median(peer)?);
        }
        Ok(())
    }

    /// Medians of the signatures per second that 8 parallel gpg make.
    pub(crate) fn parallel(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        (rounds, signatures): (usize, usize),
        report: &mut Report,
    ) -> Result<()> {
        for algorithm in ALGORITHMS {
            let name = format!("8 parallel gpg --detach-sign {algorithm}");
            if !wanted(&name) {
                continue;
            }
            output::note(algorithm.name());
            let [ours, peer] = self.sides(Task::DetachedSignature, algorithm)?;
            let (mut our_rates, mut peer_rates) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                (self.check)()?;
                our_rates.push(ours.rate(8, signatures)?);
                peer_rates.push(peer.rate(8, signatures)?);
            }
            report.add(&name, "1/s", median(our_rates)?, "local key", median(peer_rates)?);
        }
        Ok(())
    }

    fn sides(&self, task: Task, algorithm: Algorithm) -> Result<[Side<'_>; 2]> {
        let key = &self.playground.key(algorithm)?.fingerprint;
        let local = self.local.fingerprint(algorithm)?;
        Ok([
            Side::new(&self.playground.workstation, task, algorithm, key)?,
            Side::new(&self.local.workstation, task, algorithm, local)?,
        ])
    }
}

/// One side of a contest.
struct Side<'a> {
    workstation: &'a Workstation,
    task: Task,
    key: String,
    /// The file to sign or the repository.
    subject: String,
}

impl<'a> Side<'a> {
    fn new(workstation: &'a Workstation, task: Task, algorithm: Algorithm, key: &str) -> Result<Self> {
        let subject = match task {
            Task::DetachedSignature => workstation.write("to-sign", vec![b'x'; 1024])?,
            Task::GitTag => workstation.repository(&format!("repository-{algorithm}"), key)?,
        };
        fs::create_dir_all(workstation.path("out"))?;
        Ok(Self { workstation, task, key: key.to_owned(), subject })
    }

    fn command(&self, name: &str) -> Command {
        let mut command = match self.task {
            Task::DetachedSignature => {
                let output = self.workstation.path(&format!("out/{name}.sig"));
                let options =
                    ["--batch", "-q", "--yes", "-u", &self.key, "-o", &output, "--detach-sign", &self.subject];
                self.workstation.command("gpg", &options)
            }
            Task::GitTag => {
                self.workstation.command("git", &["-C", &self.subject, "tag", "-s", "-m", "x", &format!("t{name}")])
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn run(&self, name: &str) -> Result<()> {
        let output = self.command(name).output().context("starting the command that is measured")?;
        if !output.status.success() {
            bail!("{} failed: {}", self.key, String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn timed(&self, round: usize) -> Result<f64> {
        let started = Instant::now();
        self.run(&round.to_string())?;
        Ok(started.elapsed().as_secs_f64() * 1000.0)
    }

    #[allow(clippy::cast_precision_loss)] // a few hundred signatures
    fn rate(&self, jobs: usize, signatures: usize) -> Result<f64> {
        let next = AtomicUsize::new(0);
        let started = Instant::now();
        thread::scope(|scope| {
            let work = || -> Result<()> {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= signatures {
                        return Ok(());
                    }
                    self.run(&format!("p{number}"))?;
                }
            };
            let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
        })?;
        Ok(signatures as f64 / started.elapsed().as_secs_f64())
    }
}
