//! Performing requests.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, Scheme};
use sealcard_envelope::RecipientKey;
use uuid::Uuid;

use super::{answers::Answers, delay::Delay, gate::Gate};
use crate::{
    crypto, failpoint,
    journal::{Journal, NewEntry},
    log::{self, Level},
    operations::{self, PrivateKey},
    protocol::{Operation, Request, RequestBody, Response, ResponseBody, SignerError, StoreState, StoredKey},
    sealed::{Store, StoreError},
};

/// Journal entries in one answer at most: about 200 bytes each, so that they fit into a frame.
const JOURNAL_PAGE: usize = 1000;

/// What all threads share.
pub(super) struct Engine {
    store: OnceLock<Store>,
    journal: Journal,
    answers: Arc<Answers>,
    delay: Delay,
}

/// What a thread is to do.
pub(super) enum Work {
    /// All of it.
    Request(Request),
    /// A use whose journal entry is already on its way to the disk.
    Use(BegunUse),
}

/// A use of an open key.
pub(super) struct BegunUse {
    gate: Arc<Gate>,
    key: Arc<PrivateKey>,
    component: Uuid,
    operation: Operation,
}

impl Work {
    /// Whether it occupies a thread for seconds.
    pub(super) const fn takes_seconds(&self) -> bool {
        matches!(
            self,
            Self::Request(Request { body: RequestBody::Generate { algorithm, .. }, .. })
                if matches!(algorithm.scheme(), Scheme::Rsa { .. })
        )
    }
}

impl Engine {
    pub(super) fn new(store: Option<Store>, journal: Journal, answers: Arc<Answers>) -> io::Result<Self> {
        let store = store.map_or_else(OnceLock::new, OnceLock::from);
        Ok(Self { store, journal, answers, delay: Delay::start()? })
    }

    /// Whether keys can be used.
    pub(super) fn state(&self) -> StoreState {
        if self.store.get().is_none() { StoreState::Sealed } else { StoreState::Open }
    }

    /// Opens the store for all threads.
    pub(super) fn unsealed(&self, store: Store) {
        let _ = self.store.set(store);
    }

    /// What envelopes for this signer are closed with.
    fn envelope_key(&self) -> Result<RecipientKey, SignerError> {
        self.store.get().ok_or(SignerError::Sealed)?.recipient().map_err(|e| store_error(&e))
    }

    /// Answers the heartbeat.
    pub(super) fn status(&self, id: u64) {
        let body = ResponseBody::Status { state: self.state(), journal: self.journal.head() };
        self.answer(Response { id, result: Ok(body) });
    }

    pub(super) fn answer(&self, response: Response) {
        self.answers.send(&response);
    }

    /// Begins what costs no time: the journal entry of a use with a key that is open waits to be written before another
    /// thread even wakes to use the key. [`Engine::flush_journal`] must follow.
    pub(super) fn begin(&self, request: Request) -> Work {
        let Request { id, body } = request;
        let RequestBody::Use { key: row, operation, request } = body else {
            return Work::Request(Request { id, body });
        };
        let open = self.store.get().filter(|_| operations::check(&row, &operation).is_ok());
        match open.and_then(|store| store.open_key(&row)) {
            // Written by `Engine::flush_journal`.
            Some(key) => Work::Use(self.begin_use(id, &row, key, operation, request)),
            None => Work::Request(Request { id, body: RequestBody::Use { key: row, operation, request } }),
        }
    }

    /// Writes the journal entries of what was begun: in this thread if it has nothing to read, else in the journal's own,
    /// so that those that come with the next requests share the write.
    pub(super) fn flush_journal(&self, more_to_read: bool) {
        if more_to_read {
            self.journal.wake();
        } else {
            self.journal.flush();
        }
    }

    /// Does the work and sees to its answer.
    pub(super) fn perform(&self, work: Work) {
        let Request { id, body } = match work {
            Work::Request(request) => request,
            Work::Use(begun) => return self.finish_use(begun),
        };
        match body {
            RequestBody::Status => self.status(id),
            RequestBody::Journal { from, limit } => {
                self.answer(Response { id, result: self.journal_page(from, limit) })
            }
            RequestBody::Generate { component, algorithm, role, request } => {
                self.generate(id, component, algorithm, role, request);
            }
            RequestBody::Use { key, operation, request } => self.use_key(id, &key, operation, request),
            RequestBody::Recipient => {
                let result = self.envelope_key().map(|key| ResponseBody::Recipient { public_key: key.0 });
                self.answer(Response { id, result });
            }
            RequestBody::Import { component, algorithm, role, public_key, envelope, request } => {
                let entry =
                    NewEntry { operation: "import", component, request, input_sha256: Some(crypto::sha256(&envelope)) };
                let import = |store: &Store| store.import(component, algorithm, role, public_key, &envelope);
                self.take_in(id, entry, import);
            }
            RequestBody::Unlock | RequestBody::Probe | RequestBody::Adopt { .. } | RequestBody::Destroy { .. } => {
                let why = "a sealed store has no token".to_owned();
                self.answer(Response { id, result: Err(SignerError::Unsupported(why)) });
            }
        }
    }

