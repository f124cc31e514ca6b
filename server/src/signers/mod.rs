//! Starting signer processes, one for each environment, and talking to them.
//!
//! A signer is two processes. The keeper is started here, over a socket pair that it inherits, or it runs as a user of
//! its own and is connected to; it starts the worker and hands over a socket to it. On that the worker is asked typed
//! operations; requests of any number of callers share the one connection and are told apart by their ids. When the
//! worker dies, what was in flight fails as [`UseError::Unavailable`] with the outcome unknown, and the keeper brings
//! the next one. When the keeper dies, another one is started.

mod checkpoints;
mod connection;
mod folders;
mod link;
mod metrics;
mod process;
mod program;
mod questions;
mod rekey;
mod unlock;
mod unseal;
mod uses;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use sealcard_api::{
    admin::{EnvironmentKind, EnvironmentState},
    ids::{EnvironmentId, PrincipalId, RequestId},
};
use sealcard_record::Actor;
use sealcard_signer_protocol::{
    JournalEntry, JournalHead, KeeperAnswer, KeeperRequestBody, LogHead, MasterKeyId, RequestBody, ResponseBody,
    SignerError, Stated, StoreState,
};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::{
    limiter::{Busy, Occupancy},
    limits,
    storage::{EnvironmentRow, StorageError, Store},
};
use connection::Connection;
pub use folders::{Found, Place, discover};
pub(crate) use folders::{SOCKET_FILE, SocketFile};
pub use link::KeeperError;
use link::Link;
use metrics::{Metrics, SignerMetrics};
use process::Current;
pub use process::SignerSettings;
pub use program::Program;
pub(crate) use rekey::MasterKeyStatus;
use rekey::Rekeyer;
use unlock::Unlocker;
pub use unseal::UnsealError;
use uses::Uses;
pub use uses::{UseKind, UsePermit};

/// Why a signer gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UseError {
    /// The signer answered with an error: the key was not used, or what it made was thrown away.
    #[error(transparent)]
    Refused(#[from] SignerError),
    /// The ciphertext does not decrypt. Whoever sent it is told after the delay. Retrying can't help.
    #[error("decryption failed")]
    DecryptionFailed {
        /// Longer with each failure of the key.
        delay: Duration,
    },
    /// There is no connection to the signer; it was not asked. Retrying helps once it runs again.
    #[error("the signer process does not run")]
    NotAsked,
    /// The signer does not start; it was not asked. Retrying helps once that is mended.
    #[error("the signer does not start: {0}")]
    NotStarted(String),
    /// The signer was asked and did not answer: the key may have been used. Retrying is a new use.
    #[error("the signer process did not answer")]
    Unavailable,
    /// The request can't be put into a frame. Retrying can't help.
    #[error("the request to the signer is too long")]
    TooLong,
}

/// What came of a use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The signer's answer.
    pub body: ResponseBody,
    /// The number of the use's entry in the signer's journal.
    pub journal: Option<u64>,
}

/// What the signer's journal says of a request: who asks. Nobody if the server acts by itself. Where the record ended is
/// added when the signer is asked.
#[must_use]
pub fn stated(request: RequestId, by: Option<&Actor>) -> Stated {
    let (principal, grant) = (by.map(|actor| actor.id.0), by.and_then(|actor| actor.grant).map(|grant| grant.0));
    Stated { request: request.0, principal, grant, record: None }
}

/// The folder with the sockets of signers that run as their own users.
pub const SOCKETS: &str = "/run/sealcard-signer";

/// Where the signers of a server come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// This program is started for those that have a folder here, as the server's user: for trying Sealcard out.
    Here(PathBuf),
    /// They run as their own users. None is started.
    Apart,
}

/// All signers of this server.
pub struct Signers {
    origin: Origin,
    program: Program,
    folder: PathBuf,
    store: Store,
    metrics: Metrics,
    by_environment: RwLock<HashMap<EnvironmentId, Arc<Signer>>>,
}

