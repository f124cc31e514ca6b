//! OpenPGP certificates: version 4 (RFC 9580 section 5.5.2.2), algorithm ids 1, 18, 19 and 22, which gpg 2.2 knows.
//!
//! The primary key only certifies; one subkey each signs, decrypts and authenticates. In the profile `signing` there is
//! only the subkey that signs, in the profile `packages` but a primary key, which signs too. Every signature in a certificate is made by the signer process. sequoia-openpgp
//! puts the packets together and never touches a private key.

mod foreign;
mod life;
mod merge;
mod packets;
mod revoke;
mod signer;

pub use foreign::{ForeignCertificate, ForeignError, ForeignKey};
pub use life::{ComponentLife, Extended, extend};
pub use merge::{KnownKey, MergedCertificate, merge};
pub use revoke::{revocation, with_revocation};

use std::time::{Duration, SystemTime};

use sealcard_api::{
    Fingerprint, Timestamp,
    algorithm::{ComponentRole, HashAlgorithm},
    rules::UserId,
};
use sealcard_signer_protocol::StoredKey;
use sequoia_openpgp::{
    Cert, Packet,
    armor::{Kind, Writer},
    packet::{
        UserID,
        key::{Key4, PublicParts, SubordinateRole},
        signature::{SignatureBuilder, subpacket::Subpacket},
    },
    policy::StandardPolicy,
    serialize::Serialize,
    types::{
        CompressionAlgorithm, Features, HashAlgorithm as Hash, KeyFlags, SignatureType, SymmetricAlgorithm as Cipher,
    },
};

use crate::{signers::UseError, storage::StorageError};
use signer::RemoteSigner;

/// The hash of every signature in a certificate.
const CERTIFICATE_HASH: Hash = Hash::SHA512;

/// Why a certificate could not be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CertificateError {
    /// The signer did not sign. Retrying may help.
    #[error("the signer: {0}")]
    Signer(#[from] UseError),
    /// The record could not be written, so the signer was not asked. Retrying may help.
    #[error(transparent)]
    Record(#[from] StorageError),
    /// The user id is not one. Retrying can't help.
    #[error("{0}")]
    UserId(String),
    /// A fault of this program or of the signer's answer. Retrying can't help.
    #[error("the certificate could not be made: {0}")]
    OpenPgp(String),
}

/// What a certificate is made of.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    /// The component keys: one for each [`ComponentRole`], or one alone in the role [`ComponentRole::Sign`].
    pub keys: Vec<StoredKey>,
    /// The user id.
    pub user_id: String,
    /// Creation time of all keys and signatures.
    pub created: Timestamp,
    /// Expiry of all keys.
    pub expires: Option<Timestamp>,
}

/// A finished certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// ASCII-armored (RFC 9580 section 6.2).
    pub armored: String,
    /// The primary key's fingerprint.
    pub fingerprint: Fingerprint,
    /// The component keys with their fingerprints, in the order of [`ComponentRole::ALL`].
    pub components: Vec<(StoredKey, Fingerprint)>,
}

/// Makes a certificate. `certify` has the signer sign a digest with one of the keys and may block.
///
/// # Errors
/// See [`CertificateError`].
pub fn make(
    request: CertificateRequest,
    certify: impl Fn(&StoredKey, HashAlgorithm, Vec<u8>) -> Result<Vec<u8>, CertificateError>,
) -> Result<Certificate, CertificateError> {
    check_user_id(&request.user_id)?;
    let created = system_time(request.created);
    let validity = request.expires.map(|expires| {
        Duration::from_secs(expires.unix().saturating_sub(request.created.unix()).try_into().unwrap_or(0))
    });
    let mut sealed = request.keys;
    sealed.sort_by_key(|key| key.role);
    let [primary, subkeys @ ..] = sealed.as_slice() else {
        return Err(CertificateError::OpenPgp("no primary key".to_owned()));
    };
    let roles: Vec<_> = sealed.iter().map(|key| key.role).collect();
    let standard =
        roles.starts_with(&[ComponentRole::Certify, ComponentRole::Sign]) && roles.is_sorted_by(|a, b| a < b);
    if !standard && roles != [ComponentRole::Sign] {
        return Err(CertificateError::OpenPgp(format!("component keys in the roles {roles:?}")));
    }

    let primary_key: Key4<PublicParts, _> = packets::key(primary, created)?;
    let mut certifier = RemoteSigner::new(primary, primary_key.clone().role_into_unspecified().into(), &certify);
    let primary_key = primary_key.role_into_primary().into();
    let mut components = vec![(primary.clone(), fingerprint(&primary_key)?)];
    let mut parts: Vec<Packet> = vec![Packet::PublicKey(primary_key.clone())];

    let user_id = UserID::from(request.user_id.as_str());
    let self_signature = preferences(builder(SignatureType::PositiveCertification, created, validity)?)?
        .set_primary_userid(true)?
        .set_key_flags(flags(primary.role).set_certification())?;
    let self_signature = without_critical(self_signature)?.sign_userid_binding(&mut certifier, &primary_key, &user_id);
    let self_signature = certifier.finish(self_signature)?;
    parts.push(user_id.into());
    parts.push(self_signature.into());

    for sealed in subkeys {
        let key: Key4<PublicParts, SubordinateRole> = packets::key(sealed, created)?.role_into_subordinate();
        let unspecified = key.clone().role_into_unspecified().into();
        let key = key.into();
        let mut binding =
            builder(SignatureType::SubkeyBinding, created, validity)?.set_key_flags(flags(sealed.role))?;
        if sealed.role == ComponentRole::Sign {
            // The back signature proves that the subkey's holder agrees (RFC 9580 section 5.2.1.10).
            let mut signer = RemoteSigner::new(sealed, unspecified, &certify);
            let back = without_critical(builder(SignatureType::PrimaryKeyBinding, created, None)?)?
                .sign_primary_key_binding(&mut signer, &primary_key, &key);
            binding = binding.set_embedded_signature(signer.finish(back)?)?;
        }
        let binding = without_critical(binding)?.sign_subkey_binding(&mut certifier, &primary_key, &key);
        let binding = certifier.finish(binding)?;
        components.push((sealed.clone(), fingerprint(&key)?));
        parts.push(Packet::PublicSubkey(key));
        parts.push(binding.into());
    }

    let armored = armor(&parts)?;
    check(&Cert::from_packets(parts.into_iter())?, created, components.len())?;
    let (_, fingerprint) = *components.first().ok_or_else(|| CertificateError::OpenPgp("no primary key".to_owned()))?;
    Ok(Certificate { armored, fingerprint, components })
}

