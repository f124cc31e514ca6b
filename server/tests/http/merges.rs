//! Newer certificates of keys, and keys that are here already.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use sealcard_api::{
    Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm},
    ids::{ComponentId, KeyId, ProjectId},
    import::LeftOutReason,
    keys::{Key, KeyState, RevocationReason},
    merge::{CertificateChange, MergePlan, Merged},
    problem::ProblemCode,
};
use sealcard_server::storage::{NewComponentRow, NewKeyRow, StorageError};
use sealcard_signer_protocol::{PublicKeyBytes, StoredKey};
use sequoia_openpgp::{
    Cert, Packet,
    cert::{CertBuilder, CertRevocationBuilder, CipherSuite, prelude::KeyBuilder},
    crypto::{KeyPair, mpi::PublicKey},
    packet::signature::SignatureBuilder,
    policy::StandardPolicy,
    serialize::SerializeInto as _,
    types::{KeyFlags, ReasonForRevocation},
};
use serde_json::{Value, json};

use crate::{
    harness::{PASSWORD, Running, Session},
    keys::{add_member, add_project},
};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn made() -> Cert {
    let builder = CertBuilder::new().set_cipher_suite(CipherSuite::Cv25519).add_userid("Ada <ada@example.org>");
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    builder.set_creation_time(hour_ago).set_validity_period(YEAR).add_signing_subkey().generate().unwrap().0
}

fn signer(certificate: &Cert) -> KeyPair {
    certificate.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap()
}

fn with(certificate: &Cert, packets: Vec<Packet>) -> Cert {
    certificate.clone().insert_packets(packets).unwrap().0
}

/// What `gpg --quick-set-expire FINGERPRINT 3y` and the same with `'*'` do.
fn prolonged(certificate: &Cert) -> Cert {
    let (policy, mut primary, end) = (StandardPolicy::new(), signer(certificate), Some(SystemTime::now() + 3 * YEAR));
    let valid = certificate.with_policy(&policy, None).unwrap();
    let mut packets = valid.primary_key().set_expiration_time(&mut primary, end).unwrap();
    for subkey in valid.keys().subkeys() {
        let mut own = subkey.key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
        packets.extend(subkey.set_expiration_time(&mut primary, Some(&mut own), end).unwrap());
    }
    with(certificate, packets.into_iter().map(Into::into).collect())
}

/// What `gpg --quick-add-key FINGERPRINT cv25519 encr` does.
fn with_subkey(certificate: &Cert) -> Cert {
    let policy = StandardPolicy::new();
    let valid = certificate.with_policy(&policy, None).unwrap();
    let builder = KeyBuilder::new(KeyFlags::empty().set_transport_encryption()).set_cipher_suite(CipherSuite::Cv25519);
    let builder = builder.subkey(valid).unwrap();
    builder.set_primary_key_signer(signer(certificate)).attach_cert().unwrap()
}

fn text(certificate: &Cert) -> String {
    String::from_utf8(certificate.armored().to_vec().unwrap()).unwrap()
}

fn fingerprint(key: &sequoia_openpgp::Fingerprint) -> Fingerprint {
    Fingerprint(key.as_bytes().try_into().unwrap())
}

/// A key as it is after its import without its primary key.
async fn add(server: &Running, project: ProjectId, name: &str, certificate: &Cert) -> KeyId {
    let policy = StandardPolicy::new();
    let components = certificate.keys().subkeys().with_policy(&policy, None).map(|subkey| {
        let (role, algorithm) = match subkey.for_signing() {
            true => (ComponentRole::Sign, ComponentAlgorithm::EddsaEd25519),
            false => (ComponentRole::Decrypt, ComponentAlgorithm::EcdhCv25519),
        };
        let (PublicKey::EdDSA { q, .. } | PublicKey::ECDH { q, .. }) = subkey.key().mpis() else { panic!("a curve") };
        NewComponentRow {
            key: StoredKey {
                component: ComponentId::new().0,
                algorithm,
                role,
                public_key: PublicKeyBytes::Ec { point: q.value()[1..].to_vec() },
                handle: Vec::new(),
            },
            fingerprint: fingerprint(&subkey.key().fingerprint()),
            created: Timestamp::now(),
            expires: Some(Timestamp::from_unix(Timestamp::now().unix() + 1000)),
            evidence: None,
        }
    });
    let row = NewKeyRow {
        id: KeyId::new(),
        project,
        environment: server.store.environments().await.unwrap()[0].id,
        name: name.to_owned(),
        algorithm: KeyAlgorithm::Ed25519,
        user_id: "Ada <ada@example.org>".to_owned(),
        fingerprint: fingerprint(&certificate.fingerprint()),
        serial: u64::from(certificate.fingerprint().as_bytes()[0]),
        certificate: text(&certificate.clone().strip_secret_key_material()),
        created: Timestamp::now(),
        revocation: None,
        components: components.collect(),
    };
    let id = row.id;
    let added: Result<(), StorageError> = server.store.write(move |tx| tx.insert_key(&row)).await;
    added.unwrap();
    id
}