impl Signers {
    /// Starts, or connects to, a signer for each environment; see [`Self::start_missing`].
    #[must_use]
    pub fn start(
        origin: Origin,
        folder: &Path,
        found: &[Found],
        store: &Store,
        environments: impl IntoIterator<Item = EnvironmentRow>,
    ) -> Arc<Self> {
        let program = match &origin {
            Origin::Here(program) => Program::new(program),
            Origin::Apart => Program::new(Path::new("")),
        };
        let (folder_of_all, store, metrics) = (folder.to_owned(), store.clone(), Metrics::default());
        let by_environment = RwLock::default();
        let signers = Self { origin, program, folder: folder_of_all, store, metrics, by_environment };
        signers.start_missing(folder, found, environments);
        Arc::new(signers)
    }

    /// Starts, or connects to, a signer for each of these environments that has none. An environment without a place
    /// among `found` is looked for where its folder, below `folder`, or its socket would be.
    ///
    /// Returns at once: signers that do not start are started again, with growing pauses.
    pub fn start_missing(
        &self,
        folder: &Path,
        found: &[Found],
        environments: impl IntoIterator<Item = EnvironmentRow>,
    ) {
        let mut signers = self.by_environment.write();
        for row in environments {
            signers.entry(row.id).or_insert_with(|| {
                let found = found.iter().find(|found| found.name == row.name);
                let place = found.map_or_else(
                    || match self.origin {
                        Origin::Here(_) => Place::Here(folder.join(&row.name)),
                        Origin::Apart => Place::Socket(Path::new(SOCKETS).join(&row.name)),
                    },
                    |found| found.place.clone(),
                );
                let program = self.program.clone();
                let settings = SignerSettings { program, place, environment: row.name.clone() };
                Arc::new(Signer::start(settings, &self.store, &row, self.metrics.of(&row.name)))
            });
        }
    }

    /// Registers what is counted of the signers.
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// The folder of the signers' own folders.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The signer of an environment.
    #[must_use]
    pub fn get(&self, environment: EnvironmentId) -> Option<Arc<Signer>> {
        self.by_environment.read().get(&environment).cloned()
    }

    /// All signers with their environments.
    #[must_use]
    pub fn all(&self) -> Vec<(EnvironmentId, Arc<Signer>)> {
        let signers = self.by_environment.read();
        signers.iter().map(|(id, signer)| (*id, Arc::clone(signer))).collect()
    }

    /// How an environment's signer is at this moment, and why keys can't be used if they can't.
    pub async fn state_of(&self, environment: EnvironmentId) -> (EnvironmentState, Option<String>) {
        let Some(signer) = self.get(environment) else { return (EnvironmentState::Unavailable, None) };
        let state = signer.state().await;
        (state, signer.note().filter(|_| state != EnvironmentState::Ready))
    }

    /// The server is about to stop: signers that end by themselves are not reported as failures.
    pub fn expect_end(&self) {
        for (_, signer) in self.all() {
            signer.supervisor.expect_end();
        }
    }

    /// Ends all signers after the requests in flight.
    pub async fn stop(&self) {
        for (_, signer) in self.all() {
            signer.stop().await;
        }
    }
}

/// The way to one signer, whichever processes it is at present.
pub struct Signer {
    connection: watch::Receiver<Option<Arc<Connection>>>,
    link: watch::Receiver<Option<Arc<Link>>>,
    /// Why the keeper does not start.
    trouble: watch::Receiver<Option<String>>,
    supervisor: process::Supervisor,
    token: Option<Token>,
    master_key: Option<MasterKey>,
    uses: Uses,
    name: String,
    metrics: SignerMetrics,
    store: Store,
    environment: EnvironmentId,
}

/// What goes on around the master key of a sealed store.
struct MasterKey {
    status: watch::Receiver<MasterKeyStatus>,
    rekeyer: tokio::task::AbortHandle,
}

/// What goes on around the token of an environment that has one.
struct Token {
    note: watch::Receiver<Option<String>>,
    again: Arc<Notify>,
    unlocker: tokio::task::AbortHandle,
}

