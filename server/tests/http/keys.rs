//! How keys are named, and who may know of them.

use reqwest::{Method, StatusCode};
use sealcard_api::{
    Fingerprint, Timestamp,
    admin::{Page, PrincipalAccess, Project},
    algorithm::KeyAlgorithm,
    cards::CardList,
    ids::{EnvironmentId, KeyId, ProjectId},
    keys::{Key, KeyState},
    problem::ProblemCode,
};
use sealcard_server::storage::{NewKeyRow, StorageError};
use serde_json::json;

use crate::harness::{PASSWORD, Running, Session};

/// A key without components, as good as any to be looked up. The number makes it another one.
fn new_key(project: ProjectId, environment: EnvironmentId, name: &str, number: u32) -> NewKeyRow {
    let mut fingerprint = [0; 20];
    fingerprint[..4].copy_from_slice(&number.to_be_bytes());
    with_fingerprint(project, environment, name, fingerprint)
}

fn with_fingerprint(project: ProjectId, environment: EnvironmentId, name: &str, fingerprint: [u8; 20]) -> NewKeyRow {
    NewKeyRow {
        id: KeyId::new(),
        project,
        environment,
        name: name.to_owned(),
        algorithm: KeyAlgorithm::Ed25519,
        user_id: format!("{name} <{name}@example.org>"),
        fingerprint: Fingerprint(fingerprint),
        serial: u64::from_be_bytes(fingerprint[..8].try_into().unwrap()) >> 32,
        certificate: String::new(),
        created: Timestamp::now(),
        revocation: None,
        components: Vec::new(),
    }
}

/// As [`with_fingerprint`], stored.
pub(crate) async fn add_key(server: &Running, project: ProjectId, name: &str, fingerprint: [u8; 20]) -> KeyId {
    let environment = server.store.environments().await.unwrap()[0].id;
    let row = with_fingerprint(project, environment, name, fingerprint);
    let id = row.id;
    let added: Result<(), StorageError> = server.store.write(move |tx| tx.insert_key(&row)).await;
    added.unwrap();
    id
}

/// More keys than a list of cards has.
#[tokio::test]
async fn list_of_more_than_a_thousand_cards_or_keys_says_that_there_are_more() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let project = add_project(&admin, "release").await;
    add_member(&admin, "release", "alice", "key-user").await;
    let environment = server.store.environments().await.unwrap()[0].id;
    let mut rows: Vec<NewKeyRow> = (0..1001_u32).map(|n| new_key(project, environment, &format!("k{n}"), n)).collect();
    let last = rows.pop().unwrap();
    let add = async |rows: Vec<NewKeyRow>| {
        let added: Result<(), StorageError> = server
            .store
            .write(move |tx| {
                for row in &rows {
                    tx.insert_key(row)?;
                }
                Ok(())
            })
            .await;
        added.unwrap();
    };
    let alice = server.login("alice", PASSWORD).await;
    for (more, truncated) in [(rows, false), (vec![last], true)] {
        add(more).await;
        let list: CardList = alice.get("/v1/cards").await.json(StatusCode::OK);
        assert_eq!((list.cards.len(), list.truncated), (1000, truncated));
        let access: PrincipalAccess = alice.get("/v1/users/alice/access").await.json(StatusCode::OK);
        assert_eq!((access.keys.len(), access.truncated), (1000, truncated));
    }
}

pub(crate) async fn add_project(admin: &Session<'_>, name: &str) -> ProjectId {
    let project: Project = admin.post("/v1/projects", json!({"name": name})).await.json(StatusCode::CREATED);
    project.id
}

pub(crate) async fn add_member(admin: &Session<'_>, project: &str, user: &str, role: &str) {
    let member = json!({"kind": "user", "name": user, "role": role});
    admin.send(Method::PUT, &format!("/v1/projects/{project}/members"), member).await.done();
}

/// Two projects with a key `tags` each; alice uses the first one's keys.
struct Two<'a> {
    admin: Session<'a>,
    alice: Session<'a>,
    tags: KeyId,
    others: KeyId,
}

impl<'a> Two<'a> {
    async fn new(server: &'a Running) -> Self {
        let admin = server.admin().await;
        admin.add_user("alice").await;
        let (release, tools) = (add_project(&admin, "release").await, add_project(&admin, "tools").await);
        add_member(&admin, "release", "alice", "key-user").await;
        let tags = add_key(server, release, "tags", [0xA5; 20]).await;
        let others = add_key(server, tools, "tags", [0x5A; 20]).await;
        Self { alice: server.login("alice", PASSWORD).await, admin, tags, others }
    }
}

