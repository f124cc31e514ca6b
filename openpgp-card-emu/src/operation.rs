//! What the card asks its caller to do with a private key.

use crate::Slot;

/// A use of a private key that the caller performs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOperation {
    /// PSO: COMPUTE DIGITAL SIGNATURE with the signature key (section 7.2.10).
    Sign(SignInput),
    /// INTERNAL AUTHENTICATE (section 7.2.13).
    Authenticate {
        /// The key: [`Slot::Authenticate`], or [`Slot::Decrypt`] after MANAGE SECURITY ENVIRONMENT chose it.
        slot: Slot,
        /// What to sign.
        input: SignInput,
    },
    /// PSO: DECIPHER (section 7.2.11).
    Decipher {
        /// The key: [`Slot::Decrypt`], or [`Slot::Authenticate`] after MANAGE SECURITY ENVIRONMENT chose it.
        slot: Slot,
        /// RSA: the cryptogram, as wide as the modulus. ECDH: the ephemeral point, `04 || X || Y` or 32 bytes (X448:
        /// 56).
        ciphertext: Vec<u8>,
    },
}

impl KeyOperation {
    /// Whose private key is needed.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Sign(_) => Slot::Sign,
            Self::Authenticate { slot, .. } | Self::Decipher { slot, .. } => *slot,
        }
    }
}

/// What is to be signed, by the kind of key.
///
/// The answer is the bare signature: RSA as wide as the modulus; ECDSA `r || s`, both as wide as the curve's field;
/// EdDSA `R || S`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInput {
    /// RSA: what goes behind the PKCS#1 padding, normally a `DigestInfo` (RFC 8017 section 9.2).
    DigestInfo(Vec<u8>),
    /// ECDSA: a digest, not yet truncated to the curve.
    Digest(Vec<u8>),
    /// EdDSA: the message. OpenPGP signs the digest as message; ssh signs the whole message.
    Message(Vec<u8>),
}

/// Why an operation gave nothing; each becomes a status word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// Denied, or consent was not given: 6982. A retry helps only after someone changed their mind.
    #[error("denied")]
    Denied,
    /// The key's holder can't be reached or gave up: 6400. A retry may help.
    #[error("unavailable")]
    Unavailable,
    /// The data do not fit the key or are not allowed: 6A80. A retry never helps.
    #[error("wrong data")]
    WrongData,
}
