//! Errors and the OpenAPI document.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use sealcard_api::{grants::ServerInfo, problem::ProblemCode};
use serde_json::{Value, json};

use crate::harness::{Answer, DEADLINE, Running};

#[tokio::test]
async fn everyone_may_know_who_the_server_is_and_that_it_lives() {
    let server = Running::start().await;
    server.ask(Method::GET, "/healthz", None, None).await.done();
    let answer = server.ask(Method::GET, "/v1/server", None, None).await;
    let info: ServerInfo = answer.json(StatusCode::OK);
    assert_eq!(info.server_id, server.store.server_id());
    assert_eq!(answer.headers["sealcard-registry-version"], server.store.registry_version().to_string());
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    // The harness starts no signer, so the environment can't be ready.
    let server = Running::start().await;
    let ready: Value = server.ask(Method::GET, "/readyz", None, None).await.json(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready["ready"], false);
    assert_eq!(ready["reasons"], json!(["The signer of an environment does not answer."]));
    let admin = server.admin().await;
    let ready: Value = admin.get("/readyz").await.json(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready["reasons"], json!(["The signer of the environment default does not answer."]));
}

#[tokio::test]
async fn wrong_addresses_methods_and_bodies_are_problems() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.get("/v2/users").await.problem(ProblemCode::NotFound);
    admin.bare(Method::DELETE, "/v1/users").await.problem(ProblemCode::MethodNotAllowed);
    admin.bare(Method::POST, "/v1/groups").await.problem(ProblemCode::UnsupportedMediaType);
    let problem = admin.post("/v1/groups", json!({"nam": "x"})).await.problem(ProblemCode::Invalid);
    assert!(problem.detail.unwrap().contains("unknown field `nam`"));
    let problem = admin.post("/v1/groups", json!({"name": ["x"]})).await.problem(ProblemCode::Invalid);
    assert!(problem.detail.unwrap().contains("\"name\""));
    let broken = server.client().post(server.url("/v1/groups")).bearer_auth(&admin.token);
    let broken = broken.header("content-type", "application/json").body("{\"name\": ").send().await.unwrap();
    Answer::of(broken).await.problem(ProblemCode::Invalid);
    admin.get("/v1/users/nobody").await.problem(ProblemCode::NotFound);
    admin.bare(Method::DELETE, "/v1/grants/nonsense").await.problem(ProblemCode::Invalid);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_and_without_a_length() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(70_000));
    let post = || {
        let request = server.client().post(server.url("/v1/groups")).bearer_auth(&admin.token).timeout(DEADLINE);
        request.header("content-type", "application/json")
    };
    Answer::of(post().body(large).send().await.unwrap()).await.problem(ProblemCode::TooLarge);
    let _: Value = admin.post("/v1/groups", json!({"name": "after"})).await.json(StatusCode::CREATED);
}

#[tokio::test]
async fn the_document_lists_what_is_served_and_every_route_answers() {
    let server = Running::start().await;
    let document: Value = server.ask(Method::GET, "/v1/openapi.json", None, None).await.json(StatusCode::OK);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    let expected = [
        "/healthz",
        "/readyz",
        "/v1/server",
        "/v1/login",
        "/v1/grants",
        "/v1/grants/current",
        "/v1/grants/refresh",
        "/v1/grants/{grant}",
        "/v1/users",
        "/v1/users/{user}",
        "/v1/service-accounts",
        "/v1/service-accounts/{account}/tokens",
        "/v1/groups/{group}/members/{principal}",
        "/v1/projects/{project}/members",
    ];
    for path in expected {
        assert!(paths.contains_key(path), "{path} is missing");
    }
    let mut seen = BTreeSet::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let concrete = path.replace(['{', '}'], "");
            let answer = server.ask(method.clone(), &concrete, None, None).await;
            // A route that is documented but not served would be one of these.
            let nothing_there = String::from_utf8_lossy(&answer.body).contains("There is nothing at this address");
            assert!(!nothing_there && answer.status != StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let public = ["/healthz", "/readyz", "/v1/server", "/v1/login"].contains(&path.as_str());
            assert_eq!(operation.get("security").is_none(), public, "{method} {path}");
            if !public {
                answer.problem(ProblemCode::Unauthenticated);
            }
            assert!(operation["responses"]["default"]["content"]["application/problem+json"].is_object());
            assert!(seen.insert(format!("{} {path}", operation["operationId"])));
        }
    }
}
