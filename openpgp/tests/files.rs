//! Signatures made and judged with a key of our own in the server's place.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use proptest::prelude::*;
use sealcard_openpgp::{
    Certificates, Cleartext, Draft, Form, Judgement, SignatureError, SigningKey, Verdict, verify_detached,
    verify_inline,
};
use sequoia_openpgp::{
    Cert,
    cert::CertBuilder,
    crypto::{KeyPair, Signer as _, mpi},
    policy::StandardPolicy,
    serialize::SerializeInto as _,
    types::HashAlgorithm,
};

use support::card;

/// A certificate whose signing subkey is here.
struct Owner {
    certificate: Cert,
    pair: KeyPair,
    key: SigningKey,
}

impl Owner {
    fn new() -> Self {
        let (certificate, _) =
            CertBuilder::new().add_userid("Owner <owner@example.org>").add_signing_subkey().generate().unwrap();
        let policy = StandardPolicy::new();
        let subkey = certificate.keys().secret().with_policy(&policy, None).for_signing().next().unwrap();
        let pair = subkey.key().clone().into_keypair().unwrap();
        let text = String::from_utf8(certificate.armored().to_vec().unwrap()).unwrap();
        let card = card(&certificate, &pair.public().fingerprint(), text);
        Self { key: SigningKey::of(&card).unwrap(), certificate, pair }
    }

    fn certificates(&self) -> Certificates {
        let mut certificates = Certificates::default();
        assert_eq!(certificates.add(&self.certificate.armored().to_vec().unwrap()).unwrap(), 1);
        certificates
    }

    /// What the server would answer.
    fn raw(&mut self, draft: &Draft) -> Vec<u8> {
        match self.pair.sign(HashAlgorithm::SHA512, draft.digest()).unwrap() {
            mpi::Signature::EdDSA { r, s } => {
                [r.value_padded(32).unwrap().into_owned(), s.value_padded(32).unwrap().into_owned()].concat()
            }
            other => panic!("{other:?}"),
        }
    }

    fn sign(&mut self, content: &[u8], form: Form) -> Vec<u8> {
        let draft = Draft::of_content(&self.key, self.key.preferred_hash(), &mut &*content).unwrap();
        let raw = self.raw(&draft);
        draft.finish(&self.key, &raw, form).unwrap()
    }
}

#[test]
fn a_signature_is_good_for_its_content_and_bad_for_any_other() {
    let mut owner = Owner::new();
    let certificates = owner.certificates();
    for form in [Form::Armored, Form::Binary] {
        let signature = owner.sign(b"content", form);
        match verify_detached(&certificates, &signature, &b"content"[..]).unwrap().as_slice() {
            [Verdict::Good { fingerprint, user_id, made }] => {
                assert_eq!(*fingerprint, owner.certificate.fingerprint().to_hex());
                assert_eq!(user_id, "Owner <owner@example.org>");
                assert!(made.is_some());
            }
            other => panic!("{other:?}"),
        }
        for other in [&b"contend"[..], b"content\n", b""] {
            let verdicts = verify_detached(&certificates, &signature, other).unwrap();
            assert_eq!(Judgement::of(&verdicts), Judgement::Bad, "{verdicts:?}");
        }
        let stranger = Owner::new().certificates();
        let verdicts = verify_detached(&stranger, &signature, &b"content"[..]).unwrap();
        assert_eq!(Judgement::of(&verdicts), Judgement::Unknown);
    }
}

#[test]
fn draft_is_the_same_with_the_seed_of_an_earlier_one() {
    let owner = Owner::new();
    let hash = owner.key.preferred_hash();
    let first = Draft::of_content(&owner.key, hash, &mut &b"content"[..]).unwrap();
    let mut content = Vec::new();
    let again = Draft::of_content_again(&owner.key, hash, &mut &b"content"[..], |digest| {
        content = digest.to_vec();
        Some(first.seed())
    });
    assert_eq!(again.unwrap().digest(), first.digest());
    let other = Draft::of_content_again(&owner.key, hash, &mut &b"content"[..], |digest| {
        assert_eq!(digest, content, "the content is told apart by its own digest");
        None
    });
    assert_ne!(other.unwrap().digest(), first.digest());
}

#[test]
fn what_the_key_did_not_make_is_refused_before_it_is_written() {
    let mut owner = Owner::new();
    let draft = Draft::of_content(&owner.key, owner.key.preferred_hash(), &mut &b"content"[..]).unwrap();
    let mut raw = owner.raw(&draft);
    for wrong in [&raw[..63], &[][..], &[0; 64], &[1; 65]] {
        let error = draft.clone().finish(&owner.key, wrong, Form::Binary).unwrap_err();
        assert!(matches!(error, SignatureError::WrongAnswer(_)), "{error}");
    }
    raw[10] ^= 1;
    assert!(draft.finish(&owner.key, &raw, Form::Binary).is_err());
}

#[test]
fn a_revoked_key_makes_no_good_signature() {
    let mut owner = Owner::new();
    let signature = owner.sign(b"content", Form::Binary);
    let mut primary =
        owner.certificate.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let compromised = sequoia_openpgp::types::ReasonForRevocation::KeyCompromised;
    let revocation = owner.certificate.revoke(&mut primary, compromised, b"lost").unwrap();
    let (revoked, _) = owner.certificate.clone().insert_packets(Some(revocation)).unwrap();
    let mut certificates = Certificates::default();
    certificates.add(&revoked.to_vec().unwrap()).unwrap();
    let verdicts = verify_detached(&certificates, &signature, &b"content"[..]).unwrap();
    assert_eq!(Judgement::of(&verdicts), Judgement::Bad, "{verdicts:?}");
}

#[test]
fn a_bad_signature_outweighs_a_good_one_and_an_unknown_one_does_not() {
    let good = Verdict::Good { fingerprint: String::new(), user_id: String::new(), made: None };
    let bad = Verdict::Bad { by: None, reason: String::new() };
    let unknown = Verdict::UnknownKey { by: None };
    assert_eq!(Judgement::of(&[good.clone(), unknown.clone()]), Judgement::Good);
    assert_eq!(Judgement::of(&[good, bad]), Judgement::Bad);
    assert_eq!(Judgement::of(&[unknown]), Judgement::Unknown);
    assert_eq!(Judgement::of(&[]), Judgement::Unknown);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_text_is_signed_in_clear_and_comes_back(
        text in "([-a-zF \\t]{0,12}|From me|- x|-----BEGIN PGP|é)(\\n([-a-z \\t]{0,12}|From me))*") {
        let mut owner = Owner::new();
        let cleartext = Cleartext::new(&owner.key, owner.key.preferred_hash(), text.as_bytes()).unwrap();
        let raw = owner.raw(cleartext.draft());
        let message = cleartext.finish(&owner.key, &raw).unwrap();
        let mut content = Vec::new();
        let verdicts = verify_inline(&owner.certificates(), &message, &mut content).unwrap();
        prop_assert_eq!(Judgement::of(&verdicts), Judgement::Good, "{:?}", verdicts);
        let lines = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n");
        let content = String::from_utf8(content).unwrap();
        prop_assert_eq!(lines(&content).trim_end().to_owned(), lines(&text).trim_end().to_owned());
    }

    #[test]
    fn any_bytes_are_an_error_or_judged(bytes: Vec<u8>) {
        let certificates = Certificates::default();
        let _ = verify_detached(&certificates, &bytes, &b"content"[..]);
        let _ = verify_inline(&certificates, &bytes, &mut Vec::new());
        let _ = Certificates::default().add(&bytes);
    }
}
