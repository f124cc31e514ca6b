//! One side of a contest: someone who signs, and what is signed.

use std::{
    fs,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, bail};
use sealcard_tests::Workstation;

/// How many packages one `rpmsign` signs.
pub(crate) const PACKAGES: usize = 20;
/// How many commits one rebase signs.
pub(crate) const COMMITS: usize = 200;

/// Someone who signs: a workstation and the fingerprint of one of its keys.
#[derive(Clone, Copy)]
pub(crate) struct Person<'a> {
    pub(crate) workstation: &'a Workstation,
    pub(crate) key: &'a str,
}

/// What both sides do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    DetachedSignature,
    GitTag,
    RpmSign,
    Rebase,
}

impl Task {
    pub(crate) fn name(self) -> String {
        match self {
            Self::DetachedSignature => "gpg --detach-sign".to_owned(),
            Self::GitTag => "git tag -s".to_owned(),
            Self::RpmSign => format!("rpmsign of {PACKAGES} packages"),
            Self::Rebase => format!("git rebase -S of {COMMITS} commits"),
        }
    }
}

/// A person at a task.
pub(crate) struct Side<'a> {
    person: Person<'a>,
    task: Task,
    /// The file to sign, the package, or the repository.
    subject: String,
}

impl<'a> Side<'a> {
    pub(crate) fn new(person: Person<'a>, task: Task) -> Result<Self> {
        /// One key may be at several tasks, each in a repository of its own.
        static SIDES: AtomicUsize = AtomicUsize::new(0);
        let number = SIDES.fetch_add(1, Ordering::Relaxed);
        let (station, key) = (person.workstation, person.key);
        let subject = match task {
            Task::DetachedSignature => station.write("to-sign", vec![b'x'; 1024])?,
            Task::GitTag => station.repository(&format!("tags-{number}"), key)?,
            Task::RpmSign => station.build_rpm(&[])?.to_string_lossy().into_owned(),
            Task::Rebase => {
                let repository = station.repository(&format!("commits-{number}"), key)?;
                station.add_topic(&repository, COMMITS)?;
                station.run("git", &["-C", &repository, "tag", "start"])?;
                repository
            }
        };
        fs::create_dir_all(station.path("out"))?;
        Ok(Self { person, task, subject })
    }

    /// Puts everything where the command expects it.
    fn prepare(&self) -> Result<()> {
        let station = self.person.workstation;
        match self.task {
            Task::DetachedSignature | Task::GitTag => {}
            Task::RpmSign => {
                for copy in self.copies() {
                    fs::copy(&self.subject, copy)?;
                }
            }
            Task::Rebase => {
                station.run("git", &["-C", &self.subject, "reset", "--quiet", "--hard", "start"])?;
            }
        }
        Ok(())
    }

    fn copies(&self) -> Vec<String> {
        (0..PACKAGES).map(|number| self.person.workstation.path(&format!("out/{number}.rpm"))).collect()
    }

    fn command(&self, name: &str) -> Command {
        let (station, key) = (self.person.workstation, self.person.key);
        let mut command = match self.task {
            Task::DetachedSignature => {
                let output = station.path(&format!("out/{name}.sig"));
                let options = ["--batch", "-q", "--yes", "-u", key, "-o", &output, "--detach-sign", &self.subject];
                station.command("gpg", &options)
            }
            Task::GitTag => station.command("git", &["-C", &self.subject, "tag", "-s", "-m", "x", &format!("t{name}")]),
            Task::RpmSign => {
                let name = format!("_gpg_name {key}");
                // Debian's rpm calls gpg2, which is an optional package.
                let options = ["--define", &name, "--define", "__gpg /usr/bin/gpg", "--addsign"];
                let mut command = station.command("rpmsign", &options);
                command.args(self.copies());
                command
            }
            Task::Rebase => station.command("git", &["-C", &self.subject, "rebase", "--quiet", "-S", "main"]),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// The time of one command, in milliseconds.
    pub(crate) fn timed(&self, round: usize) -> Result<f64> {
        self.prepare()?;
        let started = Instant::now();
        let output = self.output(&round.to_string())?;
        let took = started.elapsed().as_secs_f64() * 1000.0;
        if !output.status.success() {
            bail!("{} with {} failed: {}", self.task.name(), self.person.key, String::from_utf8_lossy(&output.stderr));
        }
        Ok(took)
    }

    /// How many commands per second were successful, so many at once, and how many failed.
    #[allow(clippy::cast_precision_loss)] // a few hundred signatures
    pub(crate) fn rate(&self, jobs: usize, commands: usize) -> Result<(f64, usize)> {
        let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let started = Instant::now();
        thread::scope(|scope| {
            let work = || -> Result<()> {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= commands {
                        return Ok(());
                    }
                    if !self.output(&format!("p{number}"))?.status.success() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            };
            let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
        })?;
        let failed = failed.into_inner();
        Ok(((commands - failed) as f64 / started.elapsed().as_secs_f64(), failed))
    }

    fn output(&self, name: &str) -> Result<Output> {
        self.command(name).output().context("starting the command that is measured")
    }
}
