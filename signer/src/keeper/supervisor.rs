//! The keeper's main thread: what happens, one thing after the other.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use sealcard_signer_protocol::{
    KeeperAnswer, KeeperRefusal, KeeperRequest, KeeperRequestBody, StoreState, channel::ChannelError,
};

use super::{
    KeeperError,
    backoff::Backoff,
    custody::Custody,
    link::Link,
    process::{End, Worker},
    unsealer::Unsealer,
};
use crate::{
    control::{Deadlines, Taken, ToKeeper, ToWorker},
    journal::OpenJournal,
    log::{self, Level},
};

/// How often the worker is asked whether it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a worker may finish what it has begun when the server has closed its sockets.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// Attempts of the server to unseal that wait at once at most.
const ATTEMPTS: usize = 8;

/// What happens.
pub(super) enum Event {
    /// The server asks.
    Request(KeeperRequest),
    /// The server has closed its socket, or it failed.
    ServerGone(Option<ChannelError>),
    /// A worker says something.
    Worker(u64, ToKeeper),
    /// A worker's socket has closed.
    WorkerGone(u64),
    /// The seal was opened; whoever did it waits to hear that keys can be used.
    Opened(mpsc::Sender<Result<(), String>>),
    /// An attempt of the server to unseal has ended.
    Attempted(u64, Result<KeeperAnswer, KeeperRefusal>),
}

/// How often to look for a token that was there a moment ago.
const LOOK_OFTEN: Duration = Duration::from_secs(1);

/// How often to look for one that has been away for longer than [`BRIEF_ABSENCE`]. Each look is a process, and lines in
/// the log.
const LOOK_RARELY: Duration = Duration::from_secs(20);

const BRIEF_ABSENCE: Duration = Duration::from_secs(60);

/// Keeps a worker running.
pub(super) struct Supervisor {
    folder: PathBuf,
    journal: OpenJournal,
    custody: Arc<Custody>,
    unsealer: Unsealer,
    link: Link,
    events: mpsc::Sender<Event>,
    deadlines: Deadlines,
    backoff: Backoff,
    /// Since when no worker has found the token.
    absent_since: Option<Instant>,
    worker: Option<Worker>,
    generations: u64,
    /// When the next worker is to be started.
    restart: Option<Instant>,
    /// What the worker said last of its keys.
    state: StoreState,
    waiting: Vec<mpsc::Sender<Result<(), String>>>,
    attempts: Arc<AtomicUsize>,
    /// When a worker that does not finish is killed.
    stopping: Option<Instant>,
    next_heartbeat: Instant,
}

impl Supervisor {
    pub(super) fn new(
        folder: &Path,
        journal: OpenJournal,
        custody: Arc<Custody>,
        unsealer: Unsealer,
        link: Link,
        events: mpsc::Sender<Event>,
        deadlines: Deadlines,
    ) -> Self {
        let now = Instant::now();
        Self {
            folder: folder.to_owned(),
            journal,
            custody,
            unsealer,
            link,
            events,
            deadlines,
            backoff: Backoff::default(),
            absent_since: None,
            worker: None,
            generations: 0,
            restart: Some(now),
            state: StoreState::Sealed,
            waiting: Vec::new(),
            attempts: Arc::default(),
            stopping: None,
            next_heartbeat: now + HEARTBEAT,
        }
    }

