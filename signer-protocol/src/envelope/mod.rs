//! Secrets on their way to a signer, through processes that must not see them.
//!
//! A client closes a secret in an envelope that only one signer can open: HPKE (RFC 9180) in base mode with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305, as rustls implements it on aws-lc-rs. The purpose is
//! HPKE's `info`, so that an envelope made for one purpose opens for no other; what the secret belongs to is the
//! associated data ([`Binding`]), so that it can't be put to another use either. The form:
//!
//! ```text
//! 01 · encapsulated key (32) · ciphertext (n) · tag (16)
//! ```
//!
//! Base mode does not say who closed an envelope: that is for the server's authentication and the signer's own checks.

mod binding;
mod fingerprint;

pub use binding::Binding;
pub use fingerprint::{FingerprintError, KeyFingerprint};

use aws_lc_rs::{
    agreement::{self, X25519},
    digest,
};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE,
    hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey},
};
use zeroize::Zeroizing;

const VERSION: u8 = 1;

/// Length of an X25519 key in bytes.
pub const KEY_LEN: usize = 32;

/// What an envelope adds to the length of its content, in bytes.
pub const OVERHEAD: usize = 1 + KEY_LEN + 16;

/// The longest secret that is put into an envelope, in bytes.
pub const MAX_SECRET: usize = 16 * 1024;

/// What the secret in an envelope is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A component key's private half, for [`Binding::component`].
    ImportKey,
    /// A passphrase or PIN that opens an environment, for [`Binding::unseal`].
    Unseal,
}

impl Purpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::ImportKey => b"sealcard envelope 1 import-key",
            Self::Unseal => b"sealcard envelope 1 unseal",
        }
    }
}

/// An envelope that can't be closed or opened. Retrying can't help: another signer's, another purpose or binding, or
/// damaged; which one can't be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the envelope is for another signer or another key, or it was changed")]
pub struct EnvelopeError;

/// The public key that envelopes for a signer are closed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecipientKey(pub [u8; KEY_LEN]);

impl RecipientKey {
    /// What people compare: SHA-256 over the key's 32 bytes.
    #[must_use]
    pub fn fingerprint(&self) -> KeyFingerprint {
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(digest::digest(&digest::SHA256, &self.0).as_ref()) {
            *to = *from;
        }
        KeyFingerprint(out)
    }

    /// Closes a secret in an envelope.
    ///
    /// # Errors
    /// If the key is no point that can be agreed with, or the secret is longer than [`MAX_SECRET`].
    pub fn close(&self, purpose: Purpose, binding: &Binding, secret: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        if secret.len() > MAX_SECRET {
            return Err(EnvelopeError);
        }
        let recipient = HpkePublicKey(self.0.to_vec());
        let (encapsulated, ciphertext) =
            SUITE.seal(purpose.info(), binding.as_bytes(), secret, &recipient).map_err(|_| EnvelopeError)?;
        let mut envelope = vec![VERSION];
        envelope.extend_from_slice(&encapsulated.0);
        envelope.extend_from_slice(&ciphertext);
        Ok(envelope)
    }
}

/// The private half of a [`RecipientKey`]: wiped when dropped, never shown.
pub struct PrivateKey(Zeroizing<[u8; KEY_LEN]>);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// The key of these 32 bytes (RFC 7748 section 5: every value is one).
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self(bytes)
    }

    /// The public half.
    ///
    /// # Errors
    /// If the cryptographic library fails.
    pub fn recipient(&self) -> Result<RecipientKey, EnvelopeError> {
        let key = agreement::PrivateKey::from_private_key(&X25519, self.0.as_ref()).map_err(|_| EnvelopeError)?;
        let public = key.compute_public_key().map_err(|_| EnvelopeError)?;
        public.as_ref().try_into().map(RecipientKey).map_err(|_| EnvelopeError)
    }

    /// Opens an envelope that was closed for the same purpose and with the same binding.
    ///
    /// # Errors
    /// If it was not, or it was changed.
    pub fn open(
        &self,
        purpose: Purpose,
        binding: &Binding,
        envelope: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let rest = envelope.strip_prefix(&[VERSION]).ok_or(EnvelopeError)?;
        let (encapsulated, ciphertext) = rest.split_at_checked(KEY_LEN).ok_or(EnvelopeError)?;
        if ciphertext.len() > MAX_SECRET + 16 {
            return Err(EnvelopeError);
        }
        let private = HpkePrivateKey::from(self.0.to_vec());
        let encapsulated = EncapsulatedSecret(encapsulated.to_vec());
        SUITE
            .open(&encapsulated, purpose.info(), binding.as_bytes(), ciphertext, &private)
            .map(Zeroizing::new)
            .map_err(|_| EnvelopeError)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::new(Zeroizing::new([seed; 32]))
    }

    #[test]
    fn the_suite_is_that_of_rfc_9180_appendix_a_2() {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        let plaintext = SUITE
            .open(
                &EncapsulatedSecret(hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")),
                &hex("4f6465206f6e2061204772656369616e2055726e"),
                b"Count-0",
                &hex(concat!(
                    "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db",
                    "21993c62ce81883d2dd1b51a28"
                )),
                &HpkePrivateKey::from(hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")),
            )
            .unwrap();
        assert_eq!(plaintext, b"Beauty is truth, truth beauty");
    }

    #[test]
    fn only_the_recipient_opens_an_envelope_and_only_for_the_same_binding() {
        let binding = Binding::new(&[b"a", b"bc"]);
        let envelope = key(1).recipient().unwrap().close(Purpose::ImportKey, &binding, b"secret").unwrap();
        assert_eq!(envelope.len(), b"secret".len() + OVERHEAD);
        assert_eq!(*key(1).open(Purpose::ImportKey, &binding, &envelope).unwrap(), b"secret");
        assert!(key(2).open(Purpose::ImportKey, &binding, &envelope).is_err());
        assert!(key(1).open(Purpose::Unseal, &binding, &envelope).is_err());
        for other in [Binding::new(&[b"ab", b"c"]), Binding::new(&[b"a", b"bc", b""]), Binding::new(&[])] {
            assert!(key(1).open(Purpose::ImportKey, &other, &envelope).is_err());
        }
    }

    #[test]
    fn secrets_that_are_too_long_and_points_of_small_order_are_refused() {
        let binding = Binding::new(&[]);
        let recipient = key(1).recipient().unwrap();
        assert!(recipient.close(Purpose::ImportKey, &binding, &vec![0; MAX_SECRET + 1]).is_err());
        assert!(recipient.close(Purpose::ImportKey, &binding, &vec![0; MAX_SECRET]).is_ok());
        assert!(RecipientKey([0; 32]).close(Purpose::ImportKey, &binding, b"secret").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_secret_survives_and_no_changed_envelope_opens(secret: Vec<u8>, at: prop::sample::Index, bit in 0_u8..8) {
            let binding = Binding::new(&[b"x"]);
            let mut envelope = key(3).recipient().unwrap().close(Purpose::ImportKey, &binding, &secret).unwrap();
            prop_assert_eq!(&*key(3).open(Purpose::ImportKey, &binding, &envelope).unwrap(), &secret);
            // The top bit of an X25519 point is ignored (RFC 7748 section 5), but HPKE hashes the encapsulated key.
            let at = at.index(envelope.len());
            envelope[at] ^= 1 << bit;
            prop_assert!(key(3).open(Purpose::ImportKey, &binding, &envelope).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_open(bytes: Vec<u8>) {
            prop_assert!(key(4).open(Purpose::ImportKey, &Binding::new(&[]), &bytes).is_err());
        }
    }
}