/// The key `release/tags`, with alice, who owns its project, and bob, who uses its keys.
struct Tags<'a> {
    admin: Session<'a>,
    alice: Session<'a>,
    bob: Session<'a>,
    earlier: Cert,
    id: KeyId,
}

impl<'a> Tags<'a> {
    async fn new(server: &'a Running) -> Self {
        let admin = server.admin().await;
        let release = add_project(&admin, "release").await;
        for (user, role) in [("alice", "owner"), ("bob", "key-user")] {
            admin.add_user(user).await;
            add_member(&admin, "release", user, role).await;
        }
        let earlier = made();
        let id = add(server, release, "tags", &earlier).await;
        let (alice, bob) = (server.login("alice", PASSWORD).await, server.login("bob", PASSWORD).await);
        Self { admin, alice, bob, earlier, id }
    }

    fn path(&self, end: &str) -> String {
        format!("/v1/keys/{}/certificate{end}", self.id)
    }
}

#[tokio::test]
async fn owners_merge_a_prolonged_certificate() {
    let server = Running::start().await;
    let tags = Tags::new(&server).await;
    let body = json!({"certificate": text(&prolonged(&tags.earlier))});
    for end in ["/plan", ""] {
        tags.bob.post(&tags.path(end), &body).await.problem(ProblemCode::Forbidden);
        tags.alice.post(&format!("/v1/keys/none/certificate{end}"), &body).await.problem(ProblemCode::NotFound);
    }
    let plan: MergePlan = tags.alice.post(&tags.path("/plan"), &body).await.json(StatusCode::OK);
    assert!(plan.recipient.is_none() && plan.components.is_empty());
    let before: Key = tags.alice.get(&format!("/v1/keys/{}", tags.id)).await.json(StatusCode::OK);
    let (version, soon) = (server.store.registry_version(), before.expires.unwrap());
    assert!(soon < Timestamp::from_unix(Timestamp::now().unix() + 2000), "the plan changed something");

    let merged: Merged = tags.alice.post(&tags.path(""), &body).await.json(StatusCode::OK);
    assert_eq!(merged.changes, plan.changes);
    let ends = merged.changes.iter().filter(|change| matches!(change, CertificateChange::EndChanged { .. }));
    assert_eq!(ends.count(), 2, "{:?}", merged.changes);
    let in_two_years = Timestamp::from_unix(Timestamp::now().unix() + 2 * i64::try_from(YEAR.as_secs()).unwrap());
    assert!(merged.key.expires > Some(in_two_years), "{:?}", merged.key.expires);
    assert!(server.store.registry_version() > version, "workstations would not ask again");
    let record = server.record().await;
    let entry = record.iter().find(|entry| entry["event"] == "certificate-merged").unwrap();
    assert_eq!((&entry["key"]["name"], &entry["changes"][0]["type"]), (&json!("tags"), &json!("end-changed")));

    let entries = record.len();
    let again: Merged = tags.alice.post(&tags.path(""), &body).await.json(StatusCode::OK);
    assert_eq!((again.changes, server.record().await.len()), (Vec::new(), entries));
}

#[tokio::test]
async fn a_revocation_in_a_newer_certificate_ends_the_key() {
    let server = Running::start().await;
    let tags = Tags::new(&server).await;
    let builder = CertRevocationBuilder::new();
    let builder = builder.set_reason_for_revocation(ReasonForRevocation::KeyRetired, b"no releases any more").unwrap();
    let revocation = builder.build(&mut signer(&tags.earlier), &tags.earlier, None).unwrap();
    let body = json!({"certificate": text(&with(&tags.earlier, vec![revocation.into()]))});
    let merged: Merged = tags.alice.post(&tags.path(""), &body).await.json(StatusCode::OK);
    let revoked = merged.key.revoked.unwrap();
    assert_eq!((merged.key.state, revoked.reason), (KeyState::Revoked, RevocationReason::Retired));
    assert_eq!(revoked.message, "no releases any more");
    let record = server.record().await;
    assert!(record.iter().any(|entry| entry["event"] == "key-revoked"), "{record:#?}");
    let refused = tags.alice.post(&tags.path(""), &body).await.problem(ProblemCode::Conflict);
    assert!(refused.detail.unwrap().contains("no way back"));
}

