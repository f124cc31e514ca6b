//! The signing key of a card.

use sealcard_api::{
    Fingerprint,
    algorithm::{ComponentRole, HashAlgorithm},
    cards::Card,
    ids::KeyId,
};
use sequoia_openpgp::{
    crypto::mpi::{self, MPI, PublicKey},
    packet::{
        Key,
        key::{PublicParts, UnspecifiedRole},
    },
    types::Curve,
};

use super::{OpenPgpError, received};

/// What is needed to make signatures with a card's key, but the server's part.
#[derive(Debug, Clone)]
pub struct SigningKey {
    id: KeyId,
    name: String,
    fingerprint: Fingerprint,
    pub(super) public: Key<PublicParts, UnspecifiedRole>,
}

impl SigningKey {
    /// The key in the card's signature slot.
    ///
    /// # Errors
    ///
    /// When the card has no such slot, or its certificate no such key.
    pub fn of(card: &Card) -> Result<Self, OpenPgpError> {
        let wrong = |reason: String| OpenPgpError::Certificate { name: card.name.clone(), reason };
        let component = card
            .components
            .iter()
            .find(|component| component.role == ComponentRole::Sign)
            .ok_or_else(|| wrong("it has no key for signatures".to_owned()))?;
        let certificate = received(card)?.cert().map_err(|error| wrong(error.to_string()))?;
        let public = certificate
            .keys()
            .map(|key| key.key().clone())
            .find(|key| key.fingerprint().as_bytes() == component.fingerprint.0)
            .ok_or_else(|| wrong(format!("it does not hold the key {}", component.fingerprint)))?;
        Ok(Self { id: card.key_id, name: card.name.clone(), fingerprint: card.fingerprint, public })
    }

    /// The key's id on the server.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The certificate's fingerprint.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The hash algorithm that suits the key: as long as the curve's order for ECDSA, which gpg asks for, else SHA-512.
    #[must_use]
    pub fn preferred_hash(&self) -> HashAlgorithm {
        match self.public.mpis() {
            PublicKey::ECDSA { curve: Curve::NistP256, .. } => HashAlgorithm::Sha256,
            PublicKey::ECDSA { curve: Curve::NistP384, .. } => HashAlgorithm::Sha384,
            _ => HashAlgorithm::Sha512,
        }
    }

    /// What the server made, as OpenPGP writes it (RFC 9580 section 5.2.3).
    pub(super) fn to_mpis(&self, raw: &[u8]) -> Result<mpi::Signature, OpenPgpError> {
        let halves = || match raw.split_at_checked(raw.len() / 2) {
            Some((r, s)) if !r.is_empty() && r.len() == s.len() => Ok((MPI::new(r), MPI::new(s))),
            _ => Err(OpenPgpError::WrongAnswer("it has a wrong length".to_owned())),
        };
        match self.public.mpis() {
            PublicKey::RSA { .. } => Ok(mpi::Signature::RSA { s: MPI::new(raw) }),
            PublicKey::ECDSA { .. } => halves().map(|(r, s)| mpi::Signature::ECDSA { r, s }),
            PublicKey::EdDSA { .. } => halves().map(|(r, s)| mpi::Signature::EdDSA { r, s }),
            _ => Err(OpenPgpError::Certificate {
                name: self.name.clone(),
                reason: "keys of this algorithm can't sign files here".to_owned(),
            }),
        }
    }
}
