//! Users, groups, projects and their roles.

use reqwest::{Method, StatusCode};
use sealcard_api::{
    admin::{Group, Page, Project, ProjectMember, User},
    problem::ProblemCode,
};
use sealcard_policy::{Role, Roles};
use serde_json::{Value, json};

use crate::harness::{ADMIN, PASSWORD, Running};

#[tokio::test]
async fn only_administrators_manage_the_server() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let alice = server.login("alice", PASSWORD).await;
    let user = json!({"name": "mallory", "password": PASSWORD, "roles": ["administrator"]});
    alice.post("/v1/users", user).await.problem(ProblemCode::Forbidden);
    alice
        .send(Method::PATCH, "/v1/users/alice", json!({"add_roles": ["administrator"]}))
        .await
        .problem(ProblemCode::Forbidden);
    alice.bare(Method::DELETE, "/v1/users/admin").await.problem(ProblemCode::Forbidden);
    alice.post("/v1/projects", json!({"name": "mine"})).await.problem(ProblemCode::Forbidden);
    alice.post("/v1/groups", json!({"name": "mine"})).await.problem(ProblemCode::Forbidden);
    alice.post("/v1/service-accounts", json!({"name": "mine"})).await.problem(ProblemCode::Forbidden);
    for path in ["/v1/users", "/v1/users/admin", "/v1/groups", "/v1/service-accounts"] {
        alice.get(path).await.problem(ProblemCode::Forbidden);
    }
    let own: User = alice.get("/v1/users/alice").await.json(StatusCode::OK);
    assert_eq!((own.name.as_str(), own.roles.as_slice()), ("alice", [].as_slice()));
}

