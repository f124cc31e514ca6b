//! A certificate that may be published.

mod builder;
mod card;
mod foreign;
mod policy;
mod signatures;

pub use card::{CardCertificateError, card_certificate};
pub use foreign::{ForeignCertificate, ForeignError, ForeignKey};

pub(crate) use foreign::{candidate, has_sha1, one_line};
pub(crate) use policy::policy;

use sealcard_api::{
    Fingerprint,
    import::{CertificatePart, LeftOut, LeftOutReason},
};
use sequoia_openpgp::{
    Cert, Packet,
    packet::{
        Key, Signature, UserAttribute, UserID,
        key::{KeyParts, KeyRole},
    },
    serialize::Serialize as _,
};

use self::{
    builder::Builder,
    signatures::{Maker, Primary, Subkey},
};
use crate::packets::{BlockKind, Part, PartKind, ReadError, algorithm_name, armored, blocks, frames, tag};

/// A certificate that holds only parts that were understood and that its primary key has signed.
///
/// INVARIANT: every user id, photo and subkey has at least one valid signature by the primary key, and nothing else is
/// in it but public keys of version 4, signatures of versions 3 and 4, and what they are about.
#[derive(Clone)]
pub struct PublicCertificate {
    primary: Signed<Primary>,
    identities: Vec<Signed<Identity>>,
    subkeys: Vec<Signed<Subkey>>,
    left_out: Vec<LeftOut>,
}

/// A part with the signatures about it.
#[derive(Clone)]
struct Signed<T> {
    part: T,
    /// By the primary key, verified.
    own: Vec<Signature>,
    /// By others.
    others: Vec<Signature>,
}

#[derive(Clone, PartialEq, Eq)]
enum Identity {
    UserId(UserID),
    Photo(UserAttribute),
}

impl PublicCertificate {
    /// Reads one certificate, armored or not.
    ///
    /// # Errors
    ///
    /// When it is not exactly one certificate, or holds any secret packet, understood or not.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        let blocks = blocks(bytes)?;
        if blocks.iter().any(|block| block.kind == BlockKind::Secret) {
            return Err(ReadError::Secret);
        }
        let [block] = blocks.as_slice() else { return Err(ReadError::Several(blocks.len())) };
        if block.kind == BlockKind::Other {
            return Err(ReadError::NotAKey);
        }
        let frames = frames(&block.bytes)?;
        if frames.iter().any(|frame| matches!(frame.tag, tag::SECRET_KEY | tag::SECRET_SUBKEY)) {
            return Err(ReadError::Secret);
        }
        let keys = frames.iter().filter(|frame| frame.tag == tag::PUBLIC_KEY).count();
        if keys > 1 {
            return Err(ReadError::Several(keys));
        }
        Self::from_parts(frames.iter().map(Part::read))
    }

    /// Puts a certificate together from its parts, the primary key first. A part that is not signed is left out.
    ///
    /// # Errors
    ///
    /// When there is no usable primary key, or it has signed nothing.
    pub fn from_parts(parts: impl IntoIterator<Item = Part>) -> Result<Self, ReadError> {
        let mut parts = parts.into_iter().map(|part| part.0).filter(|part| !matches!(part, PartKind::Ignored));
        let primary = match parts.next() {
            Some(PartKind::Understood(Packet::PublicKey(primary))) => primary,
            Some(PartKind::LeftOut(out)) if out.part == CertificatePart::PrimaryKey => {
                return Err(ReadError::Primary(out));
            }
            Some(_) => return Err(ReadError::NotAKey),
            None => return Err(ReadError::Empty),
        };
        if !is_supported(&primary) {
            return Err(ReadError::Primary(LeftOut {
                part: CertificatePart::PrimaryKey,
                fingerprint: Some(primary.fingerprint().to_hex()),
                reason: LeftOutReason::Algorithm,
                detail: Some(algorithm_name(&primary)),
            }));
        }
        let mut builder = Builder::new(primary);
        for part in parts {
            builder.add(part)?;
        }
        builder.finish()
    }

    /// The fingerprint of the primary key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.primary.part)
    }

    /// The fingerprints of its keys, the primary key's first.
    pub fn keys(&self) -> impl Iterator<Item = Fingerprint> {
        std::iter::once(self.fingerprint()).chain(self.subkeys())
    }

    /// What was in the input and is not here.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The first user id, in one line. Empty if there is none.
    #[must_use]
    pub fn user_id(&self) -> String {
        let first = self.identities.iter().find_map(|identity| match &identity.part {
            Identity::UserId(id) => Some(String::from_utf8_lossy(id.value()).into_owned()),
            Identity::Photo(_) => None,
        });
        first.unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// How many photos and other attributes it has.
    #[must_use]
    pub fn photos(&self) -> usize {
        self.identities.iter().filter(|identity| matches!(identity.part, Identity::Photo(_))).count()
    }

    /// How many bytes its photos take.
    #[must_use]
    pub fn photo_bytes(&self) -> usize {
        let photos = self.identities.iter().filter_map(|identity| match &identity.part {
            Identity::Photo(photo) => Some(photo.value().len()),
            Identity::UserId(_) => None,
        });
        photos.sum()
    }

    /// The certificate without its photos.
    #[must_use]
    pub fn without_photos(mut self) -> Self {
        self.identities.retain(|identity| matches!(identity.part, Identity::UserId(_)));
        self
    }

    /// The certificate without signatures by others.
    #[must_use]
    pub fn without_certifications(mut self) -> Self {
        self.primary.others.clear();
        for identity in &mut self.identities {
            identity.others.clear();
        }
        self
    }

    /// The fingerprints of its subkeys.
    pub fn subkeys(&self) -> impl Iterator<Item = Fingerprint> {
        self.subkeys.iter().map(|subkey| fingerprint(&subkey.part))
    }

    /// How many signatures are in it: by its primary key, and by others.
    #[must_use]
    pub fn signatures(&self) -> (usize, usize) {
        let count = |own: usize, others: usize| (own, others);
        let parts = std::iter::once(count(self.primary.own.len(), self.primary.others.len()))
            .chain(self.identities.iter().map(|identity| count(identity.own.len(), identity.others.len())))
            .chain(self.subkeys.iter().map(|subkey| count(subkey.own.len(), subkey.others.len())));
        parts.fold((0, 0), |sum, part| (sum.0.saturating_add(part.0), sum.1.saturating_add(part.1)))
    }

    /// The certificate without the subkeys that are named as left out.
    #[must_use]
    pub fn without_subkeys(mut self, left_out: &[LeftOut]) -> Self {
        self.subkeys.retain(|subkey| {
            let fingerprint = subkey.part.fingerprint().to_hex();
            !left_out.iter().any(|out| out.fingerprint.as_deref() == Some(fingerprint.as_str()))
        });
        self
    }

    /// The certificate with the parts and signatures that another one of the same primary key has. Older signatures
    /// stay: they are needed to judge what was signed before.
    ///
    /// # Errors
    ///
    /// When it has another primary key.
    pub fn merged(mut self, other: Self) -> Result<Self, ReadError> {
        if self.primary.part != other.primary.part {
            return Err(ReadError::Several(2));
        }
        self.primary.take_signatures(other.primary);
        merge_parts(&mut self.identities, other.identities);
        merge_parts(&mut self.subkeys, other.subkeys);
        Ok(self)
    }

    /// Its packets, in the order that its owner knows.
    pub(crate) fn packets(&self) -> impl Iterator<Item = Packet> {
        let primary = self.primary.with_signatures(|key| Packet::PublicKey(key.clone()));
        let identities = self.identities.iter().flat_map(|identity| {
            identity.with_signatures(|identity| match identity {
                Identity::UserId(id) => Packet::UserID(id.clone()),
                Identity::Photo(photo) => Packet::UserAttribute(photo.clone()),
            })
        });
        let subkeys = self.subkeys.iter();
        let subkeys = subkeys.flat_map(|subkey| subkey.with_signatures(|key| Packet::PublicSubkey(key.clone())));
        primary.chain(identities).chain(subkeys)
    }

    /// The library's view of it.
    ///
    /// # Errors
    ///
    /// When the library does not take it.
    pub(crate) fn cert(&self) -> Result<Cert, ReadError> {
        Cert::from_packets(self.packets()).map_err(|_| ReadError::NotAKey)
    }

    /// The certificate, binary.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn bytes(&self) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        for packet in self.packets() {
            packet.serialize(&mut bytes).map_err(|_| ReadError::Write)?;
        }
        Ok(bytes)
    }

    /// The certificate, ASCII-armored.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn armored(&self) -> Result<String, ReadError> {
        armored(&self.bytes()?, &[]).ok_or(ReadError::Write)
    }
}

