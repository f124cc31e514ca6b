//! The outbox, on both databases.

use sealcard_api::{
    ids::{PrincipalId, ProjectId},
    notices::{DeliveryState, NoticeKind},
};

use super::*;
use crate::notices::{Attempted, Message, NewDelivery, NewNotice, NoticeFilter, Outcome};

const MAIL: &str = "mail";
const HOOK: &str = "hook";

async fn add_user(store: &Store, name: &str, email: Option<&str>) -> PrincipalId {
    let row = PrincipalRow {
        id: PrincipalId::new(),
        kind: PrincipalKind::User,
        name: name.to_owned(),
        system_roles: SystemRoles::NONE,
        owner: None,
        disabled: false,
        created: 0,
        one_time_until: None,
        email: email.map(ToOwned::to_owned),
    };
    let id = row.id;
    let added: Result<(), StorageError> = store.write(move |tx| tx.add_principal(&row, Some("none"))).await;
    added.unwrap();
    id
}

async fn notify(store: &Store, notice: NewNotice) {
    let written: Result<(), StorageError> = store.write(move |tx| tx.notify(&notice)).await;
    written.unwrap();
}

/// By mail to each recipient with an address, and to one channel of everybody.
async fn address(store: &Store) {
    let by = |notice: &NoticeRow, tx: &mut WriteTx| {
        let mut ways = vec![NewDelivery { channel: HOOK.to_owned(), principal: None, ended: None }];
        for one in &notice.recipients {
            let ended = match tx.notice_address(*one)? {
                Some(_) => None,
                None => Some((DeliveryState::Dropped, "no address".to_owned())),
            };
            ways.push(NewDelivery { channel: MAIL.to_owned(), principal: Some(*one), ended });
        }
        Ok(ways)
    };
    store.address_notices(by).await.unwrap();
}

async fn claim(store: &Store, channel: &str, fold: Option<u32>) -> Vec<Message> {
    store.claim_messages(channel.to_owned(), 60, 100, fold).await.unwrap()
}

async fn finish(store: &Store, channel: &str, message: &Message, outcome: Outcome) {
    let attempted = Attempted { message: message.id, channel: channel.to_owned(), outcome };
    store.finish_attempt_of_notice(attempted).await.unwrap();
}

async fn all(store: &Store, failed: bool) -> Vec<sealcard_api::notices::Notice> {
    store.notices(NoticeFilter { failed, before: None, limit: 1000 }).await.unwrap()
}

#[tokio::test]
async fn notice_is_written_with_its_transaction_and_sent_once() {
    for place in Place::both() {
        let store = place.store().await;
        let (jane, john) = (add_user(&store, "jane", Some("j@x.org")).await, add_user(&store, "john", None).await);
        let notice = NewNotice::new(NoticeKind::ApprovalWanted, "jane\nwaits\u{202e}")
            .fact("key", "tools/release")
            .fact("nothing", "")
            .command("sealcard approve 1a2b")
            .project(Named::new(ProjectId::new(), "tools"))
            .thread(Uuid::now_v7())
            .to([jane, john, jane]);
        // What fails leaves no notice.
        let failed: Result<(), StorageError> = store
            .write({
                let notice = notice.clone();
                move |tx| {
                    tx.notify(&notice)?;
                    Err(StorageError::NotFound("anything"))
                }
            })
            .await;
        assert!(failed.is_err() && all(&store, false).await.is_empty() && !store.has_new_notices().await.unwrap());

        notify(&store, notice.clone()).await;
        assert!(store.has_new_notices().await.unwrap());
        address(&store).await;
        address(&store).await;
        let shown = all(&store, false).await;
        assert_eq!(shown.len(), 1);
        let one = &shown[0];
        assert_eq!((one.id, one.title.as_str()), (notice.id, "jane\\u{a}waits\\u{202e}"));
        assert_eq!((one.facts.len(), one.facts[0].value.as_str()), (1, "tools/release"));
        let states: Vec<_> =
            one.deliveries.iter().map(|d| (d.channel.as_str(), d.recipient.as_deref(), d.state)).collect();
        use DeliveryState::{Dropped, Pending};
        assert_eq!(states, [(HOOK, None, Pending), (MAIL, Some("jane"), Pending), (MAIL, Some("john"), Dropped)]);

        let mut due = store.due_channels(Timestamp::now()).await.unwrap();
        due.sort();
        assert_eq!(due, [HOOK, MAIL]);
        let [message] = claim(&store, HOOK, None).await.try_into().unwrap();
        assert_eq!((message.notices.len(), message.notices[0].id, message.attempts), (1, notice.id, 0));
        assert!(claim(&store, HOOK, None).await.is_empty(), "claimed twice");
        assert_eq!(store.due_channels(Timestamp::now()).await.unwrap(), [MAIL]);
        finish(&store, HOOK, &message, Outcome::Delivered).await;
        // What ends later changes nothing.
        finish(&store, HOOK, &message, Outcome::Retry { at: Timestamp::from_unix(0), error: "late".to_owned() }).await;
        assert!(claim(&store, HOOK, None).await.is_empty());
    }
}

