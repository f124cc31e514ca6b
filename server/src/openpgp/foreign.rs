//! Certificates that were made elsewhere, and which of their keys become which component.

use std::time::{Duration, SystemTime};

use sealcard_api::{
    Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole},
};
use sealcard_signer::protocol::PublicKeyBytes;
use sequoia_openpgp::{
    Cert,
    cert::{
        CertParser,
        amalgamation::{
            ValidAmalgamation as _,
            key::{PrimaryKey as _, ValidErasedKeyAmalgamation},
        },
    },
    packet::key::PublicParts,
    parse::Parse,
    policy::{HashAlgoSecurity, StandardPolicy},
    types::{HashAlgorithm as Hash, RevocationStatus},
};

use super::packets;

/// User ids are shown up to this length, in bytes.
const MAX_USER_ID: usize = 256;

/// Why a certificate can't be imported. Retrying can't help before it is changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// Not one certificate, or not one that can be used.
    #[error("This is no certificate that can be used: {0}.")]
    NotUsable(String),
    /// There are secrets in it, which have no business here.
    #[error("The certificate holds secret keys. They must not be sent to the server; use `sealcard admin key import`.")]
    Secret,
    /// Its time is over.
    #[error("The key has expired. Prolong it first: gpg --quick-set-expire {0} 2y")]
    Expired(Fingerprint),
    /// It was revoked.
    #[error("The key has been revoked.")]
    Revoked,
    /// None of its keys can go on a card.
    #[error("None of its keys can be imported: {0}")]
    Nothing(String),
}

/// A certificate that was made elsewhere.
#[derive(Debug, Clone)]
pub struct ForeignCertificate {
    /// The primary key's fingerprint.
    pub fingerprint: Fingerprint,
    /// The primary user id, in one line.
    pub user_id: String,
    /// When the key that signs expires, or else the first other one.
    pub expires: Option<Timestamp>,
    /// The keys that become components, in the order of [`ComponentRole::ALL`].
    pub keys: Vec<ForeignKey>,
    /// The others, and why they do not.
    pub left_out: Vec<(Fingerprint, String)>,
}

/// A key that becomes a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its role.
    pub role: ComponentRole,
    /// Its algorithm.
    pub algorithm: ComponentAlgorithm,
    /// Its public half.
    pub public_key: PublicKeyBytes,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its creation time.
    pub created: Timestamp,
    /// When it expires, or its certificate if that is earlier.
    pub expires: Option<Timestamp>,
}

/// A key with all that the choice depends on.
struct Candidate {
    key: ForeignKey,
    primary: bool,
    signs: bool,
    decrypts: bool,
    authenticates: bool,
}

impl ForeignCertificate {
    /// Reads a certificate and decides which of the keys in `secrets` becomes what: for each purpose the newest subkey
    /// that can be used, as gpg chooses; the primary key signs if no subkey does and it may.
    ///
    /// # Errors
    /// See [`ForeignError`].
    pub fn read(text: &str, secrets: &[Fingerprint], now: Timestamp) -> Result<Self, ForeignError> {
        let unusable = |error: &dyn std::fmt::Display| ForeignError::NotUsable(error.to_string());
        let mut certificates = CertParser::from_bytes(text).map_err(|e| unusable(&e))?;
        let certificate = match (certificates.next(), certificates.next()) {
            (Some(certificate), None) => certificate.map_err(|e| unusable(&e))?,
            (None, _) => return Err(unusable(&"it is empty")),
            (Some(_), Some(_)) => return Err(unusable(&"there is more than one")),
        };
        if certificate.is_tsk() {
            return Err(ForeignError::Secret);
        }
        Self::choose(&certificate, secrets, now)
    }

