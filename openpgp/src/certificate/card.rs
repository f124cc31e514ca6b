//! The certificate of a card, as a server sent it, before gpg or anything else here believes it.

use sealcard_api::cards::Card;
use thiserror::Error;

use super::PublicCertificate;

/// Why the certificate of a card can't be used. Retrying can't help before the server sends another one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the certificate of {name} can't be used: {reason}")]
pub struct CardCertificateError {
    /// The key's name.
    pub name: String,
    /// What is wrong.
    pub reason: String,
}

/// The certificate of a card: exactly one, with the fingerprint that the card list says and the card's keys. It is
/// written anew from what was understood and signed by its primary key. Secret keys and signatures by others are not
/// taken, so that a server can't change what gpg thinks of other keys.
///
/// # Errors
///
/// When it is not such a certificate.
pub fn card_certificate(card: &Card) -> Result<PublicCertificate, CardCertificateError> {
    let wrong = |reason: String| CardCertificateError { name: card.name.clone(), reason };
    let read = PublicCertificate::read(card.certificate.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    if read.fingerprint() != card.fingerprint {
        return Err(wrong(format!("it is the certificate of another key, {}", read.fingerprint())));
    }
    for component in &card.components {
        if !read.keys().any(|fingerprint| fingerprint == component.fingerprint) {
            return Err(wrong(format!("it does not hold the card's key {}", component.fingerprint)));
        }
    }
    Ok(read.without_certifications())
}
