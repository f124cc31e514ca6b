//! One's own password, and one-time passwords.

use reqwest::{Method, StatusCode};
use sealcard_api::{
    Timestamp,
    admin::{OneTimePassword, User, UserAdded},
    grants::{GrantInfo, GrantIssued},
    problem::ProblemCode,
};
use sealcard_server::storage::{PrincipalChange, StorageError};
use serde_json::{Value, json};

use crate::harness::{Answer, PASSWORD, Running, Session};

const CHOSEN: &str = "a password of my own";

async fn add(admin: &Session<'_>, name: &str) -> OneTimePassword {
    let added: UserAdded = admin.post("/v1/users", json!({"name": name})).await.json(StatusCode::CREATED);
    added.one_time_password.unwrap()
}

async fn login_with(server: &Running, user: &str, password: &str, new: &str) -> Answer {
    let body = json!({"type": "password", "user": user, "password": password, "new_password": new});
    server.ask(Method::POST, "/v1/login", None, Some(body)).await
}

async fn events(server: &Running) -> Vec<Value> {
    server.record().await.into_iter().map(|entry| entry["event"].clone()).collect()
}

#[tokio::test]
async fn one_time_password_gives_no_grant_until_changed() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let first = add(&admin, "alice").await;
    let days = (first.expires.unix() - Timestamp::now().unix()) as f64 / 86_400.0;
    assert!((6.9..=7.0).contains(&days), "{days}");
    let user: User = admin.get("/v1/users/alice").await.json(StatusCode::OK);
    assert_eq!(user.one_time_password_expires, Some(first.expires));

    let password = &first.password.0;
    server.try_login("alice", password).await.problem(ProblemCode::PasswordChangeRequired);
    login_with(&server, "alice", password, "short").await.problem(ProblemCode::Invalid);
    login_with(&server, "alice", password, password).await.problem(ProblemCode::Invalid);
    login_with(&server, "alice", "wrong horse battery", CHOSEN).await.problem(ProblemCode::WrongCredentials);
    let answer = login_with(&server, "alice", password, CHOSEN).await;
    assert_eq!(answer.headers["connection"], "close");
    let issued: GrantIssued = answer.json(StatusCode::OK);
    assert_eq!(issued.grant.principal_name, "alice");

    server.try_login("alice", password).await.problem(ProblemCode::WrongCredentials);
    server.login("alice", CHOSEN).await;
    let user: User = admin.get("/v1/users/alice").await.json(StatusCode::OK);
    assert_eq!(user.one_time_password_expires, None);
    let told: Vec<_> =
        events(&server).await.into_iter().filter(|event| event.as_str().unwrap().contains("password")).collect();
    assert_eq!(told, ["password-change-required", "password-changed"]);
    let bytes = server.database_files();
    for secret in [password.as_str(), CHOSEN] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[tokio::test]
async fn expired_one_time_password_is_refused() {
    let server = Running::start().await;
    let admin = server.admin().await;
    add(&admin, "alice").await;
    let user: User = admin.get("/v1/users/alice").await.json(StatusCode::OK);
    let stored = sealcard_server::authn::hash_password_now("abcd-efgh-ijkl-mnop").unwrap();
    let change = PrincipalChange { password: Some(stored), one_time_until: Some(1), ..PrincipalChange::default() };
    let changed: Result<(), StorageError> = server.store.write(move |tx| tx.change_principal(user.id, &change)).await;
    changed.unwrap();
    let answer = login_with(&server, "alice", "abcd-efgh-ijkl-mnop", CHOSEN).await;
    let problem = answer.problem(ProblemCode::WrongCredentials);
    assert!(problem.detail.unwrap().contains("expired"));
}

