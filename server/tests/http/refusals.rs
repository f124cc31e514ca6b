//! Everything that is refused is recorded, and a flood is a few entries.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use sealcard_api::problem::ProblemCode;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Running};

/// The refused requests in the record: who, why, route and number.
async fn refused(server: &Running) -> Vec<(Option<String>, String, String, u64)> {
    server.state.requests.record_bursts(None).await;
    let entries = server.record().await.into_iter().filter(|entry| entry["event"] == "request-refused");
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let told = entries.map(|entry| {
        (
            text(&entry["actor"]["name"]).or_else(|| text(&entry["principal"]["name"])),
            text(&entry["refusal"]).unwrap(),
            text(&entry["route"]).unwrap(),
            entry["count"].as_u64().unwrap(),
        )
    });
    told.collect()
}

fn sums(refused: &[(Option<String>, String, String, u64)]) -> BTreeMap<(Option<String>, String), u64> {
    let mut sums = BTreeMap::new();
    for (who, refusal, _, count) in refused {
        *sums.entry((who.clone(), refusal.clone())).or_default() += count;
    }
    sums
}

#[tokio::test]
async fn each_route_that_refuses_a_user_without_rights_records_it() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let alice = server.login("alice", PASSWORD).await;
    let document: Value = server.ask(Method::GET, "/v1/openapi.json", None, None).await.json(StatusCode::OK);
    let (mut forbidden, mut unknown, mut routes) = (0, 0, Vec::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            if operation["security"].is_null() || path.contains("/grants") || path == "/v1/password" {
                continue;
            }
            let filled: Vec<String> = path
                .split('/')
                .map(|part| if part.starts_with('{') { "admin".to_owned() } else { part.to_owned() })
                .collect();
            let path = filled.join("/");
            let body = (!operation["requestBody"].is_null()).then(|| json!({}));
            let nobody = server.client().request(method.clone(), server.url(&path)).send().await.unwrap();
            assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            unknown += 1;
            let mut request = server.client().request(method.clone(), server.url(&path)).bearer_auth(&alice.token);
            if let Some(body) = &body {
                request = request.json(body);
            }
            if request.send().await.unwrap().status() == StatusCode::FORBIDDEN {
                forbidden += 1;
                routes.push(format!("{method} {path}"));
            }
        }
    }
    assert!(forbidden > 15 && unknown > 60, "{forbidden} {unknown} {routes:?}");
    let refused = refused(&server).await;
    let sums = sums(&refused);
    assert_eq!(sums[&(Some("alice".to_owned()), "forbidden".to_owned())], forbidden, "{refused:?}");
    assert_eq!(sums[&(None, "unknown-grant".to_owned())], unknown, "{refused:?}");
    assert_eq!(refused.len(), 4, "the first of each kind, and the others together: {refused:?}");
}

#[tokio::test]
async fn refusals_are_recorded_without_secrets() {
    let server = Running::with(|limits| limits.free_attempts = 1).await;
    let admin = server.admin().await;
    admin.add_user("bob").await;
    let bob = server.login("bob", PASSWORD).await;
    bob.bare(Method::DELETE, "/v1/grants/current").await.done();
    bob.get("/v1/projects").await.problem(ProblemCode::GrantRevoked);
    let weak = json!({"hash": "sha1", "digest": "00"});
    let key = "/v1/keys/01935b6c-7000-7000-8000-000000000001/sign";
    let request = server
        .client()
        .post(server.url(key))
        .bearer_auth(&admin.token)
        .header("idempotency-key", "01935b6c-7000-7000-8000-000000000002")
        .json(&weak);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(answer.text().await.unwrap().contains("The hash SHA-1 is too weak"));
    let guess = "scg_guessed-by-somebody";
    server.ask(Method::GET, "/v1/projects", Some(guess), None).await.problem(ProblemCode::Unauthenticated);
    loop {
        let answer = server.try_login("bob", "wrong horse battery").await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        answer.problem(ProblemCode::WrongCredentials);
    }
    let refused = refused(&server).await;
    let expected = [
        (Some("bob"), "ended-grant", "GET /v1/projects"),
        (Some("admin"), "weak-hash", "POST /v1/keys/{key}/sign"),
        (None, "unknown-grant", "GET /v1/projects"),
        (None, "too-many-attempts", "POST /v1/login"),
    ];
    for (who, refusal, route) in expected {
        let named =
            refused.iter().any(|(by, why, at, _)| (by.as_deref(), why.as_str(), at.as_str()) == (who, refusal, route));
        assert!(named, "{refusal} by {who:?} at {route}: {refused:#?}");
    }
    assert_eq!(refused.len(), expected.len(), "{refused:#?}");
    let bytes = server.database_files();
    for secret in [guess, bob.token.as_str()] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    let denied: Value = admin.get("/v1/record?denied=true").await.json(StatusCode::OK);
    let events: Vec<&str> =
        denied["items"].as_array().unwrap().iter().map(|item| item["entry"]["event"].as_str().unwrap()).collect();
    assert!(events.contains(&"request-refused") && events.contains(&"login-failed"), "{events:?}");
}
