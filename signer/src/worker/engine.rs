//! Performing requests.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sealcard_api::algorithm::ComponentAlgorithm;
use sealcard_signer_protocol::{
    CHECKPOINT, Growth, KeyEvidence, Request, RequestBody, Response, ResponseBody, SignerError, Stated, StoreState,
    StoredCheckpointKey, StoredKey, check_checkpoint,
};
use uuid::Uuid;

use super::{
    answers::Answers,
    control::KeeperHandle,
    delay::Delays,
    gate::{Gate, Made},
    keys::{Keys, UsableKey},
    stopwatch::Stopwatch,
    task::Task,
    token::TokenKeys,
};
use crate::{
    control::Secret,
    crypto, failpoint,
    journal::{Journal, NewEntry},
    log::{self, Level},
    os,
};

/// The exit status of a worker whose module can't be trusted any more.
const MODULE_FAILED: i32 = 3;

/// Journal entries in one answer at most: at most 300 bytes each, so that they fit into a frame.
const JOURNAL_PAGE: usize = 1000;

/// What all threads share.
pub(super) struct Engine {
    keys: Keys,
    keeper: KeeperHandle,
    journal: Journal,
    answers: Arc<Answers>,
    delays: Delays,
    /// Held from the look at the last checkpoint until the next one is durable.
    checkpoints: Mutex<()>,
}

/// What a thread is to do.
pub(super) enum Work {
    /// All of it.
    Request(Request),
    /// The use of a key that must be made ready before.
    Prepare(NewUse),
    /// A use whose journal entry is already on its way to the disk.
    Use(BegunUse),
}

/// A use as it was asked for.
pub(super) struct NewUse {
    id: u64,
    row: StoredKey,
    task: Task,
    stated: Stated,
}

/// A use of an open key.
pub(super) struct BegunUse {
    gate: Arc<Gate>,
    key: UsableKey,
    component: Uuid,
    algorithm: ComponentAlgorithm,
    task: Task,
}

/// How long work keeps a thread busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// Less than a millisecond.
    Short,
    /// Milliseconds of a processor: a use of an RSA key.
    Long,
    /// Seconds: RSA keys, and on a token whatever makes or destroys keys waits for them.
    Generation,
}

impl Work {
    pub(super) const fn length(&self) -> Length {
        let algorithm = match self {
            Self::Request(Request { body, .. }) => match body {
                RequestBody::Generate { .. } | RequestBody::Destroy { .. } | RequestBody::Discard { .. } => {
                    return Length::Generation;
                }
                // Waits for the journal, and a lattice is no curve.
                RequestBody::SignCheckpoint { .. } => return Length::Long,
                _ => return Length::Short,
            },
            Self::Prepare(new) => new.row.algorithm,
            Self::Use(begun) => begun.algorithm,
        };
        if algorithm.curve().is_none() { Length::Long } else { Length::Short }
    }
}

impl Engine {
    pub(super) fn new(keys: Keys, keeper: KeeperHandle, journal: Journal, answers: Arc<Answers>) -> Self {
        let flushed = Arc::clone(&answers);
        journal.after_each_write(move || flushed.flush());
        Self { keys, keeper, journal, answers, delays: Delays::default(), checkpoints: Mutex::default() }
    }

    /// Whether keys can be used.
    pub(super) fn state(&self) -> StoreState {
        self.keys.state()
    }

    /// Takes in what opens the keys, for all threads, and tells the keeper what came of it.
    pub(super) fn take(&self, secret: Secret) {
        let taken = self.keys.take(secret);
        self.keeper.state(self.state());
        if let Some(taken) = taken {
            self.keeper.taken(taken);
        }
        self.exit_on_fatal_error();
    }

    /// Logs in with the configured PIN, which the server has noted before.
    fn unlock(&self) -> Result<ResponseBody, SignerError> {
        let (outcome, taken) = self.keys.token()?.unlock();
        self.keeper.state(self.state());
        self.keeper.taken(taken);
        outcome
    }