async fn found(session: &Session<'_>, key: &str) -> KeyId {
    let page: Page<Key> = session.get(&format!("/v1/keys?key={key}")).await.json(StatusCode::OK);
    assert_eq!(page.items.len(), 1, "{key}");
    page.items[0].id
}

#[tokio::test]
async fn a_key_is_found_under_each_of_its_names() {
    let server = Running::start().await;
    let two = Two::new(&server).await;
    let (project, fingerprint) = ("release", "A5".repeat(20));
    let id = two.tags.to_string();
    for key in [id.as_str(), &fingerprint, &"a5".repeat(8), &format!("0x{}", "A5".repeat(8)), "release%2Ftags"] {
        assert_eq!(found(&two.admin, key).await, two.tags, "{key}");
        let key: Key = two.admin.get(&format!("/v1/keys/{key}")).await.json(StatusCode::OK);
        assert_eq!((key.id, key.full_name().to_string()), (two.tags, format!("{project}/tags")));
    }
    assert_eq!(found(&two.admin, "tools/tags").await, two.others);
}

#[tokio::test]
async fn an_ambiguous_name_lists_the_candidates_that_one_may_see() {
    let server = Running::start().await;
    let two = Two::new(&server).await;
    for path in ["/v1/keys/tags", "/v1/keys?key=tags", "/v1/record?key=tags"] {
        let problem = two.admin.get(path).await.problem(ProblemCode::Invalid);
        let detail = problem.detail.unwrap();
        assert!(detail.contains("release/tags, tools/tags") && detail.contains("PROJECT/NAME"), "{detail}");
    }
    // alice sees one of the two, so her name is not ambiguous.
    assert_eq!(found(&two.alice, "tags").await, two.tags);
}

#[tokio::test]
async fn an_invisible_key_answers_as_an_unknown_one() {
    let server = Running::start().await;
    let two = Two::new(&server).await;
    let others = two.others.to_string();
    for invisible in [others.as_str(), "tools%2Ftags", &"5A".repeat(20), &"5A".repeat(8)] {
        let seen = two.alice.get(&format!("/v1/keys/{invisible}")).await.problem(ProblemCode::NotFound);
        let unknown = two.alice.get("/v1/keys/none").await.problem(ProblemCode::NotFound);
        let name = invisible.replace("%2F", "/");
        assert_eq!(seen.detail.unwrap().replace(&name, "none"), unknown.detail.unwrap());
    }
}

#[tokio::test]
async fn change_of_a_key_is_made_as_a_whole_or_not_at_all() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let project = add_project(&admin, "release").await;
    add_key(&server, project, "tags", [1; 20]).await;
    add_key(&server, project, "packages", [2; 20]).await;
    for (name, code) in [("a b", ProblemCode::Invalid), ("packages", ProblemCode::Conflict)] {
        let change = json!({"disabled": true, "name": name});
        admin.send(Method::PATCH, "/v1/keys/release%2Ftags", change).await.problem(code);
        let key: Key = admin.get("/v1/keys/release%2Ftags").await.json(StatusCode::OK);
        assert_eq!(key.state, KeyState::Active, "disabled though the name {name:?} was refused");
    }
    let change = json!({"disabled": true, "name": "old-tags"});
    let key: Key = admin.send(Method::PATCH, "/v1/keys/release%2Ftags", change).await.json(StatusCode::OK);
    assert_eq!((key.state, key.name.as_str()), (KeyState::Disabled, "old-tags"));
}

#[tokio::test]
async fn a_damaged_key_is_left_out_of_lists() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let release = add_project(&admin, "release").await;
    for number in 1..=5 {
        add_key(&server, release, &format!("tags{number}"), [number; 20]).await;
    }
    server.sql("UPDATE signing_key SET algorithm = 'rsa1' WHERE name IN ('tags2', 'tags3')");
    // Pages are as long as before, so that a list does not seem to end at a damaged key.
    let mut names = Vec::new();
    let mut next = None;
    loop {
        let after = next.map(|next| format!("&after={next}")).unwrap_or_default();
        let page: Page<Key> = admin.get(&format!("/v1/keys?limit=2{after}")).await.json(StatusCode::OK);
        names.extend(page.items.into_iter().map(|key| key.name));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(names, ["tags1", "tags4", "tags5"]);
    admin.get("/v1/keys/release%2Ftags2").await.problem(ProblemCode::Internal);
}