#[tokio::test]
async fn a_project_is_removed_when_all_its_keys_are_revoked() {
    let server = Running::start().await;
    let tags = Tags::new(&server).await;
    let revocation = CertRevocationBuilder::new().build(&mut signer(&tags.earlier), &tags.earlier, None).unwrap();
    let body = json!({"certificate": text(&with(&tags.earlier, vec![revocation.into()]))});
    let merged: Merged = tags.alice.post(&tags.path(""), &body).await.json(StatusCode::OK);
    tags.admin.bare(reqwest::Method::DELETE, "/v1/projects/release").await.done();
    tags.admin.get("/v1/projects/release").await.problem(ProblemCode::NotFound);
    let list: Value = tags.admin.get("/v1/keys").await.json(StatusCode::OK);
    assert_eq!(list["items"], json!([]));
    // The key stays known.
    add_project(&tags.admin, "other").await;
    let import = json!({
        "project": "other", "name": "tags", "certificate": text(&tags.earlier.clone().strip_secret_key_material()),
        "secrets": [merged.key.components[0].fingerprint],
    });
    let refused = tags.admin.post("/v1/keys/import/plan", import).await.problem(ProblemCode::Conflict);
    let detail = refused.detail.unwrap();
    assert!(detail.contains("release/tags, which is revoked"), "{detail}");
}

#[tokio::test]
async fn a_conflict_names_the_other_key_to_those_who_may_see_it() {
    let server = Running::start().await;
    let tags = Tags::new(&server).await;
    let one = with_subkey(&made());
    let policy = StandardPolicy::new();
    let shared = one.keys().subkeys().with_policy(&policy, None).for_transport_encryption().next().unwrap();
    let other = made();
    let builder = SignatureBuilder::from(shared.binding_signature().clone());
    let binding = shared.key().clone().bind(&mut signer(&other), &other, builder).unwrap();
    let other = with(&other, vec![Packet::PublicSubkey(shared.key().clone().parts_into_public()), binding.into()]);
    let (shared, other) = (shared.key().fingerprint().to_hex(), other.strip_secret_key_material());
    let one = one.clone().strip_secret_key_material();
    let hidden = add_project(&tags.admin, "hidden").await;
    add(&server, hidden, "one", &one).await;
    let plan = |certificate: &Cert| {
        let secrets: Vec<_> = certificate.keys().map(|key| fingerprint(&key.key().fingerprint())).collect();
        json!({"project": "release", "name": "new", "certificate": text(certificate), "secrets": secrets})
    };
    for (certificate, what) in [(&one, one.fingerprint().to_hex()), (&other, shared)] {
        let seen = tags.admin.post("/v1/keys/import/plan", plan(certificate)).await.problem(ProblemCode::Conflict);
        let seen = seen.detail.unwrap();
        assert!(seen.contains(&what) && seen.contains("hidden/one"), "{seen}");
        let unseen = tags.alice.post("/v1/keys/import/plan", plan(certificate)).await.problem(ProblemCode::Conflict);
        let unseen = unseen.detail.unwrap();
        assert!(unseen.contains(&what) && !unseen.contains("hidden"), "{unseen}");
    }
    // Nor does the other certificate become a part of the first key.
    let body = json!({"certificate": text(&other)});
    let refused = tags.admin.post("/v1/keys/hidden%2Fone/certificate", body).await.problem(ProblemCode::Invalid);
    assert!(refused.detail.unwrap().contains("is that of the key"));
}

#[tokio::test]
async fn a_new_subkey_without_its_secret_stays_out() {
    let server = Running::start().await;
    let tags = Tags::new(&server).await;
    let newer = with_subkey(&tags.earlier);
    let body = json!({"certificate": text(&newer.strip_secret_key_material())});
    let merged: Merged = tags.alice.post(&tags.path(""), &body).await.json(StatusCode::OK);
    assert_eq!((merged.changes, merged.left_out[0].reason), (Vec::new(), LeftOutReason::NoSecret));
}