    /// Ends the process if a module has said that it can't go on. What is on its way to the disk and the server gets
    /// there before.
    fn exit_on_fatal_error(&self) {
        if let Some(why) = self.keys.fatal_error() {
            self.journal.settle();
            log::event(Level::Error, "token-failed", &[("why", &why)]);
            os::end_at_once(MODULE_FAILED);
        }
    }

    /// Answers the heartbeat.
    pub(super) fn status(&self, id: u64) {
        let body = ResponseBody::Status { state: self.state(), journal: self.journal.head() };
        self.answer(Response::new(id, Ok(body)));
    }

    pub(super) fn answer(&self, response: Response) {
        self.answers.send(&response);
    }

    /// Begins what costs no time: the journal entry of a use with a key that is open waits to be written before another
    /// thread even wakes to use the key. [`Engine::flush_journal`] must follow.
    pub(super) fn begin(&self, request: Request) -> Work {
        let Request { id, body } = request;
        let (row, task, stated) = match body {
            RequestBody::Use { key, operation, stated } => (key, Task::Use(operation), stated),
            RequestBody::Certify { key, certification, stated } => (key, Task::Certify(certification), stated),
            body => return Work::Request(Request { id, body }),
        };
        let new = NewUse { id, row, task, stated };
        match self.keys.ready(&new.row, &new.task) {
            // Written by `Engine::flush_journal`.
            Some(key) => Work::Use(self.begin_use(new, key)),
            None => Work::Prepare(new),
        }
    }

    /// Writes the journal entries of what was begun: in this thread if it has nothing to read, else in the journal's
    /// own, so that those that come with the next requests share the write.
    pub(super) fn flush_journal(&self, more_to_read: bool) {
        if more_to_read {
            self.journal.wake();
        } else {
            self.journal.flush();
        }
    }

    /// Returns when what was done is in the journal and its answers are on their way.
    pub(super) fn settle(&self) {
        self.journal.settle();
    }

    /// Does the work and sees to its answer.
    pub(super) fn perform(&self, work: Work) {
        match work {
            Work::Request(request) => self.perform_request(request),
            Work::Prepare(new) => self.use_key(new),
            Work::Use(begun) => self.finish_use(begun, &self.keys.stopwatch()),
        }
        self.exit_on_fatal_error();
    }

    fn perform_request(&self, Request { id, body }: Request) {
        let result = match body {
            RequestBody::Status => return self.status(id),
            RequestBody::Journal { from, limit } => self.journal_page(from, limit),
            RequestBody::Generate { component, algorithm, role, master_key, stated } => {
                return self
                    .generate(id, stated, component, |keys| keys.generate(component, algorithm, role, master_key));
            }
            RequestBody::Use { key, operation, stated } => {
                return self.use_key(NewUse { id, row: key, task: Task::Use(operation), stated });
            }
            RequestBody::Certify { key, certification, stated } => {
                return self.use_key(NewUse { id, row: key, task: Task::Certify(certification), stated });
            }
            RequestBody::Recipient => self.keys.recipient(),
            RequestBody::Import { component, algorithm, role, public_key, envelope, master_key, stated } => {
                let input_sha256 = Some(crypto::sha256(&envelope));
                let entry = NewEntry { operation: "import", component, stated, checkpoint: None, input_sha256 };
                return self.take_in(id, entry, |keys| {
                    let key = keys.import(component, algorithm, role, public_key, &envelope, master_key)?;
                    Ok(ResponseBody::Imported { key })
                });
            }
            RequestBody::Adopt { component, role, locator, stated } => {
                let entry = NewEntry::without_input("adopt", component, stated);
                return self.take_in(id, entry, |keys| {
                    let (key, evidence) = keys.adopt(component, role, &locator)?;
                    Ok(ResponseBody::Adopted { key, evidence })
                });
            }
            RequestBody::Destroy { key, stated } => {
                return self.destroy(id, key.component, stated, |token| token.destroy(&key));
            }
            RequestBody::Discard { component, role, stated } => {
                return self.destroy(id, component, stated, |token| token.discard(component, role));
            }
            RequestBody::Unlock => self.unlock(),
            RequestBody::MasterKeys => self.keys.master_keys(),
            RequestBody::Reseal { key, master_key } => guarded(|| self.keys.reseal(&key, master_key)),
            RequestBody::GenerateCheckpointKey { component, origin, master_key, stated } => {
                let entry = NewEntry::without_input("generate", component, stated);
                return self.take_in(id, entry, |keys| keys.generate_checkpoint_key(component, &origin, master_key));
            }
            RequestBody::SignCheckpoint { key, growth, stated } => {
                return self.sign_checkpoint(id, &key, &growth, stated);
            }
            RequestBody::CheckpointState { component } => self
                .keys
                .checkpoint_store()
                .map(|_| ResponseBody::CheckpointState { last: self.journal.checkpoint(component) }),
            RequestBody::ResealCheckpointKey { key, master_key } => {
                guarded(|| self.keys.reseal_checkpoint_key(&key, master_key))
            }
            RequestBody::Probe => self.keys.token().and_then(|token| token.probe()).map(ResponseBody::Probed),
        };
        self.answer(Response::new(id, result));
    }

