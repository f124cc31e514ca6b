//! Revocation certificates: a signature by the primary key that says it no longer counts (RFC 9580 section 5.2.1.11).

use sealcard_api::{Timestamp, algorithm::HashAlgorithm, keys::RevocationReason};
use sealcard_signer_protocol::StoredKey;
use sequoia_openpgp::{
    Cert, Packet, PacketPile,
    armor::{Kind, Writer},
    parse::Parse,
    serialize::Serialize,
    types::{ReasonForRevocation, SignatureType},
};

use super::{CertificateError, armor, builder, signer::RemoteSigner, system_time, without_critical};

/// A revocation of a certificate, as armored text that gpg imports. `certify` has the signer sign a digest with the
/// primary key and may block.
///
/// # Errors
/// If the signer does not sign, or `primary` is not the certificate's primary key.
pub fn revocation(
    certificate: &str,
    primary: &StoredKey,
    reason: RevocationReason,
    message: &str,
    time: Timestamp,
    certify: impl Fn(&StoredKey, HashAlgorithm, Vec<u8>) -> Result<Vec<u8>, CertificateError>,
) -> Result<String, CertificateError> {
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
    let mut signer = RemoteSigner::new(primary, key.clone().role_into_unspecified(), &certify);
    let signature = without_critical(builder)?.sign_direct_key(&mut signer, key);
    let signature = signer.finish(signature)?;
    signature.verify_primary_key_revocation(key, key)?;

    let failed = |error: std::io::Error| CertificateError::OpenPgp(error.to_string());
    let comments = [
        ("Comment", "This is a revocation certificate. Importing it revokes the key".to_owned()),
        ("Comment", format!("{} permanently.", certificate.fingerprint())),
    ];
    let mut writer = Writer::with_headers(Vec::new(), Kind::PublicKey, comments).map_err(failed)?;
    Packet::from(signature).serialize(&mut writer)?;
    let bytes = writer.finalize().map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| CertificateError::OpenPgp(error.to_string()))
}

/// A certificate with its revocation in it, where it belongs: behind the primary key.
///
/// # Errors
/// If either is not what this module and its neighbours make.
pub fn with_revocation(certificate: &str, revocation: &str) -> Result<String, CertificateError> {
    let mut rest = PacketPile::from_bytes(certificate)?.into_children();
    let primary = rest.next().ok_or_else(|| CertificateError::OpenPgp("an empty certificate".to_owned()))?;
    let revocation = PacketPile::from_bytes(revocation)?.into_children();
    let parts: Vec<Packet> = std::iter::once(primary).chain(revocation).chain(rest).collect();
    armor(&parts)
}
