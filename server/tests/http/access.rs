//! Who may do what, who is told, and what must not be told.

use reqwest::{Method, StatusCode};
use sealcard_api::{
    Fingerprint, Timestamp,
    admin::{Environment, Group, Page, PrincipalAccess, Project, User},
    algorithm::HashAlgorithm,
    grants::{GrantInfo, LoginMethod},
    ids::KeyId,
    keys::{Key, KeyUsers},
    problem::{Problem, ProblemCode},
    roles::{MemberKind, PrincipalKind, ProjectRole},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Answer, PASSWORD, Running, Session},
    keys::{add_key, add_member, add_project},
};

async fn add_group(admin: &Session<'_>, name: &str, members: &[&str]) {
    let _: Group = admin.post("/v1/groups", json!({"name": name})).await.json(StatusCode::CREATED);
    for member in members {
        admin.bare(Method::PUT, &format!("/v1/groups/{name}/members/{member}")).await.done();
    }
}

async fn give_group(admin: &Session<'_>, project: &str, group: &str, role: &str) -> Answer {
    let member = json!({"kind": "group", "name": group, "role": role});
    admin.send(Method::PUT, &format!("/v1/projects/{project}/members"), member).await
}

#[tokio::test]
async fn nobody_gives_himself_the_use_of_keys() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("owner").await;
    add_project(&admin, "release").await;
    add_member(&admin, "release", "owner", "owner").await;
    let owner = server.login("owner", PASSWORD).await;
    for (session, name) in [(&admin, "admin"), (&owner, "owner")] {
        let member = json!({"kind": "user", "name": name, "role": "key-user"});
        let refused = session.send(Method::PUT, "/v1/projects/release/members", member).await;
        let detail = refused.problem(ProblemCode::Forbidden).detail.unwrap();
        assert!(detail.contains("another owner"), "{detail}");
    }
    // By a group that one is in, in either order.
    add_group(&admin, "builders", &["admin"]).await;
    give_group(&admin, "release", "builders", "key-user").await.problem(ProblemCode::Forbidden);
    admin.bare(Method::DELETE, "/v1/groups/builders/members/admin").await.done();
    give_group(&admin, "release", "builders", "key-user").await.done();
    admin.bare(Method::PUT, "/v1/groups/builders/members/admin").await.problem(ProblemCode::Forbidden);
    let shown: Group = admin.get("/v1/groups/builders").await.json(StatusCode::OK);
    assert_eq!(shown.members, []);
    // Another person may, and other roles may be taken.
    add_member(&admin, "release", "owner", "key-user").await;
    add_member(&admin, "release", "admin", "auditor").await;
}

#[tokio::test]
async fn a_server_may_be_configured_to_allow_self_grants() {
    let server = Running::with_config(|config| config.policy.allow_self_grants = true).await;
    let admin = server.admin().await;
    add_project(&admin, "release").await;
    add_member(&admin, "release", "admin", "key-user").await;
}

#[tokio::test]
async fn a_key_tells_owners_and_auditors_who_can_use_it() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for name in ["alice", "bob", "carol"] {
        admin.add_user(name).await;
    }
    let _: Value = admin.post("/v1/service-accounts", json!({"name": "ci"})).await.json(StatusCode::CREATED);
    let release = add_project(&admin, "release").await;
    add_key(&server, release, "tags", [1; 20]).await;
    add_group(&admin, "builders", &["alice", "ci"]).await;
    give_group(&admin, "release", "builders", "key-user").await.done();
    add_member(&admin, "release", "alice", "key-user").await;
    add_member(&admin, "release", "bob", "auditor").await;
    let _: User = admin.send(Method::PATCH, "/v1/users/alice", json!({"disabled": true})).await.json(StatusCode::OK);

    let path = "/v1/keys/release%2Ftags/users";
    let bob = server.login("bob", PASSWORD).await;
    for session in [&admin, &bob] {
        let users: KeyUsers = session.get(path).await.json(StatusCode::OK);
        let told: Vec<_> =
            users.users.iter().map(|user| (user.name.as_str(), user.kind, user.direct, user.disabled)).collect();
        let expected =
            [("alice", PrincipalKind::User, true, true), ("ci", PrincipalKind::ServiceAccount, false, false)];
        assert_eq!(told, expected);
        assert!(users.users.iter().all(|user| user.groups == ["builders"]));
    }
    add_member(&admin, "release", "carol", "key-user").await;
    server.login("carol", PASSWORD).await.get(path).await.problem(ProblemCode::Forbidden);
}

