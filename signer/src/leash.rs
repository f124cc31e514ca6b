//! What keeper and worker say to one another, over the socket that is the worker's standard input.
//!
//! The keeper sends [`ToWorker::Index`] as often as it takes, then [`ToWorker::Start`] with two descriptors: the worker's end
//! of the server's socket, and the journal. The worker says [`ToKeeper::Ready`] when it is shielded and can be asked. Either
//! side takes the end of this socket for the end of the other.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    protocol::{JournalHead, StoreState},
    seal::Passphrase,
};

/// Entries of the journal's index in one message: so many fit into a frame.
pub(crate) const INDEX_PART: usize = 64 * 1024;

/// A message from the keeper.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The next part of the journal's index.
    Index(Vec<u64>),
    /// All that it needs. Brings the worker's end of the server's socket, then the journal.
    Start(Start),
    /// The seal was opened.
    Secret(Secret),
    /// To be answered by [`ToKeeper::Alive`].
    Ping,
}

/// What a worker begins with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    /// The end of the journal's verified part.
    pub(crate) head: JournalHead,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// What opens the keys, unless the seal is closed.
    pub(crate) secret: Option<Secret>,
}

/// What opens the keys of an environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Secret {
    /// The sealed store's master key.
    MasterKey(KeyBytes),
    /// A token's PIN.
    Pin {
        /// The PIN.
        pin: Passphrase,
        /// Whether it may be used at once: a person has given it now, or the token has taken it before. Otherwise the worker
        /// waits for [`crate::protocol::RequestBody::Unlock`].
        at_once: bool,
    },
}

/// The bytes of a key: wiped when dropped, never shown.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct KeyBytes([u8; 32]);

impl KeyBytes {
    pub(crate) const fn new(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    pub(crate) fn to_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0)
    }
}

impl std::fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyBytes")
    }
}

/// A message from the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToKeeper {
    /// It is shielded and can be asked.
    Ready,
    /// To [`ToWorker::Ping`].
    Alive(Ages),
    /// Whether keys can be used now: after [`ToKeeper::Ready`], and when it has changed.
    State(StoreState),
    /// The token took the PIN that it was given, or why not. The keeper keeps a right one for the next worker and forgets a
    /// wrong one.
    Pin(Result<(), String>),
}

/// How long the oldest operations in progress have taken so far, each in milliseconds; 0 if there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ages {
    /// Uses of a key, and whatever else takes milliseconds.
    pub(crate) operation_ms: u64,
    /// The making of RSA keys.
    pub(crate) generation_ms: u64,
}

/// How long operations may take before the worker counts as hung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// Between start and [`ToKeeper::Ready`].
    pub(crate) start: Duration,
    /// For an answer to [`ToWorker::Ping`].
    pub(crate) ping: Duration,
    /// See [`Ages::operation_ms`].
    pub(crate) operation: Duration,
    /// See [`Ages::generation_ms`].
    pub(crate) generation: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(30),
            ping: Duration::from_secs(5),
            operation: Duration::from_secs(10),
            generation: Duration::from_secs(120),
        }
    }
}

impl Deadlines {
    /// What has taken too long, in words.
    pub(crate) fn overdue(&self, ages: Ages) -> Option<&'static str> {
        let late = |ms, limit| Duration::from_millis(ms) > limit;
        if late(ages.operation_ms, self.operation) {
            Some("an operation takes too long")
        } else if late(ages.generation_ms, self.generation) {
            Some("the making of a key takes too long")
        } else {
            None
        }
    }
}
