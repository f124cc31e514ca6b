//! What server, keeper and worker say to one another, and what each of them can check without a private key.
//!
//! Each message is a frame: 4 bytes of big-endian length, then that many bytes of postcard ([`encode`], [`decode`],
//! [`channel`]).
//!
//! - [`Request`] and [`Response`]: between the server and a worker, which uses keys.
//! - [`KeeperRequest`] and [`KeeperMessage`]: between the server and a keeper, which holds what opens the keys and
//!   brings the server its sockets to workers.
//! - [`Hello`]: the first message of a keeper, by which a server knows whether they understand each other.
//! - [`check`], [`check_certification`] and [`check_checkpoint_key`]: which key may do what; [`check_checkpoint`]:
//!   which checkpoint may follow another.
//! - [`journal`]: the form of a signer's own list of key uses.
//! - [`envelope`]: secrets on their way to a signer, closed to every process between.

#[cfg(unix)]
pub mod channel;
mod check;
mod checkpoint;
pub mod envelope;
mod frame;
mod hello;
pub mod journal;
mod keeper;
mod key;
mod labels;
mod master_key;
mod operation;
mod stated;
mod worker;

pub use check::{check, check_certification, check_checkpoint_key};
pub use checkpoint::{
    CHECKPOINT, Growth, GrowthError, LogHead, MAX_ORIGIN, ML_DSA_44_LEN, StoredCheckpointKey, check_checkpoint,
    is_origin,
};
pub use frame::{FrameBuffer, FrameError, MAX_FRAME, decode, encode};
pub use hello::{Hello, OLDEST_PROTOCOL, PROTOCOL, StrangerError};
pub use journal::{JournalEntry, JournalHead};
pub use keeper::{
    KeeperAnswer, KeeperMessage, KeeperRefusal, KeeperRequest, KeeperRequestBody, MIN_PASSPHRASE, NONCE_LEN, SecretKind,
};
pub use key::{KeyLocator, PublicKeyBytes, StoredKey};
pub use labels::{is_made_here, own_labels};
pub use master_key::{MASTER_KEY_ID_LEN, MasterKeyId, MasterKeyIdError, SEALED_VERSION};
pub use operation::{Certification, Input, Operation};
pub use sealcard_api::tokens::{AlgorithmReport, KeyEvidence, MechanismReport, TokenReport};
pub use stated::Stated;
pub use worker::{Plaintext, Request, RequestBody, Response, ResponseBody, SignerError, StoreState};

fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data).as_ref()) {
        *to = *from;
    }
    out
}
