//! What keeper and worker say to one another, over the socket that is the worker's standard input.
//!
//! The keeper sends [`ToWorker::Index`] as often as it takes, then [`ToWorker::Start`] with two descriptors: the
//! worker's end of the server's socket, and the journal. The worker says [`ToKeeper::Ready`] when it is shielded and
//! can be asked. Either side takes the end of this socket for the end of the other.

use std::time::Duration;

use sealcard_signer_protocol::{JournalHead, StoreState};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    journal::Checkpoints,
    pkcs11::config::{Pin, TokenConfig},
};

/// Entries of the journal's index in one message: so many fit into a frame.
pub(crate) const INDEX_PART: usize = 64 * 1024;

/// The exit status of a worker whose token was not there when it started: modules look for tokens only then.
pub(crate) const TOKEN_ABSENT: i32 = 4;

/// A message from the keeper.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToWorker {
    /// The next part of the journal's index.
    Index(Vec<u64>),
    /// All that it needs. Brings the worker's end of the server's socket, then the journal.
    Start(Start),
    /// The seal was opened, or has other master keys.
    Secret(Secret),
    /// To be answered by [`ToKeeper::Alive`].
    Ping,
}

/// What a worker begins with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    /// The end of the journal's verified part.
    pub(crate) head: JournalHead,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// The last checkpoint of each key in it.
    pub(crate) checkpoints: Checkpoints,
    /// What opens the keys, unless the seal is closed.
    pub(crate) secret: Option<Secret>,
    /// Whether the keys are on the token that the folder's `token.toml` describes.
    pub(crate) token: bool,
    /// How long a worker that finds no token says so before another one looks.
    pub(crate) look_again: Duration,
}

/// What opens the keys of an environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Secret {
    /// The sealed store's master keys, the oldest first.
    MasterKeys(Vec<KeyBytes>),
    /// A token's PIN.
    Pin {
        /// The PIN.
        pin: Pin,
        /// When it may be used.
        usage: PinUse,
    },
}

/// When a PIN may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PinUse {
    /// The configured one: when the server asks with [`sealcard_signer_protocol::RequestBody::Unlock`], once.
    WhenAsked,
    /// The token took it before: as soon as the token is there, once.
    AtOnce,
    /// A person has given it now: at once, even if it is the last attempt that the token allows.
    Attended,
}

/// The bytes of a key: wiped when dropped, never shown.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct KeyBytes([u8; 32]);

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
pub enum ToKeeper {
    /// It is shielded and can be asked.
    Ready,
    /// To [`ToWorker::Ping`].
    Alive(Ages),
    /// Whether keys can be used now: after [`ToKeeper::Ready`], and when it has changed.
    State(StoreState),
    /// What came of [`ToWorker::Secret`], or of a PIN that was used when the server asked.
    Taken(Taken),
}

/// What came of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Taken {
    /// It opens the keys.
    Fine,
    /// The token has refused the PIN, and why. Nobody is to try it again.
    Refused(String),
    /// It could not be tried, and why; the worker has it and tries it when it can.
    Later(String),
}

/// How long the oldest operations in progress have taken so far, each in milliseconds; 0 if there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages {
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
    /// Those that a `token.toml` sets. The worker notices each call that takes longer, and ends; the keeper waits a
    /// little more, for the case that it does not.
    pub(crate) fn of_token(config: &TokenConfig) -> Self {
        const MORE: Duration = Duration::from_secs(2);
        let set = config.deadlines;
        // Logging in is an operation too.
        let operation = set.operation.max(set.login) + MORE;
        Self { start: set.start + MORE, operation, generation: set.generation + MORE, ..Self::default() }
    }

    /// What has taken too long, in words.
    pub(crate) fn timed_out(&self, ages: Ages) -> Option<&'static str> {
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