impl Signer {
    fn start(settings: SignerSettings, store: &Store, row: &EnvironmentRow, metrics: SignerMetrics) -> Self {
        let (to_connection, connection) = watch::channel(None);
        let (to_link, link) = watch::channel(None);
        let (to_trouble, trouble) = watch::channel(None);
        let current =
            Current { link: to_link, connection: to_connection, trouble: to_trouble, metrics: metrics.clone() };
        let supervisor = process::Supervisor::start(settings, current);
        let token = (row.kind == EnvironmentKind::Pkcs11).then(|| {
            let (sender, note) = watch::channel(None);
            let again = Arc::new(Notify::new());
            let unlocker = Unlocker {
                store: store.clone(),
                environment: row.id,
                name: row.name.clone(),
                connection: connection.clone(),
                note: sender,
                again: Arc::clone(&again),
                blocked: false,
            };
            Token { note, again, unlocker: tokio::spawn(unlocker.run()).abort_handle() }
        });
        let master_key = (row.kind == EnvironmentKind::Sealed).then(|| {
            let (sender, status) = watch::channel(MasterKeyStatus::default());
            let rekeyer = Rekeyer {
                store: store.clone(),
                environment: row.id,
                name: row.name.clone(),
                connection: connection.clone(),
                link: link.clone(),
                status: sender,
            };
            MasterKey { status, rekeyer: tokio::spawn(rekeyer.run()).abort_handle() }
        });
        let uses = if token.is_some() { Uses::of_a_token() } else { Uses::of_a_store() };
        let (store, environment, name) = (store.clone(), row.id, row.name.clone());
        Self { connection, link, trouble, supervisor, token, master_key, uses, name, metrics, store, environment }
    }

    /// Waits until the signer can take one more use of a key from this principal.
    ///
    /// # Errors
    /// If that takes too long, at once if too many of its uses wait.
    pub async fn permit(&self, principal: PrincipalId, kind: UseKind) -> Result<UsePermit, Busy> {
        self.uses.permit(principal, kind).await
    }

    /// Uses a key, which takes a permit: it is given back when the signer has answered, whether anybody still waits for
    /// that or not.
    ///
    /// # Errors
    /// See [`UseError`].
    pub async fn use_key(&self, body: RequestBody, permit: UsePermit) -> Result<Used, UseError> {
        let connection = self.connection().await?;
        let asked = Instant::now();
        let answer = connection.use_key(self.with_head(body), limits::USE_DEADLINE, permit).await;
        self.metrics.durations.observe(asked.elapsed().as_secs_f64());
        answer
    }

