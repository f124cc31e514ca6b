//! Certificates that were made elsewhere, and which of their keys become which component.

use sealcard_api::{
    Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, PublicKey},
    import::{CertificatePart, LeftOut, LeftOutReason, MAX_CERTIFICATE},
};
use sequoia_openpgp::{
    cert::{
        ValidCert,
        amalgamation::{
            ValidAmalgamation as _, ValidateAmalgamation as _,
            key::{ErasedKeyAmalgamation, PrimaryKey as _},
        },
    },
    packet::key::PublicParts,
    types::{HashAlgorithm as Hash, RevocationStatus},
};

use super::{PublicCertificate, fingerprint, policy};
use crate::{
    mpi,
    packets::{ReadError, algorithm_name},
    time::{system_time, timestamp},
};

/// User ids are shown up to this length, in bytes.
const MAX_USER_ID: usize = 256;

/// Why a certificate can't be imported. Retrying can't help before it is changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// Not one certificate.
    #[error("The certificate can't be used: {0}.")]
    Unreadable(ReadError),
    /// There are secrets in it, which have no business here.
    #[error("The certificate holds secret keys. They must not be sent to the server; use `sealcard admin key import`.")]
    Secret,
    /// Longer than others should have to fetch.
    #[error(
        "The certificate has {0} bytes, and at most {MAX_CERTIFICATE} can be imported. Leave photos and the \
         signatures of others out."
    )]
    TooLong(usize),
    /// Signed in a way that nobody should trust.
    #[error("The key's own signatures use an algorithm that is no longer trusted. Make a new key.")]
    Weak,
    /// It has no user id.
    #[error("The key has no user ID with a valid signature by itself.")]
    NoUserId,
    /// It is about another key than the one that it was brought for.
    #[error("The certificate is that of the key {found}, not of {wanted}.")]
    OtherKey {
        /// The certificate's.
        found: Fingerprint,
        /// The key's.
        wanted: Fingerprint,
    },
    /// Its time is over.
    #[error("The key has expired. Extend it first: gpg --quick-set-expire {0} 2y")]
    Expired(Fingerprint),
    /// It was revoked.
    #[error("The key has been revoked.")]
    Revoked,
    /// None of its keys can go on a card.
    #[error("None of its keys can be imported. {}", reasons(.0, *.1))]
    Nothing(Vec<LeftOut>, Fingerprint),
}

fn reasons(left_out: &[LeftOut], key: Fingerprint) -> String {
    let reason = |out: &LeftOut| match out.advice(key) {
        Some(advice) => format!("{out}. {advice}"),
        None => format!("{out}."),
    };
    left_out.iter().map(reason).collect::<Vec<_>>().join(" ")
}

/// A certificate that was made elsewhere.
#[derive(Debug, Clone)]
pub struct ForeignCertificate {
    /// What of it is published, ASCII-armored.
    pub armored: String,
    /// The primary key's fingerprint.
    pub fingerprint: Fingerprint,
    /// The primary user id, in one line.
    pub user_id: String,
    /// When the key that signs expires, or else the first other one.
    pub expires: Option<Timestamp>,
    /// The keys that become components, in the order of [`ComponentRole::ALL`].
    pub keys: Vec<ForeignKey>,
    /// What is not taken, and why.
    pub left_out: Vec<LeftOut>,
    /// Whether the primary key's signatures are made with SHA-1.
    pub sha1: bool,
}

/// A key that becomes a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its role.
    pub role: ComponentRole,
    /// Its algorithm.
    pub algorithm: ComponentAlgorithm,
    /// Its public half.
    pub public_key: PublicKey,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its creation time.
    pub created: Timestamp,
    /// When it expires, or its certificate if that is earlier.
    pub expires: Option<Timestamp>,
    /// What else it could be used for, which no key does here.
    pub lost_uses: Vec<ComponentRole>,
}

/// A key with all that the choice depends on.
pub(crate) struct Candidate {
    pub(crate) key: ForeignKey,
    primary: bool,
    pub(crate) uses: Vec<ComponentRole>,
}

