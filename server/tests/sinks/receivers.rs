//! What receivers get: headers, bodies, ids, and what is left out.

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use sealcard_server::sinks::Targets;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    collector::{Answer, Collector},
    harness::{DEADLINE, Delivering, ORIGIN, Place, SECRET, TOKEN, append, append_numbers, config, over_tls},
};

async fn deliver(section: impl FnOnce(&Collector) -> String) -> (Collector, Delivering) {
    let place = Place::sqlite();
    let store = place.create().await;
    let collector = Collector::start(place.data(), []).await;
    let delivering = Delivering::start(&place, &store, &config(&section(&collector))).await;
    append_numbers(&store, 1..=2).await;
    delivering.wait_for_position(2).await;
    (collector, delivering)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn splunk_gets_objects_one_after_the_other_with_its_token() {
    let index = "index = \"audit\"";
    let (collector, _) = deliver(|collector| format!("{}\n{index}", over_tls("splunk", &collector.url()))).await;
    let request = &collector.requests()[0];
    assert_eq!(
        (request.path.as_str(), request.header("content-type")),
        ("/services/collector/event", "application/json")
    );
    assert_eq!(request.header("authorization"), format!("Splunk {TOKEN}"));
    let first = serde_json::Deserializer::from_str(&request.body).into_iter::<Value>().next().unwrap().unwrap();
    assert_eq!((&first["index"], &first["sourcetype"]), (&json!("audit"), &json!("sealcard:record")));
    assert_eq!(first["fields"]["sealcard_id"], format!("{ORIGIN}#1"));
    assert!(first["time"].is_i64() && first["event"]["entry"]["event"] == "group-added", "{first}");
    assert_eq!(first["event"]["hash"].as_str().unwrap().len(), 64);
    assert!(first["event"].get("salt").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn splunks_indexers_are_waited_for() {
    let place = Place::sqlite();
    let store = place.create().await;
    let collector = Collector::start(place.data(), []).await;
    let section = format!("{}\nindexer-acknowledgement = true", over_tls("splunk", &collector.url()));
    let delivering = Delivering::start(&place, &store, &config(&section)).await;
    append_numbers(&store, 1..=1).await;
    let sink = delivering.wait("a failure", |sink| sink.failures > 0).await;
    assert!(sink.last_error.unwrap().contains("ackId"));
    collector.acknowledge_after(2);
    place.hurry();
    delivering.wait_for_position(1).await;
    let channel = collector.requests()[0].header("x-splunk-request-channel").to_owned();
    assert!(uuid::Uuid::try_parse(&channel).is_ok(), "{channel}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhook_is_signed_and_has_the_same_id_in_each_attempt() {
    let place = Place::sqlite();
    let store = place.create().await;
    let collector = Collector::start(place.data(), [Answer::Reset]).await;
    let delivering = Delivering::start(&place, &store, &config(&over_tls("webhook", &collector.url()))).await;
    append(&store, ["x".repeat(30_000)]).await;
    delivering.wait("a failure", |sink| sink.failures > 0).await;
    place.hurry();
    delivering.wait_for_position(1).await;
    let requests = collector.requests();
    assert_eq!(requests.len(), 2);
    let secret = BASE64.decode(SECRET.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    for request in &requests {
        let (id, time) = (request.header("webhook-id"), request.header("webhook-timestamp"));
        assert_eq!(id, "log_example/record#1");
        let signature = hmac::sign(&key, format!("{id}.{time}.{}", request.body).as_bytes());
        assert_eq!(request.header("webhook-signature"), format!("v1,{}", BASE64.encode(signature.as_ref())));
        let body = request.json();
        assert_eq!((&body["type"], &body["data"]["cut"]), (&json!("record.group_added"), &json!(true)));
        assert!(request.body.len() < 20_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn otlp_gets_its_headers_and_ocsf_in_its_body() {
    let form = "form = \"ocsf\"";
    let (collector, _) = deliver(|collector| format!("{}\n{form}", over_tls("otlp", &collector.url()))).await;
    let request = &collector.requests()[0];
    assert_eq!(
        (request.path.as_str(), request.header("authorization"), request.header("x-a")),
        ("/v1/logs", "Bearer b", "1")
    );
    let record = &request.json()["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["eventName"], "sealcard.group-added");
    let values = record["body"]["kvlistValue"]["values"].as_array().unwrap();
    let class = values.iter().find(|pair| pair["key"] == "class_uid").unwrap();
    assert_eq!(class["value"], json!({"intValue": "3006"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redacted_fields_do_not_leave() {
    for form in ["json", "ocsf", "cef"] {
        let more = format!("form = \"{form}\"\nredact = [\"group.name\", \"request_id\"]");
        let (collector, delivering) = deliver(|one| format!("{}\n{more}", over_tls("splunk", &one.url()))).await;
        let body = &collector.requests()[0].body;
        let first = serde_json::Deserializer::from_str(body).into_iter::<Value>().next().unwrap().unwrap();
        let entry = match form {
            "json" => &first["event"]["entry"],
            "ocsf" => &first["event"]["unmapped"]["entry"],
            _ => continue,
        };
        assert_eq!(entry["group"].as_object().unwrap().keys().collect::<Vec<_>>(), ["id"], "{form}");
        assert!(entry.get("request_id").is_none());
        assert!(!body.contains("\"request_id\":\""), "{form}: {body}");
        assert_eq!(delivering.sink().await.redacted, ["group.name", "request_id"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_refused_unless_they_are_allowed() {
    let place = Place::sqlite();
    for section in [
        "kind = \"otlp\"\nurl = \"https://127.0.0.1:4318\"",
        "kind = \"otlp\"\nurl = \"http://127.0.0.1:4318\"",
        "kind = \"syslog\"\naddress = \"10.0.0.1\"",
    ] {
        let error = Targets::load(place.data(), &config(section)).unwrap_err().to_string();
        assert!(error.starts_with("sinks.siem: ") && error.contains("allow-private-networks"), "{error}");
        Targets::load(place.data(), &config(&format!("{section}\nallow-private-networks = true"))).unwrap();
    }
    let by_name = "kind = \"syslog\"\naddress = \"localhost:6514\"";
    let store = place.create().await;
    let delivering = Delivering::start(&place, &store, &config(by_name)).await;
    append_numbers(&store, 1..=1).await;
    let sink = delivering.wait("a failure", |sink| sink.failures > 0).await;
    assert!(sink.last_error.unwrap().contains("is not a public address"));
}

#[tokio::test]
async fn mistakes_in_a_section_are_named_without_secrets() {
    let place = Place::sqlite();
    std::fs::write(place.data().join("empty"), "\n").unwrap();
    for (section, expected) in [
        ("kind = \"splunk\"\nurl = \"http://siem.example\"\ntoken-file = \"token\"", "https://"),
        ("kind = \"splunk\"\nurl = \"https://siem.example\"\ntoken-file = \"empty\"", "token-file"),
        ("kind = \"splunk\"\nurl = \"https://siem.example\"\ntoken-file = \"none\"", "token-file"),
        ("kind = \"otlp\"\nurl = \"https://siem.example\"\nheaders-file = \"token\"", "headers-file: line 1"),
        ("kind = \"webhook\"\nurl = \"https://siem.example\"\nsecret-file = \"token\"", "secret-file: line 1"),
        ("kind = \"syslog\"\naddress = \"siem.example:0\"", "address"),
        ("kind = \"jsonl\"\nfolder = \"token\"", "folder"),
        ("kind = \"jsonl\"\nfolder = \"f\"\nredact = [\"pear\"]", "\"pear\""),
    ] {
        let error = Targets::load(place.data(), &config(section)).unwrap_err().to_string();
        assert!(error.contains(expected) && error.starts_with("sinks.siem: "), "{section}: {error}");
        assert!(!error.contains(TOKEN), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_collector_costs_a_batch_its_time_limit_and_no_entry() {
    let place = Place::sqlite();
    let store = place.create().await;
    let collector = Collector::start(place.data(), [Answer::Never]).await;
    let delivering = Delivering::start(&place, &store, &config(&over_tls("splunk", &collector.url()))).await;
    append_numbers(&store, 1..=3).await;
    let begin = Instant::now();
    let sink = delivering.wait("a failure", |sink| sink.failures > 0).await;
    assert_eq!(sink.last_error.as_deref(), Some("the receiver did not answer in time"));
    assert!(begin.elapsed() < DEADLINE);
    place.hurry();
    delivering.wait_for_position(3).await;
    assert_eq!(collector.taken_once(), [1, 2, 3]);
}