    /// Its environment's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many uses it has, and how many wait for a permit.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.uses.occupancy()
    }

    /// How often its keeper was started again, or was tried to be, and how often its worker.
    #[must_use]
    pub fn restarts(&self) -> (u64, u64) {
        let again = |starts: &Counter| starts.get().saturating_sub(1);
        (again(&self.metrics.keepers), again(&self.metrics.workers))
    }

    /// Asks the signer, and waits for the answer or the deadline.
    ///
    /// # Errors
    /// See [`UseError`].
    pub async fn ask(&self, body: RequestBody) -> Result<ResponseBody, UseError> {
        let deadline = match body {
            RequestBody::Generate { .. } => limits::GENERATE_DEADLINE,
            RequestBody::Use { .. }
            | RequestBody::Certify { .. }
            | RequestBody::Import { .. }
            | RequestBody::Journal { .. }
            | RequestBody::Unlock
            | RequestBody::Probe
            | RequestBody::Adopt { .. }
            | RequestBody::Destroy { .. }
            | RequestBody::Discard { .. }
            | RequestBody::Reseal { .. }
            | RequestBody::GenerateCheckpointKey { .. }
            | RequestBody::SignCheckpoint { .. }
            | RequestBody::CheckpointState { .. }
            | RequestBody::ResealCheckpointKey { .. } => limits::USE_DEADLINE,
            RequestBody::Status | RequestBody::Recipient | RequestBody::MasterKeys => limits::STATUS_DEADLINE,
        };
        let connection = self.connection().await?;
        connection.ask(self.with_head(body), deadline).await
    }

    /// States the end of the record too, as it is now.
    fn with_head(&self, mut body: RequestBody) -> RequestBody {
        if let Some(stated) = body.stated_mut().filter(|stated| stated.record.is_none()) {
            stated.record = self.store.last_head().map(|head| LogHead { size: head.sequence, root: head.root.0 });
        }
        body
    }

    /// How its keys are kept.
    #[must_use]
    pub const fn kind(&self) -> EnvironmentKind {
        if self.is_token() { EnvironmentKind::Pkcs11 } else { EnvironmentKind::Sealed }
    }

    /// Whether it keeps its keys on a token.
    #[must_use]
    pub const fn is_token(&self) -> bool {
        self.token.is_some()
    }

    /// Lets the token be opened again: a person has acted, or there is something to remove from it.
    pub fn try_again(&self) {
        if let Some(token) = &self.token {
            token.again.notify_one();
        }
    }

    /// Why keys can't be used, for people: the signer does not start, or the token is not open.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let trouble = self.trouble.borrow().clone();
        trouble.or_else(|| self.token.as_ref().and_then(|token| token.note.borrow().clone()))
    }

    /// The master key under which a sealed store's new components are stored; none before it is known, and for a token.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn master_key(&self) -> Result<Option<MasterKeyId>, StorageError> {
        if self.is_token() {
            return Ok(None);
        }
        Ok(self.store.master_key(self.environment).await?.current)
    }

    /// What is known of a sealed store's master key.
    pub(crate) fn master_key_status(&self) -> Option<MasterKeyStatus> {
        self.master_key.as_ref().map(|master_key| master_key.status.borrow().clone())
    }

    /// How the signer is at this moment.
    pub async fn state(&self) -> EnvironmentState {
        // A status question needs no patience: no connection is an answer.
        let current = self.connection.borrow().clone();
        let Some(connection) = current else { return EnvironmentState::Unavailable };
        match connection.ask(RequestBody::Status, limits::STATUS_DEADLINE).await {
            Ok(ResponseBody::Status { state, .. }) => match state {
                StoreState::Open => EnvironmentState::Ready,
                StoreState::Sealed | StoreState::Locked => EnvironmentState::Sealed,
                StoreState::Absent(_) => EnvironmentState::TokenAbsent,
            },
            _ => EnvironmentState::Unavailable,
        }
    }

    /// Entries of the journal from number `from` on, with the journal's end. Fewer than all: ask again.
    ///
    /// # Errors
    /// See [`UseError`].
    pub async fn journal(&self, from: u64) -> Result<(JournalHead, Vec<JournalEntry>), UseError> {
        match self.ask(RequestBody::Journal { from, limit: limits::JOURNAL_PAGE }).await? {
            ResponseBody::Journal { head, entries } => Ok((head, entries)),
            _ => Err(UseError::Unavailable),
        }
    }

    /// Asks the keeper, and waits for the answer or the deadline.
    ///
    /// # Errors
    /// See [`KeeperError`].
    pub async fn ask_keeper(&self, body: KeeperRequestBody) -> Result<KeeperAnswer, KeeperError> {
        let deadline = match body {
            KeeperRequestBody::Unseal | KeeperRequestBody::UnsealWith { .. } => limits::UNSEAL_DEADLINE,
            KeeperRequestBody::Status
            | KeeperRequestBody::Recipient
            | KeeperRequestBody::ReplaceWorker { .. }
            | KeeperRequestBody::UnusedMasterKeys(_) => limits::STATUS_DEADLINE,
        };
        let link = self.link.borrow().clone().ok_or(KeeperError::Unavailable)?;
        link.ask(body, deadline).await
    }

    /// The worker's process id while one runs, for tests and logs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.connection.borrow().as_ref().map(|connection| connection.process_id())
    }

    async fn stop(&self) {
        if let Some(token) = &self.token {
            token.unlocker.abort();
        }
        if let Some(master_key) = &self.master_key {
            master_key.rekeyer.abort();
        }
        self.supervisor.stop().await;
    }

    /// The connection; a signer that is just being started is waited for shortly.
    async fn connection(&self) -> Result<Arc<Connection>, UseError> {
        if let Some(connection) = self.connection.borrow().as_ref() {
            return Ok(Arc::clone(connection));
        }
        if let Some(why) = self.trouble.borrow().clone() {
            return Err(UseError::NotStarted(why));
        }
        let mut changes = self.connection.clone();
        match timeout(limits::STATUS_DEADLINE, changes.wait_for(Option::is_some)).await {
            Ok(Ok(current)) => current.as_ref().map(Arc::clone).ok_or(UseError::NotAsked),
            _ => Err(UseError::NotAsked),
        }
    }
}

/// The signer's program: `configured`, or the one beside this executable.
///
/// # Errors
/// If this executable's own path can't be found.
pub fn program(configured: Option<&Path>) -> std::io::Result<PathBuf> {
    match configured {
        Some(path) => Ok(path.to_owned()),
        None => Ok(std::env::current_exe()?.with_file_name("sealcard-signer")),
    }
}
