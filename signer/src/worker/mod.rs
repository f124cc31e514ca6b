//! The process that uses keys: frames in, frames out.
//!
//! One thread reads requests; a thread for each processor performs them. RSA keys of a sealed store are used on as many
//! other threads, so that what takes microseconds never waits in a queue behind what takes milliseconds: the system
//! shares the processors among the threads. RSA keys are generated on threads of their own, because that takes seconds.
//! The reading thread writes the journal while a key works, or, when more is there to be read, a thread of its own.
//! Nothing is locked while a key works. An answer leaves as soon as both the operation and its journal entry are done,
//! so answers come in any order. The keeper, which started the process, gives it all that it needs and watches over it;
//! the server's requests come on a socket of their own.

mod answers;
mod busy;
mod control;
mod delay;
mod engine;
mod gate;
mod keys;
mod queue;
mod stopwatch;
mod task;
mod token;

use std::{
    io,
    os::unix::net::UnixStream,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use sealcard_sandbox::SandboxError;
use sealcard_signer_protocol::{
    self as protocol, Request, RequestBody, Response, SignerError,
    channel::{ChannelError, Incoming},
};

use crate::{
    control::{PinUse, Secret, TOKEN_ABSENT},
    failpoint,
    journal::Journal,
    log::{self, Level},
    os,
    pkcs11::config::{ConfigError, TokenConfig},
    sandbox,
};
use answers::Answers;
use busy::{Busy, Kind};
use control::ControlChannel;
use engine::{Engine, Length, Work};
use keys::Keys;
use queue::Queue;
use token::TokenKeys;

/// Requests that wait for a thread at most; the server is not read from while they do.
const QUEUE: usize = 1024;

/// The keeper's socket is the worker's standard input.
const KEEPERS_SOCKET: i32 = 0;

/// Why the worker does not start or ended. The keeper starts another one.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The process could not be shielded, so it touches no key.
    #[error("the process can't be shielded")]
    Harden(#[source] io::Error),
    /// Somebody else has started it.
    #[error("a worker is started by `sealcard-signer serve`, by nobody else")]
    NoKeeper(#[source] io::Error),
    /// The sandbox can't be entered, so it touches no key.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The token's configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What came from the keeper is no message.
    #[error("the keeper's socket failed: {0}")]
    Keeper(#[from] ChannelError),
    /// The keeper has ended before it gave what is needed.
    #[error("the keeper has ended")]
    KeeperGone,
    /// No thread can be started. Retrying may help.
    #[error("a thread can't be started")]
    Thread(#[source] io::Error),
    /// What came from the server can't be answered: the stream is out of step.
    #[error("the server sent what is no request: {0}")]
    OutOfStep(String),
    /// The server's socket failed.
    #[error("the server's socket failed")]
    Read(#[source] io::Error),
}

/// Serves the server's requests until it closes the socket that the keeper has given to both. `folder` is the
/// environment's.
///
/// # Errors
/// If the worker can't start, or what it reads makes no sense.
pub fn run(folder: &Path) -> Result<(), WorkerError> {
    os::harden(KEEPERS_SOCKET).map_err(WorkerError::Harden)?;
    os::die_with_parent().map_err(WorkerError::Harden)?;
    os::lock_memory();
    let socket = os::inherited_socket(KEEPERS_SOCKET).map_err(WorkerError::NoKeeper)?;
    let mut control = ControlChannel::new(socket);
    let given = control.worker_config()?;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let config = if given.token { TokenConfig::load(folder)? } else { None };
    let rules = sandbox::rules(config.as_ref());
    // A test's storage layer lives in this process and writes files.
    if !failpoint::is_set("signer::no_sandbox") {
        sandbox::enter(&rules)?;
    }
    // A module is loaded into the sandbox.
    let keys = match &config {
        None => Keys::Store(OnceLock::new()),
        Some(config) => Keys::Token(Box::new(TokenKeys::open(config))),
    };
    let (threads, absent) = match &keys {
        Keys::Store(_) => (cpus, false),
        Keys::Token(token) => (cpus.max(token.sessions()), token.is_absent()),
    };
    let journal = Journal::resume(given.journal, given.scan).map_err(WorkerError::Thread)?;
    let answers = Arc::new(Answers::new(given.server.try_clone().map_err(WorkerError::Read)?));
    let keeper = control.keeper().map_err(WorkerError::Thread)?;
    let engine = Arc::new(Engine::new(keys, keeper.clone(), journal, answers));
    let busy = Arc::new(Busy::new());
    // A token's work does not keep a processor busy.
    let long = if config.is_none() { threads } else { 0 };
    let threads = Threads::start(&engine, &busy, threads, long).map_err(WorkerError::Thread)?;
    // A master key, or a PIN that waits for `Unlock`, is taken before the server can ask for the state. Another PIN is
    // tried on a thread of its own, because a login may take long.
    let opens_without_login = given
        .secret
        .as_ref()
        .is_some_and(|secret| matches!(secret, Secret::MasterKeys(_) | Secret::Pin { usage: PinUse::WhenAsked, .. }));
    let later = if opens_without_login {
        given.secret.into_iter().for_each(|secret| engine.take(secret));
        None
    } else {
        given.secret
    };
    control.serve_keeper(keeper, Arc::clone(&engine), busy)?;
    if let Some(secret) = later {
        control::take_aside(&engine, secret).map_err(WorkerError::Thread)?;
    }
    if absent {
        look_again_later(given.look_again).map_err(WorkerError::Thread)?;
    }
    threads.read(given.server)
}

/// Ends the process after a while: another one may find the token. Meanwhile it says that there is none.
fn look_again_later(after: Duration) -> io::Result<()> {
    std::thread::Builder::new().name("look".into()).spawn(move || {
        std::thread::sleep(after);
        os::end_at_once(TOKEN_ABSENT);
    })?;
    Ok(())
}

/// The queues and the threads that empty them.
struct Threads {
    engine: Arc<Engine>,
    work: Arc<Queue<Work>>,
    /// Another one than `work` if long work has threads of its own.
    long: Arc<Queue<Work>>,
    generate: Arc<Queue<Work>>,
    workers: Vec<std::thread::JoinHandle<()>>,
}

impl Threads {
    fn start(engine: &Arc<Engine>, busy: &Busy, count: usize, for_long: usize) -> io::Result<Self> {
        let work = Arc::new(Queue::new(QUEUE));
        let long = if for_long == 0 { Arc::clone(&work) } else { Arc::new(Queue::new(QUEUE)) };
        let generate = Arc::new(Queue::new(QUEUE));
        let spawn = |name: &str, queue: &Arc<Queue<Work>>, kind| {
            let (engine, queue, slot) = (Arc::clone(engine), Arc::clone(queue), busy.slot(kind));
            std::thread::Builder::new().name(name.into()).spawn(move || {
                while let Some(work) = queue.take() {
                    let _working = slot.begin();
                    engine.perform(work);
                }
            })
        };
        let queues = std::iter::repeat_n(&work, count).chain(std::iter::repeat_n(&long, for_long));
        let workers = queues.map(|queue| spawn("worker", queue, Kind::Operation)).collect::<io::Result<_>>()?;
        for _ in 0..count.min(4) {
            // Never joined: the process does not wait for a key that nobody can receive any more.
            spawn("generate", &generate, Kind::Generation)?;
        }
        Ok(Self { engine: Arc::clone(engine), work, long, generate, workers })
    }

    /// Reads requests until the server closes the socket, then lets the threads finish what they have.
    fn read(self, socket: UnixStream) -> Result<(), WorkerError> {
        let mut incoming = Incoming::default();
        let outcome = loop {
            match incoming.wait_for(&socket, decode_request) {
                Ok(Some(request)) => {
                    let more_to_read = || incoming.has_more() || os::is_readable(&socket);
                    if let Err(error) = self.dispatch(request, more_to_read) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(ChannelError::Io(error)) => break Err(WorkerError::Read(error)),
                Err(error) => break Err(WorkerError::OutOfStep(error.to_string())),
            }
        };
        self.work.close();
        self.long.close();
        self.generate.close();
        for worker in self.workers {
            let _ = worker.join();
        }
        self.engine.settle();
        outcome
    }

    fn dispatch(
        &self,
        request: Result<Request, BadRequest>,
        more_to_read: impl FnOnce() -> bool,
    ) -> Result<(), WorkerError> {
        match request {
            // Answered at once: it is the heartbeat, and must not wait behind work.
            Ok(Request { id, body: RequestBody::Status }) => self.engine.status(id),
            Ok(request) => {
                let work = self.engine.begin(request);
                let begun = matches!(work, Work::Use(_));
                match work.length() {
                    Length::Short => self.work.put(work),
                    Length::Long => self.long.put(work),
                    Length::Generation => self.generate.put(work),
                }
                if begun {
                    self.engine.flush_journal(more_to_read());
                }
            }
            Err(BadRequest::Answerable { id, error }) => {
                log::event(Level::Warn, "malformed-request", &[("id", &id), ("error", &error)]);
                self.engine.answer(Response::new(id, Err(SignerError::Invalid(error))));
            }
            Err(BadRequest::OutOfStep(error)) => return Err(WorkerError::OutOfStep(error)),
        }
        Ok(())
    }
}

/// Why a frame's body is no request.
#[derive(Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// Its id could be read, so it gets an answer.
    Answerable {
        /// The id.
        id: u64,
        /// What is wrong.
        error: String,
    },
    /// Not even its id could be read.
    OutOfStep(String),
}

/// Reads a request out of a frame's body.
///
/// # Errors
/// If it is not exactly one request.
pub fn decode_request(body: &[u8]) -> Result<Request, BadRequest> {
    protocol::decode::<Request>(body).map_err(|error| {
        // The id comes first in every request of every version.
        match postcard::take_from_bytes::<u64>(body) {
            Ok((id, _)) => BadRequest::Answerable { id, error: error.to_string() },
            Err(_) => BadRequest::OutOfStep(error.to_string()),
        }
    })
}
