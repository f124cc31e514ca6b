//! System roles, owners of service accounts, and strict separation of duties.

use reqwest::{Method, StatusCode};
use sealcard_api::{
    admin::{Page, Project, Separation, ServiceAccount, User},
    key_rules::Rules,
    keys::{Key, KeyState},
    problem::ProblemCode,
    roles::{ProjectRole, SystemRole},
    rule_trials::MayUse,
};
use serde_json::{Value, json};

use crate::{
    harness::{PASSWORD, Running, Session},
    keys::{add_key, add_member, add_project},
};

async fn give(admin: &Session<'_>, user: &str, role: &str) {
    let change = json!({"add_roles": [role]});
    let _: User = admin.send(Method::PATCH, &format!("/v1/users/{user}"), change).await.json(StatusCode::OK);
}

#[tokio::test]
async fn system_roles_are_given_taken_and_recorded() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let body = json!({"name": "rita", "password": PASSWORD, "roles": ["auditor"]});
    let added: User = admin.post("/v1/users", body).await.json(StatusCode::CREATED);
    assert_eq!(added.roles, [SystemRole::Auditor]);
    let rita = server.login("rita", PASSWORD).await;
    assert_eq!(rita.issued.grant.roles, [SystemRole::Auditor]);
    let change = json!({"add_roles": ["security-officer", "auditor"], "remove_roles": ["auditor"]});
    let changed: User = admin.send(Method::PATCH, "/v1/users/rita", change).await.json(StatusCode::OK);
    assert_eq!(changed.roles, [SystemRole::SecurityOfficer]);
    // Also to oneself, and the record has it.
    give(&admin, "admin", "auditor").await;
    let entries = server.record().await;
    let of = |event: &str| entries.iter().filter(|entry| entry["event"] == event).cloned().collect::<Vec<Value>>();
    assert_eq!(of("user-added")[0]["roles"], json!(["auditor"]));
    assert_eq!(of("user-changed")[0]["roles"], json!(["security-officer"]));
    let own = &of("user-changed")[1];
    assert_eq!((&own["roles"], &own["actor"]["name"]), (&json!(["administrator", "auditor"]), &json!("admin")));
    rita.send(Method::PATCH, "/v1/users/rita", json!({"add_roles": ["administrator"]}))
        .await
        .problem(ProblemCode::Forbidden);
}

#[tokio::test]
async fn security_officer_stops_and_narrows_and_gives_nothing() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for user in ["olga", "alice"] {
        admin.add_user(user).await;
    }
    give(&admin, "olga", "security-officer").await;
    let project = add_project(&admin, "release").await;
    let key = add_key(&server, project, "tags", [1; 20]).await;
    let alice = server.login("alice", PASSWORD).await;
    let olga = server.login("olga", PASSWORD).await;
    let key = format!("/v1/keys/{key}");
    let disabled: Key = olga.send(Method::PATCH, &key, json!({"disabled": true})).await.json(StatusCode::OK);
    assert_eq!(disabled.state, KeyState::Disabled);
    for more in [json!({"disabled": false}), json!({"name": "other"}), json!({"disabled": true, "name": "other"})] {
        olga.send(Method::PATCH, &key, more).await.problem(ProblemCode::Forbidden);
    }
    olga.bare(Method::DELETE, &format!("/v1/grants/{}", alice.issued.grant.id)).await.done();
    alice.get("/v1/grants/current").await.problem(ProblemCode::GrantRevoked);
    let rules = json!({"text": "[rule.hashes]\nhashes = [\"sha256\"]\n", "base": 0});
    for path in ["/v1/environments/default/rules", "/v1/projects/release/rules", &format!("{key}/rules")] {
        let applied: Rules = olga.send(Method::PUT, path, rules.clone()).await.json(StatusCode::OK);
        assert_eq!(applied.version, 1, "{path}");
    }
    let template = json!({"text": "[template.t]\noperations = [\"sign\"]\n"});
    olga.post("/v1/templates", template).await.done();
    let detail = olga.post("/v1/users", json!({"name": "eve"})).await.problem(ProblemCode::Forbidden).detail.unwrap();
    assert!(detail.contains("Only administrators may do this"), "{detail}");
    let member = json!({"kind": "user", "name": "olga", "role": "key-user"});
    olga.send(Method::PUT, "/v1/projects/release/members", member).await.problem(ProblemCode::Forbidden);
}

