//! The life of a certificate: made, extended, revoked. The keys here are in the place of a signer process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::{cell::Cell, time::SystemTime};

use sealcard_api::{
    Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, Curve, HashAlgorithm, PublicKey},
    keys::RevocationReason,
};
use sealcard_openpgp::{
    Certificate, CertificateError, CertificateRequest, ComponentKey, create, extend, revocation, with_revocation,
};
use sequoia_openpgp::{
    Cert,
    crypto::{KeyPair, Signer as _, mpi},
    packet::key::{Key4, SecretParts, UnspecifiedRole},
    parse::Parse as _,
    policy::StandardPolicy,
    types::{self, RevocationStatus},
};

const DAY: i64 = 86_400;

/// A signer with one key of Ed25519 for each role.
struct Signer {
    keys: Vec<(ComponentRole, KeyPair)>,
    asked: Cell<usize>,
}

impl Signer {
    fn new(roles: &[ComponentRole]) -> Self {
        let pair = || {
            let key: Key4<SecretParts, UnspecifiedRole> = Key4::generate_ecc(true, types::Curve::Ed25519).unwrap();
            sequoia_openpgp::packet::Key::from(key).into_keypair().unwrap()
        };
        Self { keys: roles.iter().map(|role| (*role, pair())).collect(), asked: Cell::new(0) }
    }

    fn components(&self) -> Vec<ComponentKey> {
        let component = |(role, pair): &(ComponentRole, KeyPair)| {
            let mpi::PublicKey::EdDSA { q, .. } = pair.public().mpis() else { panic!("not Ed25519") };
            let point = q.value()[1..].to_vec().into();
            let public_key = PublicKey::Ec { curve: Curve::Ed25519, point };
            ComponentKey { role: *role, algorithm: ComponentAlgorithm::EddsaEd25519, public_key }
        };
        self.keys.iter().map(component).collect()
    }

    fn sign(&self, role: ComponentRole, hash: HashAlgorithm, digest: &[u8]) -> Result<Vec<u8>, &'static str> {
        assert_eq!(hash, HashAlgorithm::Sha512);
        self.asked.set(self.asked.get() + 1);
        let (_, pair) = self.keys.iter().find(|(known, _)| *known == role).ok_or("no such key")?;
        match pair.clone().sign(types::HashAlgorithm::SHA512, digest).unwrap() {
            mpi::Signature::EdDSA { r, s } => {
                Ok([r.value_padded(32).unwrap().into_owned(), s.value_padded(32).unwrap().into_owned()].concat())
            }
            other => panic!("{other:?}"),
        }
    }

    fn create(&self, created: Timestamp) -> Result<Certificate, CertificateError<&'static str>> {
        let request = CertificateRequest {
            keys: self.components(),
            user_id: "Release <release@example.org>".to_owned(),
            created,
            expires: Some(Timestamp::from_unix(created.unix() + 30 * DAY)),
        };
        create(request, |role, hash, digest| self.sign(role, hash, digest))
    }
}

fn hour_ago() -> Timestamp {
    Timestamp::from_unix(Timestamp::now().unix() - 3600)
}

#[test]
fn a_certificate_is_made_extended_and_revoked() {
    let signer = Signer::new(&[ComponentRole::Sign, ComponentRole::Certify]);
    let made = signer.create(hour_ago()).unwrap();
    let roles: Vec<_> = made.components.iter().map(|(role, _)| *role).collect();
    assert_eq!(roles, [ComponentRole::Certify, ComponentRole::Sign]);
    assert_eq!(made.components[0].1, made.fingerprint);
    // User id, binding and back signature.
    assert_eq!(signer.asked.get(), 3);

    let primary = |hash, digest: &[u8]| signer.sign(ComponentRole::Certify, hash, digest);
    let keys: Vec<_> = made.components.iter().map(|(_, fingerprint)| *fingerprint).collect();
    let now = Timestamp::now();
    let end = Timestamp::from_unix(now.unix() + 365 * DAY);
    let extended = extend(&made.armored, &keys, (end, now), primary).unwrap().unwrap();
    assert!(extended.lives.len() == 2 && extended.lives.iter().all(|life| life.expires == Some(end)));
    assert!(extend(&extended.armored, &keys, (end, now), primary).unwrap().is_none(), "it was extended already");

    let text = revocation(&extended.armored, RevocationReason::Retired, "no releases", now, primary).unwrap();
    let revoked = with_revocation::<&str>(&extended.armored, &text).unwrap();
    let (policy, certificate) = (StandardPolicy::new(), Cert::from_bytes(&revoked).unwrap());
    let valid = certificate.with_policy(&policy, SystemTime::now()).unwrap();
    assert!(matches!(valid.revocation_status(), RevocationStatus::Revoked(_)));
    assert!(certificate.bad_signatures().next().is_none());
}

#[test]
fn the_signers_error_comes_back_as_it_is() {
    let signer = Signer::new(&[ComponentRole::Sign]);
    let made = signer.create(hour_ago()).unwrap();
    let sealed = |_, _: &[u8]| Err("the store is sealed");
    let refused = revocation(&made.armored, RevocationReason::Unspecified, "", Timestamp::now(), sealed);
    assert!(matches!(refused, Err(CertificateError::Signer("the store is sealed"))), "{refused:?}");
    let end = Timestamp::from_unix(Timestamp::now().unix() + 365 * DAY);
    let refused = extend(&made.armored, &[made.fingerprint], (end, Timestamp::now()), sealed);
    assert!(matches!(refused, Err(CertificateError::Signer("the store is sealed"))), "{refused:?}");
}

#[test]
fn signatures_by_other_keys_make_no_certificate() {
    let (signer, other) = (Signer::new(&[ComponentRole::Sign]), Signer::new(&[ComponentRole::Sign]));
    let made = signer.create(hour_ago()).unwrap();
    let by_other = |hash, digest: &[u8]| other.sign(ComponentRole::Sign, hash, digest);
    let refused = revocation(&made.armored, RevocationReason::Unspecified, "", Timestamp::now(), by_other);
    assert!(matches!(refused, Err(CertificateError::OpenPgp(_))), "{refused:?}");
    let request = CertificateRequest {
        keys: signer.components(),
        user_id: "Release".to_owned(),
        created: hour_ago(),
        expires: None,
    };
    for wrong in [&[][..], &[1], &[7; 64]] {
        let refused = create(request.clone(), |_, _, _| Ok::<_, &str>(wrong.to_vec()));
        assert!(matches!(refused, Err(CertificateError::OpenPgp(_))), "{refused:?}");
    }
}

#[test]
fn only_the_roles_of_a_profile_make_a_certificate() {
    for roles in [&[][..], &[ComponentRole::Certify], &[ComponentRole::Certify, ComponentRole::Authenticate]] {
        let refused = Signer::new(roles).create(hour_ago());
        assert!(matches!(refused, Err(CertificateError::OpenPgp(_))), "{roles:?}");
    }
}