#[tokio::test]
async fn names_are_checked_and_unique_among_users_and_service_accounts() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let user = |name: &str| json!({"name": name, "password": PASSWORD});
    for name in ["", "a b", "../x", "ü", &"x".repeat(65)] {
        admin.post("/v1/users", user(name)).await.problem(ProblemCode::Invalid);
    }
    admin.add_user("alice").await;
    admin.post("/v1/users", user("alice")).await.problem(ProblemCode::Conflict);
    admin.post("/v1/service-accounts", json!({"name": "alice"})).await.problem(ProblemCode::Conflict);
    let short = json!({"name": "bob", "password": "short"});
    let problem = admin.post("/v1/users", short).await.problem(ProblemCode::Invalid);
    assert!(problem.detail.unwrap().contains("12 characters"));
    admin.bare(Method::DELETE, "/v1/users/alice").await.done();
    admin.add_user("alice").await;
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for change in [json!({"remove_roles": ["administrator"]}), json!({"disabled": true})] {
        admin.send(Method::PATCH, "/v1/users/admin", change).await.problem(ProblemCode::Conflict);
    }
    admin.bare(Method::DELETE, "/v1/users/admin").await.problem(ProblemCode::Conflict);
    admin.add_user("alice").await;
    let _: User = admin
        .send(Method::PATCH, "/v1/users/alice", json!({"add_roles": ["administrator"]}))
        .await
        .json(StatusCode::OK);
    admin.bare(Method::DELETE, "/v1/users/admin").await.done();
    let alice = server.login("alice", PASSWORD).await;
    let page: Page<User> = alice.get("/v1/users").await.json(StatusCode::OK);
    assert_eq!(page.items.len(), 1);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for n in 0..5 {
        let _: Value = admin.post("/v1/groups", json!({"name": format!("g{n}")})).await.json(StatusCode::CREATED);
    }
    let mut names = Vec::new();
    let mut path = "/v1/groups?limit=2".to_owned();
    loop {
        let page: Page<Group> = admin.get(&path).await.json(StatusCode::OK);
        assert!(page.items.len() <= 2);
        names.extend(page.items.into_iter().map(|group| group.name));
        match page.next {
            Some(next) => path = format!("/v1/groups?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["g0", "g1", "g2", "g3", "g4"]);
    for query in ["limit=0", "limit=501", "limit=x", "after=x", "unknown=1"] {
        admin.get(&format!("/v1/groups?{query}")).await.problem(ProblemCode::Invalid);
    }
}

#[tokio::test]
async fn roles_come_from_the_principal_and_its_groups_and_go_with_them() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for name in ["alice", "bob"] {
        admin.add_user(name).await;
    }
    let alice_id = server.login("alice", PASSWORD).await.issued.grant.principal;
    let project: Project = admin.post("/v1/projects", json!({"name": "core"})).await.json(StatusCode::CREATED);
    let _: Value = admin.post("/v1/groups", json!({"name": "release"})).await.json(StatusCode::CREATED);
    let roles = async || server.store.roles_in_project(alice_id, project.id).await.unwrap();
    assert_eq!(roles().await, Roles::NONE);

    let member = |kind: &str, name: &str, role: &str| json!({"kind": kind, "name": name, "role": role});
    let before = server.store.registry_version();
    let path = "/v1/projects/core/members";
    admin.send(Method::PUT, path, member("user", "alice", "key-user")).await.done();
    admin.send(Method::PUT, path, member("group", "release", "auditor")).await.done();
    admin.bare(Method::PUT, "/v1/groups/release/members/alice").await.done();
    assert_eq!(roles().await, Roles::NONE.with(Role::KeyUser).with(Role::Auditor));
    assert_eq!(server.store.registry_version(), before + 3);
    admin.bare(Method::PUT, "/v1/groups/release/members/alice").await.done();
    assert_eq!(server.store.registry_version(), before + 3, "nothing has changed");

    let shown: Project = admin.get("/v1/projects/core").await.json(StatusCode::OK);
    assert_eq!(shown.members.len(), 2);
    let members: Vec<ProjectMember> = admin.get(path).await.json(StatusCode::OK);
    assert_eq!(members, shown.members);

    admin.bare(Method::DELETE, "/v1/groups/release/members/alice").await.done();
    assert_eq!(roles().await, Roles::NONE.with(Role::KeyUser));
    admin.send(Method::DELETE, path, member("user", "alice", "key-user")).await.done();
    assert_eq!(roles().await, Roles::NONE);
    admin.bare(Method::PUT, "/v1/groups/release/members/alice").await.done();
    admin.bare(Method::DELETE, "/v1/groups/release").await.done();
    assert_eq!(roles().await, Roles::NONE);
    for unknown in [member("user", "nobody", "owner"), member("group", "nobody", "owner")] {
        admin.send(Method::PUT, path, unknown).await.problem(ProblemCode::NotFound);
    }
}

#[tokio::test]
async fn owners_manage_their_project_and_strangers_do_not_see_it() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for name in ["owner", "user", "stranger"] {
        admin.add_user(name).await;
    }
    for name in ["core", "other"] {
        let _: Project = admin.post("/v1/projects", json!({"name": name})).await.json(StatusCode::CREATED);
    }
    let path = "/v1/projects/core/members";
    let member = |name: &str, role: &str| json!({"kind": "user", "name": name, "role": role});
    admin.send(Method::PUT, path, member("owner", "owner")).await.done();
    let (owner, user) = (server.login("owner", PASSWORD).await, server.login("user", PASSWORD).await);
    owner.send(Method::PUT, path, member("user", "key-user")).await.done();
    owner
        .send(Method::PUT, "/v1/projects/other/members", member("owner", "owner"))
        .await
        .problem(ProblemCode::NotFound);
    user.send(Method::PUT, path, member("user", "owner")).await.problem(ProblemCode::Forbidden);
    let listed: Page<Project> = user.get("/v1/projects").await.json(StatusCode::OK);
    assert_eq!(listed.items.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["core"]);

    let stranger = server.login("stranger", PASSWORD).await;
    let seen = stranger.get("/v1/projects/core").await.problem(ProblemCode::NotFound);
    let unseen = stranger.get("/v1/projects/none").await.problem(ProblemCode::NotFound);
    assert_eq!(seen.detail.unwrap().replace("core", "none"), unseen.detail.unwrap());
}

#[tokio::test]
async fn every_change_is_in_the_record_with_who_made_it() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    admin.bare(Method::DELETE, "/v1/users/alice").await.done();
    let entries = server.record().await;
    let events: Vec<&str> = entries.iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["login", "user-added", "user-removed"]);
    for entry in entries {
        assert_eq!(entry["actor"]["id"], json!(admin.issued.grant.principal), "{entry}");
        assert_eq!(entry["actor"]["name"], json!(ADMIN), "{entry}");
        assert_eq!(entry["peer"], json!("127.0.0.1"), "{entry}");
    }
    assert_eq!(admin.issued.grant.principal_name, ADMIN);
}
