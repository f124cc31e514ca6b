//! What server and signer say to one another.
//!
//! Each message is a frame: 4 bytes of big-endian length, then that many bytes of postcard. The server sends
//! [`Request`]s to the worker, which answers each with one [`Response`] of the same `id`, in any order. How the server comes
//! by the socket to the worker is the keeper's matter: [`KeeperMessage`].

mod frame;
mod keeper;
mod labels;

pub use frame::{FrameBuffer, FrameError, MAX_FRAME, decode, encode};
pub use keeper::{KeeperAnswer, KeeperMessage, KeeperRefusal, KeeperRequest, KeeperRequestBody, NONCE_LEN, SecretKind};
pub use labels::{is_made_here, own_labels};
pub use sealcard_api::tokens::{AlgorithmReport, KeyEvidence, MechanismReport, TokenReport};

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, Curve, HashAlgorithm, PublicKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop};

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
        /// The server's request, for the journal.
        request: Uuid,
    },
    /// Uses a component key. Answered by [`ResponseBody::Signature`] or [`ResponseBody::Plaintext`].
    Use {
        /// The key, as the signer gave it.
        key: StoredKey,
        /// The use.
        operation: Operation,
        /// The server's request, for the journal.
        request: Uuid,
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
        /// [`sealcard_envelope::Purpose::ImportKey`].
        envelope: Vec<u8>,
        /// The server's request, for the journal.
        request: Uuid,
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
        /// The server's request, for the journal.
        request: Uuid,
    },
    /// Removes what was made on the token for a component that came to nothing: nobody knows its public half. Answered by
    /// [`ResponseBody::Destroyed`], also if there is nothing.
    Discard {
        /// The component's id.
        component: Uuid,
        /// Its role.
        role: ComponentRole,
        /// The server's request, for the journal.
        request: Uuid,
    },
    /// Removes a key from the token for good. Answered by [`ResponseBody::Destroyed`].
    Destroy {
        /// The key.
        key: StoredKey,
        /// The server's request, for the journal.
        request: Uuid,
    },
}

/// How a person names a key on a token. What is given must fit exactly one private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLocator {
    /// `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// `CKA_LABEL`.
    pub label: Option<String>,
}

/// A component key as it lies in the server's database: only the signer can do anything with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// The component's id.
    pub component: Uuid,
    /// Its algorithm.
    pub algorithm: ComponentAlgorithm,
    /// Its role.
    pub role: ComponentRole,
    /// Its public half.
    pub public_key: PublicKeyBytes,
    /// A sealed store: the private half, encrypted; id, algorithm, role and public half are its associated data. A token:
    /// where the key lies on it.
    pub handle: Vec<u8>,
}

/// The public half of a component key, in the form of [`sealcard_api::algorithm::PublicKey`] but in plain bytes
/// (postcard can't carry internally tagged enums).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicKeyBytes {
    /// RSA: modulus and exponent, big-endian, without leading zeros.
    Rsa {
        /// Modulus.
        n: Vec<u8>,
        /// Public exponent.
        e: Vec<u8>,
    },
    /// An elliptic curve (which one is told by the algorithm): `04 || X || Y`, or the 32 bytes of Ed25519 and Curve25519.
    Ec {
        /// The point.
        point: Vec<u8>,
    },
}

impl PublicKeyBytes {
    /// The form of the wire contract. RSA has no curve, and its public key no place for one.
    #[must_use]
    pub fn to_public_key(&self, algorithm: ComponentAlgorithm) -> PublicKey {
        match self {
            Self::Rsa { n, e } => PublicKey::Rsa { n: n.clone().into(), e: e.clone().into() },
            Self::Ec { point } => {
                let curve = algorithm.curve().unwrap_or(Curve::NistP256);
                PublicKey::Ec { curve, point: point.clone().into() }
            }
        }
    }
}

impl From<PublicKey> for PublicKeyBytes {
    fn from(key: PublicKey) -> Self {
        match key {
            PublicKey::Rsa { n, e } => Self::Rsa { n: n.0, e: e.0 },
            PublicKey::Ec { point, .. } => Self::Ec { point: point.0 },
        }
    }
}

/// A use of a key. There is no "sign these bytes".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// A signature over data, with a key in the role `sign`.
    Sign {
        /// What made the digest.
        hash: HashAlgorithm,
        /// The digest.
        digest: Vec<u8>,
    },
    /// A self-signature or binding of a certificate, with a key in the role `certify`, or the back signature of a key in
    /// the role `sign`. Only key management asks for it.
    Certify {
        /// What made the digest.
        hash: HashAlgorithm,
        /// The digest.
        digest: Vec<u8>,
    },
    /// A login, with a key in the role `authenticate` (RSA and ECDSA, where only a digest is known).
    Authenticate {
        /// What made the digest.
        hash: HashAlgorithm,
        /// The digest.
        digest: Vec<u8>,
    },
    /// A message of ssh, with an Ed25519 key in the role `authenticate`. The signer refuses what
    /// [`sealcard_api::ssh::SshMessage`] does not know.
    AuthenticateSsh {
        /// The message.
        message: Vec<u8>,
    },
    /// Decryption, with a key in the role `decrypt`.
    Decrypt {
        /// RSA: as wide as the modulus. ECDH: the ephemeral point, in the form of [`PublicKeyBytes::Ec`].
        ciphertext: Vec<u8>,
    },
}

impl Operation {
    /// The name as journal and record write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sign { .. } => "sign",
            Self::Certify { .. } => "certify",
            Self::Authenticate { .. } => "authenticate",
            Self::AuthenticateSsh { .. } => "authenticate-ssh",
            Self::Decrypt { .. } => "decrypt",
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

/// The end of the journal's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// Sequence number of the newest entry, 0 if there is none.
    pub sequence: u64,
    /// Its hash, 32 zero bytes if there is none.
    pub hash: [u8; 32],
}

/// One entry of the signer's journal: a key is being used. Durable before what the key made leaves the signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// 1, 2, 3, … without gaps.
    pub sequence: u64,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: i64,
    /// [`Operation::name`], `generate` or `import`.
    pub operation: String,
    /// The component key.
    pub component: Uuid,
    /// The server's request.
    pub request: Uuid,
    /// SHA-256 of the digest, message, ciphertext or envelope; empty for `generate`.
    pub input_sha256: Vec<u8>,
    /// SHA-256 over the previous entry's hash and this entry.
    pub hash: [u8; 32],
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
}

impl SignerError {
    /// Whether the key may have been used although nothing came of it: the module failed in a function that uses one.
    #[must_use]
    pub fn may_have_used_the_key(&self) -> bool {
        matches!(self, Self::Token { function, .. } if ["C_Sign", "C_Decrypt", "C_DeriveKey"].contains(&function.as_str()))
    }
}
