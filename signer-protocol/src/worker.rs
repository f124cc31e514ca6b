//! What the server asks a worker, and what the worker answers.
//!
//! The server sends [`Request`]s; the worker answers each with one [`Response`] of the same `id`, in any order.

use sealcard_api::{
    algorithm::{ComponentAlgorithm, ComponentRole},
    tokens::{KeyEvidence, TokenReport},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    Certification, Growth, GrowthError, JournalEntry, JournalHead, KeyLocator, LogHead, MasterKeyId, Operation,
    PublicKeyBytes, Stated, StoredCheckpointKey, StoredKey,
};

/// A message from the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the server, echoed in the answer.
    pub id: u64,
    /// What is asked.
    pub body: RequestBody,
}

/// What the server asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestBody {
    /// How the signer is. Also the heartbeat. Answered by [`ResponseBody::Status`].
    Status,
    /// Makes a component key. Answered by [`ResponseBody::Generated`].
    Generate {
        /// The new component's id, bound into the sealed key.
        component: Uuid,
        /// Its algorithm.
        algorithm: ComponentAlgorithm,
        /// Its role, bound into the sealed key: a key is never used in another one.
        role: ComponentRole,
        /// The master key that a sealed store seals it under; the oldest one if absent.
        master_key: Option<MasterKeyId>,
        /// For the journal.
        stated: Stated,
    },
    /// Uses a component key. Answered by [`ResponseBody::Signature`] or [`ResponseBody::Plaintext`].
    Use {
        /// The key, as the signer gave it.
        key: StoredKey,
        /// The use.
        operation: Operation,
        /// For the journal.
        stated: Stated,
    },
    /// Signs a part of a certificate, for key management. Answered by [`ResponseBody::Signature`].
    Certify {
        /// The key, as the signer gave it.
        key: StoredKey,
        /// What is certified.
        certification: Certification,
        /// For the journal.
        stated: Stated,
    },
    /// Entries of the journal. Answered by [`ResponseBody::Journal`].
    Journal {
        /// The first sequence number wanted (they begin with 1).
        from: u64,
        /// At most so many; the signer may give fewer.
        limit: u32,
    },
    /// The key that envelopes for this signer are closed with. Answered by [`ResponseBody::Recipient`].
    Recipient,
    /// Takes in a component key that was made elsewhere. Answered by [`ResponseBody::Imported`].
    Import {
        /// The new component's id, bound into envelope and sealed key.
        component: Uuid,
        /// Its algorithm.
        algorithm: ComponentAlgorithm,
        /// Its role.
        role: ComponentRole,
        /// Its public half.
        public_key: PublicKeyBytes,
        /// Its private half, in the form that the signer seals, in an envelope for
        /// [`crate::envelope::Purpose::ImportKey`].
        envelope: Vec<u8>,
        /// The master key that it is sealed under; the oldest one if absent.
        master_key: Option<MasterKeyId>,
        /// For the journal.
        stated: Stated,
    },
    /// Logs in to the token with the configured PIN: one attempt, which the server has recorded before. Answered by
    /// [`ResponseBody::Unlocked`].
    Unlock,
    /// What module and token are and can do. Needs no login. Answered by [`ResponseBody::Probed`].
    Probe,
    /// Takes over a key that lies on the token already. Answered by [`ResponseBody::Adopted`].
    Adopt {
        /// The new component's id.
        component: Uuid,
        /// Its role.
        role: ComponentRole,
        /// Which key it is.
        locator: KeyLocator,
        /// For the journal.
        stated: Stated,
    },
    /// Removes what was made on the token for a component that came to nothing: nobody knows its public half. Answered
    /// by [`ResponseBody::Destroyed`], also if there is nothing.
    Discard {
        /// The component's id.
        component: Uuid,
        /// Its role.
        role: ComponentRole,
        /// For the journal.
        stated: Stated,
    },
    /// Removes a key from the token for good. Answered by [`ResponseBody::Destroyed`].
    Destroy {
        /// The key.
        key: StoredKey,
        /// For the journal.
        stated: Stated,
    },
    /// The master keys of a sealed store. Answered by [`ResponseBody::MasterKeys`].
    MasterKeys,
    /// Seals a component key of a sealed store under another master key. It is used for nothing else, so the journal
    /// has no entry. Answered by [`ResponseBody::Resealed`].
    Reseal {
        /// The key, as the signer gave it.
        key: StoredKey,
        /// The master key to seal it under.
        master_key: MasterKeyId,
    },
    /// Makes a key that signs checkpoints, in a sealed store. Answered by [`ResponseBody::CheckpointKey`].
    GenerateCheckpointKey {
        /// The new key's id, bound into the sealed key.
        component: Uuid,
        /// The log's origin, bound into the sealed key: it signs checkpoints of no other log.
        origin: String,
        /// The master key that it is sealed under; the oldest one if absent.
        master_key: Option<MasterKeyId>,
        /// For the journal.
        stated: Stated,
    },
    /// Signs a checkpoint, if it continues the last one ([`crate::check_checkpoint`]). The signer forms the note
    /// itself. Answered by [`ResponseBody::Checkpoint`].
    SignCheckpoint {
        /// The key, as the signer gave it.
        key: StoredCheckpointKey,
        /// What is to be signed, and the proof that it continues the last one.
        growth: Growth,
        /// For the journal.
        stated: Stated,
    },
    /// The last checkpoint that this signer has signed with a key. Answered by [`ResponseBody::CheckpointState`].
    CheckpointState {
        /// The key's id.
        component: Uuid,
    },
    /// Seals a checkpoint key under another master key, as [`RequestBody::Reseal`] does. Answered by
    /// [`ResponseBody::CheckpointKey`].
    ResealCheckpointKey {
        /// The key, as the signer gave it.
        key: StoredCheckpointKey,
        /// The master key to seal it under.
        master_key: MasterKeyId,
    },
}

