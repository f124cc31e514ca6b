//! Passwords, tokens and grants.

use reqwest::{Method, StatusCode};
use sealcard_api::{
    admin::{Page, ServiceTokenIssued, User},
    grants::{GrantInfo, GrantIssued},
    problem::ProblemCode,
    roles::SystemRole,
};
use serde_json::json;

use crate::harness::{ADMIN, PASSWORD, Running, Session};

#[tokio::test]
async fn the_right_password_gives_a_grant_that_works() {
    let server = Running::start().await;
    let admin = server.admin().await;
    assert!(admin.token.starts_with("scg_"));
    let current: GrantInfo = admin.get("/v1/grants/current").await.json(StatusCode::OK);
    let (last_used, last_address) = (current.last_used, current.last_address.clone());
    assert_eq!(current, GrantInfo { last_used, last_address, ..admin.issued.grant.clone() });
    assert_eq!((current.principal_name.as_str(), current.label.as_str()), (ADMIN, "test"));
    assert!(current.roles == [SystemRole::Administrator] && current.expires > current.created);
    assert!(current.refreshable_until > current.expires);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_the_same_and_are_recorded() {
    let server = Running::start().await;
    let wrong = server.try_login(ADMIN, "wrong horse battery").await.problem(ProblemCode::WrongCredentials);
    let unknown = server.try_login("nobody", "wrong horse battery").await.problem(ProblemCode::WrongCredentials);
    assert_eq!((wrong.detail, wrong.title), (unknown.detail, unknown.title));
    let events: Vec<_> = server.record().await.into_iter().map(|entry| entry["event"].clone()).collect();
    assert_eq!(events, ["login-failed", "login-failed"]);
    let text = serde_json::to_string(&server.record().await).unwrap();
    assert!(!text.contains("wrong horse"), "{text}");
}

#[tokio::test]
async fn wrong_passwords_are_slowed_down_and_the_right_one_too() {
    let server = Running::with(|limits| limits.free_attempts = 2).await;
    for _ in 0..2 {
        server.try_login(ADMIN, "wrong horse battery").await.problem(ProblemCode::WrongCredentials);
    }
    let answer = server.try_login(ADMIN, PASSWORD).await;
    let problem = answer.problem(ProblemCode::TooManyAttempts);
    assert!(problem.retry_after.unwrap() >= 1);
    assert_eq!(answer.headers["retry-after"].to_str().unwrap(), problem.retry_after.unwrap().to_string());
}

#[tokio::test]
async fn wrong_passwords_at_once_do_not_slip_through_and_right_ones_at_once_all_pass() {
    let server = Running::with(|limits| (limits.free_attempts, limits.password_checks) = (3, 2)).await;
    let right = futures_of(12, || server.try_login(ADMIN, PASSWORD)).await;
    assert!(right.iter().all(|answer| answer.status == StatusCode::OK));
    let wrong = futures_of(12, || server.try_login(ADMIN, "wrong horse battery")).await;
    let tried = wrong.iter().filter(|answer| answer.status == StatusCode::UNAUTHORIZED).count();
    assert!((3..=4).contains(&tried), "{tried} attempts were made");
}

/// All at once.
async fn futures_of<F: Future<Output = crate::harness::Answer>>(
    count: usize,
    make: impl Fn() -> F,
) -> Vec<crate::harness::Answer> {
    let mut running: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        running.retain_mut(|future| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(answer) => {
                done.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn login_closes_its_connection_and_other_answers_do_not() {
    let server = Running::start().await;
    let login = server.try_login(ADMIN, PASSWORD).await;
    assert_eq!(login.headers["connection"], "close");
    let issued: GrantIssued = login.json(StatusCode::OK);
    let session = Session { server: &server, token: issued.token.0.clone(), issued };
    assert!(!session.get("/v1/grants/current").await.headers.contains_key("connection"));
    let body = json!({"name": "x", "password": PASSWORD});
    assert_eq!(session.post("/v1/users", body).await.headers["connection"], "close");
}

#[tokio::test]
async fn no_grant_a_wrong_one_and_a_revoked_one_are_told_apart() {
    let server = Running::start().await;
    let admin = server.admin().await;
    server.ask(Method::GET, "/v1/users", None, None).await.problem(ProblemCode::Unauthenticated);
    for token in ["", "scg_", "scg_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "sct_x", "nonsense"] {
        let answer = server.ask(Method::GET, "/v1/users", Some(token), None).await;
        answer.problem(ProblemCode::Unauthenticated);
        assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    }
    admin.bare(Method::DELETE, "/v1/grants/current").await.done();
    admin.get("/v1/users").await.problem(ProblemCode::GrantRevoked);
}

#[tokio::test]
async fn a_refreshed_grant_has_a_new_token_and_the_old_one_lasts_a_while() {
    let server = Running::start().await;
    let old = server.admin().await;
    let issued: GrantIssued = old.bare(Method::POST, "/v1/grants/refresh").await.json(StatusCode::OK);
    assert_eq!(issued.grant.id, old.issued.grant.id);
    assert_ne!(issued.token, old.issued.token);
    // Another process refreshes at once with the same old token: both new ones must last.
    let other: GrantIssued = old.bare(Method::POST, "/v1/grants/refresh").await.json(StatusCode::OK);
    for token in [&issued.token.0, &other.token.0, &old.token] {
        let answer = server.ask(Method::GET, "/v1/grants/current", Some(token), None).await;
        let _: GrantInfo = answer.json(StatusCode::OK);
    }
    // Revoking the grant ends all of its tokens.
    old.bare(Method::DELETE, "/v1/grants/current").await.done();
    for token in [&issued.token.0, &other.token.0, &old.token] {
        let answer = server.ask(Method::GET, "/v1/grants/current", Some(token), None).await;
        answer.problem(ProblemCode::GrantRevoked);
    }
}

#[tokio::test]
async fn a_token_that_was_refreshed_expires_after_its_overlap() {
    let server = Running::with(|limits| limits.grant_overlap_seconds = 0).await;
    let old = server.admin().await;
    let issued: GrantIssued = old.bare(Method::POST, "/v1/grants/refresh").await.json(StatusCode::OK);
    old.get("/v1/grants/current").await.problem(ProblemCode::GrantExpired);
    let answer = server.ask(Method::GET, "/v1/grants/current", Some(&issued.token.0), None).await;
    let _: GrantInfo = answer.json(StatusCode::OK);
}

#[tokio::test]
async fn disabling_and_removing_a_user_and_a_new_password_take_effect_on_the_next_request() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for (name, change) in
        [("a", Some(json!({"disabled": true}))), ("b", Some(json!({"password": "another horse battery"}))), ("c", None)]
    {
        admin.add_user(name).await;
        let user = server.login(name, PASSWORD).await;
        let _: GrantInfo = user.get("/v1/grants/current").await.json(StatusCode::OK);
        let path = format!("/v1/users/{name}");
        match change {
            Some(change) => {
                let _: User = admin.send(Method::PATCH, &path, change).await.json(StatusCode::OK);
            }
            None => admin.bare(Method::DELETE, &path).await.done(),
        }
        user.get("/v1/grants/current").await.problem(ProblemCode::GrantRevoked);
        user.bare(Method::POST, "/v1/grants/refresh").await.problem(ProblemCode::GrantRevoked);
        server.try_login(name, PASSWORD).await.problem(ProblemCode::WrongCredentials);
    }
    let _ = server.login("b", "another horse battery").await;
}

#[tokio::test]
async fn one_sees_and_revokes_ones_own_grants_and_administrators_everyones() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let (first, second) = (server.login("alice", PASSWORD).await, server.login("alice", PASSWORD).await);
    let own: Page<GrantInfo> = first.get("/v1/grants").await.json(StatusCode::OK);
    assert_eq!(own.items.iter().map(|g| g.id).collect::<Vec<_>>(), [first.issued.grant.id, second.issued.grant.id]);
    let all: Page<GrantInfo> = admin.get("/v1/grants").await.json(StatusCode::OK);
    assert_eq!(all.items.len(), 3);
    let hers: Page<GrantInfo> = admin.get("/v1/grants?principal=alice").await.json(StatusCode::OK);
    assert_eq!(hers, own);
    first.get("/v1/grants?principal=admin").await.problem(ProblemCode::Forbidden);

    let admins = format!("/v1/grants/{}", admin.issued.grant.id);
    first.bare(Method::DELETE, &admins).await.problem(ProblemCode::Forbidden);
    first.bare(Method::DELETE, &format!("/v1/grants/{}", second.issued.grant.id)).await.done();
    second.get("/v1/grants").await.problem(ProblemCode::GrantRevoked);
    admin.bare(Method::DELETE, &format!("/v1/grants/{}", first.issued.grant.id)).await.done();
    first.get("/v1/grants").await.problem(ProblemCode::GrantRevoked);
}

#[tokio::test]
async fn service_tokens_give_grants_until_they_are_revoked() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let _: serde_json::Value =
        admin.post("/v1/service-accounts", json!({"name": "ci"})).await.json(StatusCode::CREATED);
    let token: ServiceTokenIssued = admin
        .post("/v1/service-accounts/ci/tokens", json!({"label": "runner", "days": 1}))
        .await
        .json(StatusCode::CREATED);
    let login = json!({"type": "service-token", "token": token.secret, "label": "runner 7"});
    let answer = server.ask(Method::POST, "/v1/login", None, Some(login.clone())).await;
    let issued: GrantIssued = answer.json(StatusCode::OK);
    assert_eq!(issued.grant.refreshable_until, token.token.expires, "a grant does not outlive its token");
    let session = Session { server: &server, token: issued.token.0.clone(), issued };
    let _: GrantInfo = session.get("/v1/grants/current").await.json(StatusCode::OK);
    session.get("/v1/users").await.problem(ProblemCode::Forbidden);

    let path = format!("/v1/service-accounts/ci/tokens/{}", token.token.id);
    admin.bare(Method::DELETE, &path).await.done();
    session.get("/v1/grants/current").await.problem(ProblemCode::GrantRevoked);
    server.ask(Method::POST, "/v1/login", None, Some(login)).await.problem(ProblemCode::WrongCredentials);
}

#[tokio::test]
async fn only_hashes_of_secrets_are_in_the_database() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let issued: GrantIssued = admin.bare(Method::POST, "/v1/grants/refresh").await.json(StatusCode::OK);
    let bytes = server.database_files();
    assert!(bytes.windows(ADMIN.len()).any(|w| w == ADMIN.as_bytes()), "the search finds what is there");
    for secret in [PASSWORD, &admin.token[4..], &issued.token.0[4..]] {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()));
    }
}

