//! A required sink that is too far behind has uses of keys refused.

use sealcard_api::{Timestamp, sinks::SinkState};

use crate::{
    collector::{Collector, status},
    harness::{DEADLINE, Delivering, Place, append_numbers, config, over_tls},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn required_sink_blocks_until_it_has_caught_up() {
    let place = Place::sqlite();
    let store = place.create().await;
    let collector = Collector::start(place.data(), std::iter::repeat_n(status(503), 1000)).await;
    let section = format!("{}\nrequired = true\nmax-lag-entries = 5", over_tls("splunk", &collector.url()));
    let delivering = Delivering::start(&place, &store, &config(&section)).await;
    let required = delivering.sinks.required();
    assert_eq!(required.check(Timestamp::now()), None);
    append_numbers(&store, 1..=5).await;
    delivering.wait("a failure", |sink| sink.failures > 0).await;
    assert_eq!(required.check(Timestamp::now()), None);
    append_numbers(&store, 6..=6).await;
    let sink = delivering.wait("the block", |sink| sink.blocks).await;
    assert_eq!((sink.state, sink.lag_entries), (SinkState::Failing, 6));
    let behind = required.check(Timestamp::now()).unwrap();
    assert_eq!((behind.sink.as_str(), behind.lag.unwrap().0), ("siem", 6));
    assert!(behind.error.unwrap().starts_with("503 "));
    collector.take_all();
    place.hurry();
    delivering.wait("no block", |sink| !sink.blocks && sink.position == 6).await;
    assert_eq!(collector.taken(), (1..=6).collect::<Vec<_>>());
    let end = tokio::time::Instant::now() + DEADLINE;
    while required.check(Timestamp::now()).is_some() {
        assert!(tokio::time::Instant::now() < end);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn syslog_cannot_be_required() {
    let text = "[sinks.siem]\nkind = \"syslog\"\naddress = \"siem.example\"\nrequired = true";
    let error = sealcard_server::config::parse("server.toml".as_ref(), text, Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with("[sinks.siem]: ") && error.contains("acknowledge nothing"), "{error}");
}

#[test]
fn keys_of_other_kinds_are_refused() {
    for section in [
        "kind = \"jsonl\"",
        "kind = \"jsonl\"\nfolder = \"a\"\nurl = \"https://a.example\"",
        "kind = \"jsonl\"\nfolder = \"a\"\nform = \"cef\"",
        "kind = \"syslog\"",
        "kind = \"syslog\"\naddress = \"a\"\nfolder = \"b\"",
        "kind = \"splunk\"\nurl = \"https://a.example\"",
        "kind = \"splunk\"\ntoken-file = \"t\"",
        "kind = \"otlp\"\nurl = \"https://a.example\"\ntoken-file = \"t\"",
        "kind = \"webhook\"\nurl = \"https://a.example\"",
        "kind = \"webhook\"\nurl = \"https://a.example\"\nsecret-file = \"s\"\nindex = \"i\"",
        "kind = \"otlp\"\nurl = \"https://a.example\"\ncertificate-file = \"c\"",
        "kind = \"otlp\"\nurl = \"https://a.example\"\nrequired = true\nmax-lag-seconds = 0",
    ] {
        let text = format!("[sinks.siem]\n{section}");
        let error = sealcard_server::config::parse("server.toml".as_ref(), &text, Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("[sinks.siem]: "), "{section}: {error}");
    }
}
