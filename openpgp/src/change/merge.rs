//! A newer certificate of a known key: what it adds, and what that changes.

use std::collections::BTreeSet;

use sealcard_api::{
    Fingerprint, Timestamp,
    algorithm::ComponentRole,
    import::{CertificatePart, LeftOut, LeftOutReason, MAX_CERTIFICATE},
    keys::{RevocationReason, Revoked},
    life::ComponentLife,
    merge::{CertificateChange, ChangedPart},
};
use sequoia_openpgp::{
    cert::{ValidCert, amalgamation::ValidAmalgamation as _},
    packet::Signature,
    types::{ReasonForRevocation, RevocationStatus},
};

use super::extend::{is_revoked, lives};
use crate::{
    certificate::{ForeignError, ForeignKey, PublicCertificate, candidate, fingerprint, has_sha1, one_line, policy},
    time::{system_time, timestamp},
};

/// A key as it is before a newer certificate is merged into its own.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// Its certificate, armored.
    pub certificate: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The keys whose secrets are here.
    pub components: Vec<(Fingerprint, ComponentRole)>,
}

/// A key's certificate with what a newer one adds.
#[derive(Debug, Clone)]
pub struct MergedCertificate {
    /// ASCII-armored.
    pub armored: String,
    /// The primary user id, in one line; nothing if there is none that counts.
    pub user_id: Option<String>,
    /// The ends of all its keys.
    pub lives: Vec<ComponentLife>,
    /// What the revocation of the whole key says.
    pub revoked: Option<Revoked>,
    /// New subkeys that become components.
    pub added: Vec<ForeignKey>,
    /// The changes that people are told of.
    pub changes: Vec<CertificateChange>,
    /// What is not taken, and why.
    pub left_out: Vec<LeftOut>,
    /// Whether the primary key's signatures are made with SHA-1.
    pub sha1: bool,
}

/// Merges a newer certificate into that of a known key. A subkey that the key does not have is taken only if its secret
/// is among `secrets` and no component has its use: others would encrypt to it, and nobody here could decrypt.
///
/// # Errors
///
/// See [`ForeignError`].
pub fn merge(
    known: &KnownKey,
    newer: &str,
    secrets: &[Fingerprint],
    now: Timestamp,
) -> Result<MergedCertificate, ForeignError> {
    if newer.len() > MAX_CERTIFICATE {
        return Err(ForeignError::TooLong(newer.len()));
    }
    let newer = PublicCertificate::read(newer.as_bytes())?;
    let found = newer.fingerprint();
    if found != known.fingerprint {
        return Err(ForeignError::OtherKey { found, wanted: known.fingerprint });
    }
    let before = PublicCertificate::read(known.certificate.as_bytes())?;
    let policy = policy();
    let time = system_time(now);

    // 1. Which of its subkeys are taken.
    let all = before.clone().merged(newer.clone())?.cert()?;
    let all = all.with_policy(&policy, time).map_err(|_| ForeignError::Weak)?;
    let subkeys = NewSubkeys::choose(known, &before, &all, secrets);

    // 2. The certificate with those.
    let mut left_out = newer.left_out().to_vec();
    left_out.extend(subkeys.left_out);
    let after = before.clone().merged(newer.without_subkeys(&subkeys.unwanted))?;
    let armored = after.armored()?;
    if armored.len() > MAX_CERTIFICATE {
        return Err(ForeignError::TooLong(armored.len()));
    }

    // 3. The changes.
    let (cert_before, cert_after) = (before.cert()?, after.cert()?);
    let valid = cert_after.with_policy(&policy, time).map_err(|_| ForeignError::Weak)?;
    let lives = lives(&valid);
    let revoked = revocation(&valid, now);
    let mut changes = Vec::new();
    if let Some(Revoked { reason, message, .. }) = &revoked {
        changes.push(CertificateChange::KeyRevoked { reason: *reason, message: message.clone() });
    }
    let roles = |fingerprint: Fingerprint| {
        let components = known.components.iter().copied();
        let added = subkeys.added.iter().map(|key| (key.fingerprint, key.role));
        components.chain(added).find(|(component, _)| *component == fingerprint).map(|(_, role)| role)
    };
    let part = |fingerprint: Fingerprint| ChangedPart {
        kind: if fingerprint == known.fingerprint { CertificatePart::PrimaryKey } else { CertificatePart::Subkey },
        fingerprint,
        role: roles(fingerprint),
    };
    let valid_before = cert_before.with_policy(&policy, time).map_err(|_| ForeignError::Weak)?;
    let lives_before = super::extend::lives(&valid_before);
    for life in &lives {
        let part = part(life.fingerprint);
        match lives_before.iter().find(|before| before.fingerprint == life.fingerprint) {
            _ if subkeys.added.iter().any(|key| key.fingerprint == life.fingerprint) => {
                changes.push(CertificateChange::SubkeyAdded { part });
            }
            Some(before) if life.revoked && !before.revoked && part.kind == CertificatePart::Subkey => {
                changes.push(CertificateChange::SubkeyRevoked { part });
            }
            Some(before) if life.expires != before.expires => {
                let (before, expires) = (before.expires, life.expires);
                changes.push(CertificateChange::EndChanged { part, before, expires });
            }
            _ => {}
        }
    }
    changes.extend(user_id_changes(&valid_before, &valid));
    changes.extend(count_changes(&before, &after));
    let user_id = valid.primary_userid().ok();
    let user_id = user_id.map(|user_id| one_line(&String::from_utf8_lossy(user_id.userid().value())));
    let (sha1, added) = (has_sha1(&valid), subkeys.added);
    Ok(MergedCertificate { armored, user_id, lives, revoked, added, changes, left_out, sha1 })
}