/// The fingerprint of a key of version 4, which alone is read here and made here.
pub(crate) fn fingerprint<P: KeyParts, R: KeyRole>(key: &Key<P, R>) -> Fingerprint {
    let mut bytes = [0; 20];
    for (to, from) in bytes.iter_mut().zip(key.fingerprint().as_bytes()) {
        *to = *from;
    }
    Fingerprint(bytes)
}

/// Whether signatures by a key can be verified here.
fn is_supported(key: &Primary) -> bool {
    use sequoia_openpgp::crypto::mpi::PublicKey;
    let curve = match key.mpis() {
        PublicKey::EdDSA { curve, .. } | PublicKey::ECDSA { curve, .. } => curve.is_supported(),
        _ => true,
    };
    curve && key.pk_algo().is_supported() && key.pk_algo().for_signing()
}

impl<T> Signed<T> {
    const fn new(part: T) -> Self {
        Self { part, own: Vec::new(), others: Vec::new() }
    }

    fn add(&mut self, maker: Maker, signature: Signature) {
        let signatures = match maker {
            Maker::Own => &mut self.own,
            Maker::Other => &mut self.others,
        };
        add_signature(signatures, signature);
    }

    fn take_signatures(&mut self, other: Self) {
        other.own.into_iter().for_each(|signature| add_signature(&mut self.own, signature));
        other.others.into_iter().for_each(|signature| add_signature(&mut self.others, signature));
    }

    fn with_signatures(&self, packet: impl FnOnce(&T) -> Packet) -> impl Iterator<Item = Packet> {
        let signatures = self.own.iter().chain(&self.others).map(|signature| Packet::Signature(signature.clone()));
        std::iter::once(packet(&self.part)).chain(signatures)
    }
}

/// Programs differ in what they write into the part of a signature that is not signed.
fn add_signature(signatures: &mut Vec<Signature>, signature: Signature) {
    if !signatures.iter().any(|known| known.normalized_eq(&signature)) {
        signatures.push(signature);
    }
}

fn merge_parts<T: PartialEq>(known: &mut Vec<Signed<T>>, others: Vec<Signed<T>>) {
    for other in others {
        match known.iter_mut().find(|known| known.part == other.part) {
            Some(known) => known.take_signatures(other),
            None => known.push(other),
        }
    }
}
