//! One worker process.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{
            net::UnixStream,
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use sealcard_signer_protocol::channel::{self, ChannelError, Incoming};

use super::{custody::Custody, supervisor::Event};
use crate::{
    control::{Ages, Deadlines, INDEX_PART, Start, TOKEN_ABSENT, ToKeeper, ToWorker},
    journal::OpenJournal,
};

/// A worker that does not read for so long is hung.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the keeper passes on of its own environment. Only builds for tests pass anything on.
#[cfg(feature = "failpoints")]
const INHERITED_VARIABLES: &[&str] = &["FAILPOINTS", "LD_PRELOAD", "DROPSHIM_FOLDER", "DROPSHIM_SHADOW"];
/// What the keeper passes on of its own environment.
#[cfg(not(feature = "failpoints"))]
const INHERITED_VARIABLES: &[&str] = &[];

/// A worker, from its start until it was reaped.
pub(super) struct Worker {
    child: Child,
    control: UnixStream,
    /// Tells the events of this worker from those of the one before.
    pub(super) generation: u64,
    pub(super) started: Instant,
    /// The server's end of its socket, until the server has it.
    pub(super) server_end: Option<UnixStream>,
    ready: bool,
    last_message: Instant,
    /// Why the keeper has killed it.
    killed: Option<&'static str>,
}

impl Worker {
    /// Starts a worker and gives it what it needs. Must be called by the thread that lives as long as the process: the
    /// worker dies with it.
    pub(super) fn start(
        folder: &Path,
        journal: &OpenJournal,
        custody: &Custody,
        generation: u64,
        look_again: Duration,
        events: &mpsc::Sender<Event>,
    ) -> Result<Self, ChannelError> {
        let (control, theirs) = UnixStream::pair()?;
        control.set_write_timeout(Some(PATIENCE))?;
        let (server_end, workers_end) = UnixStream::pair()?;
        // Itself, also when the file has been replaced by another release meanwhile.
        let child = Command::new("/proc/self/exe")
            .arg0("sealcard-signer")
            .args(["worker", "--folder"])
            .arg(folder)
            .env_clear()
            .envs(INHERITED_VARIABLES.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))))
            // Those of a module that an administrator has declared.
            .envs(custody.environment().into_iter().flatten())
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        let now = Instant::now();
        let server_end = Some(server_end);
        let worker = Self {
            child,
            control,
            generation,
            started: now,
            server_end,
            ready: false,
            last_message: now,
            killed: None,
        };
        let outcome = worker.brief(journal, custody, look_again, &workers_end).and_then(|()| worker.listen(events));
        if let Err(error) = outcome {
            worker.reap()?;
            return Err(error);
        }
        Ok(worker)
    }

    fn brief(
        &self,
        journal: &OpenJournal,
        custody: &Custody,
        look_again: Duration,
        workers_end: &UnixStream,
    ) -> Result<(), ChannelError> {
        let scan = journal.scan();
        for part in scan.index.chunks(INDEX_PART) {
            self.send(&ToWorker::Index(part.to_vec()))?;
        }
        let start = ToWorker::Start(Start {
            head: scan.head,
            len: scan.len,
            checkpoints: scan.checkpoints.clone(),
            secret: custody.secret(),
            token: custody.is_of_token(),
            look_again,
        });
        channel::send(&self.control, &start, &[workers_end.as_fd(), journal.file().as_fd()])
    }

    /// Starts the thread that reads what the worker says.
    fn listen(&self, events: &mpsc::Sender<Event>) -> Result<(), ChannelError> {
        let (control, events, generation) = (self.control.try_clone()?, events.clone(), self.generation);
        std::thread::Builder::new().name("control".into()).spawn(move || {
            let mut incoming = Incoming::default();
            while let Ok(Some(message)) = incoming.wait::<ToKeeper>(&control) {
                if events.send(Event::Worker(generation, message)).is_err() {
                    return;
                }
            }
            let _ = events.send(Event::WorkerGone(generation));
        })?;
        Ok(())
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(super) fn send(&self, message: &ToWorker) -> Result<(), ChannelError> {
        channel::send(&self.control, message, &[])
    }

    /// It has said that it can be asked.
    pub(super) fn has_started(&mut self) {
        self.ready = true;
        self.last_message = Instant::now();
    }

    /// It has answered; what is wrong with the answer, in words.
    pub(super) fn is_alive(&mut self, ages: Ages, deadlines: &Deadlines) -> Option<&'static str> {
        self.last_message = Instant::now();
        deadlines.timed_out(ages)
    }

    /// Asks whether it lives; what is wrong if it has not answered for too long, in words.
    pub(super) fn check(&self, deadlines: &Deadlines) -> Option<&'static str> {
        let silent = self.last_message.elapsed();
        if !self.ready {
            return (silent > deadlines.start).then_some("it does not get ready");
        }
        if silent > deadlines.ping {
            return Some("it does not answer");
        }
        // That it can't be asked is noticed as the end of its socket.
        let _ = self.send(&ToWorker::Ping);
        None
    }

    /// Kills it; its socket tells when it is gone.
    pub(super) fn kill(&mut self, why: &'static str) {
        if self.killed.is_none() {
            self.killed = Some(why);
            // One that has ended already needs no signal.
            let _ = self.child.kill();
        }
    }

    /// Waits for the end of a worker whose socket has closed.
    pub(super) fn reap(mut self) -> io::Result<End> {
        // It has closed its socket and lives on: nothing good.
        let _ = self.child.kill();
        let status = self.child.wait()?;
        let looks_again = self.killed.is_none() && status.code() == Some(TOKEN_ABSENT);
        let why = match self.killed {
            Some(why) => format!("killed: {why}"),
            None if looks_again => "its token was not there".into(),
            None => describe(status),
        };
        Ok(End { why, looks_again })
    }
}

/// How a worker ended.
pub(super) struct End {
    /// For people.
    pub(super) why: String,
    /// It ended so that another one may find the token; nothing has failed.
    pub(super) looks_again: bool,
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("signal {signal}"),
            Err(_) => format!("signal {number}"),
        },
        (None, None) => "unknown".into(),
    }
}