/// The packets in the order they were made, which is the one that gpg shows subkeys in. (A `Cert` sorts them by fingerprint.)
fn armor(parts: &[Packet]) -> Result<String, CertificateError> {
    let failed = |error: std::io::Error| CertificateError::OpenPgp(error.to_string());
    let mut writer = Writer::new(Vec::new(), Kind::PublicKey).map_err(failed)?;
    for part in parts {
        part.serialize(&mut writer)?;
    }
    let bytes = writer.finalize().map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| CertificateError::OpenPgp(error.to_string()))
}

/// A user id that gpg and people can read.
///
/// # Errors
/// Saying what is wrong.
pub fn check_user_id(user_id: &str) -> Result<(), CertificateError> {
    UserId::check(user_id).map_err(CertificateError::UserId)
}

fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.unix().try_into().unwrap_or_default())
}

impl From<anyhow::Error> for CertificateError {
    fn from(error: anyhow::Error) -> Self {
        Self::OpenPgp(format!("{error:#}"))
    }
}

fn builder(
    kind: SignatureType,
    created: SystemTime,
    validity: Option<Duration>,
) -> Result<SignatureBuilder, CertificateError> {
    let builder = SignatureBuilder::new(kind).set_hash_algo(CERTIFICATE_HASH).set_signature_creation_time(created)?;
    Ok(match validity {
        Some(validity) => builder.set_key_validity_period(validity)?,
        None => builder,
    })
}

/// Marks no subpacket as critical, like gpg: rpm 4.18 refuses a certificate with a critical one that it makes no use of.
fn without_critical(mut builder: SignatureBuilder) -> Result<SignatureBuilder, CertificateError> {
    let critical: Vec<Subpacket> = builder.hashed_area().iter().filter(|part| part.critical()).cloned().collect();
    for part in critical {
        builder.hashed_area_mut().replace(Subpacket::new(part.value().clone(), false)?)?;
    }
    Ok(builder)
}

/// What the key's holder can read, as gpg 2.2 states it, without 3DES, SHA-1 and SHA-224.
fn preferences(builder: SignatureBuilder) -> Result<SignatureBuilder, CertificateError> {
    Ok(builder
        .set_preferred_symmetric_algorithms(vec![Cipher::AES256, Cipher::AES192, Cipher::AES128])?
        .set_preferred_hash_algorithms(vec![Hash::SHA512, Hash::SHA384, Hash::SHA256])?
        .set_preferred_compression_algorithms(vec![
            CompressionAlgorithm::Zlib,
            CompressionAlgorithm::BZip2,
            CompressionAlgorithm::Zip,
        ])?
        .set_features(Features::empty().set_seipdv1())?)
}

fn flags(role: ComponentRole) -> KeyFlags {
    match role {
        ComponentRole::Certify => KeyFlags::empty().set_certification(),
        ComponentRole::Sign => KeyFlags::empty().set_signing(),
        ComponentRole::Decrypt => KeyFlags::empty().set_storage_encryption().set_transport_encryption(),
        ComponentRole::Authenticate => KeyFlags::empty().set_authentication(),
    }
}

fn fingerprint<R: sequoia_openpgp::packet::key::KeyRole>(
    key: &sequoia_openpgp::packet::Key<PublicParts, R>,
) -> Result<Fingerprint, CertificateError> {
    key.fingerprint()
        .as_bytes()
        .try_into()
        .map(Fingerprint)
        .map_err(|_| CertificateError::OpenPgp("a fingerprint that is not of version 4".to_owned()))
}

/// Nothing leaves that a strict reader would not take: every signature verifies and every key is bound and alive.
fn check(certificate: &Cert, created: SystemTime, keys: usize) -> Result<(), CertificateError> {
    let policy = StandardPolicy::new();
    let alive = certificate.keys().with_policy(&policy, created).alive().revoked(false).supported().count();
    if alive == keys && certificate.bad_signatures().next().is_none() {
        Ok(())
    } else {
        Err(CertificateError::OpenPgp(format!("{alive} of its keys are usable")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn user_ids_are_one_line_that_people_can_read() {
        for good in ["Release <release@example.org>", "Jürgen", "release@example.org"] {
            assert!(check_user_id(good).is_ok(), "{good}");
        }
        for bad in ["", "  ", " a", "a ", "a\nb", "a\u{7f}", "a\u{85}b", &"a".repeat(257)] {
            assert!(check_user_id(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_user_id_that_is_taken_has_no_control_character(text: String) {
            if check_user_id(&text).is_ok() {
                prop_assert!(!text.is_empty() && text.len() <= 256 && !text.contains(char::is_control));
            }
        }
    }
}
