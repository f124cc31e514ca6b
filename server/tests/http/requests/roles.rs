//! Every operation of the document, asked by the holders of system roles that don't administer.

use reqwest::StatusCode;
use sealcard_api::admin::User;
use serde_json::json;

use super::{generator::Generator, start, world::*};
use crate::harness::{Answer, DEADLINE, PASSWORD, Session};

/// What only looks like a change, or is about oneself.
const OPEN_TO_READERS: [&str; 12] = [
    "post /v1/login",
    "post /v1/password",
    "post /v1/grants/refresh",
    "delete /v1/grants/current",
    "delete /v1/requests/{request}",
    "post /v1/keys/{key}/can",
    "post /v1/record/verification",
    "post /v1/rules/what-may",
    // Rights are those of each approval.
    "post /v1/approvals",
    "post /v1/approvals/decisions",
    "delete /v1/approvals/{approval}",
    "post /v1/approvals/{approval}/review",
];

/// What a security officer may change.
const OPEN_TO_OFFICERS: [&str; 15] = [
    "delete /v1/grants/{grant}",
    "put /v1/environments/{environment}/rules",
    "post /v1/environments/{environment}/rules/revert",
    "put /v1/projects/{project}/rules",
    "post /v1/projects/{project}/rules/revert",
    "put /v1/keys/{key}/rules",
    "post /v1/keys/{key}/rules/revert",
    "post /v1/rules/check",
    "post /v1/rules/test",
    "post /v1/rules/replay",
    "post /v1/templates",
    "put /v1/templates/{template}",
    "post /v1/templates/{template}/revert",
    "post /v1/templates/{template}/withdraw",
    "post /v1/templates/{template}/restore",
];

/// What is read only in order to change something: a revocation certificate revokes, the other one is for unsealing.
const CLOSED_TO_READERS: [&str; 2] = ["get /v1/keys/{key}/revocation", "get /v1/environments/{environment}/keeper"];

#[tokio::test]
async fn auditor_reads_all_and_officer_changes_rules_and_nothing_else() {
    let server = start().await;
    let world = World::new(&server).await;
    let mut generator = Generator::new();
    let mut failures = Vec::new();
    for (name, role) in [("rita", "auditor"), ("olga", "security-officer")] {
        let user = json!({"name": name, "password": PASSWORD, "roles": [role]});
        let _: User = world.admin.post("/v1/users", user).await.json(StatusCode::CREATED);
        let session = server.login(name, PASSWORD).await;
        for operation in operations() {
            let place = operation.place.as_str();
            let open = if place.starts_with("get ") {
                !CLOSED_TO_READERS.contains(&place)
            } else {
                OPEN_TO_READERS.contains(&place) || (role != "auditor" && OPEN_TO_OFFICERS.contains(&place))
            };
            let request = generator.whole_request(&operation, &world);
            // The rest goes on with the login.
            let other =
                if place == "delete /v1/grants/current" { Some(server.login(name, PASSWORD).await) } else { None };
            let answer = send(other.as_ref().unwrap_or(&session), &operation, &request).await;
            if (answer.status != StatusCode::FORBIDDEN) != open {
                failures.push(format!("{role} {place}: {} {}", answer.status, answer.text()));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

async fn send(session: &Session<'_>, operation: &Operation, request: &Request) -> Answer {
    let server = session.server;
    let sent = server.client().request(operation.method.clone(), server.url(&request.address())).timeout(DEADLINE);
    let sent = sent.bearer_auth(&session.token);
    let sent = request.headers.iter().fold(sent, |sent, (name, value)| sent.header(name, value));
    let sent = request.body.iter().fold(sent, reqwest::RequestBuilder::json);
    Answer::of(sent.send().await.unwrap()).await
}