#[tokio::test]
async fn reset_ends_logins_and_gives_a_one_time_password() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let alice = server.login("alice", PASSWORD).await;
    alice.bare(Method::POST, "/v1/users/alice/one-time-password").await.problem(ProblemCode::Forbidden);
    let reset: OneTimePassword =
        admin.bare(Method::POST, "/v1/users/alice/one-time-password").await.json(StatusCode::CREATED);
    alice.get("/v1/grants/current").await.problem(ProblemCode::GrantRevoked);
    server.try_login("alice", PASSWORD).await.problem(ProblemCode::WrongCredentials);
    let _: GrantIssued = login_with(&server, "alice", &reset.password.0, CHOSEN).await.json(StatusCode::OK);
    admin.bare(Method::POST, "/v1/users/admin/one-time-password").await.problem(ProblemCode::Conflict);
}

#[tokio::test]
async fn administrator_with_an_unused_one_time_password_does_not_count() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let body = json!({"name": "second", "roles": ["administrator"]});
    let second: UserAdded = admin.post("/v1/users", body).await.json(StatusCode::CREATED);
    admin.bare(Method::DELETE, "/v1/users/admin").await.problem(ProblemCode::Conflict);
    let password = second.one_time_password.unwrap().password.0;
    let _: GrantIssued = login_with(&server, "second", &password, CHOSEN).await.json(StatusCode::OK);
    admin.bare(Method::DELETE, "/v1/users/admin").await.done();
}

#[tokio::test]
async fn own_password_change_keeps_this_login_and_ends_others() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let (this, other) = (server.login("alice", PASSWORD).await, server.login("alice", PASSWORD).await);
    let change = |old: &str, new: &str| json!({"old": old, "new": new});
    this.post("/v1/password", change("wrong horse battery", CHOSEN)).await.problem(ProblemCode::WrongCredentials);
    this.post("/v1/password", change(PASSWORD, "short")).await.problem(ProblemCode::Invalid);
    this.post("/v1/password", change(PASSWORD, PASSWORD)).await.problem(ProblemCode::Invalid);
    let _: GrantInfo = other.get("/v1/grants/current").await.json(StatusCode::OK);
    let answer = this.post("/v1/password", change(PASSWORD, CHOSEN)).await;
    answer.done();
    assert_eq!(answer.headers["connection"], "close");
    let _: GrantInfo = this.get("/v1/grants/current").await.json(StatusCode::OK);
    other.get("/v1/grants/current").await.problem(ProblemCode::GrantRevoked);
    server.try_login("alice", PASSWORD).await.problem(ProblemCode::WrongCredentials);
    server.login("alice", CHOSEN).await;
    let record = server.record().await;
    let told = |event: &str| record.iter().filter(|entry| entry["event"] == event).count();
    assert_eq!((told("password-change-failed"), told("password-changed")), (1, 1));
    let text = serde_json::to_string(&record).unwrap();
    assert!(!text.contains(CHOSEN) && !text.contains(PASSWORD));
}

#[tokio::test]
async fn wrong_old_passwords_are_slowed_down() {
    let server = Running::with(|limits| limits.free_attempts = 2).await;
    let admin = server.admin().await;
    let change = json!({"old": "wrong horse battery", "new": CHOSEN});
    for _ in 0..2 {
        admin.post("/v1/password", &change).await.problem(ProblemCode::WrongCredentials);
    }
    let problem = admin.post("/v1/password", &change).await.problem(ProblemCode::TooManyAttempts);
    assert!(!problem.detail.unwrap().contains("1 seconds"));
}

#[tokio::test]
async fn service_account_has_no_password_to_change() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let _: Value = admin.post("/v1/service-accounts", json!({"name": "ci"})).await.json(StatusCode::CREATED);
    let token: Value = admin.post("/v1/service-accounts/ci/tokens", json!({"days": 1})).await.json(StatusCode::CREATED);
    let login = json!({"type": "service-token", "token": token["secret"]});
    let issued: GrantIssued = server.ask(Method::POST, "/v1/login", None, Some(login)).await.json(StatusCode::OK);
    let session = Session { server: &server, token: issued.token.0.clone(), issued };
    let change = json!({"old": "anything at all", "new": CHOSEN});
    session.post("/v1/password", change).await.problem(ProblemCode::Conflict);
}