    fn journal_page(&self, from: u64, limit: u32) -> Result<ResponseBody, SignerError> {
        let limit = usize::try_from(limit).unwrap_or(JOURNAL_PAGE).min(JOURNAL_PAGE);
        let (head, entries) = self.journal.read(from, limit).map_err(|e| SignerError::Journal(e.to_string()))?;
        Ok(ResponseBody::Journal { head, entries })
    }

    fn use_key(&self, id: u64, row: &StoredKey, operation: Operation, request: Uuid) {
        match self.admit(row, &operation) {
            Ok(key) => {
                let begun = self.begin_use(id, row, key, operation, request);
                self.journal.wake();
                self.finish_use(begun);
            }
            Err(error) => {
                log::event(
                    Level::Warn,
                    "refused",
                    &[
                        ("request", &request),
                        ("component", &row.component),
                        ("operation", &operation.name()),
                        ("why", &error),
                    ],
                );
                self.answer(Response { id, result: Err(error) });
            }
        }
    }

    /// The key for an operation that may be performed. What is refused here has touched no key, so the journal does not
    /// hear of it.
    fn admit(&self, row: &StoredKey, operation: &Operation) -> Result<Arc<PrivateKey>, SignerError> {
        let store = self.store.get().ok_or(SignerError::Sealed)?;
        operations::check(row, operation)?;
        store.key(row).map_err(|_| SignerError::NotOurs)
    }

    fn begin_use(
        &self,
        id: u64,
        row: &StoredKey,
        key: Arc<PrivateKey>,
        operation: Operation,
        request: Uuid,
    ) -> BegunUse {
        let entry = NewEntry {
            operation: operation.name(),
            component: row.component,
            request,
            input_sha256: Some(crypto::sha256(operations::input(&operation))),
        };
        BegunUse { gate: self.enqueue(id, entry), key, component: row.component, operation }
    }

    fn finish_use(&self, begun: BegunUse) {
        let BegunUse { gate, key, component, operation } = begun;
        failpoint::hit("signer::operation");
        let result = guarded(|| key.perform(&operation));
        if matches!(result, Err(SignerError::DecryptionFailed)) {
            self.delay.after_failure(component, move || gate.made(result));
        } else {
            gate.made(result);
        }
    }

    fn generate(&self, id: u64, component: Uuid, algorithm: ComponentAlgorithm, role: ComponentRole, request: Uuid) {
        let Some(store) = self.store.get() else {
            return self.answer(Response { id, result: Err(SignerError::Sealed) });
        };
        match guarded(|| store.generate(component, algorithm, role).map_err(|e| store_error(&e))) {
            Ok(key) => {
                let entry = NewEntry { operation: "generate", component, request, input_sha256: None };
                let gate = self.enqueue(id, entry);
                self.journal.wake();
                gate.made(Ok(ResponseBody::Generated { key, evidence: None }));
            }
            Err(error) => self.answer(Response { id, result: Err(error) }),
        }
    }

    fn take_in(&self, id: u64, entry: NewEntry, import: impl FnOnce(&Store) -> Result<StoredKey, StoreError>) {
        let Some(store) = self.store.get() else {
            return self.answer(Response { id, result: Err(SignerError::Sealed) });
        };
        match guarded(|| import(store).map_err(|e| store_error(&e))) {
            Ok(key) => {
                let gate = self.enqueue(id, entry);
                self.journal.wake();
                gate.made(Ok(ResponseBody::Imported { key }));
            }
            Err(error) => {
                let (request, component) = (entry.request, entry.component);
                let facts: &[(&str, &dyn std::fmt::Display)] =
                    &[("request", &request), ("component", &component), ("operation", &"import"), ("why", &error)];
                log::event(Level::Warn, "refused", facts);
                self.answer(Response { id, result: Err(error) });
            }
        }
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

fn store_error(error: &StoreError) -> SignerError {
    match error {
        StoreError::Generate(operations::GenerateError::Mismatch { .. }) => SignerError::Invalid(error.to_string()),
        // The library makes and checks the key; what failed there is worth another try.
        StoreError::Generate(operations::GenerateError::Library) | StoreError::Library => SignerError::SelfCheckFailed,
        StoreError::Envelope(_) => SignerError::Envelope,
        StoreError::Mismatch(_) => SignerError::Mismatch,
    }
}

/// A panic in a library costs one request, not the process.
fn guarded<T>(work: impl FnOnce() -> Result<T, SignerError>) -> Result<T, SignerError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        log::event(Level::Error, "panic-in-operation", &[]);
        Err(SignerError::Invalid("the operation failed inside the signer".into()))
    })
}
