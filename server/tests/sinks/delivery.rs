//! At least once and in order, whatever a collector answers.

use std::time::Duration;

use sealcard_api::{Timestamp, sinks::SinkState};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    collector::{Answer, Collector, retry_after, status},
    harness::{DEADLINE, Delivering, Place, append_numbers, config, over_tls},
};

const KINDS: [&str; 3] = ["splunk", "otlp", "webhook"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_collector_fails_in_all_ways() {
    for (number, kind) in (0..).zip(KINDS) {
        let place = if number == 0 { Place::postgres() } else { Place::sqlite() };
        let store = place.create().await;
        let late = Answer::TakeAfter(Duration::from_millis(300));
        // A proxy's page is no acknowledgement, where a receiver has one.
        let page = (kind != "webhook").then(|| Answer::Status(200, None, json!("come back later")));
        let answers = [
            Answer::Reset,
            status(503),
            late,
            Answer::TakeAndClose,
            status(500),
            status(403),
            status(404),
            status(302),
        ];
        let answers = answers.into_iter().chain(page);
        let collector = Collector::start(place.data(), answers).await;
        let delivering = Delivering::start(&place, &store, &config(&over_tls(kind, &collector.url()))).await;
        append_numbers(&store, 1..=150).await;
        let end = Instant::now() + DEADLINE;
        while delivering.sink().await.position < 150 {
            assert!(Instant::now() < end, "{kind}: {:#?}", delivering.sink().await);
            place.hurry();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(collector.taken_once(), (1..=150).collect::<Vec<_>>(), "{kind}");
        let sink = delivering.sink().await;
        assert_eq!((sink.state, sink.parked, sink.lag_entries), (SinkState::UpToDate, 0, 0), "{kind}");
        // What came again came with the same id.
        let ids: Vec<String> = collector.requests().iter().flat_map(crate::collector::Request::ids).collect();
        assert!(ids.iter().all(|id| id.starts_with("log.example/record#")), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collector_says_when_it_is_tried_again() {
    for kind in KINDS {
        let place = Place::sqlite();
        let store = place.create().await;
        let collector = Collector::start(place.data(), [retry_after(429, "120"), retry_after(503, "99999999")]).await;
        let delivering = Delivering::start(&place, &store, &config(&over_tls(kind, &collector.url()))).await;
        append_numbers(&store, 1..=3).await;
        for (failures, expected) in [(1, 118..=120), (2, 3590..=3600)] {
            let sink = delivering.wait("a failure", |sink| sink.failures == failures).await;
            let left = sink.next_attempt.unwrap().unix() - Timestamp::now().unix();
            assert!(expected.contains(&left), "{kind}: in {left} s");
            place.hurry();
        }
        delivering.wait_for_position(3).await;
        assert_eq!(collector.taken(), [1, 2, 3], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_entries_are_parked_alone_and_can_be_sent_again() {
    for kind in KINDS {
        let place = Place::sqlite();
        let store = place.create().await;
        let collector = Collector::start(place.data(), []).await;
        collector.refuse("5");
        collector.refuse("6");
        collector.refuse("40");
        // All are there before the first batch.
        let delivering = {
            let sinks = Delivering::start(&place, &store, &config(&over_tls(kind, &collector.url()))).await;
            drop(sinks);
            append_numbers(&store, 1..=60).await;
            Delivering::start(&place, &store, &config(&over_tls(kind, &collector.url()))).await
        };
        let sink = delivering.wait_for_position(60).await;
        assert_eq!(sink.parked, 3, "{kind}");
        let expected: Vec<u64> = (1..=60).filter(|number| ![5, 6, 40].contains(number)).collect();
        assert_eq!(collector.taken_once(), expected, "{kind}");
        let shown = delivering.sinks.show("siem").await.unwrap();
        let parked: Vec<u64> = shown.parked_entries.iter().map(|parked| parked.entry).collect();
        assert_eq!(parked, [5, 6, 40], "{kind}");
        assert!(shown.parked_entries[0].error.starts_with("400 "), "{kind}: {:?}", shown.parked_entries[0]);

        // Still refused, then taken.
        let again = |store: &sealcard_server::storage::Store| {
            let store = store.clone();
            async move {
                let retried: Result<u64, sealcard_server::storage::StorageError> =
                    store.write(|tx| tx.retry_parked("siem")).await;
                assert_eq!(retried.unwrap(), 3);
            }
        };
        again(&store).await;
        let end = Instant::now() + DEADLINE;
        while delivering.sinks.show("siem").await.unwrap().parked_entries.iter().any(|parked| parked.retried) {
            assert!(Instant::now() < end, "{kind}: not tried again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(delivering.sink().await.parked, 3, "{kind}");
        collector.refuse_none();
        again(&store).await;
        delivering.wait("no parked entries", |sink| sink.parked == 0).await;
        assert_eq!(&collector.taken_once()[57..], [5, 6, 40], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collector_that_refuses_everything_is_not_given_everything() {
    let place = Place::sqlite();
    let store = place.create().await;
    let collector = Collector::start(place.data(), []).await;
    for number in 1..=40 {
        collector.refuse(&number.to_string());
    }
    let delivering = Delivering::start(&place, &store, &config(&over_tls("otlp", &collector.url()))).await;
    append_numbers(&store, 1..=40).await;
    let sink = delivering.wait("a failure", |sink| sink.failures > 0).await;
    assert_eq!((sink.parked, sink.position), (10, 10));
    let error = sink.last_error.unwrap();
    assert!(error.starts_with("the receiver refuses one entry after the other: 400 "), "{error}");
    collector.refuse_none();
    place.hurry();
    delivering.wait_for_position(40).await;
    assert_eq!(collector.taken_once(), (11..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_batches_are_sent_in_parts() {
    let place = Place::sqlite();
    let store = place.create().await;
    let config = config(&over_tls("splunk", "https://127.0.0.1:1/"));
    drop(Delivering::start(&place, &store, &config).await);
    append_numbers(&store, 1..=64).await;
    let collector = Collector::start(place.data(), [status(413), status(413), status(413)]).await;
    let config = crate::harness::config(&over_tls("splunk", &collector.url()));
    let delivering = Delivering::start(&place, &store, &config).await;
    delivering.wait_for_position(64).await;
    assert_eq!(collector.taken(), (1..=64).collect::<Vec<_>>());
    let sizes: Vec<usize> = collector.requests().iter().map(|request| request.ids().len()).collect();
    assert_eq!(sizes[..4], [64, 32, 16, 8], "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partial_success_is_parked_and_not_sent_again() {
    let place = Place::sqlite();
    let store = place.create().await;
    let partial = json!({"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": "too old"}});
    let collector = Collector::start(place.data(), [Answer::Status(200, None, partial)]).await;
    let delivering = Delivering::start(&place, &store, &config(&over_tls("otlp", &collector.url()))).await;
    append_numbers(&store, 1..=1).await;
    let sink = delivering.wait_for_position(1).await;
    assert_eq!(sink.parked, 1);
    append_numbers(&store, 2..=3).await;
    delivering.wait_for_position(3).await;
    let shown = delivering.sinks.show("siem").await.unwrap();
    assert_eq!(shown.parked_entries[0].error, "all records were rejected: too old");
    assert_eq!(collector.taken(), [2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_that_is_gone_is_left_alone_until_an_administrator_acts() {
    let place = Place::sqlite();
    let store = place.create().await;
    let collector = Collector::start(place.data(), [status(410)]).await;
    let delivering = Delivering::start(&place, &store, &config(&over_tls("webhook", &collector.url()))).await;
    append_numbers(&store, 1..=2).await;
    delivering.wait("the stop", |sink| sink.state == SinkState::Stopped).await;
    place.hurry();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(collector.requests().len(), 1);
    let retried: Result<bool, sealcard_server::storage::StorageError> = store.write(|tx| tx.retry_sink("siem")).await;
    assert!(retried.unwrap());
    delivering.wait_for_position(2).await;
    assert_eq!(collector.taken(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_nodes_delivers_and_the_other_takes_over() {
    let place = Place::postgres();
    let first = place.create().await;
    let second = sealcard_server::storage::Store::open(&place.database(2)).await.unwrap();
    let collector = Collector::start(place.data(), []).await;
    let config = config(&over_tls("splunk", &collector.url()));
    let one = Delivering::start(&place, &first, &config).await;
    append_numbers(&first, 1..=50).await;
    one.wait_for_position(50).await;
    let other = Delivering::start(&place, &second, &config).await;
    append_numbers(&second, 51..=100).await;
    one.wait_for_position(100).await;
    assert_eq!(collector.taken(), (1..=100).collect::<Vec<_>>(), "each once");
    let holder = first.sink("siem").await.unwrap().unwrap().node;
    assert_eq!(holder, Some(first.node()));
    // The first node ends without a word.
    drop(one);
    first.close().await;
    drop(first);
    append_numbers(&second, 101..=120).await;
    other.wait_for_position(120).await;
    assert_eq!(collector.taken_once(), (1..=120).collect::<Vec<_>>());
    assert_eq!(second.sink("siem").await.unwrap().unwrap().node, Some(second.node()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_lost_the_sink_cannot_move_it() {
    let place = Place::postgres();
    let first = place.create().await;
    let second = sealcard_server::storage::Store::open(&place.database(2)).await.unwrap();
    first.add_sinks(vec![("siem".to_owned(), false), ("siem".to_owned(), true)]).await.unwrap();
    append_numbers(&first, 1..=5).await;
    assert!(first.claim_sink("siem".to_owned(), 60).await.unwrap().is_some());
    assert!(second.claim_sink("siem".to_owned(), 60).await.unwrap().is_none());
    // Its lease has ended.
    assert!(first.claim_sink("siem".to_owned(), -1).await.unwrap().is_some());
    assert!(second.claim_sink("siem".to_owned(), 60).await.unwrap().is_some());
    let moved = |position| sealcard_server::storage::SinkProgress { position: Some(position), ..Default::default() };
    assert!(!first.finish_sink("siem".to_owned(), moved(5), 60).await.unwrap());
    assert_eq!(first.sink("siem").await.unwrap().unwrap().position, 0);
    assert!(second.finish_sink("siem".to_owned(), moved(3), 60).await.unwrap());
    // Never back.
    assert!(second.finish_sink("siem".to_owned(), moved(2), 60).await.unwrap());
    assert_eq!(first.sink("siem").await.unwrap().unwrap().position, 3);
    second.release_sinks().await.unwrap();
    assert!(first.claim_sink("siem".to_owned(), 60).await.unwrap().is_some());
}