impl ForeignCertificate {
    /// Reads a certificate and decides which of the keys in `secrets` becomes what: for each purpose the newest subkey
    /// that can be used, as gpg chooses; the primary key signs if no subkey does and it may.
    ///
    /// # Errors
    ///
    /// See [`ForeignError`].
    pub fn read(text: &str, secrets: &[Fingerprint], now: Timestamp) -> Result<Self, ForeignError> {
        if text.len() > MAX_CERTIFICATE {
            return Err(ForeignError::TooLong(text.len()));
        }
        let certificate = PublicCertificate::read(text.as_bytes())?;
        Self::choose(&certificate, secrets, now)
    }

    fn choose(public: &PublicCertificate, secrets: &[Fingerprint], now: Timestamp) -> Result<Self, ForeignError> {
        let certificate = public.cert()?;
        let fingerprint = public.fingerprint();
        let policy = policy();
        let valid = certificate.with_policy(&policy, system_time(now)).map_err(|_| ForeignError::Weak)?;
        if matches!(valid.revocation_status(), RevocationStatus::Revoked(_)) {
            return Err(ForeignError::Revoked);
        }
        valid.alive().map_err(|_| ForeignError::Expired(fingerprint))?;
        let user_id = valid.primary_userid().map_err(|_| ForeignError::NoUserId)?;
        let user_id = one_line(&String::from_utf8_lossy(user_id.userid().value()));

        let mut candidates = Vec::new();
        let mut left_out = public.left_out().to_vec();
        for key in certificate.keys() {
            match candidate(&key, &valid, secrets) {
                Ok(candidate) => candidates.push(candidate),
                Err(out) => left_out.push(out),
            }
        }
        let (keys, expires) = assign(candidates, &mut left_out);
        if keys.iter().all(|key| key.role == ComponentRole::Certify) {
            left_out.extend(keys.iter().map(|key| LeftOut {
                part: CertificatePart::PrimaryKey,
                fingerprint: Some(key.fingerprint.to_string()),
                reason: LeftOutReason::OnlyCertifies,
                detail: None,
            }));
            return Err(ForeignError::Nothing(left_out, fingerprint));
        }
        let sha1 = has_sha1(&valid);
        Ok(Self { armored: public.armored()?, fingerprint, user_id, expires, keys, left_out, sha1 })
    }
}

impl From<ReadError> for ForeignError {
    fn from(error: ReadError) -> Self {
        if error == ReadError::Secret { Self::Secret } else { Self::Unreadable(error) }
    }
}

/// Whether a signature that counts now is made with SHA-1.
pub(crate) fn has_sha1(certificate: &ValidCert<'_>) -> bool {
    let user_ids = certificate.userids().map(|id| id.binding_signature().hash_algo());
    let keys = certificate.keys().map(|key| key.binding_signature().hash_algo());
    user_ids.chain(keys).any(|hash| hash == Hash::SHA1)
}

/// What is known of a key, or why it is left out.
pub(crate) fn candidate(
    key: &ErasedKeyAmalgamation<'_, PublicParts>,
    certificate: &ValidCert<'_>,
    secrets: &[Fingerprint],
) -> Result<Candidate, LeftOut> {
    let fingerprint = fingerprint(key.key());
    let part = if key.primary() { CertificatePart::PrimaryKey } else { CertificatePart::Subkey };
    let out = |reason, detail| LeftOut { part, fingerprint: Some(fingerprint.to_string()), reason, detail };
    if !secrets.contains(&fingerprint) {
        return Err(out(LeftOutReason::NoSecret, None));
    }
    let unsupported = || out(LeftOutReason::Algorithm, Some(algorithm_name(key.key())));
    let (algorithm, public_key) = mpi::component(key.key()).ok_or_else(unsupported)?;
    let valid = key.clone().with_policy(certificate.policy(), certificate.time());
    let key = valid.map_err(|_| out(LeftOutReason::WeakSignature, None))?;
    if matches!(key.revocation_status(), RevocationStatus::Revoked(_)) {
        return Err(out(LeftOutReason::Revoked, None));
    }
    if key.alive().is_err() {
        return Err(out(LeftOutReason::Expired, None));
    }
    let created = timestamp(key.key().creation_time());
    let fits = |role, allowed: bool| allowed && algorithm.fits(role);
    let mut uses = Vec::new();
    for (role, allowed) in [
        (ComponentRole::Sign, key.for_signing()),
        (ComponentRole::Decrypt, key.for_storage_encryption() || key.for_transport_encryption()),
        (ComponentRole::Authenticate, key.for_authentication()),
    ] {
        if fits(role, allowed) {
            uses.push(role);
        }
    }
    if uses.is_empty() && !key.primary() {
        return Err(out(LeftOutReason::NoUse, None));
    }
    if key.primary() && key.key_flags().is_none_or(|flags| flags.is_empty()) {
        return Err(out(LeftOutReason::NoUse, None));
    }
    let certificate_end = certificate.primary_key().key_expiration_time();
    let expires = key.key_expiration_time().into_iter().chain(certificate_end).min().map(timestamp);
    let role = ComponentRole::Certify;
    Ok(Candidate {
        key: ForeignKey { role, algorithm, public_key, fingerprint, created, expires, lost_uses: Vec::new() },
        primary: key.primary(),
        uses,
    })
}

