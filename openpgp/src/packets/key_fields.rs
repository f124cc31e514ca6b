//! The public fields of key packets, also of those that the library can't read.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use data_encoding::HEXUPPER;
use sequoia_openpgp::{
    crypto::mpi::PublicKey,
    packet::{
        Key,
        key::{KeyParts, KeyRole},
    },
    types::Curve,
};

/// The algorithm of a key as gpg names it.
pub(crate) fn algorithm_name<P: KeyParts, R: KeyRole>(key: &Key<P, R>) -> String {
    let bits = key.mpis().bits().unwrap_or_default();
    match key.mpis() {
        PublicKey::RSA { .. } => format!("rsa{bits}"),
        PublicKey::DSA { .. } => format!("dsa{bits}"),
        PublicKey::ElGamal { .. } => format!("elg{bits}"),
        PublicKey::EdDSA { curve, .. } | PublicKey::ECDSA { curve, .. } | PublicKey::ECDH { curve, .. } => {
            curve_name(curve)
        }
        _ => key.pk_algo().to_string().to_lowercase(),
    }
}

fn curve_name(curve: &Curve) -> String {
    match curve {
        Curve::NistP256 => "nistp256".to_owned(),
        Curve::NistP384 => "nistp384".to_owned(),
        Curve::NistP521 => "nistp521".to_owned(),
        Curve::BrainpoolP256 => "brainpoolP256r1".to_owned(),
        Curve::BrainpoolP384 => "brainpoolP384r1".to_owned(),
        Curve::BrainpoolP512 => "brainpoolP512r1".to_owned(),
        Curve::Ed25519 => "ed25519".to_owned(),
        Curve::Cv25519 => "cv25519".to_owned(),
        Curve::Unknown(oid) => match **oid {
            [0x2B, 0x81, 0x04, 0x00, 0x0A] => "secp256k1".to_owned(),
            _ => format!("of a curve with OID {}", HEXUPPER.encode(oid)),
        },
        other => other.to_string(),
    }
}

/// The public part of a key packet's body, and what follows. `None` if it can't be told where it ends.
#[must_use]
pub fn public_part(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let fields = body.get(6..)?;
    let rest = match body.first()? {
        4 => match body.get(5)? {
            1..=3 => numbers(fields, 2)?,
            16 => numbers(fields, 3)?,
            17 => numbers(fields, 4)?,
            19 | 22 => numbers(after_field(fields)?, 1)?,
            18 => after_field(numbers(after_field(fields)?, 1)?)?,
            25 | 27 => fields.get(32..)?,
            26 => fields.get(56..)?,
            28 => fields.get(57..)?,
            _ => return None,
        },
        // Later versions say how long the public part is.
        5 | 6 => {
            let (length, rest) = fields.split_first_chunk::<4>()?;
            rest.get(usize::try_from(u32::from_be_bytes(*length)).ok()?..)?
        }
        _ => return None,
    };
    body.split_at_checked(body.len().checked_sub(rest.len())?)
}

/// The fingerprint of a key packet's body, in upper-case hexadecimal (RFC 9580 section 5.5.4; version 5 as GnuPG has
/// it).
#[must_use]
pub fn fingerprint(body: &[u8]) -> Option<String> {
    let (public, _) = public_part(body)?;
    let (algorithm, head) = match public.first()? {
        4 => (&SHA1_FOR_LEGACY_USE_ONLY, [&[0x99][..], &u16::try_from(public.len()).ok()?.to_be_bytes()].concat()),
        5 => (&SHA256, [&[0x9A][..], &u32::try_from(public.len()).ok()?.to_be_bytes()].concat()),
        _ => (&SHA256, [&[0x9B][..], &u32::try_from(public.len()).ok()?.to_be_bytes()].concat()),
    };
    Some(HEXUPPER.encode(digest(algorithm, &[&head, public].concat()).as_ref()))
}

/// What follows `count` numbers.
fn numbers(mut bytes: &[u8], count: usize) -> Option<&[u8]> {
    for _ in 0..count {
        let (bits, rest) = bytes.split_first_chunk::<2>()?;
        bytes = rest.get(usize::from(u16::from_be_bytes(*bits)).div_ceil(8)..)?;
    }
    Some(bytes)
}

/// What follows a field of bytes with its length in one byte before it.
fn after_field(fields: &[u8]) -> Option<&[u8]> {
    let (length, rest) = fields.split_first()?;
    rest.get(usize::from(*length)..)
}
