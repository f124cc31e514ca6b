//! Secrets whose numbers are not written as they should be.
//!
//! GnuPG 2.4 writes the secrets of curves in full width, with zeros in front where the number is shorter: every second
//! key. OpenPGP's numbers have none (RFC 9580 section 3.2), and sequoia refuses such a packet. Here the zeros are taken
//! off.

use aws_lc_rs::{
    cipher::{AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey},
    constant_time::verify_slices_are_equal,
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
};
use sealcard_openpgp::{Frame, public_part};
use sequoia_openpgp::{
    Packet,
    crypto::{Password, mpi},
    packet::{
        Key,
        key::{Encrypted, SecretParts, UnspecifiedRole},
    },
    parse::Parse as _,
    types::{PublicKeyAlgorithm, SymmetricAlgorithm},
};
use zeroize::Zeroizing;

/// The block of AES, and so the length of CFB's initialization vector, in bytes.
const BLOCK: usize = 16;

/// Reads a secret key's packet of version 4, also if its numbers have zeros in front. (For secrets in the clear: of the
/// others the numbers can't be seen.) `None` if it is not understood.
pub(super) fn secret_key(frame: &Frame<'_>) -> Option<Key<SecretParts, UnspecifiedRole>> {
    parse(frame.tag, frame.body).or_else(|| parse(frame.tag, &mended_body(frame.body)?))
}

fn parse(tag: u8, body: &[u8]) -> Option<Key<SecretParts, UnspecifiedRole>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(body.len().checked_add(6)?));
    bytes.extend_from_slice(&[0xC0 | tag, 0xFF]);
    bytes.extend_from_slice(&u32::try_from(body.len()).ok()?.to_be_bytes());
    bytes.extend_from_slice(body);
    // The library's error may quote the whole key.
    let key = match Packet::from_bytes(bytes.as_slice()).ok()? {
        Packet::SecretKey(key) => key.role_into_unspecified(),
        Packet::SecretSubkey(key) => key.role_into_unspecified(),
        _ => return None,
    };
    let is_known = key.version() == 4 && !matches!(key.mpis(), mpi::PublicKey::Unknown { .. });
    is_known.then_some(key)
}

/// Version, creation time, algorithm, public numbers, `00`, secret numbers, checksum (RFC 9580 section 5.5.3).
fn mended_body(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let algorithm = *body.get(5).filter(|_| body.first() == Some(&4))?;
    let (public, rest) = public_part(body)?;
    let rest = rest.strip_prefix(&[0])?;
    let (secret, checksum) = split_numbers(rest, secret_numbers(algorithm)?)?;
    if checksum != sum(secret) {
        return None;
    }
    let secret = without_zeros(secret)?;
    let mut out = Zeroizing::new(Vec::with_capacity(body.len()));
    out.extend_from_slice(public);
    out.push(0);
    out.extend_from_slice(&secret);
    out.extend_from_slice(&sum(&secret));
    Some(out)
}

/// Decrypts a secret that is protected with AES, and takes the zeros off. `None` if the passphrase is wrong.
pub(super) fn decrypt(
    secret: &Encrypted,
    algorithm: PublicKeyAlgorithm,
    passphrase: &Password,
) -> Option<mpi::SecretKeyMaterial> {
    let cipher = match secret.algo() {
        SymmetricAlgorithm::AES128 => &AES_128,
        SymmetricAlgorithm::AES192 => &AES_192,
        SymmetricAlgorithm::AES256 => &AES_256,
        _ => return None,
    };
    if secret.aead_algo().is_some() {
        return None;
    }
    let key = secret.s2k().derive_key(passphrase, secret.algo().key_size().ok()?).ok()?;
    let (iv, ciphertext) = secret.ciphertext().ok()?.split_first_chunk::<BLOCK>()?;
    let mut clear = Zeroizing::new(ciphertext.to_vec());
    let key = DecryptingKey::cfb128(UnboundCipherKey::new(cipher, &key).ok()?).ok()?;
    key.decrypt(&mut clear, DecryptionContext::Iv128(iv.into())).ok()?;
    let (numbers, checksum) = split_numbers(&clear, secret_numbers(algorithm.into())?)?;
    let good = match secret.checksum()? {
        mpi::SecretKeyChecksum::SHA1 => {
            verify_slices_are_equal(digest(&SHA1_FOR_LEGACY_USE_ONLY, numbers).as_ref(), checksum).is_ok()
        }
        mpi::SecretKeyChecksum::Sum16 => checksum == sum(numbers),
    };
    let numbers = good.then(|| without_zeros(numbers)).flatten()?;
    mpi::SecretKeyMaterial::from_bytes(algorithm, &numbers).ok()
}

/// How many secret numbers a key of this algorithm has; `None` for those that no card holds.
const fn secret_numbers(algorithm: u8) -> Option<usize> {
    match algorithm {
        1..=3 => Some(4),
        18 | 19 | 22 => Some(1),
        _ => None,
    }
}

/// Splits behind `count` numbers.
fn split_numbers(bytes: &[u8], count: usize) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    for _ in 0..count {
        rest = split_number(rest)?.1;
    }
    bytes.split_at_checked(bytes.len().checked_sub(rest.len())?)
}

/// A number's bytes, without the count of bits before them, and what follows.
fn split_number(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bits, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*bits)).div_ceil(8))
}

/// The same numbers in their only right form.
fn without_zeros(mut numbers: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::with_capacity(numbers.len()));
    while !numbers.is_empty() {
        let (number, rest) = split_number(numbers)?;
        let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
        let number = number.get(start..)?;
        let unused = number.first().map_or(0, |byte| byte.leading_zeros());
        let bits = number.len().checked_mul(8)?.checked_sub(usize::try_from(unused).ok()?)?;
        out.extend_from_slice(&u16::try_from(bits).ok()?.to_be_bytes());
        out.extend_from_slice(number);
        numbers = rest;
    }
    Some(out)
}

/// The sum of all bytes (RFC 9580 section 5.5.3).
fn sum(bytes: &[u8]) -> [u8; 2] {
    bytes.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte))).to_be_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_go_and_the_bits_are_counted_anew() {
        let full = [&[1, 0][..], &[0x00, 0x01], &[0x55; 30], &[0, 9, 1, 0xFF], &[0, 8, 0]].concat();
        let right = [&[0, 241][..], &[0x01], &[0x55; 30], &[0, 9, 1, 0xFF], &[0, 0]].concat();
        assert_eq!(*without_zeros(&full).unwrap(), right);
        assert_eq!(*without_zeros(&right).unwrap(), right);
        assert!(without_zeros(&full[..20]).is_none());
    }

    #[test]
    fn a_packet_in_the_clear_is_mended() {
        let secret = [&[1, 0][..], &[0x00, 0x7F], &[0x55; 30]].concat();
        let oid = [9, 0x2B, 6, 1, 4, 1, 0xDA, 0x47, 0x0F, 1];
        let point = [&[1, 7, 0x40][..], &[7; 32]].concat();
        let public = [&[4, 0x65, 0, 0, 0, 22][..], &oid, &point].concat();
        let body = [&public[..], &[0], &secret, &sum(&secret)].concat();
        assert!(parse(5, &body).is_none(), "the library reads it by itself now");
        assert!(secret_key(&Frame { tag: 5, body: &body }).is_some());
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body: Vec<u8>, algorithm in prop::sample::select(vec![1_u8, 18, 19, 22])) {
            let _ = mended_body(&body);
            let _ = mended_body(&[&[4, 0, 0, 0, 0, algorithm][..], &body].concat());
            let _ = without_zeros(&body);
        }
    }
}