#[tokio::test]
async fn failed_delivery_is_kept_and_can_be_tried_again() {
    for place in Place::both() {
        let store = place.store().await;
        notify(&store, NewNotice::new(NoticeKind::Test, "one")).await;
        address(&store).await;
        let [message] = claim(&store, HOOK, None).await.try_into().unwrap();
        let later = Timestamp::from_unix(Timestamp::now().unix() + 300);
        finish(&store, HOOK, &message, Outcome::Retry { at: later, error: "503".to_owned() }).await;
        assert!(claim(&store, HOOK, None).await.is_empty() && all(&store, true).await.is_empty());
        let delivery = all(&store, false).await[0].deliveries[0].clone();
        assert_eq!(
            (delivery.attempts, delivery.next_attempt, delivery.error),
            (1, Some(later), Some("503".to_owned()))
        );

        place.tamper("UPDATE notice_delivery SET next_attempt = 0").unwrap();
        let [message] = claim(&store, HOOK, None).await.try_into().unwrap();
        assert_eq!(message.attempts, 1);
        finish(&store, HOOK, &message, Outcome::Gone { error: "410".to_owned() }).await;
        assert_eq!(all(&store, true).await.len(), 1);
        let channel = store.notice_channels().await.unwrap().remove(0);
        assert_eq!((channel.failures, channel.last_error.as_deref()), (2, Some("410")));
        assert!(channel.disabled_since.is_some());
        let counts = store.notice_counts(Timestamp::now()).await.unwrap().remove(0);
        assert_eq!((counts.pending, counts.failed, counts.failed_lately), (0, 1, 1));

        let retry = async || store.write(|tx| tx.retry_notices(None)).await.unwrap();
        assert_eq!(retry().await, 0, "the channel is disabled");
        let enable = async || store.write(|tx| tx.enable_channel(HOOK)).await.unwrap();
        assert!(enable().await && !enable().await);
        assert_eq!(retry().await, 1);
        let [message] = claim(&store, HOOK, None).await.try_into().unwrap();
        assert_eq!(message.attempts, 0);
        finish(&store, HOOK, &message, Outcome::Delivered).await;
        assert_eq!(store.notice_channels().await.unwrap()[0].failures, 0);

        let tomorrow = Timestamp::from_unix(Timestamp::now().unix() + 86_400);
        assert_eq!(store.prune_notices(Timestamp::from_unix(1)).await.unwrap(), 0);
        assert_eq!(store.prune_notices(tomorrow).await.unwrap(), 1);
        assert!(all(&store, false).await.is_empty());
    }
}

