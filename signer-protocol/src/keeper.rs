//! What server and keeper say to one another over the socket that the keeper was started with.
//!
//! Frames as everywhere. A new message or variant is added at the end of its enum, and none is changed: a program that
//! was started before an upgrade may be on the other side. The server sends [`KeeperRequest`]s; the keeper sends [`KeeperMessage`]s: an answer to each
//! request, and what happens by itself. A [`KeeperMessage::Worker`] brings a descriptor along (`SCM_RIGHTS`, on the
//! frame's first byte): the server's end of a stream socket to that worker, on which [`super::Request`]s go and
//! [`super::Response`]s come. When a worker ends, that socket closes, and another message brings the next one.

use serde::{Deserialize, Serialize};

use crate::{Hello, MasterKeyId, StoreState};

/// Bytes of the nonce that an envelope with a secret is bound to.
pub const NONCE_LEN: usize = 32;

/// A message from the server to the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperRequest {
    /// Chosen by the server, echoed in the answer.
    pub id: u64,
    /// What is asked.
    pub body: KeeperRequestBody,
}

/// What the server asks the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeeperRequestBody {
    /// How the keeper is. Also the heartbeat. Answered by [`KeeperAnswer::Status`].
    Status,
    /// The key that a passphrase or PIN for this keeper is encrypted to, with a fresh nonce. Answered by
    /// [`KeeperAnswer::Recipient`].
    Recipient,
    /// Opens the seal with what needs no person: a key file, a PIN file or a credential that was not there before.
    /// Answered by [`KeeperAnswer::Unsealed`] or [`KeeperAnswer::AlreadyOpen`].
    Unseal,
    /// Opens the seal with a passphrase or PIN. Answered as [`KeeperRequestBody::Unseal`]; a wrong secret is answered
    /// late, after up to 30 seconds.
    UnsealWith {
        /// The nonce that the keeper gave last for this envelope. Each is good for one attempt.
        nonce: [u8; NONCE_LEN],
        /// The secret in an envelope for [`crate::envelope::Purpose::Unseal`], bound by
        /// [`crate::envelope::Binding::unseal`].
        envelope: Vec<u8>,
    },
    /// This worker does not answer the server: end it and start another one. Answered by [`KeeperAnswer::Replacing`],
    /// also when it had ended already.
    ReplaceWorker {
        /// Its process id.
        process: u32,
    },
    /// Nothing is stored under these master keys any more, and nothing will be. The keeper removes none of them by
    /// itself: a person must say so too. Answered by [`KeeperAnswer::Noted`].
    UnusedMasterKeys(Vec<MasterKeyId>),
}

/// A message from the keeper to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeeperMessage {
    /// The first message of every keeper of every release.
    Hello(Hello),
    /// A worker is ready. Its socket comes with this message.
    Worker {
        /// Its process id.
        process: u32,
    },
    /// The state has changed.
    State(StoreState),
    /// The answer to a request.
    Answer {
        /// The request's id.
        id: u64,
        /// The answer, or why there is none.
        result: Result<KeeperAnswer, KeeperRefusal>,
    },
}

/// What the keeper answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeeperAnswer {
    /// To [`KeeperRequestBody::Status`].
    Status {
        /// Whether keys can be used.
        state: StoreState,
        /// What a person would have to give to open the seal.
        secret: SecretKind,
        /// The running worker's process id; none while one is being replaced.
        worker: Option<u32>,
    },
    /// To [`KeeperRequestBody::Recipient`].
    Recipient {
        /// The keeper's X25519 public key, whose fingerprint `init` printed.
        public_key: [u8; 32],
        /// For one envelope.
        nonce: [u8; NONCE_LEN],
    },
    /// The seal is open now.
    Unsealed,
    /// The seal was open already.
    AlreadyOpen,
    /// To [`KeeperRequestBody::ReplaceWorker`].
    Replacing,
    /// To [`KeeperRequestBody::UnusedMasterKeys`].
    Noted,
}

/// The fewest characters of a passphrase that seals a store. The sealed file can be attacked offline.
pub const MIN_PASSPHRASE: usize = 14;

/// What opens the seal of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretKind {
    /// Nothing that a person types: a file or a credential.
    None,
    /// A passphrase.
    Passphrase,
    /// A token's PIN.
    Pin,
}

/// Why the keeper did not do it. None of them says anything about a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum KeeperRefusal {
    /// The envelope does not open here. Retrying with one that was closed for this keeper helps.
    #[error("the envelope is for another signer, or it was changed")]
    Envelope,
    /// The nonce was used already, has expired or is not the keeper's. Retrying with a fresh one helps.
    #[error("the envelope is too old; ask for a new key and nonce")]
    Nonce,
    /// The seal wants no secret, or another kind. Retrying can't help.
    #[error("the environment is not opened with a {0}")]
    NotWanted(String),
    /// It stays sealed, and why: a wrong secret, or a file to be mended.
    #[error("{0}")]
    StaysSealed(String),
    /// Nothing can be done with such a request. Retrying can't help.
    #[error("{0}")]
    Invalid(String),
}