    fn journal_page(&self, from: u64, limit: u32) -> Result<ResponseBody, SignerError> {
        let limit = usize::try_from(limit).unwrap_or(JOURNAL_PAGE).min(JOURNAL_PAGE);
        let (head, entries) = self.journal.read(from, limit).map_err(|e| SignerError::Journal(e.to_string()))?;
        Ok(ResponseBody::Journal { head, entries })
    }

    fn use_key(&self, new: NewUse) {
        let stopwatch = self.keys.stopwatch();
        match guarded(|| self.keys.admit(&new.row, &new.task)) {
            Ok(key) => {
                let begun = self.begin_use(new, key);
                self.journal.wake();
                self.finish_use(begun, &stopwatch);
            }
            Err(error) => {
                let (request, component, operation) = (new.stated.request, new.row.component, new.task.name());
                self.refuse(new.id, (request, component, operation), error);
            }
        }
    }

    /// Answers, and logs, what has no entry in the journal because no key was touched.
    fn refuse(&self, id: u64, (request, component, operation): (Uuid, Uuid, &str), error: SignerError) {
        let facts: &[(&str, &dyn std::fmt::Display)] =
            &[("request", &request), ("component", &component), ("operation", &operation), ("why", &error)];
        log::event(Level::Warn, "refused", facts);
        self.answer(Response::new(id, Err(error)));
    }

    fn begin_use(&self, new: NewUse, key: UsableKey) -> BegunUse {
        let NewUse { id, row: StoredKey { component, algorithm, .. }, task, stated } = new;
        let input_sha256 = Some(task.input().sha256());
        let entry = NewEntry { operation: task.name(), component, stated, checkpoint: None, input_sha256 };
        BegunUse { gate: self.enqueue(id, entry), key, component, algorithm, task }
    }

    fn finish_use(&self, begun: BegunUse, stopwatch: &Stopwatch) {
        let BegunUse { gate, key, component, task, .. } = begun;
        failpoint::hit("signer::operation");
        let result = guarded(|| self.keys.perform(&key, task.input()));
        let delay = match &result {
            Err(SignerError::DecryptionFailed) => self.delays.after_failure(component, Instant::now()),
            _ => Duration::ZERO,
        };
        gate.made(Made { result, spent: stopwatch.elapsed(), delay });
    }