impl RequestBody {
    /// What the server states for the journal; none of what has no entry there.
    pub const fn stated_mut(&mut self) -> Option<&mut Stated> {
        match self {
            Self::Generate { stated, .. }
            | Self::Use { stated, .. }
            | Self::Certify { stated, .. }
            | Self::Import { stated, .. }
            | Self::Adopt { stated, .. }
            | Self::Discard { stated, .. }
            | Self::Destroy { stated, .. }
            | Self::GenerateCheckpointKey { stated, .. }
            | Self::SignCheckpoint { stated, .. } => Some(stated),
            Self::Status
            | Self::Journal { .. }
            | Self::Recipient
            | Self::Unlock
            | Self::Probe
            | Self::MasterKeys
            | Self::Reseal { .. }
            | Self::CheckpointState { .. }
            | Self::ResealCheckpointKey { .. } => None,
        }
    }
}

/// A message from the signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The id of the request.
    pub id: u64,
    /// The answer, or why there is none.
    pub result: Result<ResponseBody, SignerError>,
    /// Microseconds that the use of a key took: of processor time for a sealed store, of time for a token.
    pub spent_us: u64,
    /// Milliseconds that the server waits before it tells its caller, who makes decryptions fail.
    pub delay_ms: u32,
    /// The number of the journal's entry of this use, once that is durable. None for what has no entry.
    pub journal: Option<u64>,
}

impl Response {
    /// The answer to what uses no key.
    #[must_use]
    pub const fn new(id: u64, result: Result<ResponseBody, SignerError>) -> Self {
        Self { id, result, spent_us: 0, delay_ms: 0, journal: None }
    }
}

/// What the signer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResponseBody {
    /// To [`RequestBody::Status`].
    Status {
        /// Whether keys can be used.
        state: StoreState,
        /// The newest journal entry.
        journal: JournalHead,
    },
    /// To [`RequestBody::Generate`].
    Generated {
        /// The new key.
        key: StoredKey,
        /// What the token says of it; none for the sealed store.
        evidence: Option<KeyEvidence>,
    },
    /// To a use that signs. RSA: as wide as the modulus. ECDSA: `r || s`, each as wide as the order. Ed25519: `R || S`.
    Signature(Vec<u8>),
    /// To [`Operation::Decrypt`]. RSA: without padding. ECDH: the X coordinate.
    Plaintext(Plaintext),
    /// To [`RequestBody::Journal`].
    Journal {
        /// The newest entry of all.
        head: JournalHead,
        /// The entries asked for, in their order.
        entries: Vec<JournalEntry>,
    },
    /// To [`RequestBody::Recipient`].
    Recipient {
        /// An X25519 public key.
        public_key: [u8; 32],
    },
    /// To [`RequestBody::Import`].
    Imported {
        /// The key, sealed as those that the signer makes.
        key: StoredKey,
    },
    /// To [`RequestBody::Unlock`].
    Unlocked,
    /// To [`RequestBody::Probe`].
    Probed(TokenReport),
    /// To [`RequestBody::Adopt`].
    Adopted {
        /// The key, of the algorithm that it was found to have.
        key: StoredKey,
        /// What the token says of it.
        evidence: KeyEvidence,
    },
    /// To [`RequestBody::Destroy`] and [`RequestBody::Discard`].
    Destroyed,
    /// To [`RequestBody::MasterKeys`]: those that the signer has, the oldest first.
    MasterKeys(Vec<MasterKeyId>),
    /// To [`RequestBody::Reseal`].
    Resealed {
        /// The key: only its handle differs.
        key: StoredKey,
    },
    /// To [`RequestBody::GenerateCheckpointKey`] and [`RequestBody::ResealCheckpointKey`].
    CheckpointKey(StoredCheckpointKey),
    /// To [`RequestBody::SignCheckpoint`].
    Checkpoint {
        /// The signed note, with a signature of each of the two keys.
        note: String,
    },
    /// To [`RequestBody::CheckpointState`].
    CheckpointState {
        /// The last checkpoint; none if there was none.
        last: Option<LogHead>,
    },
}