#[tokio::test]
async fn service_account_has_the_owner_who_adds_it_or_is_named() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for user in ["alice", "bob"] {
        admin.add_user(user).await;
    }
    let accounts = "/v1/service-accounts";
    let own: ServiceAccount = admin.post(accounts, json!({"name": "own"})).await.json(StatusCode::CREATED);
    assert_eq!(own.owner.as_deref(), Some("admin"));
    let of_alice = json!({"name": "ci", "owner": "alice"});
    let of_alice: ServiceAccount = admin.post(accounts, of_alice).await.json(StatusCode::CREATED);
    assert_eq!(of_alice.owner.as_deref(), Some("alice"));
    for owner in ["nobody", "own"] {
        let new = json!({"name": "other", "owner": owner});
        admin.post(accounts, new).await.problem(ProblemCode::NotFound);
        admin
            .send(Method::PATCH, "/v1/service-accounts/ci", json!({"owner": owner}))
            .await
            .problem(ProblemCode::NotFound);
    }
    let path = format!("/v1/service-accounts/{}", of_alice.id);
    let of_bob: ServiceAccount = admin.send(Method::PATCH, &path, json!({"owner": "bob"})).await.json(StatusCode::OK);
    assert_eq!(of_bob.owner.as_deref(), Some("bob"));
    let entries = server.record().await;
    let event = |name: &str| entries.iter().rfind(|entry| entry["event"] == name).unwrap();
    assert_eq!(event("service-account-added")["owner"]["name"], "alice");
    assert_eq!(event("service-account-changed")["owner"]["name"], "bob");
    // Another change leaves the owner, and the account outlives it.
    let _: Value = admin.send(Method::PATCH, &path, json!({"disabled": true})).await.json(StatusCode::OK);
    let listed: Page<ServiceAccount> = admin.get(accounts).await.json(StatusCode::OK);
    let owners: Vec<_> = listed.items.iter().map(|account| account.owner.as_deref()).collect();
    assert_eq!(owners, [Some("admin"), Some("bob")]);
    admin.bare(Method::DELETE, "/v1/users/bob").await.done();
    let orphan: ServiceAccount = admin.get(&path).await.json(StatusCode::OK);
    assert_eq!(orphan.owner, None);
}

