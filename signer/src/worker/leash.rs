//! The worker's side of the socket that it shares with the keeper.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::Arc,
};

use super::{WorkerError, busy::Busy, engine::Engine};
use crate::{
    channel::{self, ChannelError, Incoming},
    journal::Scan,
    leash::{Secret, Start, ToKeeper, ToWorker},
    log::{self, Level},
    seal::MasterKey,
    sealed::Store,
};

/// The socket and what has been read of it.
pub(super) struct Leash {
    socket: UnixStream,
    incoming: Incoming,
}

/// What the keeper gave.
pub(super) struct Briefing {
    /// The socket that the server asks on.
    pub(super) server: UnixStream,
    /// The journal, open for reading and appending.
    pub(super) journal: File,
    /// How far the journal was verified.
    pub(super) scan: Scan,
    /// What opens the keys, if the seal is open.
    pub(super) secret: Option<Secret>,
}

impl Leash {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { socket, incoming: Incoming::default() }
    }

    /// Waits for what the keeper gives.
    pub(super) fn briefing(&mut self) -> Result<Briefing, WorkerError> {
        let mut index = Vec::new();
        loop {
            match self.incoming.wait(&self.socket)? {
                Some(ToWorker::Index(part)) => index.extend(part),
                Some(ToWorker::Start(Start { head, len, secret })) => {
                    let server = UnixStream::from(self.descriptor()?);
                    let journal = File::from(self.descriptor()?);
                    let scan = Scan { head, torn: None, len, index };
                    return Ok(Briefing { server, journal, scan, secret });
                }
                Some(ToWorker::Secret(_) | ToWorker::Ping) => {}
                None => return Err(WorkerError::KeeperGone),
            }
        }
    }

    fn descriptor(&mut self) -> Result<OwnedFd, ChannelError> {
        self.incoming.descriptor().ok_or(ChannelError::NoDescriptor)
    }

    /// Says that requests can come, and answers the keeper from now on, on a thread of its own. The end of the keeper is the
    /// end of this process.
    pub(super) fn attend(mut self, engine: Arc<Engine>, busy: Arc<Busy>) -> Result<(), WorkerError> {
        channel::send(&self.socket, &ToKeeper::Ready, &[])?;
        channel::send(&self.socket, &ToKeeper::State(engine.state()), &[])?;
        std::thread::Builder::new()
            .name("leash".into())
            .spawn(move || {
                let outcome = self.serve(&engine, &busy);
                let why = outcome.err().map_or_else(|| "the keeper has ended".to_owned(), |error| error.to_string());
                log::event(Level::Warn, "worker-stopped", &[("why", &why)]);
                // Nobody is to use a key that nobody watches over.
                std::process::exit(1);
            })
            .map_err(WorkerError::Thread)?;
        Ok(())
    }

    fn serve(&mut self, engine: &Engine, busy: &Busy) -> Result<(), ChannelError> {
        while let Some(message) = self.incoming.wait(&self.socket)? {
            match message {
                ToWorker::Ping => channel::send(&self.socket, &ToKeeper::Alive(busy.ages()), &[])?,
                ToWorker::Secret(secret) => {
                    if let Some(store) = open(Some(secret)) {
                        engine.unsealed(store);
                    }
                    channel::send(&self.socket, &ToKeeper::State(engine.state()), &[])?;
                }
                // Said once, at the start.
                ToWorker::Index(_) | ToWorker::Start(_) => {}
            }
        }
        Ok(())
    }
}

/// The store that a secret opens.
pub(super) fn open(secret: Option<Secret>) -> Option<Store> {
    match secret? {
        Secret::MasterKey(bytes) => Some(Store::new(MasterKey::new(bytes.to_key()))),
        // A sealed store has no PIN.
        Secret::Pin { .. } => None,
    }
}