/// Gives each key at most one role, and each role at most one key.
fn assign(mut candidates: Vec<Candidate>, left_out: &mut Vec<LeftOut>) -> (Vec<ForeignKey>, Option<Timestamp>) {
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
    let subkey = |role: ComponentRole| move |c: &Candidate| c.uses.contains(&role) && !c.primary;
    if !give(&mut candidates, ComponentRole::Sign, &subkey(ComponentRole::Sign)) {
        give(&mut candidates, ComponentRole::Sign, &|c| c.uses.contains(&ComponentRole::Sign));
    }
    give(&mut candidates, ComponentRole::Decrypt, &subkey(ComponentRole::Decrypt));
    give(&mut candidates, ComponentRole::Authenticate, &subkey(ComponentRole::Authenticate));
    give(&mut candidates, ComponentRole::Certify, &|c| c.primary && c.key.algorithm.fits(ComponentRole::Certify));
    left_out.extend(candidates.into_iter().map(|candidate| LeftOut {
        part: if candidate.primary { CertificatePart::PrimaryKey } else { CertificatePart::Subkey },
        fingerprint: Some(candidate.key.fingerprint.to_string()),
        reason: LeftOutReason::NewerKey,
        detail: Some(candidate.uses.iter().map(|role| role.name()).collect::<Vec<_>>().join(", ")),
    }));
    let given: Vec<ComponentRole> = chosen.iter().map(|candidate| candidate.key.role).collect();
    for candidate in &mut chosen {
        candidate.key.lost_uses = candidate.uses.iter().copied().filter(|role| !given.contains(role)).collect();
    }
    chosen.sort_by_key(|c| c.key.role);
    let main = chosen.iter().find(|c| c.key.role == ComponentRole::Sign).or(chosen.first());
    let expires = main.and_then(|c| c.key.expires);
    (chosen.into_iter().map(|c| c.key).collect(), expires)
}

/// A user id as people can be shown it.
pub(crate) fn one_line(user_id: &str) -> String {
    let text: String = user_id.chars().map(|c| if sealcard_api::text::is_plain(c) { c } else { ' ' }).collect();
    let mut end = text.len().min(MAX_USER_ID);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use sequoia_openpgp::{
        Cert,
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
        certificate.keys().map(|key| fingerprint(key.key())).collect()
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
        let out: Vec<_> = read.left_out.iter().map(|out| (out.fingerprint.clone().unwrap(), out.reason)).collect();
        assert_eq!(out, [(secrets[0].to_string(), LeftOutReason::NoSecret)]);
        let only = ForeignCertificate::read(&text(&certificate), &secrets[..1], Timestamp::now());
        let refused = only.unwrap_err();
        assert!(matches!(refused, ForeignError::Nothing(..)), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains(&format!("primary key {}: it only certifies", secrets[0])), "{text}");
        assert!(text.contains(&format!("subkey {}: its secret key is not", secrets[1])), "{text}");
    }

    #[test]
    fn secret_keys_and_other_things_are_refused() {
        let certificate = made(|b| b.add_signing_subkey());
        let secret = String::from_utf8(certificate.as_tsk().armored().to_vec().unwrap()).unwrap();
        let read = |text: &str| ForeignCertificate::read(text, &[], Timestamp::now()).unwrap_err();
        assert_eq!(read(&secret), ForeignError::Secret);
        for other in ["", "hello", &format!("{}{}", text(&certificate), text(&made(|b| b)))] {
            assert!(matches!(read(other), ForeignError::Unreadable(_)), "{other:?}");
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