    fn choose(certificate: &Cert, secrets: &[Fingerprint], now: Timestamp) -> Result<Self, ForeignError> {
        let unusable = |error: &dyn std::fmt::Display| ForeignError::NotUsable(error.to_string());
        let fingerprint = fingerprint(certificate.fingerprint().as_bytes())
            .ok_or_else(|| unusable(&"only keys of version 4 go on cards"))?;
        let mut policy = StandardPolicy::new();
        // Self-signatures of keys that are older than some tools are made with SHA-1, and gpg takes them. A second preimage
        // of SHA-1 is out of reach.
        policy.accept_hash_property(Hash::SHA1, HashAlgoSecurity::SecondPreImageResistance);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(now.unix().try_into().unwrap_or_default());
        let valid = certificate.with_policy(&policy, time).map_err(|e| unusable(&e))?;
        if matches!(valid.revocation_status(), RevocationStatus::Revoked(_)) {
            return Err(ForeignError::Revoked);
        }
        valid.alive().map_err(|_| ForeignError::Expired(fingerprint))?;
        let user_id = valid.primary_userid().map_err(|_| unusable(&"it has no user id"))?;
        let user_id = one_line(&String::from_utf8_lossy(user_id.userid().value()));

        let mut candidates = Vec::new();
        let mut left_out = Vec::new();
        for key in valid.keys() {
            match candidate(&key, secrets) {
                Some(Ok(candidate)) => candidates.push(candidate),
                Some(Err(out)) => left_out.push(out),
                None => {}
            }
        }
        let (keys, expires) = assign(candidates, &mut left_out);
        if keys.iter().all(|key| key.role == ComponentRole::Certify) {
            let reasons: Vec<_> = left_out.iter().map(|(key, reason)| format!("{key} {reason}")).collect();
            return Err(ForeignError::Nothing(reasons.join("; ")));
        }
        Ok(Self { fingerprint, user_id, expires, keys, left_out })
    }
}

/// What is known of a key, or why it is left out. `None` for one of another version.
fn candidate(
    key: &ValidErasedKeyAmalgamation<'_, PublicParts>,
    secrets: &[Fingerprint],
) -> Option<Result<Candidate, (Fingerprint, String)>> {
    let fingerprint = fingerprint(key.key().fingerprint().as_bytes())?;
    let out = |why: &str| Some(Err((fingerprint, why.to_owned())));
    if !secrets.contains(&fingerprint) {
        return out("has no secret key here");
    }
    if matches!(key.revocation_status(), RevocationStatus::Revoked(_)) {
        return out("has been revoked");
    }
    if key.alive().is_err() {
        return out("has expired");
    }
    let Some((algorithm, public_key)) = packets::component(key.key()) else {
        return out("has an algorithm that is not supported");
    };
    let unix = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix(since.as_secs().try_into().unwrap_or(i64::MAX))
    };
    let role = ComponentRole::Certify;
    let created = unix(key.key().creation_time());
    let certificate_end = key.valid_cert().primary_key().key_expiration_time();
    let expires = key.key_expiration_time().into_iter().chain(certificate_end).min().map(unix);
    Some(Ok(Candidate {
        key: ForeignKey { role, algorithm, public_key, fingerprint, created, expires },
        primary: key.primary(),
        signs: key.for_signing() && algorithm.fits(ComponentRole::Sign),
        decrypts: (key.for_storage_encryption() || key.for_transport_encryption())
            && algorithm.fits(ComponentRole::Decrypt),
        authenticates: key.for_authentication() && algorithm.fits(ComponentRole::Authenticate),
    }))
}

/// Gives each key at most one role, and each role at most one key.
fn assign(
    mut candidates: Vec<Candidate>,
    left_out: &mut Vec<(Fingerprint, String)>,
) -> (Vec<ForeignKey>, Option<Timestamp>) {
    let mut chosen: Vec<Candidate> = Vec::new();
    let mut give = |candidates: &mut Vec<Candidate>, role, fits: &dyn Fn(&Candidate) -> bool| {
        let newest = candidates.iter().enumerate().filter(|(_, c)| fits(c)).max_by_key(|(_, c)| c.key.created);
        if let Some(index) = newest.map(|(index, _)| index) {
            let mut candidate = candidates.remove(index);
            candidate.key.role = role;
            chosen.push(candidate);
            return true;
        }
        false
    };
    if !give(&mut candidates, ComponentRole::Sign, &|c| c.signs && !c.primary) {
        give(&mut candidates, ComponentRole::Sign, &|c| c.signs);
    }
    give(&mut candidates, ComponentRole::Decrypt, &|c| c.decrypts && !c.primary);
    give(&mut candidates, ComponentRole::Authenticate, &|c| c.authenticates && !c.primary);
    give(&mut candidates, ComponentRole::Certify, &|c| c.primary && c.key.algorithm.fits(ComponentRole::Certify));
    left_out.extend(candidates.into_iter().map(|c| (c.key.fingerprint, "is not needed beside newer ones".to_owned())));
    chosen.sort_by_key(|c| c.key.role);
    let main = chosen.iter().find(|c| c.key.role == ComponentRole::Sign).or(chosen.first());
    let expires = main.and_then(|c| c.key.expires);
    (chosen.into_iter().map(|c| c.key).collect(), expires)
}

