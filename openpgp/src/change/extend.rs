//! Ends of a certificate's keys, and later ones: new self-signatures beside the old ones, which are needed to judge
//! what was signed before.

use std::time::{Duration, SystemTime};

use sealcard_api::{Fingerprint, Timestamp, algorithm::HashAlgorithm, life::ComponentLife};
use sequoia_openpgp::{
    Cert, Packet, PacketPile,
    cert::{ValidCert, amalgamation::ValidAmalgamation as _},
    packet::{Signature, signature::SignatureBuilder},
    parse::Parse as _,
    types::RevocationStatus,
};

use crate::{
    certificate::{fingerprint, policy},
    create::armored_packets,
    signer::{CERTIFICATE_HASH, CertificateError, RemoteSigner, without_critical},
    time::{system_time, timestamp},
};

/// A certificate with later ends.
#[derive(Debug, Clone)]
pub struct Extended {
    /// ASCII-armored.
    pub armored: String,
    /// The ends of all its keys.
    pub lives: Vec<ComponentLife>,
}

/// Lets the keys in `wanted` live until `expires` at least, and their certificate with them. Nothing, if they do
/// already. `sign` has a digest signed with the primary key, and may block.
///
/// # Errors
///
/// When the signer does not sign, or signs with another key.
pub fn extend<E: std::fmt::Display>(
    certificate: &str,
    wanted: &[Fingerprint],
    (expires, now): (Timestamp, Timestamp),
    sign: impl Fn(HashAlgorithm, &[u8]) -> Result<Vec<u8>, E>,
) -> Result<Option<Extended>, CertificateError<E>> {
    let parsed = Cert::from_bytes(certificate)?;
    let time = system_time(now).max(after_all_self_signatures(&parsed));
    let policy = policy();
    let valid = parsed.with_policy(&policy, time)?;
    let key = parsed.primary_key().key();
    let mut signer = RemoteSigner::new(key, sign);
    let end = system_time(expires);
    let ends_earlier = |own: Option<SystemTime>| own.is_some_and(|own| own < end);
    let mut new: Vec<(Packet, Signature)> = Vec::new();
    if ends_earlier(valid.primary_key().key_expiration_time()) {
        let extended = |old: &Signature| renewed(old, key.creation_time(), end, time);
        if let Some(old) = valid.direct_key_signature().ok().filter(|old| old.key_validity_period().is_some()) {
            let made = extended(old)?.sign_direct_key(&mut signer, key);
            new.push((Packet::PublicKey(key.clone()), signer.finish(made)?));
        }
        for user_id in valid.userids().filter(|user_id| !is_revoked(&user_id.revocation_status())) {
            let made = extended(user_id.binding_signature())?.sign_userid_binding(&mut signer, key, user_id.userid());
            new.push((user_id.userid().clone().into(), signer.finish(made)?));
        }
    }
    for subkey in valid.keys().subkeys() {
        let key_of = subkey.key().clone();
        if wanted.contains(&fingerprint(&key_of))
            && ends_earlier(subkey.key_expiration_time())
            && !is_revoked(&subkey.revocation_status())
        {
            // The back signature in it has no end and goes on.
            let builder = renewed(subkey.binding_signature(), key_of.creation_time(), end, time)?;
            let made = builder.sign_subkey_binding(&mut signer, key, &key_of);
            new.push((Packet::PublicSubkey(key_of), signer.finish(made)?));
        }
    }
    if new.is_empty() {
        return Ok(None);
    }
    let armored = armored_packets(&with_signatures(certificate, new)?)?;
    let parsed = Cert::from_bytes(&armored)?;
    let lives = lives(&parsed.with_policy(&policy, time)?);
    let is_extended = |life: &ComponentLife| life.expires.is_none_or(|end| end >= expires);
    if lives.iter().filter(|life| wanted.contains(&life.fingerprint)).all(|life| life.revoked || is_extended(life)) {
        Ok(Some(Extended { armored, lives }))
    } else {
        Err(CertificateError::OpenPgp("its self-signatures do not allow a later end".to_owned()))
    }
}

/// The ends of a certificate's keys.
pub(super) fn lives(valid: &ValidCert<'_>) -> Vec<ComponentLife> {
    let certificate_end = valid.primary_key().key_expiration_time();
    valid
        .keys()
        .map(|key| {
            let end = key.key_expiration_time().into_iter().chain(certificate_end).min();
            ComponentLife {
                fingerprint: fingerprint(key.key()),
                expires: end.map(timestamp),
                revoked: is_revoked(&key.revocation_status()),
            }
        })
        .collect()
}

/// As an old self-signature, with another end of its key.
fn renewed<E>(
    old: &Signature,
    created: SystemTime,
    end: SystemTime,
    time: SystemTime,
) -> Result<SignatureBuilder, CertificateError<E>> {
    let validity = end.duration_since(created).map_err(|error| CertificateError::OpenPgp(error.to_string()))?;
    let builder = SignatureBuilder::from(old.clone())
        .set_hash_algo(CERTIFICATE_HASH)
        .set_signature_creation_time(time)?
        .set_key_validity_period(validity)?;
    Ok(without_critical(builder)?)
}

/// Puts each signature behind the others of its packet.
fn with_signatures<E>(
    certificate: &str,
    mut new: Vec<(Packet, Signature)>,
) -> Result<Vec<Packet>, CertificateError<E>> {
    let mut parts = Vec::new();
    let mut of_this: Vec<Packet> = Vec::new();
    for packet in PacketPile::from_bytes(certificate)?.into_children() {
        if !matches!(packet, Packet::Signature(_)) {
            parts.append(&mut of_this);
            new.retain(|(owner, signature)| {
                let is_its = *owner == packet;
                if is_its {
                    of_this.push(signature.clone().into());
                }
                !is_its
            });
        }
        parts.push(packet);
    }
    parts.append(&mut of_this);
    if new.is_empty() { Ok(parts) } else { Err(CertificateError::OpenPgp("a part of it was not found".to_owned())) }
}

/// The newest self-signature counts, so a new one must not be as old as one that is there.
fn after_all_self_signatures(certificate: &Cert) -> SystemTime {
    let of_keys = certificate.keys().flat_map(|key| key.self_signatures());
    let of_user_ids = certificate.userids().flat_map(|user_id| user_id.self_signatures());
    let newest = of_keys.chain(of_user_ids).filter_map(|signature| signature.signature_creation_time()).max();
    newest.map_or(SystemTime::UNIX_EPOCH, |newest| newest + Duration::from_secs(1))
}

pub(super) fn is_revoked(status: &RevocationStatus<'_>) -> bool {
    matches!(status, RevocationStatus::Revoked(_))
}
