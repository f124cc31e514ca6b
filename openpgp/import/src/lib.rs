//! Keys that gpg exported, on their way to a server's signer. Only the workstation's commands link this crate: private
//! keys in the clear pass through it, in types that wipe them.
//!
//! [`ExportedKey`] reads what `gpg --export-secret-keys` wrote, decrypts it on this machine and gives each secret in
//! the form that signers seal. What of the key may be published is a [`sealcard_openpgp::PublicCertificate`].

mod exported;
mod lenient;
mod numbers;

pub use exported::{ExportedKey, ImportError, SecretState};