fn fingerprint(bytes: &[u8]) -> Option<Fingerprint> {
    bytes.try_into().ok().map(Fingerprint)
}

/// A user id as people can be shown it.
fn one_line(user_id: &str) -> String {
    let text: String = user_id.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = text.len().min(MAX_USER_ID);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use sequoia_openpgp::{
        cert::{CertBuilder, CipherSuite},
        serialize::SerializeInto as _,
    };

    use super::*;

    fn made(build: impl FnOnce(CertBuilder<'static>) -> CertBuilder<'static>) -> Cert {
        let builder = CertBuilder::new().set_cipher_suite(CipherSuite::Cv25519).add_userid("Ada <ada@example.org>");
        build(builder).generate().unwrap().0
    }

    fn text(certificate: &Cert) -> String {
        String::from_utf8(certificate.armored().to_vec().unwrap()).unwrap()
    }

    fn all(certificate: &Cert) -> Vec<Fingerprint> {
        certificate.keys().map(|key| fingerprint(key.key().fingerprint().as_bytes()).unwrap()).collect()
    }

    fn roles(certificate: &Cert, secrets: &[Fingerprint]) -> Vec<ComponentRole> {
        let read = ForeignCertificate::read(&text(certificate), secrets, Timestamp::now()).unwrap();
        read.keys.iter().map(|key| key.role).collect()
    }

    #[test]
    fn each_key_gets_the_role_that_gpg_would_use_it_in() {
        let usual = made(|b| b.add_signing_subkey().add_transport_encryption_subkey().add_authentication_subkey());
        assert_eq!(roles(&usual, &all(&usual)), ComponentRole::ALL);
        // What `gpg --quick-gen-key` makes by default.
        let default = made(|b| {
            use sequoia_openpgp::types::KeyFlags;
            b.set_primary_key_flags(KeyFlags::empty().set_certification().set_signing()).add_storage_encryption_subkey()
        });
        assert_eq!(roles(&default, &all(&default)), [ComponentRole::Sign, ComponentRole::Decrypt]);
    }

    #[test]
    fn an_offline_primary_key_is_left_out_and_a_lone_one_is_refused() {
        let certificate = made(|b| b.add_signing_subkey());
        let secrets = all(&certificate);
        let read = ForeignCertificate::read(&text(&certificate), &secrets[1..], Timestamp::now()).unwrap();
        assert_eq!(read.keys.len(), 1);
        assert_eq!(read.left_out, [(secrets[0], "has no secret key here".to_owned())]);
        let only = ForeignCertificate::read(&text(&certificate), &secrets[..1], Timestamp::now());
        assert!(matches!(only, Err(ForeignError::Nothing(_))), "{only:?}");
    }

    #[test]
    fn secret_keys_and_other_things_are_refused() {
        let certificate = made(|b| b.add_signing_subkey());
        let secret = String::from_utf8(certificate.as_tsk().armored().to_vec().unwrap()).unwrap();
        let read = |text: &str| ForeignCertificate::read(text, &[], Timestamp::now()).unwrap_err();
        assert_eq!(read(&secret), ForeignError::Secret);
        for other in ["", "hello", &format!("{}{}", text(&certificate), text(&made(|b| b)))] {
            assert!(matches!(read(other), ForeignError::NotUsable(_)), "{other:?}");
        }
    }

    #[test]
    fn expired_and_revoked_certificates_are_refused() {
        let short = made(|b| b.set_validity_period(Duration::from_secs(3600)).add_signing_subkey());
        let later = Timestamp::from_unix(Timestamp::now().unix() + 7200);
        let read = ForeignCertificate::read(&text(&short), &all(&short), later);
        assert!(matches!(read, Err(ForeignError::Expired(_))), "{read:?}");
        let (certificate, revocation) = CertBuilder::new().add_userid("Ada").add_signing_subkey().generate().unwrap();
        let revoked = certificate.insert_packets(revocation).unwrap().0;
        let read = ForeignCertificate::read(&text(&revoked), &all(&revoked), Timestamp::now());
        assert_eq!(read.unwrap_err(), ForeignError::Revoked);
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_refused(text: String) {
            prop_assert!(ForeignCertificate::read(&text, &[], Timestamp::from_unix(1_700_000_000)).is_err());
        }

        #[test]
        fn user_ids_become_one_line(user_id: String) {
            let line = one_line(&user_id);
            prop_assert!(line.len() <= MAX_USER_ID && !line.contains(char::is_control));
        }
    }
}