/// The subkeys that a newer certificate has more.
struct NewSubkeys {
    /// They become components.
    added: Vec<ForeignKey>,
    /// They stay out of the certificate.
    unwanted: Vec<LeftOut>,
    /// What a person is told of.
    left_out: Vec<LeftOut>,
}

impl NewSubkeys {
    fn choose(known: &KnownKey, before: &PublicCertificate, all: &ValidCert<'_>, secrets: &[Fingerprint]) -> Self {
        let in_certificate: BTreeSet<_> = before.subkeys().map(|fingerprint| fingerprint.to_string()).collect();
        let is_component = |fingerprint: &Fingerprint| known.components.iter().any(|(one, _)| one == fingerprint);
        let mut out = Vec::new();
        let mut candidates = Vec::new();
        for key in all.cert().keys().subkeys() {
            if is_component(&fingerprint(key.key())) {
                continue;
            }
            match candidate(&key.into(), all, secrets) {
                Ok(candidate) => candidates.push(candidate),
                Err(left_out) => out.push(left_out),
            }
        }
        // As gpg does: the newest one.
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.key.created));
        let key_is_revoked = is_revoked(&all.revocation_status());
        let mut added: Vec<ForeignKey> = Vec::new();
        for mut candidate in candidates {
            let taken = |role: &ComponentRole| {
                known
                    .components
                    .iter()
                    .map(|(_, role)| role)
                    .chain(added.iter().map(|key| &key.role))
                    .any(|r| r == role)
            };
            let uses = candidate.uses.iter().map(|role| role.name()).collect::<Vec<_>>().join(", ");
            let mut free = candidate.uses.into_iter().filter(|role| !taken(role));
            let reason = match free.next() {
                _ if key_is_revoked => LeftOutReason::Revoked,
                None => LeftOutReason::UseTaken,
                Some(role) => {
                    candidate.key.role = role;
                    candidate.key.lost_uses = free.collect();
                    added.push(candidate.key);
                    continue;
                }
            };
            let fingerprint = Some(candidate.key.fingerprint.to_string());
            out.push(LeftOut { part: CertificatePart::Subkey, fingerprint, reason, detail: Some(uses) });
        }
        let is_known =
            |left_out: &LeftOut| left_out.fingerprint.as_ref().is_some_and(|hex| in_certificate.contains(hex));
        let unwanted = out.iter().filter(|left_out| !is_known(left_out)).cloned().collect();
        // Subkeys without a secret here that the certificate has since it came are no news.
        out.retain(|left_out| !is_known(left_out) || left_out.reason != LeftOutReason::NoSecret);
        Self { added, unwanted, left_out: out }
    }
}

