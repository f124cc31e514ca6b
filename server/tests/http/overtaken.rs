//! Requests that a change overtakes: what they were let in for is not so any more when they come to write.

use std::{pin::pin, sync::mpsc, time::Duration};

use reqwest::{Method, StatusCode};
use sealcard_api::{admin::User, problem::ProblemCode};
use sealcard_policy::{PrincipalKind, SystemRoles};
use sealcard_server::storage::{PrincipalChange, StorageError};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{Answer, PASSWORD, Running};

/// Long enough for a password to be hashed; shorter would only make the tests weaker.
const HASHED: Duration = Duration::from_millis(500);

/// The answer to a request while whose password is hashed the user `other` is changed.
async fn overtaken(server: &Running, change: PrincipalChange, request: impl Future<Output = Answer>) -> Answer {
    let (store, again) = (server.store.clone(), server.store.clone());
    let (begun, begins) = mpsc::channel();
    let (release, held) = mpsc::channel();
    let holder = tokio::spawn(async move {
        let job = store.write(move |_| {
            begun.send(()).unwrap();
            held.recv().unwrap();
            Ok::<_, StorageError>(())
        });
        job.await.unwrap();
    });
    begins.recv().unwrap();
    let other = again.principal(PrincipalKind::User, "other").await.unwrap().unwrap().id;
    let job = again.write(move |tx| tx.change_principal(other, &change));
    let mut changed = pin!(job);
    tokio::select! {
        biased;
        done = &mut changed => { let done: Result<(), StorageError> = done; panic!("nothing holds it up: {done:?}") }
        () = std::future::ready(()) => {}
    }
    let mut request = pin!(request);
    tokio::select! {
        answer = &mut request => panic!("nothing holds it up: {}", answer.text()),
        () = sleep(HASHED) => {}
    }
    release.send(()).unwrap();
    holder.await.unwrap();
    changed.await.unwrap();
    request.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_dismissed_while_a_password_is_hashed_changes_nothing() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("other").await;
    admin.add_user("victim").await;
    let body = json!({"name": "new", "password": "another long password"});
    for (method, path) in [(Method::POST, "/v1/users"), (Method::PATCH, "/v1/users/victim")] {
        let _: User = admin
            .send(Method::PATCH, "/v1/users/other", json!({"add_roles": ["administrator"]}))
            .await
            .json(StatusCode::OK);
        let other = server.login("other", PASSWORD).await;
        let dismissed = PrincipalChange { system_roles: Some(SystemRoles::NONE), ..PrincipalChange::default() };
        let body = if method == Method::POST { body.clone() } else { json!({"password": "another long password"}) };
        let answer = overtaken(&server, dismissed, other.send(method, path, body)).await;
        answer.problem(ProblemCode::Forbidden);
    }
    admin.get("/v1/users/new").await.problem(ProblemCode::NotFound);
    server.login("victim", PASSWORD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_login_with_a_password_that_is_changed_meanwhile_fails_and_is_recorded() {
    let server = Running::start().await;
    server.admin().await.add_user("other").await;
    let changed = PrincipalChange { password: Some("none".to_owned()), ..PrincipalChange::default() };
    overtaken(&server, changed, server.try_login("other", PASSWORD)).await.problem(ProblemCode::WrongCredentials);
    let record = server.record().await;
    let failed: Vec<&Value> = record.iter().filter(|entry| entry["event"] == "login-failed").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rules_of_an_administrator_who_is_dismissed_meanwhile_are_not_applied() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("other").await;
    let rules = json!({"text": "[rule.a]\nhashes = [\"sha256\"]\n", "base": 0});
    let template = json!({"text": "[template.a]\nhashes = [\"sha256\"]\n"});
    for (method, path, body) in
        [(Method::PUT, "/v1/environments/default/rules", rules), (Method::POST, "/v1/templates", template)]
    {
        let _: User = admin
            .send(Method::PATCH, "/v1/users/other", json!({"add_roles": ["administrator"]}))
            .await
            .json(StatusCode::OK);
        let other = server.login("other", PASSWORD).await;
        let dismissed = PrincipalChange { system_roles: Some(SystemRoles::NONE), ..PrincipalChange::default() };
        overtaken(&server, dismissed, other.send(method, path, body)).await.problem(ProblemCode::Forbidden);
    }
    let rules: Value = admin.get("/v1/environments/default/rules").await.json(StatusCode::OK);
    assert_eq!(rules["version"], 0);
    admin.get("/v1/templates/a").await.problem(ProblemCode::NotFound);
}