/// Whether a signer can use its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreState {
    /// It can.
    Open,
    /// A person must give the passphrase or PIN, or mend the file that holds it.
    Sealed,
    /// The token's PIN is at hand: [`RequestBody::Unlock`] may be asked.
    Locked,
    /// The token or its module is not usable at present, and why.
    Absent(String),
}

/// A decrypted secret: wiped when dropped, its bytes never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Plaintext(pub Vec<u8>);

impl std::fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plaintext({} bytes)", self.0.len())
    }
}

/// Why the signer did not do it. None of them says anything about a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SignerError {
    /// The master key is sealed. Retrying helps once a person has unsealed it.
    #[error("the key store is sealed")]
    Sealed,
    /// The request makes no sense, such as a digest of the wrong length. Retrying can't help.
    #[error("{0}")]
    Invalid(String),
    /// The key's role does not allow the operation. Retrying can't help.
    #[error("a key in the role {role} does not {operation}")]
    RoleMismatch {
        /// The role.
        role: ComponentRole,
        /// The operation.
        operation: String,
    },
    /// The sealed key does not open: another store's, damaged, or its row was changed. Retrying can't help.
    #[error("the sealed key does not belong to this store or was changed")]
    NotOurs,
    /// The sealed key was sealed under a master key that the signer does not have. Retrying helps after it was given
    /// that one.
    #[error(
        "the key is sealed under master key {0}, which this signer does not have; take over the seal.json of another \
         server, or restore it from a backup"
    )]
    UnknownMasterKey(MasterKeyId),
    /// The ciphertext does not decrypt; why is never said. Retrying can't help.
    #[error("decryption failed")]
    DecryptionFailed,
    /// The signature was not right and was thrown away. Retrying may help.
    #[error("the signature was not right and was thrown away")]
    SelfCheckFailed,
    /// The journal could not be made durable, so nothing left the signer. Retrying helps once there is room.
    #[error("the journal could not be written: {0}")]
    Journal(String),
    /// The disk of the journal is full, so nothing left the signer. Retrying helps once there is room.
    #[error("the disk of the signer's journal is full: {0}")]
    JournalFull(String),
    /// The envelope does not open here. Retrying with one that was closed for this signer helps.
    #[error("the envelope is for another signer or another key, or it was changed")]
    Envelope,
    /// What the envelope held is not the private half of the public key. Retrying can't help.
    #[error("the private key is not that of the public key")]
    Mismatch,
    /// The token refused the PIN; no further attempt is made with it. Retrying helps once a person has acted.
    #[error("the token refused the PIN ({code})")]
    PinRefused {
        /// The module's return code, such as `CKR_PIN_INCORRECT`.
        code: String,
    },
    /// The token was not asked, since a wrong PIN would lock it for good. Retrying helps once a person has acted.
    #[error("the PIN was not tried: {0}")]
    PinNotTried(String),
    /// The PIN is at hand, but nobody has asked to log in with it. Retrying helps once the server has.
    #[error("the token is locked")]
    Locked,
    /// The module failed. Whether the key was used is not known if `function` uses one.
    #[error("the token's module failed: {function} gave {code}")]
    Token {
        /// Such as `C_Sign`.
        function: String,
        /// Such as `CKR_DEVICE_ERROR`.
        code: String,
    },
    /// No token as configured is there, or its module can't be loaded. Retrying helps once it is.
    #[error("the token is not there: {0}")]
    TokenAbsent(String),
    /// The key is not on the token, is there twice or has another public half. Retrying can't help.
    #[error("{0}")]
    NotOnToken(String),
    /// This kind of environment does not do that, or this token lacks the mechanism. Retrying can't help.
    #[error("{0}")]
    Unsupported(String),
    /// The checkpoint does not continue the last one.
    #[error(transparent)]
    Checkpoint(#[from] GrowthError),
}

impl SignerError {
    /// Whether the key may have been used although nothing came of it: the module failed in a function that uses one.
    #[must_use]
    pub fn may_have_used_the_key(&self) -> bool {
        const USES: [&str; 3] = ["C_Sign", "C_Decrypt", "C_DeriveKey"];
        matches!(self, Self::Token { function, .. } if USES.contains(&function.as_str()))
    }
}
