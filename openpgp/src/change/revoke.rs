//! Revocation certificates: a signature by the primary key that says it no longer counts (RFC 9580 section 5.2.1.11).

use sealcard_api::{Timestamp, algorithm::HashAlgorithm, keys::RevocationReason};
use sequoia_openpgp::{
    Cert, Packet, PacketPile,
    parse::Parse as _,
    serialize::SerializeInto as _,
    types::{ReasonForRevocation, SignatureType},
};

use crate::{
    create::{armored_packets, builder},
    packets::armored,
    signer::{CertificateError, RemoteSigner, without_critical},
    time::system_time,
};

/// A revocation of a certificate, as armored text that gpg imports. `sign` has a digest signed with the primary key,
/// and may block.
///
/// # Errors
///
/// When the signer does not sign, or signs with another key.
pub fn revocation<E: std::fmt::Display>(
    certificate: &str,
    reason: RevocationReason,
    message: &str,
    time: Timestamp,
    sign: impl Fn(HashAlgorithm, &[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, CertificateError<E>> {
    let certificate = Cert::from_bytes(certificate)?;
    let key = certificate.primary_key().key();
    let reason = match reason {
        RevocationReason::Unspecified => ReasonForRevocation::Unspecified,
        RevocationReason::Compromised => ReasonForRevocation::KeyCompromised,
        RevocationReason::Superseded => ReasonForRevocation::KeySuperseded,
        RevocationReason::Retired => ReasonForRevocation::KeyRetired,
    };
    let builder = builder(SignatureType::KeyRevocation, system_time(time), None)?
        .set_reason_for_revocation(reason, message.as_bytes())?;
    let mut signer = RemoteSigner::new(key, sign);
    let signature = without_critical(builder)?.sign_direct_key(&mut signer, key);
    let signature = signer.finish(signature)?;
    signature.verify_primary_key_revocation(key, key)?;

    let comments = [
        ("Comment", "This is a revocation certificate. Importing it revokes the key".to_owned()),
        ("Comment", format!("{} permanently.", certificate.fingerprint())),
    ];
    armored(&Packet::from(signature).to_vec()?, &comments)
        .ok_or_else(|| CertificateError::OpenPgp("it can't be written".to_owned()))
}

/// A certificate with its revocation in it, where it belongs: behind the primary key.
///
/// # Errors
///
/// When either is not what this crate makes.
pub fn with_revocation<E>(certificate: &str, revocation: &str) -> Result<String, CertificateError<E>> {
    let mut rest = PacketPile::from_bytes(certificate)?.into_children();
    let primary = rest.next().ok_or_else(|| CertificateError::OpenPgp("an empty certificate".to_owned()))?;
    let revocation = PacketPile::from_bytes(revocation)?.into_children();
    let parts: Vec<Packet> = std::iter::once(primary).chain(revocation).chain(rest).collect();
    armored_packets(&parts)
}
