//! What changes a certificate: a later end, a revocation, a newer certificate of the same key.

mod extend;
mod merge;
mod revoke;

pub use extend::{Extended, extend};
pub use merge::{KnownKey, MergedCertificate, merge};
pub use revoke::{revocation, with_revocation};