#[tokio::test]
async fn a_user_is_shown_with_groups_roles_and_keys() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    admin.add_user("bob").await;
    let (release, tools) = (add_project(&admin, "release").await, add_project(&admin, "tools").await);
    add_key(&server, release, "tags", [1; 20]).await;
    add_key(&server, tools, "hidden", [2; 20]).await;
    add_group(&admin, "builders", &["alice"]).await;
    give_group(&admin, "release", "builders", "key-user").await.done();
    add_member(&admin, "tools", "alice", "auditor").await;
    let alice = server.login("alice", PASSWORD).await;
    for session in [&admin, &alice] {
        let access: PrincipalAccess = session.get("/v1/users/alice/access").await.json(StatusCode::OK);
        assert_eq!(access.groups, ["builders"]);
        let roles: Vec<_> =
            access.roles.iter().map(|held| (held.project.as_str(), held.role, held.group.as_deref())).collect();
        let expected = [("release", ProjectRole::KeyUser, Some("builders")), ("tools", ProjectRole::Auditor, None)];
        assert_eq!(roles, expected);
        assert_eq!(access.keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["tags"]);
    }
    let bob = server.login("bob", PASSWORD).await;
    bob.get("/v1/users/alice/access").await.problem(ProblemCode::Forbidden);
    let project: Project = admin.get("/v1/projects/release").await.json(StatusCode::OK);
    assert_eq!(project.members.iter().map(|member| member.kind).collect::<Vec<_>>(), [MemberKind::Group]);
}

#[tokio::test]
async fn a_login_is_shown_with_its_last_use_and_keeps_it() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let began = Timestamp::now().unix();
    let page: Page<GrantInfo> = admin.get("/v1/grants").await.json(StatusCode::OK);
    let grant = &page.items[0];
    assert_eq!((grant.kind, grant.last_address.as_deref()), (PrincipalKind::User, Some("127.0.0.1")));
    assert_eq!((grant.login_method, grant.login_address.as_deref()), (LoginMethod::Password, Some("127.0.0.1")));
    assert!(grant.last_used.unwrap().unix() >= began);
    let stored = async || server.store.grant(grant.id).await.unwrap().unwrap();
    assert_eq!(stored().await.last_used, None, "a request waits for no write");
    server.state.authentication.last_uses.write(&server.store).await.unwrap();
    assert!(stored().await.last_used.unwrap() >= began);
    assert_eq!(stored().await.last_address.as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_revoked_login_is_recorded_with_its_holders_name() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let alice = server.login("alice", PASSWORD).await;
    admin.bare(Method::DELETE, &format!("/v1/grants/{}", alice.issued.grant.id)).await.done();
    let record = server.record().await;
    let entry = record.last().unwrap();
    assert_eq!((&entry["event"], &entry["principal"]["name"]), (&json!("grant-revoked"), &json!("alice")));
}

#[tokio::test]
async fn names_can_be_changed_and_stay_unique() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for name in ["alice", "bob"] {
        admin.add_user(name).await;
    }
    let _: Value = admin.post("/v1/service-accounts", json!({"name": "ci"})).await.json(StatusCode::CREATED);
    add_group(&admin, "builders", &[]).await;
    add_group(&admin, "others", &[]).await;
    let release = add_project(&admin, "release").await;
    add_project(&admin, "tools").await;
    add_key(&server, release, "tags", [1; 20]).await;
    add_key(&server, release, "packages", [2; 20]).await;
    for (path, new, taken, told) in [
        ("/v1/users/alice", "ada", "bob", "A user or service account named bob already exists."),
        ("/v1/service-accounts/ci", "robot", "bob", "A user or service account named bob already exists."),
        ("/v1/groups/builders", "makers", "others", "A group named others already exists."),
        ("/v1/projects/release", "releases", "tools", "A project named tools already exists."),
        ("/v1/keys/tags", "git-tags", "packages", "A key named packages already exists in releases."),
    ] {
        let problem = admin.send(Method::PATCH, path, json!({"name": taken})).await.problem(ProblemCode::Conflict);
        assert_eq!(problem.detail.as_deref(), Some(told));
        admin.send(Method::PATCH, path, json!({"name": "a b"})).await.problem(ProblemCode::Invalid);
        let changed: Value = admin.send(Method::PATCH, path, json!({"name": new})).await.json(StatusCode::OK);
        assert_eq!(changed["name"], json!(new));
        admin.get(path).await.problem(ProblemCode::NotFound);
        let entry = server.record().await.last().unwrap().clone();
        assert_eq!(entry["new_name"], json!(new), "{entry}");
    }
    server.login("ada", PASSWORD).await;
}

#[tokio::test]
async fn a_project_is_removed_once_it_has_no_living_key() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let release = add_project(&admin, "release").await;
    let key = add_key(&server, release, "tags", [1; 20]).await;
    add_member(&admin, "release", "alice", "owner").await;
    let alice = server.login("alice", PASSWORD).await;
    alice.bare(Method::DELETE, "/v1/projects/release").await.problem(ProblemCode::Forbidden);
    let living = admin.bare(Method::DELETE, "/v1/projects/release").await.problem(ProblemCode::Conflict);
    assert!(living.detail.unwrap().contains("tags"));

    let revoked: Result<(), sealcard_server::storage::StorageError> =
        server.store.write(move |tx| tx.set_key_disabled(key, true).map(drop)).await;
    revoked.unwrap();
    admin.bare(Method::DELETE, "/v1/projects/release").await.problem(ProblemCode::Conflict);

    let empty = add_project(&admin, "empty").await;
    add_member(&admin, "empty", "alice", "owner").await;
    admin.bare(Method::DELETE, "/v1/projects/empty").await.done();
    admin.get("/v1/projects/empty").await.problem(ProblemCode::NotFound);
    let mine: Page<Project> = alice.get("/v1/projects").await.json(StatusCode::OK);
    assert_eq!(mine.items.len(), 1);
    assert_ne!(add_project(&admin, "empty").await, empty, "the name can be given again");
}

