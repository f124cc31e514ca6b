//! Making certificates: version 4 (RFC 9580 section 5.5.2.2), algorithm ids 1, 18, 19 and 22, which gpg 2.2 knows.
//!
//! The primary key only certifies; one subkey each signs, decrypts and authenticates. In the profile `signing` there is
//! only the subkey that signs, in the profile `packages` only a primary key, which signs too.

use std::time::{Duration, SystemTime};

use sealcard_api::{
    Fingerprint, Timestamp,
    algorithm::{ComponentRole, HashAlgorithm},
    rules::UserId as UserIdRule,
};
use sequoia_openpgp::{
    Cert, Packet,
    packet::{
        Key, UserID,
        key::{PrimaryRole, PublicParts, SubordinateRole},
        signature::SignatureBuilder,
    },
    policy::StandardPolicy,
    serialize::Serialize as _,
    types::{
        CompressionAlgorithm, Features, HashAlgorithm as Hash, KeyFlags, SignatureType, SymmetricAlgorithm as Cipher,
    },
};

use crate::{
    certificate::fingerprint,
    mpi::ComponentKey,
    packets::armored,
    signer::{CERTIFICATE_HASH, CertificateError, RemoteSigner, without_critical},
    time::system_time,
};

/// What a certificate is made of.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    /// The component keys: one for each [`ComponentRole`], or one alone in the role [`ComponentRole::Sign`].
    pub keys: Vec<ComponentKey>,
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
    /// The component keys' fingerprints, the primary key's first, then in the order of [`ComponentRole::ALL`].
    pub components: Vec<(ComponentRole, Fingerprint)>,
}

/// Makes a certificate. `sign` has a digest signed with the component key in a role, and may block.
///
/// # Errors
///
/// [`CertificateError::UserId`] when the user id is not one, [`CertificateError::OpenPgp`] when the roles or the public
/// keys do not make a certificate, or what was signed is not valid.
pub fn create<E: std::fmt::Display>(
    request: CertificateRequest,
    sign: impl Fn(ComponentRole, HashAlgorithm, &[u8]) -> Result<Vec<u8>, E>,
) -> Result<Certificate, CertificateError<E>> {
    check_user_id(&request.user_id)?;
    let created = system_time(request.created);
    let validity = request.expires.map(|expires| {
        Duration::from_secs(expires.unix().saturating_sub(request.created.unix()).try_into().unwrap_or(0))
    });
    let mut keys = request.keys;
    keys.sort_by_key(|key| key.role);
    let [primary, subkeys @ ..] = keys.as_slice() else {
        return Err(CertificateError::OpenPgp("no primary key".to_owned()));
    };
    let roles: Vec<_> = keys.iter().map(|key| key.role).collect();
    let standard =
        roles.starts_with(&[ComponentRole::Certify, ComponentRole::Sign]) && roles.is_sorted_by(|a, b| a < b);
    if !standard && roles != [ComponentRole::Sign] {
        return Err(CertificateError::OpenPgp(format!("component keys in the roles {roles:?}")));
    }

    let primary_key: Key<PublicParts, PrimaryRole> = primary.packet(created)?.role_into_primary().into();
    let mut certifier = RemoteSigner::new(&primary_key, |hash, digest: &[u8]| sign(primary.role, hash, digest));
    let mut components = vec![(primary.role, fingerprint(&primary_key))];
    let mut parts: Vec<Packet> = vec![Packet::PublicKey(primary_key.clone())];

    let user_id = UserID::from(request.user_id.as_str());
    let self_signature = preferences(builder(SignatureType::PositiveCertification, created, validity)?)?
        .set_primary_userid(true)?
        .set_key_flags(flags(primary.role).set_certification())?;
    let self_signature = without_critical(self_signature)?.sign_userid_binding(&mut certifier, &primary_key, &user_id);
    let self_signature = certifier.finish(self_signature)?;
    parts.push(user_id.into());
    parts.push(self_signature.into());

    for subkey in subkeys {
        let key: Key<PublicParts, SubordinateRole> = subkey.packet(created)?.role_into_subordinate().into();
        let mut binding =
            builder(SignatureType::SubkeyBinding, created, validity)?.set_key_flags(flags(subkey.role))?;
        if subkey.role == ComponentRole::Sign {
            // The back signature proves that the subkey's holder agrees (RFC 9580 section 5.2.1.10).
            let mut signer = RemoteSigner::new(&key, |hash, digest: &[u8]| sign(subkey.role, hash, digest));
            let back = without_critical(builder(SignatureType::PrimaryKeyBinding, created, None)?)?
                .sign_primary_key_binding(&mut signer, &primary_key, &key);
            binding = binding.set_embedded_signature(signer.finish(back)?)?;
        }
        let binding = without_critical(binding)?.sign_subkey_binding(&mut certifier, &primary_key, &key);
        let binding = certifier.finish(binding)?;
        components.push((subkey.role, fingerprint(&key)));
        parts.push(Packet::PublicSubkey(key));
        parts.push(binding.into());
    }

    let armored = armored_packets(&parts)?;
    let fingerprint = fingerprint(&primary_key);
    check(&Cert::from_packets(parts.into_iter())?, created, components.len())?;
    Ok(Certificate { armored, fingerprint, components })
}

/// The packets in the order they were made, which is the one that gpg shows subkeys in. (A `Cert` sorts them by
/// fingerprint.)
pub(crate) fn armored_packets<E>(parts: &[Packet]) -> Result<String, CertificateError<E>> {
    let mut bytes = Vec::new();
    for part in parts {
        part.serialize(&mut bytes)?;
    }
    armored(&bytes, &[]).ok_or_else(|| CertificateError::OpenPgp("it can't be written".to_owned()))
}

/// A user id that gpg and people can read.
fn check_user_id<E>(user_id: &str) -> Result<(), CertificateError<E>> {
    UserIdRule::check(user_id).map_err(CertificateError::UserId)
}

pub(crate) fn builder<E>(
    kind: SignatureType,
    created: SystemTime,
    validity: Option<Duration>,
) -> Result<SignatureBuilder, CertificateError<E>> {
    let builder = SignatureBuilder::new(kind).set_hash_algo(CERTIFICATE_HASH).set_signature_creation_time(created)?;
    Ok(match validity {
        Some(validity) => builder.set_key_validity_period(validity)?,
        None => builder,
    })
}

/// What the key's holder can read, as gpg 2.2 states it, without 3DES, SHA-1 and SHA-224.
fn preferences<E>(builder: SignatureBuilder) -> Result<SignatureBuilder, CertificateError<E>> {
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

/// Nothing leaves that a strict reader would not take: every signature verifies and every key is bound and alive.
fn check<E>(certificate: &Cert, created: SystemTime, keys: usize) -> Result<(), CertificateError<E>> {
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
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn check_user_id(user_id: &str) -> Result<(), CertificateError<Infallible>> {
        super::check_user_id(user_id)
    }

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