    /// Runs until the server has closed its socket and the worker has ended.
    pub(super) fn run(mut self, queue: &mpsc::Receiver<Event>) -> Result<(), KeeperError> {
        loop {
            self.act(Instant::now())?;
            if self.stopping.is_some() && self.worker.is_none() {
                return Ok(());
            }
            let next = [self.restart, self.stopping].into_iter().flatten().fold(self.next_heartbeat, Instant::min);
            match queue.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event)?,
                // `self` holds a sender, so there always is one.
                Err(mpsc::RecvTimeoutError::Timeout | mpsc::RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Does what is due.
    fn act(&mut self, now: Instant) -> Result<(), KeeperError> {
        if self.restart.is_some_and(|restart| restart <= now) {
            self.restart = None;
            self.start_worker()?;
        }
        if now >= self.next_heartbeat {
            self.next_heartbeat = now + HEARTBEAT;
            if let Some(worker) = &mut self.worker
                && let Some(why) = worker.check(&self.deadlines)
            {
                worker.kill(why);
            }
        }
        if self.stopping.is_some_and(|deadline| deadline <= now) {
            self.stopping = Some(now + STOP_DEADLINE);
            if let Some(worker) = &mut self.worker {
                worker.kill("it does not end");
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<(), KeeperError> {
        match event {
            Event::Request(request) => self.answer(request),
            Event::ServerGone(error) => {
                self.stop();
                if let Some(error) = error {
                    return Err(KeeperError::Server(error));
                }
            }
            Event::Worker(generation, message) if self.is_current(generation) => self.hear(message),
            Event::WorkerGone(generation) if self.is_current(generation) => self.replace_worker()?,
            // Of a worker that was reaped before.
            Event::Worker(..) | Event::WorkerGone(_) => {}
            Event::Opened(waiting) => self.opened(waiting),
            Event::Attempted(id, result) => self.tell(|link| link.answer(id, result)),
        }
        Ok(())
    }

    fn is_current(&self, generation: u64) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.generation == generation)
    }

    fn start_worker(&mut self) -> Result<(), KeeperError> {
        self.generations += 1;
        let long = self.absent_since.is_some_and(|since| since.elapsed() >= BRIEF_ABSENCE);
        let look_again = if long { LOOK_RARELY } else { LOOK_OFTEN };
        match Worker::start(&self.folder, &self.journal, &self.custody, self.generations, look_again, &self.events) {
            Ok(worker) => self.worker = Some(worker),
            Err(error) => {
                // It may have got as far as writing.
                self.journal.catch_up()?;
                let now = Instant::now();
                let pause = self.backoff.next(now, now);
                log::event(Level::Error, "worker-not-started", &[("why", &error), ("pause-ms", &pause.as_millis())]);
                self.restart = Some(now + pause);
            }
        }
        Ok(())
    }

    /// The worker has ended: the journal is verified as far as it wrote, and another one starts.
    fn replace_worker(&mut self) -> Result<(), KeeperError> {
        let Some(worker) = self.worker.take() else { return Ok(()) };
        let (process, started) = (worker.id(), worker.started);
        let End { why, looks_again } =
            worker.reap().unwrap_or_else(|error| End { why: error.to_string(), looks_again: false });
        self.journal.catch_up()?;
        if self.stopping.is_some() {
            let facts: &[(&str, &dyn std::fmt::Display)] = &[("process", &process), ("why", &why)];
            log::event(Level::Info, "worker-ended", facts);
            return Ok(());
        }
        let now = Instant::now();
        self.absent_since = if looks_again { self.absent_since.or(Some(started)) } else { None };
        // A worker that looks for its token has waited itself.
        let pause = if looks_again { Duration::ZERO } else { self.backoff.next(started, now) };
        let facts: &[(&str, &dyn std::fmt::Display)] = &[
            ("process", &process),
            ("why", &why),
            ("pause-ms", &pause.as_millis()),
            ("journal", &self.journal.scan().head.sequence),
        ];
        log::event(if looks_again { Level::Info } else { Level::Error }, "worker-ended", facts);
        self.restart = Some(now + pause);
        Ok(())
    }

    fn hear(&mut self, message: ToKeeper) {
        match message {
            ToKeeper::Ready => self.hand_over(),
            ToKeeper::Alive(ages) => {
                if let Some(worker) = &mut self.worker
                    && let Some(why) = worker.is_alive(ages, &self.deadlines)
                {
                    worker.kill(why);
                }
            }
            ToKeeper::State(state) => {
                self.custody.note_state(&state);
                if state != self.state {
                    self.state = state.clone();
                    self.tell(|link| link.state(state));
                }
            }
            ToKeeper::Taken(taken) => {
                self.custody.note_outcome(&taken);
                self.resolve(&match taken {
                    Taken::Fine => Ok(()),
                    Taken::Refused(why) => Err(why),
                    Taken::Later(why) => Err(format!("it is kept and used as soon as that is possible: {why}")),
                });
            }
        }
    }

    fn hand_over(&mut self) {
        let Some(worker) = &mut self.worker else { return };
        worker.has_started();
        let (process, socket) = (worker.id(), worker.server_end.take());
        let ms = worker.started.elapsed().as_millis();
        log::event(Level::Info, "worker-started", &[("process", &process), ("ms", &ms)]);
        if let Some(socket) = socket {
            self.tell(|link| link.hand_over(process, &socket));
        }
    }

    /// Tells whoever has opened the seal what came of it.
    fn resolve(&mut self, outcome: &Result<(), String>) {
        for waiting in self.waiting.drain(..) {
            // Who has waited too long has gone.
            let _ = waiting.send(outcome.clone());
        }
    }

    fn opened(&mut self, waiting: mpsc::Sender<Result<(), String>>) {
        self.waiting.push(waiting);
        // A worker that ends meanwhile is followed by one that has the secret from its start.
        if let (Some(worker), Some(secret)) = (&self.worker, self.custody.secret()) {
            let _ = worker.send(&ToWorker::Secret(secret));
        }
    }

    fn answer(&mut self, request: KeeperRequest) {
        let KeeperRequest { id, body } = request;
        let result = match body {
            KeeperRequestBody::Status => Ok(KeeperAnswer::Status {
                state: self.state.clone(),
                secret: self.custody.wanted(),
                worker: self.worker.as_ref().filter(|worker| worker.is_ready()).map(Worker::id),
            }),
            KeeperRequestBody::Recipient => {
                self.custody.recipient().map(|(key, nonce)| KeeperAnswer::Recipient { public_key: key.0, nonce })
            }
            KeeperRequestBody::ReplaceWorker { process } => {
                if let Some(worker) = self.worker.as_mut().filter(|worker| worker.id() == process) {
                    worker.kill("it does not answer the server");
                }
                Ok(KeeperAnswer::Replacing)
            }
            KeeperRequestBody::UnusedMasterKeys(ids) => {
                self.custody.note_unused(ids);
                Ok(KeeperAnswer::Noted)
            }
            KeeperRequestBody::Unseal => return self.attempt(id, None),
            KeeperRequestBody::UnsealWith { nonce, envelope } => return self.attempt(id, Some((nonce, envelope))),
        };
        self.tell(|link| link.answer(id, result));
    }

    /// Tries to unseal on a thread of its own: stretching a passphrase, and waiting after a wrong one, take seconds.
    fn attempt(&self, id: u64, envelope: Option<([u8; 32], Vec<u8>)>) {
        let refuse = |why: &str| {
            let refusal = Err(KeeperRefusal::Invalid(why.to_owned()));
            let _ = self.events.send(Event::Attempted(id, refusal));
        };
        if self.attempts.fetch_add(1, Ordering::Relaxed) >= ATTEMPTS {
            self.attempts.fetch_sub(1, Ordering::Relaxed);
            return refuse("too many attempts at once; try again later");
        }
        let (unsealer, events, attempts) = (self.unsealer.clone(), self.events.clone(), Arc::clone(&self.attempts));
        let spawned = std::thread::Builder::new().name("unseal".into()).spawn(move || {
            let result = unsealer.unseal_for_server(envelope);
            attempts.fetch_sub(1, Ordering::Relaxed);
            let _ = events.send(Event::Attempted(id, result));
        });
        if spawned.is_err() {
            self.attempts.fetch_sub(1, Ordering::Relaxed);
            refuse("a thread can't be started");
        }
    }

    /// Sends something to the server. One that can't be reached has ended, or is about to.
    fn tell(&mut self, send: impl FnOnce(&Link) -> Result<(), ChannelError>) {
        if self.stopping.is_none()
            && let Err(error) = send(&self.link)
        {
            log::event(Level::Warn, "server-gone", &[("error", &error)]);
            self.stop();
        }
    }

    /// The server wants no more: the worker sees the end of its socket too, and finishes what it has begun.
    fn stop(&mut self) {
        self.restart = None;
        if self.stopping.is_none() {
            self.stopping = Some(Instant::now() + STOP_DEADLINE);
        }
        if let Some(worker) = &mut self.worker {
            // One that the server was never given.
            worker.server_end = None;
        }
    }
}
