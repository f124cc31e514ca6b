//! The signer's own list of key uses.
//!
//! `journal.jsonl` has one JSON object on each line, in order, each with the hash of the one before it bound in
//! ([`sealcard_signer_protocol::journal`]). An entry is durable before what the key made leaves the signer, and it says
//! that the key **may** have been used: an entry is written while the operation runs, so uses that fail afterwards (a
//! ciphertext that does not decrypt, a process that dies) have one too. Requests that are refused before the key is
//! touched have none.
//!
//! The journal is also what a checkpoint key remembers: the entry of a checkpoint has its size and root, and the newest
//! one of a key says from where the log must be proved to continue.

mod opened;
mod reader;
mod storage;
mod writer;

pub use opened::OpenJournal;
pub use reader::{Checkpoints, JournalError, Scan, TornTail, scan};
pub use storage::Storage;
pub use writer::{Journal, NewEntry};
