//! What one packet of a certificate is.

use sealcard_api::import::{CertificatePart, LeftOut, LeftOutReason};
use sequoia_openpgp::{Packet, crypto::mpi, parse::Parse as _};
use zeroize::Zeroizing;

use super::{Frame, fingerprint};

/// Tags of packets (RFC 9580 section 5).
pub mod tag {
    /// A signature.
    pub const SIGNATURE: u8 = 2;
    /// A primary key with its secret.
    pub const SECRET_KEY: u8 = 5;
    /// A primary key.
    pub const PUBLIC_KEY: u8 = 6;
    /// A subkey with its secret.
    pub const SECRET_SUBKEY: u8 = 7;
    /// A marker, which says nothing.
    pub const MARKER: u8 = 10;
    /// gpg's own notes.
    pub const TRUST: u8 = 12;
    /// A user id.
    pub const USER_ID: u8 = 13;
    /// A subkey.
    pub const PUBLIC_SUBKEY: u8 = 14;
    /// A photo or another attribute.
    pub const USER_ATTRIBUTE: u8 = 17;
    /// Filling.
    pub const PADDING: u8 = 21;
}

/// A packet of a certificate: understood, or not.
pub struct Part(pub(crate) PartKind);

/// A packet that was understood, or what is said of one that was not.
#[allow(clippy::large_enum_variant)] // nearly all are of that one
pub(crate) enum PartKind {
    /// A public key, subkey, user id, attribute or signature of a version and algorithm that is known.
    Understood(Packet),
    /// Not understood. What follows it belongs to it.
    LeftOut(LeftOut),
    /// Says nothing about the key.
    Ignored,
}

impl Part {
    /// Reads a packet. One with a secret is never understood.
    #[must_use]
    pub fn read(frame: &Frame<'_>) -> Self {
        match frame.tag {
            tag::MARKER | tag::TRUST | tag::PADDING => return Self(PartKind::Ignored),
            tag::SIGNATURE | tag::PUBLIC_KEY | tag::PUBLIC_SUBKEY | tag::USER_ID | tag::USER_ATTRIBUTE => {}
            _ => return Self::not_understood(frame),
        }
        match parse(frame).filter(is_known) {
            Some(packet) => Self(PartKind::Understood(packet)),
            None => Self::not_understood(frame),
        }
    }

    /// Says of a packet that it was not understood, and why.
    #[must_use]
    pub fn not_understood(frame: &Frame<'_>) -> Self {
        Self(PartKind::LeftOut(not_understood(frame)))
    }
}

fn parse(frame: &Frame<'_>) -> Option<Packet> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(frame.body.len().saturating_add(6)));
    bytes.extend_from_slice(&[0xC0 | frame.tag, 0xFF]);
    bytes.extend_from_slice(&u32::try_from(frame.body.len()).ok()?.to_be_bytes());
    bytes.extend_from_slice(frame.body);
    Packet::from_bytes(bytes.as_slice()).ok()
}

fn is_known(packet: &Packet) -> bool {
    match packet {
        Packet::PublicKey(key) => key.version() == 4 && !matches!(key.mpis(), mpi::PublicKey::Unknown { .. }),
        Packet::PublicSubkey(key) => key.version() == 4 && !matches!(key.mpis(), mpi::PublicKey::Unknown { .. }),
        Packet::Signature(signature) => {
            matches!(signature.version(), 3 | 4) && !matches!(signature.mpis(), mpi::Signature::Unknown { .. })
        }
        Packet::UserID(_) | Packet::UserAttribute(_) => true,
        _ => false,
    }
}

fn not_understood(frame: &Frame<'_>) -> LeftOut {
    let part = match frame.tag {
        tag::PUBLIC_KEY | tag::SECRET_KEY => CertificatePart::PrimaryKey,
        tag::PUBLIC_SUBKEY | tag::SECRET_SUBKEY => CertificatePart::Subkey,
        tag::USER_ID => CertificatePart::UserId,
        tag::USER_ATTRIBUTE => CertificatePart::Photo,
        tag::SIGNATURE => CertificatePart::Signature,
        _ => CertificatePart::Packet,
    };
    let is_key = matches!(part, CertificatePart::PrimaryKey | CertificatePart::Subkey);
    let version = frame.body.first().copied();
    let (reason, detail) = match (part, version) {
        (CertificatePart::PrimaryKey | CertificatePart::Subkey, Some(version)) if version != 4 => {
            (LeftOutReason::Version, Some(version.to_string()))
        }
        (CertificatePart::PrimaryKey | CertificatePart::Subkey, Some(_)) => match frame.body.get(5) {
            Some(1..=3 | 16..=19 | 22 | 25..=28) | None => (LeftOutReason::Damaged, None),
            Some(algorithm) => (LeftOutReason::Algorithm, Some(algorithm.to_string())),
        },
        (CertificatePart::Signature, Some(version)) if !matches!(version, 3 | 4) => {
            (LeftOutReason::Version, Some(version.to_string()))
        }
        _ => (LeftOutReason::Damaged, None),
    };
    let fingerprint = if is_key { fingerprint(frame.body) } else { None };
    LeftOut { part, fingerprint, reason, detail }
}
