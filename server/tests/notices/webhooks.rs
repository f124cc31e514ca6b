//! What becomes of notices when receivers answer in all ways.

use std::{net::SocketAddr, time::Duration};

use sealcard_api::{
    Timestamp,
    notices::{DeliveryState, NoticeKind},
};
use sealcard_server::storage::{NewNotice, NoticeFilter, Store};
use tokio::time::Instant;

use crate::{
    harness::{Place, Sending, config, webhook},
    receiver::{Answer, Receiver},
};

fn status(status: u16) -> Answer {
    Answer::Status(status, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temporary_answers_are_tried_again_with_the_same_id() {
    for place in [Place::sqlite(), Place::postgres()] {
        let store = place.create().await;
        let answers = [status(503), status(500), status(408), status(425), Answer::Close];
        let receiver = Receiver::start(place.data(), answers).await;
        let sending = Sending::start(&place, &store, &config([("hook", webhook(&receiver.url()))]));
        sending.notify_all(&["jane asks"]).await;
        for attempts in 1..=5 {
            let all =
                sending.wait("an attempt", |all| all[0].deliveries.iter().any(|one| one.attempts == attempts)).await;
            let delivery = &all[0].deliveries[0];
            assert_eq!(delivery.state, DeliveryState::Pending);
            let left = delivery.next_attempt.unwrap().unix() - Timestamp::now().unix();
            let expected = [4..=7, 298..=376, 1790..=2252, 7190..=9002, 17_990..=22_502];
            assert!(expected[attempts as usize - 1].contains(&left), "attempt {attempts}: in {left} s");
            place.hurry();
        }
        let all = sending.wait_for(DeliveryState::Delivered).await;
        assert_eq!((all[0].deliveries[0].attempts, &all[0].deliveries[0].error), (6, &None));
        let requests = receiver.requests();
        assert!(requests.iter().all(|one| one.header("webhook-id") == all[0].id.to_string()));
        assert!(requests.iter().all(|one| one.body == requests[0].body && one.body.len() < 20_000));
        assert_eq!(requests.len(), 6);
        assert_eq!(requests[0].json()["data"]["facts"][0]["value"], "tools/release");
        assert_eq!(requests[0].header("content-type"), "application/json");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_says_when_it_is_tried_again() {
    let place = Place::sqlite();
    let store = place.create().await;
    let after = |status, value: &str| Answer::Status(status, Some(("Retry-After", value.to_owned())));
    let receiver = Receiver::start(place.data(), [after(429, "120"), after(503, "999999999"), after(429, "x")]).await;
    let sending = Sending::start(&place, &store, &config([("hook", webhook(&receiver.url()))]));
    sending.notify_all(&["jane asks"]).await;
    for (attempts, expected) in [(1, 118..=120), (2, 86_398..=86_400), (3, 1790..=2252)] {
        let all = sending.wait("an attempt", |all| all[0].deliveries.iter().any(|one| one.attempts == attempts)).await;
        let left = all[0].deliveries[0].next_attempt.unwrap().unix() - Timestamp::now().unix();
        assert!(expected.contains(&left), "attempt {attempts}: in {left} s");
        place.hurry();
    }
    sending.wait_for(DeliveryState::Delivered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_notice_is_parked_and_others_go_on() {
    let place = Place::sqlite();
    let store = place.create().await;
    let receiver = Receiver::start(place.data(), [status(400), status(413)]).await;
    let sending = Sending::start(&place, &store, &config([("hook", webhook(&receiver.url()))]));
    sending.notify_all(&["one"]).await;
    sending.wait_for(DeliveryState::Failed).await;
    sending.notify_all(&["two"]).await;
    sending.wait_for(DeliveryState::Failed).await;
    sending.notify_all(&["three"]).await;
    let all = sending.wait("the third", |all| all[2].deliveries.iter().any(|one| one.finished.is_some())).await;
    let states: Vec<_> = all.iter().map(|one| (one.deliveries[0].state, one.deliveries[0].attempts)).collect();
    assert_eq!(states, [(DeliveryState::Failed, 1), (DeliveryState::Failed, 1), (DeliveryState::Delivered, 1)]);
    assert_eq!(all[0].deliveries[0].error.as_deref(), Some("400 Bad Request"));
    let failed = store.notices(NoticeFilter { failed: true, before: None, limit: 10 }).await.unwrap();
    assert_eq!(failed.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_receiver_disables_its_channel_alone() {
    let place = Place::sqlite();
    let store = place.create().await;
    let (gone, other) = (Receiver::start(place.data(), [status(410)]).await, Receiver::start(place.data(), []).await);
    let channels = config([("gone", webhook(&gone.url())), ("other", webhook(&other.url()))]);
    let sending = Sending::start(&place, &store, &channels);
    sending.notify_all(&["one"]).await;
    let over = |all: &[sealcard_api::notices::Notice]| {
        all.iter().all(|one| one.addressed && one.deliveries.iter().all(|one| one.finished.is_some()))
    };
    sending.wait("both", over).await;
    sending.notify_all(&["two"]).await;
    let all = sending.wait("both", over).await;
    let states: Vec<_> =
        all[1].deliveries.iter().map(|one| (one.channel.as_str(), one.state, one.error.as_deref())).collect();
    assert_eq!(
        states,
        [("gone", DeliveryState::Failed, Some("The channel is disabled.")), ("other", DeliveryState::Delivered, None)]
    );
    assert_eq!((gone.requests().len(), other.requests().len()), (1, 2));
    let shown = sending.notices.channels().await.unwrap();
    assert!(shown[0].disabled_since.is_some() && shown[0].last_error.as_deref() == Some("410 Gone"));
    assert_eq!((shown[0].failed, shown[1].failed, shown[1].failures), (2, 0, 0));

    let enabled: Result<bool, sealcard_server::storage::StorageError> =
        store.write(|tx| tx.enable_channel("gone")).await;
    assert!(enabled.unwrap());
    let retried: Result<u64, sealcard_server::storage::StorageError> = store.write(|tx| tx.retry_notices(None)).await;
    assert_eq!(retried.unwrap(), 2);
    sending.wait_for(DeliveryState::Delivered).await;
    assert_eq!(gone.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirect_is_not_followed() {
    let place = Place::sqlite();
    let store = place.create().await;
    let inner = Receiver::start(place.data(), []).await;
    let answers = [301, 302, 307, 308].map(|status| Answer::Status(status, Some(("Location", inner.url()))));
    let receiver = Receiver::start(place.data(), answers).await;
    let sending = Sending::start(&place, &store, &config([("hook", webhook(&receiver.url()))]));
    for title in ["1", "2", "3", "4"] {
        sending.notify_all(&[title]).await;
        let all = sending.wait_for(DeliveryState::Failed).await;
        let error = all.last().unwrap().deliveries[0].error.clone().unwrap();
        assert!(error.contains("redirects are not followed"), "{error}");
    }
    assert_eq!((receiver.requests().len(), inner.requests().len()), (4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn name_with_a_private_address_is_not_connected_to() {
    let place = Place::sqlite();
    let store = place.create().await;
    let receiver = Receiver::start(place.data(), []).await;
    let mut strict = webhook(&format!("https://localhost:{}/hook", receiver.address.port()));
    strict.allow_private_networks = false;
    let sending = Sending::start(&place, &store, &config([("hook", strict)]));
    sending.notify_all(&["one"]).await;
    let all = sending.wait("an attempt", |all| all[0].deliveries.iter().any(|one| one.attempts == 1)).await;
    let error = all[0].deliveries[0].error.clone().unwrap();
    assert!(error.contains("is not a public address"), "{error}");
    assert!(receiver.requests().is_empty());
    // An address in the URL itself is refused when the server starts.
    let mut literal = webhook(&receiver.url());
    literal.allow_private_networks = false;
    let error = sealcard_server::notices::Channels::load(place.data(), &config([("hook", literal)])).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1 is not a public address"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_that_is_away_gets_the_notice_when_it_is_back() {
    let place = Place::sqlite();
    let store = place.create().await;
    let address = Receiver::start(place.data(), []).await.address;
    let url = format!("https://{address}/hook");
    let sending = Sending::start(&place, &store, &config([("hook", webhook(&url))]));
    sending.notify_all(&["one"]).await;
    let all = sending.wait("an attempt", |all| all[0].deliveries.iter().any(|one| one.attempts == 1)).await;
    let error = all[0].deliveries[0].error.clone().unwrap();
    assert!(error.contains("refused"), "{error}");
    let receiver = back(&place, address).await;
    // The first pause is short.
    sending.wait_for(DeliveryState::Delivered).await;
    assert_eq!(receiver.requests().len(), 1);
}

/// A receiver at an address that was in use a moment ago.
async fn back(place: &Place, address: SocketAddr) -> Receiver {
    Receiver::start_at(place.data(), address, []).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_that_hangs_delays_no_other_one() {
    let place = Place::sqlite();
    let store = place.create().await;
    let slow = Receiver::start(place.data(), std::iter::repeat_n(Answer::Never, 100)).await;
    let quick = Receiver::start(place.data(), []).await;
    let channels = config([("a-slow", webhook(&slow.url())), ("quick", webhook(&quick.url()))]);
    let sending = Sending::start(&place, &store, &channels);
    let begin = Instant::now();
    for number in 0..20 {
        sending.notify_all(&[&number.to_string()]).await;
    }
    sending
        .wait("the quick one", |all| {
            let quick = all.iter().flat_map(|one| &one.deliveries).filter(|one| one.channel == "quick");
            quick.filter(|one| one.state == DeliveryState::Delivered).count() == 20
        })
        .await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(!slow.requests().is_empty());
    let all = sending
        .wait("the end of an attempt", |all| {
            all[0].deliveries.iter().any(|one| one.channel == "a-slow" && one.attempts == 1)
        })
        .await;
    let error = all[0].deliveries[0].error.clone().unwrap();
    assert!(error.contains("did not answer in time"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notice_survives_a_restart_in_the_middle_of_an_attempt() {
    for place in [Place::sqlite(), Place::postgres()] {
        let store = place.create().await;
        let receiver = Receiver::start(place.data(), [Answer::Never]).await;
        let channels = config([("hook", webhook(&receiver.url()))]);
        let sending = Sending::start(&place, &store, &channels);
        sending.notify_all(&["one"]).await;
        let end = Instant::now() + crate::harness::DEADLINE;
        while receiver.requests().is_empty() {
            assert!(Instant::now() < end, "no attempt");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(sending);
        store.close().await;
        drop(store);
        // Its lock goes with the last task that has the store.
        let store = loop {
            match Store::open(&place.database(1)).await {
                Ok(store) => break store,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let sending = Sending::start(&place, &store, &channels);
        sending.wait_for(DeliveryState::Delivered).await;
        let ids: Vec<_> = receiver.requests().iter().map(|one| one.header("webhook-id").to_owned()).collect();
        assert_eq!(ids.len(), 2);
        assert_eq!(ids[0], ids[1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_send_each_notice_once() {
    let place = Place::postgres();
    let (one, other) = (place.create().await, Store::open(&place.database(2)).await.unwrap());
    let receiver = Receiver::start(place.data(), []).await;
    let channels = config([("hook", webhook(&receiver.url()))]);
    let (sending, also) = (Sending::start(&place, &one, &channels), Sending::start(&place, &other, &channels));
    for number in 0..30 {
        let (first, second) = (format!("a{number}"), format!("b{number}"));
        let (first, second) = ([first.as_str()], [second.as_str()]);
        tokio::join!(sending.notify_all(&first), also.notify_all(&second));
    }
    sending.wait_for(DeliveryState::Delivered).await;
    let mut ids: Vec<_> = receiver.requests().iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 60);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 60);
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_choose_but_loud_notices_go_everywhere() {
    use sealcard_api::ids::ProjectId;
    use sealcard_record::Named;
    let place = Place::sqlite();
    let store = place.create().await;
    let (all, some) = (Receiver::start(place.data(), []).await, Receiver::start(place.data(), []).await);
    let mut filtered = webhook(&some.url());
    filtered.kinds = Some(vec![NoticeKind::ApprovalWanted]);
    filtered.projects = Some(vec!["tools".to_owned()]);
    let sending = Sending::start(&place, &store, &config([("all", webhook(&all.url())), ("some", filtered)]));
    let project = |name: &str| Named::new(ProjectId::new(), name);
    let notice = |kind, title: &str| NewNotice::new(kind, title);
    sending.notify(notice(NoticeKind::ApprovalWanted, "wanted").project(project("tools"))).await;
    sending.notify(notice(NoticeKind::ApprovalWanted, "other project").project(project("web"))).await;
    sending.notify(notice(NoticeKind::ApprovalWanted, "no project")).await;
    sending.notify(notice(NoticeKind::ChangeMade, "other kind").project(project("tools"))).await;
    sending.notify(notice(NoticeKind::BreakGlass, "loud").loud()).await;
    sending.wait_for(DeliveryState::Delivered).await;
    let titles = |receiver: &Receiver| {
        let mut titles: Vec<_> =
            receiver.requests().iter().map(|one| one.json()["data"]["title"].as_str().unwrap().to_owned()).collect();
        titles.sort();
        titles
    };
    assert_eq!(titles(&all).len(), 5);
    assert_eq!(titles(&some), ["loud", "wanted"]);
}