/// What the key's own revocation says.
fn revocation(certificate: &ValidCert<'_>, now: Timestamp) -> Option<Revoked> {
    let RevocationStatus::Revoked(signatures) = certificate.revocation_status() else { return None };
    let signature: &Signature = signatures.first()?;
    let (reason, message) = match signature.reason_for_revocation() {
        Some((ReasonForRevocation::KeyCompromised, message)) => (RevocationReason::Compromised, message),
        Some((ReasonForRevocation::KeySuperseded, message)) => (RevocationReason::Superseded, message),
        Some((ReasonForRevocation::KeyRetired, message)) => (RevocationReason::Retired, message),
        Some((_, message)) => (RevocationReason::Unspecified, message),
        None => (RevocationReason::Unspecified, &[][..]),
    };
    let message = one_line(&String::from_utf8_lossy(message));
    let time = signature.signature_creation_time().map_or(now, timestamp);
    Some(Revoked { time, reason, message })
}

fn user_id_changes(before: &ValidCert<'_>, after: &ValidCert<'_>) -> Vec<CertificateChange> {
    let mut changes = Vec::new();
    for user_id in after.userids() {
        let text = || one_line(&String::from_utf8_lossy(user_id.userid().value()));
        let revoked = is_revoked(&user_id.revocation_status());
        let known = before.userids().find(|known| known.userid() == user_id.userid());
        match known.map(|known| is_revoked(&known.revocation_status())) {
            None if !revoked => changes.push(CertificateChange::UserIdAdded { user_id: text() }),
            Some(false) if revoked => changes.push(CertificateChange::UserIdRevoked { user_id: text() }),
            _ => {}
        }
    }
    changes
}