#[tokio::test]
async fn strict_project_refuses_a_second_role_and_names_the_way_out() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for user in ["alice", "bob", "owner"] {
        admin.add_user(user).await;
    }
    let id = add_project(&admin, "release").await;
    add_key(&server, id, "tags", [1; 20]).await;
    let _: Value = admin.post("/v1/groups", json!({"name": "builders"})).await.json(StatusCode::CREATED);
    add_member(&admin, "release", "owner", "owner").await;
    add_member(&admin, "release", "alice", "key-user").await;
    let project = "/v1/projects/release";
    let owner = server.login("owner", PASSWORD).await;
    let changed: Project =
        owner.send(Method::PATCH, project, json!({"strict_separation": true})).await.json(StatusCode::OK);
    assert!(changed.strict_separation);
    assert_eq!(server.record().await.last().unwrap()["strict_separation"], true);
    let members = format!("{project}/members");
    let member = |kind: &str, name: &str, role: &str| json!({"kind": kind, "name": name, "role": role});
    let refused = async |kind: &str, name: &str, role: &str| {
        let answer = owner.send(Method::PUT, &members, member(kind, name, role)).await;
        answer.problem(ProblemCode::Conflict).detail.unwrap()
    };
    for (name, role, way_out) in [
        ("alice", "approver", "sealcard admin project remove-member release --user alice --role key-user"),
        ("owner", "key-user", ""),
    ] {
        if way_out.is_empty() {
            // The rule about oneself comes first.
            owner.send(Method::PUT, &members, member("user", name, role)).await.problem(ProblemCode::Forbidden);
            continue;
        }
        let detail = refused("user", name, role).await;
        assert!(detail.contains(way_out) && detail.contains("key-user") && detail.contains(role), "{detail}");
    }
    let of_admin = admin.send(Method::PUT, &members, member("user", "owner", "key-user")).await;
    let detail = of_admin.problem(ProblemCode::Conflict).detail.unwrap();
    assert!(detail.contains("project remove-member release --user owner --role owner"), "{detail}");
    // Through a group.
    admin.bare(Method::PUT, "/v1/groups/builders/members/alice").await.done();
    let detail = refused("group", "builders", "auditor").await;
    assert!(detail.contains("alice can't have the role auditor"), "{detail}");
    admin.bare(Method::DELETE, "/v1/groups/builders/members/alice").await.done();
    owner.send(Method::PUT, &members, member("group", "builders", "auditor")).await.done();
    // A second way to the same role is no second role.
    admin.send(Method::PUT, &members, member("user", "bob", "auditor")).await.done();
    admin.bare(Method::PUT, "/v1/groups/builders/members/bob").await.done();
    let detail = refused("user", "bob", "key-user").await;
    assert!(detail.contains("role auditor"), "{detail}");
    // With a system role.
    owner.send(Method::DELETE, &members, member("user", "bob", "auditor")).await.done();
    admin.bare(Method::DELETE, "/v1/groups/builders/members/bob").await.done();
    give(&admin, "bob", "security-officer").await;
    let detail = refused("user", "bob", "key-user").await;
    assert!(detail.contains("sealcard admin user change bob --no-system-role security-officer"), "{detail}");

    let path = format!("{project}/separation");
    let nobody: Separation = owner.get(&path).await.json(StatusCode::OK);
    assert_eq!((nobody.strict, nobody.not_separated.len()), (true, 0));
    // Group and system role come later, and are found.
    admin.bare(Method::PUT, "/v1/groups/builders/members/alice").await.done();
    give(&admin, "alice", "auditor").await;
    let found: Separation = owner.get(&path).await.json(StatusCode::OK);
    let alice = &found.not_separated[0];
    let roles: Vec<_> = alice.roles.iter().map(|held| (held.role, held.group.as_deref())).collect();
    assert_eq!((found.not_separated.len(), alice.name.as_str()), (1, "alice"));
    assert_eq!(roles, [(ProjectRole::Auditor, Some("builders")), (ProjectRole::KeyUser, None)]);
    assert_eq!(alice.system_roles, [SystemRole::Auditor]);
    // What is broken already can be repaired, and does not get worse.
    let detail = refused("user", "alice", "approver").await;
    assert!(detail.contains("key-user"), "{detail}");
    owner.send(Method::DELETE, &members, member("group", "builders", "auditor")).await.done();

    let may: MayUse = admin.post("/v1/rules/what-may", json!({"name": "alice"})).await.json(StatusCode::OK);
    assert!(may.uses.iter().all(|possible| possible.denied), "{may:?}");
    let _: Project = owner.send(Method::PATCH, project, json!({"strict_separation": false})).await.json(StatusCode::OK);
    owner.send(Method::PUT, &members, member("user", "alice", "approver")).await.done();
}

#[tokio::test]
async fn separation_is_told_to_those_who_see_who_can_use_the_keys() {
    let server = Running::start().await;
    let admin = server.admin().await;
    add_project(&admin, "release").await;
    for (user, role) in [("owner", "owner"), ("keyuser", "key-user"), ("approver", "approver"), ("auditor", "auditor")]
    {
        admin.add_user(user).await;
        add_member(&admin, "release", user, role).await;
    }
    admin.add_user("stranger").await;
    let path = "/v1/projects/release/separation";
    for (user, told) in [("owner", true), ("auditor", true), ("keyuser", false), ("approver", false)] {
        let answer = server.login(user, PASSWORD).await.get(path).await;
        if told {
            let _: Separation = answer.json(StatusCode::OK);
        } else {
            answer.problem(ProblemCode::Forbidden);
        }
    }
    server.login("stranger", PASSWORD).await.get(path).await.problem(ProblemCode::NotFound);
}
