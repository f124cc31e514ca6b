//! Making signatures of notes, with keys that are here or elsewhere.

use std::fmt;

use aws_lc_rs::{
    error::Unspecified,
    signature::{Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, PqdsaKeyPair},
};
use zeroize::Zeroizing;

use super::{KeyError, KeyName, KeyType, Signature, VerifierKey};

/// The length of the seed of a private key, in bytes.
pub const SEED_LENGTH: usize = 32;

/// Something that signs with one key. The key can be in this process, in another one or in a token.
pub trait Signer {
    /// Why it can't sign.
    type Error;

    /// The public key.
    fn key(&self) -> &VerifierKey;

    /// Signs exactly these bytes.
    ///
    /// # Errors
    /// If it can't sign.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// Why a text was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError<E> {
    /// The text is no checkpoint that such a key can sign, or the time is too late for the format. Retrying can't help.
    #[error("a key of this type can't sign this text at this time")]
    Message,
    /// The signer failed. Whether retrying helps depends on it.
    #[error("the signer failed")]
    Signer(#[source] E),
    /// The signature is wrong. Nothing of it was given out. Retrying may help.
    #[error("the signer made a wrong signature")]
    Wrong,
}

/// Signs the text of a note. `time`, in seconds since 1970-01-01T00:00:00Z, counts for cosignatures only.
///
/// # Errors
/// If the text is none that the key signs, or the signer fails.
pub fn sign<S: Signer>(text: &str, time: u64, signer: &S) -> Result<Signature, SignError<S::Error>> {
    let key = signer.key();
    let message = key.message(text, time).ok_or(SignError::Message)?;
    let signature = key.signature(time, signer.sign(&message).map_err(SignError::Signer)?);
    // A signature that a fault has spoiled can give the private key away.
    key.verify(text, &signature).ok_or(SignError::Wrong)?;
    Ok(signature)
}

enum PrivateKey {
    Ed25519(Ed25519KeyPair),
    MlDsa44(Box<PqdsaKeyPair>),
}

/// A signer that has its private key in this process. The library wipes the key when it is dropped.
pub struct SeedSigner {
    key: VerifierKey,
    private: PrivateKey,
}

impl SeedSigner {
    /// The signer whose key grows from this seed: RFC 8032, section 5.1.5, or FIPS 204, section 6.1.
    ///
    /// # Errors
    /// If the name is too long for the type.
    pub fn new(name: KeyName, key_type: KeyType, seed: &Zeroizing<[u8; SEED_LENGTH]>) -> Result<Self, KeyError> {
        let (private, public) = match key_type {
            KeyType::Ed25519 | KeyType::Ed25519Cosignature => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| KeyError::Key)?;
                let public = pair.public_key().as_ref().to_vec();
                (PrivateKey::Ed25519(pair), public)
            }
            KeyType::MlDsa44 => {
                let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed.as_slice()).map_err(|_| KeyError::Key)?;
                let public = pair.public_key().as_ref().to_vec();
                (PrivateKey::MlDsa44(Box::new(pair)), public)
            }
        };
        Ok(Self { key: VerifierKey::new(name, key_type, &public)?, private })
    }
}

impl Signer for SeedSigner {
    type Error = Unspecified;

    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match &self.private {
            PrivateKey::Ed25519(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
            PrivateKey::MlDsa44(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                let length = pair.sign(message, &mut signature)?;
                signature.truncate(length);
                Ok(signature)
            }
        }
    }
}

/// Without the private key.
impl fmt::Debug for SeedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeedSigner").field("key", &self.key.to_string()).finish_non_exhaustive()
    }
}
