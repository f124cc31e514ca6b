//! The signing key of a card.

use sealcard_api::{
    Fingerprint,
    algorithm::{ComponentRole, HashAlgorithm},
    cards::Card,
    ids::KeyId,
};
use sequoia_openpgp::{
    crypto::mpi::{self, PublicKey},
    packet::{
        Key,
        key::{PublicParts, UnspecifiedRole},
    },
    types::Curve,
};

use super::SignatureError;
use crate::{
    certificate::{CardCertificateError, card_certificate, fingerprint},
    mpi::{WrongSignature, signature_mpis},
};

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
    pub fn of(card: &Card) -> Result<Self, SignatureError> {
        let wrong = |reason: String| CardCertificateError { name: card.name.clone(), reason };
        let component = card
            .components
            .iter()
            .find(|component| component.role == ComponentRole::Sign)
            .ok_or_else(|| wrong("it has no key for signatures".to_owned()))?;
        let certificate = card_certificate(card)?.cert().map_err(|error| wrong(error.to_string()))?;
        let public = certificate
            .keys()
            .map(|key| key.key().clone())
            .find(|key| fingerprint(key) == component.fingerprint)
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
    pub(super) fn to_mpis(&self, raw: &[u8]) -> Result<mpi::Signature, SignatureError> {
        signature_mpis(&self.public, raw).map_err(|wrong| match wrong {
            WrongSignature::Length => SignatureError::WrongAnswer(wrong.to_string()),
            WrongSignature::Algorithm => {
                CardCertificateError { name: self.name.clone(), reason: wrong.to_string() }.into()
            }
        })
    }
}
