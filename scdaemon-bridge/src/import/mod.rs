//! Keys that gpg exported, on their way to a server's signer.
//!
//! [`ExportedKey`] reads what `gpg --export-secret-keys` wrote, decrypts it on this machine and gives each secret in
//! the form that signers seal; [`KnownSigners`] remembers which signer a secret may be encrypted to. What leaves this
//! machine is closed with `sealcard_signer_protocol::envelope`. Only the `sealcard` command links this.

mod exported;
#[doc(hidden)]
pub mod fuzzing;
mod lenient;
mod numbers;
mod signers;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

pub use exported::{ExportedKey, ImportError, SecretState};
pub use signers::{KnownSigners, SignerTrust};
