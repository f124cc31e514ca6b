//! The clock in doubt, and its confirmation: `/v1/clock`.

use reqwest::StatusCode;
use sealcard_api::{
    admin::Readiness,
    clock::{ClockDoubt, ClockState},
    problem::ProblemCode,
};
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Running};

#[tokio::test]
async fn administrator_confirms_the_clock_after_it_jumped() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let calm: ClockState = admin.get("/v1/clock").await.json(StatusCode::OK);
    assert_eq!(calm.doubt, None);
    let nothing = json!({"since": calm.time});
    admin.post("/v1/clock/confirm", &nothing).await.problem(ProblemCode::Conflict);

    server.store.record_clock_jump(-900, false).await.unwrap();
    let state: ClockState = admin.get("/v1/clock").await.json(StatusCode::OK);
    let doubt = state.doubt.unwrap();
    assert_eq!(doubt, ClockDoubt { since: doubt.since, seconds: -900, here: true });
    let ready: Readiness = serde_json::from_slice(&admin.get("/readyz").await.body).unwrap();
    let told = |ready: &Readiness, text: &str| ready.reasons.iter().any(|reason| reason.contains(text));
    assert!(told(&ready, "went 900 seconds back") && told(&ready, "sealcard admin clock confirm"), "{ready:?}");

    // Only the jump that was seen is confirmed.
    let other = json!({"since": sealcard_api::Timestamp::from_unix(doubt.since.unix() - 1)});
    admin.post("/v1/clock/confirm", &other).await.problem(ProblemCode::Conflict);
    let still: ClockState = admin.get("/v1/clock").await.json(StatusCode::OK);
    assert!(still.doubt.is_some());
    let seen = json!({"since": doubt.since});
    let confirmed: ClockState = admin.post("/v1/clock/confirm", &seen).await.json(StatusCode::OK);
    assert_eq!(confirmed.doubt, None);

    let record = server.record().await;
    let entries: Vec<&Value> =
        record.iter().filter(|entry| entry["event"].as_str().unwrap().starts_with("clock")).collect();
    let [jumped, confirmed] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((&jumped["event"], &jumped["seconds"]), (&json!("clock-jumped"), &json!(-900)));
    assert_eq!(jumped["node"], server.store.node().to_string());
    assert_eq!((&confirmed["event"], &confirmed["seconds"]), (&json!("clock-confirmed"), &json!(-900)));
    assert_eq!(confirmed["actor"]["name"], "admin");
}

#[tokio::test]
async fn only_administrators_see_and_confirm_the_clock() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let alice = server.login("alice", PASSWORD).await;
    server.store.record_clock_jump(900, false).await.unwrap();
    alice.get("/v1/clock").await.problem(ProblemCode::Forbidden);
    let state: ClockState = admin.get("/v1/clock").await.json(StatusCode::OK);
    let seen = json!({"since": state.doubt.unwrap().since});
    alice.post("/v1/clock/confirm", &seen).await.problem(ProblemCode::Forbidden);
    assert!(server.store.recorded_clock_doubt().await.unwrap().is_some());
}