fn count_changes(before: &PublicCertificate, after: &PublicCertificate) -> Vec<CertificateChange> {
    let mut changes = Vec::new();
    let photos = after.photos().saturating_sub(before.photos());
    if photos > 0 {
        changes.push(CertificateChange::PhotosAdded { count: photos });
    }
    let (before, after) = (before.signatures(), after.signatures());
    let (own, others) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    if own > 0 || others > 0 {
        changes.push(CertificateChange::SignaturesAdded { own, others });
    }
    changes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::{Duration, SystemTime};

    use sequoia_openpgp::{
        Cert, Packet,
        cert::{CertBuilder, CertRevocationBuilder, CipherSuite, SubkeyRevocationBuilder, prelude::KeyBuilder},
        crypto::KeyPair,
        packet::UserID,
        parse::Parse as _,
        serialize::SerializeInto as _,
        types::{KeyFlags, SignatureType},
    };

    use super::*;

    const YEAR: u64 = 365 * 86_400;

    /// A key that signs, with the secret of its primary key at hand.
    fn made() -> Cert {
        let builder = CertBuilder::new().set_cipher_suite(CipherSuite::Cv25519).add_userid("Ada <ada@example.org>");
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let builder = builder.set_creation_time(hour_ago).set_validity_period(Duration::from_secs(YEAR));
        builder.add_signing_subkey().generate().unwrap().0
    }

    fn signer(certificate: &Cert) -> KeyPair {
        certificate.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap()
    }

    fn with(certificate: &Cert, packets: impl IntoIterator<Item = impl Into<Packet>>) -> Cert {
        certificate.clone().insert_packets(packets.into_iter().map(Into::into).collect::<Vec<Packet>>()).unwrap().0
    }

    fn text(certificate: &Cert) -> String {
        String::from_utf8(certificate.armored().to_vec().unwrap()).unwrap()
    }

    fn primary(certificate: &Cert) -> Fingerprint {
        fingerprint(certificate.primary_key().key())
    }

    fn subkeys(certificate: &Cert) -> Vec<Fingerprint> {
        certificate.keys().subkeys().map(|key| fingerprint(key.key())).collect()
    }

    fn added(earlier: &Cert, newer: &Cert) -> Fingerprint {
        let known = subkeys(earlier);
        subkeys(newer).into_iter().find(|subkey| !known.contains(subkey)).unwrap()
    }

    /// The key as it was imported, without its primary key's secret.
    fn known(certificate: &Cert) -> KnownKey {
        let components = vec![(subkeys(certificate)[0], ComponentRole::Sign)];
        KnownKey { certificate: text(certificate), fingerprint: primary(certificate), components }
    }

    fn merged(earlier: &Cert, newer: &Cert, secrets: &[Fingerprint]) -> MergedCertificate {
        merge(&known(earlier), &text(newer), secrets, Timestamp::now()).unwrap()
    }

    fn prolonged(certificate: &Cert, years: u64) -> Cert {
        let (policy, mut primary) = (policy(), signer(certificate));
        let end = Some(SystemTime::now() + Duration::from_secs(years * YEAR));
        let valid = certificate.with_policy(&policy, None).unwrap();
        let mut packets = valid.primary_key().set_expiration_time(&mut primary, end).unwrap();
        for subkey in valid.keys().subkeys() {
            let mut own = subkey.key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
            packets.extend(subkey.set_expiration_time(&mut primary, Some(&mut own), end).unwrap());
        }
        with(certificate, packets)
    }

    fn with_subkey(certificate: &Cert, flags: KeyFlags) -> Cert {
        let (policy, primary) = (policy(), signer(certificate));
        let valid = certificate.with_policy(&policy, None).unwrap();
        let builder = KeyBuilder::new(flags).set_cipher_suite(CipherSuite::Cv25519).subkey(valid).unwrap();
        builder.set_primary_key_signer(primary).attach_cert().unwrap()
    }

    #[test]
    fn a_prolonged_certificate_brings_its_ends_and_keeps_old_signatures() {
        let earlier = made();
        let newer = prolonged(&earlier, 3);
        let merged = merged(&earlier, &newer, &[]);
        let ends: Vec<_> = merged
            .changes
            .iter()
            .filter_map(|change| match change {
                CertificateChange::EndChanged { part, before, expires } => Some((part.role, before < expires)),
                _ => None,
            })
            .collect();
        assert_eq!(ends, [(None, true), (Some(ComponentRole::Sign), true)], "{:?}", merged.changes);
        let soonest = Timestamp::from_unix(Timestamp::now().unix() + 2 * i64::try_from(YEAR).unwrap());
        assert!(merged.lives.iter().all(|life| life.expires > Some(soonest)), "{:?}", merged.lives);
        let after = PublicCertificate::read(merged.armored.as_bytes()).unwrap();
        let old = PublicCertificate::read(text(&earlier).as_bytes()).unwrap();
        assert!(after.signatures().0 > old.signatures().0, "the old signatures are not there any more");

        // Neither the same one again nor the one that it was before brings anything.
        let known = KnownKey { certificate: merged.armored, ..known(&earlier) };
        for again in [&newer, &earlier] {
            let merged = merge(&known, &text(again), &[], Timestamp::now()).unwrap();
            assert_eq!((merged.changes, &merged.armored), (Vec::new(), &known.certificate));
        }
    }

    #[test]
    fn revocations_and_user_ids_are_taken_over() {
        let earlier = made();
        let mut primary = signer(&earlier);
        let id = UserID::from("Ada at work <ada@work.example>");
        let builder = sequoia_openpgp::packet::signature::SignatureBuilder::new(SignatureType::PositiveCertification);
        let binding = id.bind(&mut primary, &earlier, builder).unwrap();
        let key = earlier.keys().subkeys().next().unwrap();
        let builder = SubkeyRevocationBuilder::new();
        let builder = builder.set_reason_for_revocation(ReasonForRevocation::KeyCompromised, b"lost").unwrap();
        let revocation = builder.build(&mut primary, &earlier, key.key(), None).unwrap();
        let newer = with(&earlier, [Packet::from(id), binding.into(), revocation.into()]);
        let merged_once = merged(&earlier, &newer, &[]);
        let part = ChangedPart {
            kind: CertificatePart::Subkey,
            fingerprint: subkeys(&earlier)[0],
            role: Some(ComponentRole::Sign),
        };
        let user_id = "Ada at work <ada@work.example>".to_owned();
        assert_eq!(
            merged_once.changes[..2],
            [CertificateChange::SubkeyRevoked { part }, CertificateChange::UserIdAdded { user_id }]
        );
        assert!(merged_once.revoked.is_none());
        assert!(merged_once.lives.iter().any(|life| life.fingerprint == part.fingerprint && life.revoked));

        let builder = CertRevocationBuilder::new();
        let builder = builder.set_reason_for_revocation(ReasonForRevocation::KeySuperseded, b"use\nanother").unwrap();
        let revocation = builder.build(&mut primary, &earlier, None).unwrap();
        let revoked = merged(&earlier, &with(&earlier, [revocation]), &[]).revoked.unwrap();
        assert_eq!((revoked.reason, revoked.message.as_str()), (RevocationReason::Superseded, "use another"));
    }

    #[test]
    fn a_certificate_of_another_key_with_the_same_subkey_is_refused() {
        let one = include_bytes!("../../tests/data/shared-subkey-one.bin");
        let other = include_bytes!("../../tests/data/shared-subkey-other.bin");
        let read = |bytes: &[u8]| Cert::from_bytes(bytes).unwrap();
        let (one, other) = (read(one), read(other));
        assert!(
            one.keys().subkeys().any(|key| other.keys().subkeys().any(|same| same.key().mpis() == key.key().mpis()))
        );
        let refused = merge(&known(&one), &text(&other), &[], Timestamp::now()).unwrap_err();
        let (found, wanted) = (primary(&other), primary(&one));
        assert_eq!(refused, ForeignError::OtherKey { found, wanted });
    }

    #[test]
    fn a_new_subkey_needs_its_secret_and_a_free_use() {
        let earlier = made();
        let decrypts = with_subkey(&earlier, KeyFlags::empty().set_transport_encryption());
        let new = added(&earlier, &decrypts);
        // Without its secret others would encrypt to it, and nobody could decrypt.
        let without = merged(&earlier, &decrypts, &[]);
        assert!(without.changes.is_empty() && without.added.is_empty(), "{:?}", without.changes);
        assert_eq!(without.left_out[0].reason, LeftOutReason::NoSecret);
        let public = PublicCertificate::read(without.armored.as_bytes()).unwrap();
        assert!(!public.subkeys().any(|subkey| subkey == new), "it is published");

        let with = merged(&earlier, &decrypts, &[new]);
        assert_eq!((with.added.len(), with.added[0].role), (1, ComponentRole::Decrypt));
        assert!(matches!(with.changes[0], CertificateChange::SubkeyAdded { part } if part.fingerprint == new));

        let signs = with_subkey(&earlier, KeyFlags::empty().set_signing());
        let taken = merged(&earlier, &signs, &[added(&earlier, &signs)]);
        assert!(taken.changes.is_empty() && taken.added.is_empty(), "{:?}", taken.changes);
        assert_eq!(taken.left_out[0].reason, LeftOutReason::UseTaken);
    }
}