#[tokio::test]
async fn more_than_five_mails_in_a_minute_become_one() {
    for place in Place::both() {
        let store = place.store().await;
        let (jane, john) =
            (add_user(&store, "jane", Some("j@x.org")).await, add_user(&store, "john", Some("k@x.org")).await);
        for n in 0..12 {
            notify(&store, NewNotice::new(NoticeKind::ApprovalWanted, &n.to_string()).to([jane])).await;
        }
        notify(&store, NewNotice::new(NoticeKind::ApprovalWanted, "john's").to([john])).await;
        notify(&store, NewNotice::new(NoticeKind::BreakGlass, "loud").to([jane]).loud()).await;
        address(&store).await;
        let sent = claim(&store, MAIL, Some(5)).await;
        let titles: Vec<_> = sent.iter().map(|one| (one.notices.len(), one.notices[0].title.clone())).collect();
        let expected = ["0", "1", "2", "3", "4", "john's", "loud"].map(|title| (1, title.to_owned()));
        assert_eq!(titles, expected);
        for one in &sent {
            finish(&store, MAIL, one, Outcome::Delivered).await;
        }
        assert!(claim(&store, MAIL, Some(5)).await.is_empty());
        notify(&store, NewNotice::new(NoticeKind::ApprovalWanted, "12").to([jane])).await;
        address(&store).await;
        assert!(claim(&store, MAIL, Some(5)).await.is_empty(), "the minute is over too early");

        // A minute later the rest is one message, also the one that was held last and is not due yet.
        place
            .tamper(
                "UPDATE notice_delivery SET finished = finished - 61, next_attempt = next_attempt - 61
            WHERE channel = 'mail'",
            )
            .unwrap();
        place
            .tamper(
                "UPDATE notice_delivery SET next_attempt = next_attempt + 61
                 WHERE notice_id = (SELECT id FROM notice ORDER BY id DESC LIMIT 1)",
            )
            .unwrap();
        let [digest] = claim(&store, MAIL, Some(5)).await.try_into().unwrap();
        assert_eq!(digest.notices.len(), 8);
        assert!(claim(&store, MAIL, Some(5)).await.is_empty());
        // It is tried again as it was.
        let retry = Outcome::Retry { at: Timestamp::from_unix(0), error: "away".to_owned() };
        finish(&store, MAIL, &digest, retry).await;
        notify(&store, NewNotice::new(NoticeKind::ApprovalWanted, "13").to([jane])).await;
        address(&store).await;
        let again = claim(&store, MAIL, Some(5)).await;
        assert_eq!(again.iter().map(|one| one.notices.len()).collect::<Vec<_>>(), [8, 1]);
        assert_eq!((again[0].id, again[0].attempts), (digest.id, 1));
    }
}

#[tokio::test]
async fn what_an_ended_server_had_in_work_is_sent_by_another() {
    for place in Place::both() {
        let store = place.store().await;
        notify(&store, NewNotice::new(NoticeKind::Test, "one")).await;
        address(&store).await;
        assert_eq!(claim(&store, HOOK, None).await.len(), 1);
        store.release_messages().await.unwrap();
        assert!(claim(&store, HOOK, None).await.is_empty(), "this server runs");
        if place.cluster.is_some() {
            let other = Store::open(&place.database()).await.unwrap();
            other.release_messages().await.unwrap();
            assert!(claim(&other, HOOK, None).await.is_empty(), "the first server runs");
            other.close().await;
        }
        store.close().await;
        drop(store);
        let next = Store::open(&place.database()).await.unwrap();
        next.release_messages().await.unwrap();
        assert_eq!(claim(&next, HOOK, None).await.len(), 1);
    }
}

#[tokio::test]
async fn deliveries_of_a_channel_that_was_taken_away_are_given_up() {
    for place in Place::both() {
        let store = place.store().await;
        notify(&store, NewNotice::new(NoticeKind::Test, "one")).await;
        address(&store).await;
        let later = Timestamp::from_unix(Timestamp::now().unix() + 10);
        assert_eq!(store.drop_unknown_channels(vec![HOOK.to_owned()], later).await.unwrap(), 0);
        assert_eq!(store.drop_unknown_channels(Vec::new(), Timestamp::from_unix(1)).await.unwrap(), 0);
        assert_eq!(store.drop_unknown_channels(Vec::new(), later).await.unwrap(), 1);
        assert_eq!(all(&store, false).await[0].deliveries[0].state, DeliveryState::Dropped);
        let id = all(&store, false).await[0].id;
        let retried: Result<u64, StorageError> = store.write(move |tx| tx.retry_notices(Some(id))).await;
        assert_eq!(retried.unwrap(), 1);
    }
}
