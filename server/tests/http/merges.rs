//! Newer certificates of keys, and keys that are here already.

use reqwest::StatusCode;
use sealcard_api::{
    Timestamp,
    algorithm::KeyAlgorithm,
    ids::{ComponentId, KeyId, ProjectId},
    import::LeftOutReason,
    keys::{Key, KeyState, RevocationReason},
    merge::{CertificateChange, MergePlan, Merged},
    problem::ProblemCode,
};
use sealcard_openpgp_testing::TestKey;
use sealcard_server::storage::{NewComponentRow, NewKeyRow, StorageError};
use sealcard_signer_protocol::StoredKey;
use serde_json::{Value, json};

use crate::{
    harness::{PASSWORD, Running, Session},
    keys::{add_member, add_project},
};

const YEAR: i64 = 365 * 86_400;

const USER_ID: &str = "Ada <ada@example.org>";

/// A key as it is after its import without its primary key.
async fn add(server: &Running, project: ProjectId, name: &str, key: &TestKey) -> KeyId {
    let components = key.subkeys().into_iter().map(|subkey| NewComponentRow {
        key: StoredKey {
            component: ComponentId::new().0,
            algorithm: subkey.algorithm,
            role: subkey.role,
            public_key: subkey.public_key.into(),
            handle: Vec::new(),
        },
        fingerprint: subkey.fingerprint,
        created: Timestamp::now(),
        expires: Some(Timestamp::from_unix(Timestamp::now().unix() + 1000)),
        evidence: None,
    });
    let row = NewKeyRow {
        id: KeyId::new(),
        project,
        environment: server.store.environments().await.unwrap()[0].id,
        name: name.to_owned(),
        algorithm: KeyAlgorithm::Ed25519,
        user_id: USER_ID.to_owned(),
        fingerprint: key.fingerprint(),
        serial: u64::from(key.fingerprint().0[0]),
        certificate: key.certificate(),
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
    earlier: TestKey,
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
        let earlier = TestKey::new(USER_ID);
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
    let body = json!({"certificate": tags.earlier.extended(3).certificate()});
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
    let in_two_years = Timestamp::from_unix(Timestamp::now().unix() + 2 * YEAR);
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
    let newer = tags.earlier.revoked(RevocationReason::Retired, "no releases any more");
    let body = json!({"certificate": newer.certificate()});
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
    let newer = tags.earlier.revoked(RevocationReason::Unspecified, "");
    let body = json!({"certificate": newer.certificate()});
    let merged: Merged = tags.alice.post(&tags.path(""), &body).await.json(StatusCode::OK);
    tags.admin.bare(reqwest::Method::DELETE, "/v1/projects/release").await.done();
    tags.admin.get("/v1/projects/release").await.problem(ProblemCode::NotFound);
    let list: Value = tags.admin.get("/v1/keys").await.json(StatusCode::OK);
    assert_eq!(list["items"], json!([]));
    // The key stays known.
    add_project(&tags.admin, "other").await;
    let import = json!({
        "project": "other", "name": "tags", "certificate": tags.earlier.certificate(),
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
    let one = TestKey::new(USER_ID).with_decryption_subkey();
    let (other, shared) = TestKey::new(USER_ID).with_subkey_of(&one);
    let hidden = add_project(&tags.admin, "hidden").await;
    add(&server, hidden, "one", &one).await;
    let plan = |key: &TestKey| {
        let secrets = key.fingerprints();
        json!({"project": "release", "name": "new", "certificate": key.certificate(), "secrets": secrets})
    };
    for (key, what) in [(&one, one.fingerprint().to_string()), (&other, shared.to_string())] {
        let seen = tags.admin.post("/v1/keys/import/plan", plan(key)).await.problem(ProblemCode::Conflict);
        let seen = seen.detail.unwrap();
        assert!(seen.contains(&what) && seen.contains("hidden/one"), "{seen}");
        let unseen = tags.alice.post("/v1/keys/import/plan", plan(key)).await.problem(ProblemCode::Conflict);
        let unseen = unseen.detail.unwrap();
        assert!(unseen.contains(&what) && !unseen.contains("hidden"), "{unseen}");
    }
    // Nor does the other certificate become a part of the first key.
    let body = json!({"certificate": other.certificate()});
    let refused = tags.admin.post("/v1/keys/hidden%2Fone/certificate", body).await.problem(ProblemCode::Invalid);
    assert!(refused.detail.unwrap().contains("is that of the key"));
}

#[tokio::test]
async fn a_new_subkey_without_its_secret_stays_out() {
    let server = Running::start().await;
    let tags = Tags::new(&server).await;
    let newer = tags.earlier.with_decryption_subkey();
    let body = json!({"certificate": newer.certificate()});
    let merged: Merged = tags.alice.post(&tags.path(""), &body).await.json(StatusCode::OK);
    assert_eq!((merged.changes, merged.left_out[0].reason), (Vec::new(), LeftOutReason::NoSecret));
}