    /// Signs a checkpoint that continues the last one in the journal. The next one is looked at when this one is
    /// durable, so no two continue the same one.
    fn sign_checkpoint(&self, id: u64, key: &StoredCheckpointKey, growth: &Growth, stated: Stated) {
        let (stopwatch, component) = (self.keys.stopwatch(), key.component);
        let opened = guarded(|| {
            let opened = self.keys.checkpoint_key(key)?;
            let text = opened.text(growth.head)?;
            Ok((opened, text))
        });
        let _one_at_a_time = self.checkpoints.lock();
        let last = self.journal.checkpoint(component);
        let checked = opened.and_then(|opened| {
            check_checkpoint(last, growth)?;
            Ok(opened)
        });
        let (opened, text) = match checked {
            Ok(checked) => checked,
            Err(error) => return self.refuse(id, (stated.request, component, CHECKPOINT), error),
        };
        let input_sha256 = Some(crypto::sha256(text.as_bytes()));
        let checkpoint = Some(growth.head);
        let gate = self.enqueue(id, NewEntry { operation: CHECKPOINT, component, stated, checkpoint, input_sha256 });
        self.journal.settle();
        let result = if gate.is_durable() {
            failpoint::hit("signer::operation");
            guarded(|| opened.sign(text)).map(|note| ResponseBody::Checkpoint { note })
        } else {
            // The gate answers with what became of the entry.
            Err(SignerError::SelfCheckFailed)
        };
        gate.made(Made { result, spent: stopwatch.elapsed(), delay: Duration::ZERO });
    }

    fn generate(
        &self,
        id: u64,
        stated: Stated,
        component: Uuid,
        work: impl FnOnce(&Keys) -> Result<(StoredKey, Option<KeyEvidence>), SignerError>,
    ) {
        match guarded(|| work(&self.keys)) {
            Ok((key, evidence)) => {
                let gate = self.enqueue(id, NewEntry::without_input("generate", component, stated));
                self.journal.wake();
                gate.made(Ok(ResponseBody::Generated { key, evidence }));
            }
            Err(error) => self.answer(Response::new(id, Err(error))),
        }
    }

    fn take_in(&self, id: u64, entry: NewEntry, work: impl FnOnce(&Keys) -> Result<ResponseBody, SignerError>) {
        match guarded(|| work(&self.keys)) {
            Ok(body) => {
                let gate = self.enqueue(id, entry);
                self.journal.wake();
                gate.made(Ok(body));
            }
            Err(error) => self.refuse(id, (entry.stated.request, entry.component, entry.operation), error),
        }
    }

    /// The journal hears of it before: a key that is gone leaves no other trace.
    fn destroy(
        &self,
        id: u64,
        component: Uuid,
        stated: Stated,
        work: impl FnOnce(&TokenKeys) -> Result<(), SignerError>,
    ) {
        let token = match self.keys.token() {
            Ok(token) => token,
            Err(error) => return self.answer(Response::new(id, Err(error))),
        };
        let gate = self.enqueue(id, NewEntry::without_input("destroy", component, stated));
        self.journal.settle();
        // Without the entry the gate answers with what became of that.
        let destroyed = if gate.is_durable() { guarded(|| work(token)) } else { Ok(()) };
        gate.made(destroyed.map(|()| ResponseBody::Destroyed));
    }

    /// Takes the entry into the journal's queue; the answer goes through the gate once it is durable.
    fn enqueue(&self, id: u64, entry: NewEntry) -> Arc<Gate> {
        failpoint::hit("signer::before_journal");
        let gate = Arc::new(Gate::new(id, Arc::clone(&self.answers)));
        let at_the_gate = Arc::clone(&gate);
        self.journal.enqueue(entry, move |outcome| at_the_gate.durable(outcome));
        gate
    }
}

/// A panic in a library costs one request, not the process.
fn guarded<T>(work: impl FnOnce() -> Result<T, SignerError>) -> Result<T, SignerError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        log::event(Level::Error, "panic-in-operation", &[]);
        Err(SignerError::Invalid("the operation failed inside the signer".into()))
    })
}
