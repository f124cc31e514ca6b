//! The worker's side of the socket that it shares with the keeper.

use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use sealcard_signer_protocol::{
    StoreState,
    channel::{self, ChannelError, Incoming},
};

use super::{WorkerError, busy::Busy, engine::Engine};
use crate::{
    control::{Secret, Start, Taken, ToKeeper, ToWorker},
    journal::Scan,
    log::{self, Level},
    os,
};

/// What any thread tells the keeper.
#[derive(Clone)]
pub(super) struct KeeperHandle(Arc<Mutex<UnixStream>>);

impl KeeperHandle {
    pub(super) fn state(&self, state: StoreState) {
        self.say(&ToKeeper::State(state));
    }

    pub(super) fn taken(&self, taken: Taken) {
        self.say(&ToKeeper::Taken(taken));
    }

    /// A keeper that is gone is noticed by the thread that reads.
    fn say(&self, message: &ToKeeper) {
        let socket = self.0.lock();
        if let Err(error) = channel::send(&socket, message, &[]) {
            log::event(Level::Warn, "keeper-gone", &[("error", &error)]);
        }
    }
}

/// The socket and what has been read of it.
pub(super) struct ControlChannel {
    socket: UnixStream,
    incoming: Incoming,
}

/// What the keeper gave.
pub(super) struct WorkerConfig {
    /// The socket that the server asks on.
    pub(super) server: UnixStream,
    /// The journal, open for reading and appending.
    pub(super) journal: File,
    /// How far the journal was verified.
    pub(super) scan: Scan,
    /// What opens the keys, if the seal is open.
    pub(super) secret: Option<Secret>,
    /// Whether the keys are on a token.
    pub(super) token: bool,
    /// How long to say that there is no token before another worker looks.
    pub(super) look_again: Duration,
}

impl ControlChannel {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { socket, incoming: Incoming::default() }
    }

    /// What other threads speak with.
    pub(super) fn keeper(&self) -> io::Result<KeeperHandle> {
        Ok(KeeperHandle(Arc::new(Mutex::new(self.socket.try_clone()?))))
    }

    /// Waits for what the keeper gives.
    pub(super) fn worker_config(&mut self) -> Result<WorkerConfig, WorkerError> {
        let mut index = Vec::new();
        loop {
            match self.incoming.wait(&self.socket)? {
                Some(ToWorker::Index(part)) => index.extend(part),
                Some(ToWorker::Start(Start { head, len, checkpoints, secret, token, look_again })) => {
                    let server = UnixStream::from(self.descriptor()?);
                    let journal = File::from(self.descriptor()?);
                    let scan = Scan { head, torn: None, len, index, checkpoints };
                    return Ok(WorkerConfig { server, journal, scan, secret, token, look_again });
                }
                Some(ToWorker::Secret(_) | ToWorker::Ping) => {}
                None => return Err(WorkerError::KeeperGone),
            }
        }
    }

    fn descriptor(&mut self) -> Result<OwnedFd, ChannelError> {
        self.incoming.descriptor().ok_or(ChannelError::NoDescriptor)
    }

    /// Says that requests can come, and answers the keeper from now on, on a thread of its own. The end of the keeper
    /// is the end of this process.
    pub(super) fn serve_keeper(
        mut self,
        keeper: KeeperHandle,
        engine: Arc<Engine>,
        busy: Arc<Busy>,
    ) -> Result<(), WorkerError> {
        keeper.say(&ToKeeper::Ready);
        keeper.state(engine.state());
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                let outcome = self.serve(&keeper, &engine, &busy);
                let why = outcome.err().map_or_else(|| "the keeper has ended".to_owned(), |error| error.to_string());
                log::event(Level::Warn, "worker-stopped", &[("why", &why)]);
                // Nobody is to use a key that nobody watches over.
                os::end_at_once(1);
            })
            .map_err(WorkerError::Thread)?;
        Ok(())
    }

    fn serve(&mut self, keeper: &KeeperHandle, engine: &Arc<Engine>, busy: &Busy) -> Result<(), ChannelError> {
        while let Some(message) = self.incoming.wait(&self.socket)? {
            match message {
                ToWorker::Ping => keeper.say(&ToKeeper::Alive(busy.ages())),
                ToWorker::Secret(secret) => take_aside(engine, secret)?,
                // Said once, at the start.
                ToWorker::Index(_) | ToWorker::Start(_) => {}
            }
        }
        Ok(())
    }
}

/// Takes a secret in on a thread of its own: a token may take its time over a PIN, and the keeper wants answers
/// meanwhile.
pub(super) fn take_aside(engine: &Arc<Engine>, secret: Secret) -> io::Result<()> {
    let engine = Arc::clone(engine);
    std::thread::Builder::new().name("secret".into()).spawn(move || engine.take(secret))?;
    Ok(())
}
