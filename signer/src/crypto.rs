//! AES-256-GCM, HKDF and randomness, in the few shapes that this crate needs.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest, hkdf, rand,
};
use zeroize::{Zeroize, Zeroizing};

/// A key of 32 bytes, wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; 32]>;

const TAG_LEN: usize = 16;

/// What [`seal`] adds to the length of its input: the nonce before it and the tag behind it, in bytes.
pub(crate) const OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// The library failed (no randomness, no memory) or, when opening, the bytes are not what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library refused")]
pub(crate) struct CryptoError;

impl From<aws_lc_rs::error::Unspecified> for CryptoError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self
    }
}

/// Random bytes of the library's generator.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, CryptoError> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(bytes.as_mut())?;
    Ok(bytes)
}

/// HKDF-SHA256 (RFC 5869) with an output of 32 bytes.
pub(crate) fn hkdf(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Key, CryptoError> {
    let mut key = Key::default();
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret).expand(&[info], hkdf::HKDF_SHA256)?.fill(key.as_mut())?;
    Ok(key)
}

/// Encrypts with AES-256-GCM under a random nonce. Gives nonce (12 bytes), ciphertext, tag (16 bytes).
pub(crate) fn seal(key: &[u8; 32], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key)?;
    // One allocation that is never grown, so no copy of the plaintext is left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(plaintext.len() + TAG_LEN));
    text.extend_from_slice(plaintext);
    let nonce = key.seal_in_place_append_tag(Aad::from(aad), &mut *text)?;
    let mut out = Vec::with_capacity(NONCE_LEN + text.len());
    out.extend_from_slice(nonce.as_ref());
    out.extend_from_slice(&text);
    Ok(out)
}

/// Decrypts what [`seal`] made with the same key and associated data.
pub(crate) fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(CryptoError)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce)?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, key)?;
    let mut text = Zeroizing::new(text.to_vec());
    let len = key.open_in_place(nonce, Aad::from(aad), &mut text)?.len();
    text.get_mut(len..).unwrap_or_default().zeroize();
    text.truncate(len);
    Ok(text)
}

/// SHA-256.
pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (o, d) in out.iter_mut().zip(digest::digest(&digest::SHA256, data).as_ref()) {
        *o = *d;
    }
    out
}