#[tokio::test]
async fn what_is_typed_as_a_name_is_recorded_as_a_hash() {
    const TYPED: &str = "hunter2hunter2x";
    let server = Running::with(|limits| limits.free_attempts = 2).await;
    for _ in 0..2 {
        server.try_login(TYPED, "wrong horse battery").await.problem(ProblemCode::WrongCredentials);
    }
    server.try_login(TYPED, "wrong horse battery").await.problem(ProblemCode::TooManyAttempts);
    let record = server.record().await;
    let hash = record[0]["unknown_user"].as_str().unwrap();
    assert_eq!(hash.len(), 16);
    for entry in &record {
        // The one that was too soon was not looked at.
        let looked_at = entry["event"] == "login-failed";
        let name = looked_at.then_some(hash);
        assert_eq!((entry["unknown_user"].as_str(), &entry["peer"]), (name, &json!("127.0.0.1")));
        assert!(entry.get("principal").is_none() && entry.get("actor").is_none());
    }
    let bytes = server.database_files();
    assert!(!bytes.windows(TYPED.len()).any(|window| window == TYPED.as_bytes()));
}

#[tokio::test]
async fn every_failed_login_is_recorded_with_its_peer() {
    let server = Running::start().await;
    server.try_login(ADMIN, "wrong horse battery").await.problem(ProblemCode::WrongCredentials);
    let token = json!({"type": "service-token", "token": "sct_nonsense"});
    server.ask(Method::POST, "/v1/login", None, Some(token)).await.problem(ProblemCode::WrongCredentials);
    let record = server.record().await;
    assert_eq!(record.len(), 2);
    for entry in &record {
        assert_eq!(entry["event"], "login-failed");
        assert_eq!(entry["peer"], "127.0.0.1");
    }
    assert_eq!(record[0]["principal"]["name"], ADMIN);
    assert_eq!(record[0]["reason"], "wrong-password");
    assert_eq!(record[1]["reason"], "unusable-token");
}