/// The same problem, but for the name that was asked for.
fn same(unseen: &Problem, unseen_name: &str, unknown: &Problem, unknown_name: &str) {
    assert_eq!((unseen.code, unseen.status), (unknown.code, unknown.status));
    let detail = |problem: &Problem, name: &str| problem.detail.as_deref().unwrap().replace(name, "NAME");
    assert_eq!(detail(unseen, unseen_name), detail(unknown, unknown_name));
}

#[tokio::test]
async fn what_one_may_not_see_answers_as_what_does_not_exist() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let (own, other) = (add_project(&admin, "own").await, add_project(&admin, "other").await);
    add_member(&admin, "own", "alice", "owner").await;
    add_key(&server, own, "tags", [1; 20]).await;
    let hidden = add_key(&server, other, "hidden", [2; 20]).await;
    let alice = server.login("alice", PASSWORD).await;

    let create = |project: &str| {
        json!({"project": project, "name": "new", "algorithm": "ed25519", "user_id": "A \
        <a@example.org>"})
    };
    let import = |project: &str| json!({"project": project, "name": "new", "certificate": "", "secrets": []});
    let adopt = |project: &str| {
        json!({"project": project, "environment": "default", "name": "new", "user_id": "A <a@example.org>",
            "components": []})
    };
    for (path, body) in
        [("/v1/keys", &create as &dyn Fn(&str) -> Value), ("/v1/keys/import/plan", &import), ("/v1/keys/adopt", &adopt)]
    {
        let unseen = alice.post(path, body("other")).await.problem(ProblemCode::NotFound);
        let unknown = alice.post(path, body("none")).await.problem(ProblemCode::NotFound);
        same(&unseen, "other", &unknown, "none");
    }
    for (path, unseen, unknown) in [
        ("/v1/record?project=", "other", "none"),
        ("/v1/keys?project=", "other", "none"),
        ("/v1/record?key=", "hidden", "none"),
        ("/v1/keys/", "other%2Fhidden", "other%2Fnone"),
    ] {
        let told = async |name: &str| alice.get(&format!("{path}{name}")).await.problem(ProblemCode::NotFound);
        let (seen, none) = (told(unseen).await, told(unknown).await);
        same(&seen, &unseen.replace("%2F", "/"), &none, &unknown.replace("%2F", "/"));
    }

    let digest =
        json!({"hash": HashAlgorithm::Sha256.name(), "digest": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="});
    let sign = async |key: KeyId| {
        let request = server.client().post(server.url(&format!("/v1/keys/{key}/sign"))).bearer_auth(&alice.token);
        let request = request.header("idempotency-key", Uuid::now_v7().to_string()).json(&digest);
        Answer::of(request.send().await.unwrap()).await.problem(ProblemCode::NotFound)
    };
    let unknown = KeyId::new();
    same(&sign(hidden).await, &hidden.to_string(), &sign(unknown).await, &unknown.to_string());
    // A key that alice may see tells her what she lacks.
    let key: Key = alice.get(&format!("/v1/keys/{}", Fingerprint([1; 20]))).await.json(StatusCode::OK);
    let request = server.client().post(server.url(&format!("/v1/keys/{}/sign", key.id))).bearer_auth(&alice.token);
    let request = request.header("idempotency-key", Uuid::now_v7().to_string()).json(&digest);
    let lacking = Answer::of(request.send().await.unwrap()).await.problem(ProblemCode::Forbidden);
    assert!(lacking.detail.unwrap().contains("key-user"));
}

#[tokio::test]
async fn an_environment_is_seen_by_those_who_have_or_make_keys_there() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for name in ["user", "owner", "stranger"] {
        admin.add_user(name).await;
    }
    let release = add_project(&admin, "release").await;
    add_project(&admin, "empty").await;
    add_key(&server, release, "tags", [1; 20]).await;
    add_member(&admin, "release", "user", "key-user").await;
    add_member(&admin, "empty", "owner", "owner").await;
    add_member(&admin, "empty", "stranger", "key-user").await;
    for (name, seen) in [("admin", true), ("user", true), ("owner", true), ("stranger", false)] {
        let session = server.login(name, PASSWORD).await;
        let listed: Page<Environment> = session.get("/v1/environments").await.json(StatusCode::OK);
        assert_eq!(!listed.items.is_empty(), seen, "{name}");
        let shown = session.get("/v1/environments/default").await;
        if seen {
            let _: Environment = shown.json(StatusCode::OK);
        } else {
            let unknown = session.get("/v1/environments/none").await.problem(ProblemCode::NotFound);
            same(&shown.problem(ProblemCode::NotFound), "default", &unknown, "none");
        }
    }
}
