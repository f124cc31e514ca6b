//! Bursts of uses: of those that are denied, and of all.

use sealcard_api::approvals::ApprovalState;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sealcard_api::{
    algorithm::{HashAlgorithm, KeyAlgorithm},
    ids::{GrantId, KeyId, PrincipalId},
    roles::ProjectRole,
};
use sealcard_server::{
    config::Limits,
    requests::{RequestError, UseResponse},
    storage::{Member, StorageError},
};
use sealcard_signer_protocol::Operation;
use tokio::task::JoinSet;

use crate::approvals::Office;
use crate::harness::{Place, UseKey as _, details, request, sign};

const BURST: usize = 1000;

async fn use_as(place: &Place, principal: PrincipalId, key: KeyId) -> Result<UseResponse, RequestError> {
    let caller = place.let_in(GrantId(principal.0)).await;
    let request = request(key, sign(&[1; 32]));
    place.requests.use_key(&caller, request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn burst_of_denied_uses_makes_few_entries_while_others_sign() {
    let place = Arc::new(Place::new().await);
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let stranger = PrincipalId::new();
    place.add_user(stranger, "stranger").await;
    let before = place.record().await.len();

    let done = Arc::new(AtomicBool::new(false));
    let honest = tokio::spawn({
        let (place, done) = (Arc::clone(&place), Arc::clone(&done));
        async move {
            let mut signed = 0;
            while !done.load(Ordering::Relaxed) || signed < 20 {
                place.sign(key, &[2; 32]).await;
                signed += 1;
            }
            signed
        }
    });
    let mut burst = JoinSet::new();
    for _ in 0..BURST {
        let place = Arc::clone(&place);
        burst.spawn(async move { use_as(&place, stranger, key).await });
    }
    let answers = burst.join_all().await;
    done.store(true, Ordering::Relaxed);
    let signed = honest.await.unwrap();
    let budget = usize::try_from(Limits::default().denials_per_minute).unwrap();
    let recorded = answers.iter().filter(|answer| matches!(answer, Err(RequestError::Denied { .. }))).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(RequestError::TooManyDenials { .. }))).count();
    // It may have lasted into the next minute.
    assert!(recorded >= budget && recorded % budget == 0 && recorded + refused == BURST, "{recorded} {refused}");

    place.requests.record_bursts(None).await;
    let record = place.record().await;
    let entries: Vec<_> = record[before..].iter().filter(|row| row.principal == Some(stranger)).collect();
    let (bursts, single): (Vec<_>, Vec<_>) = entries.into_iter().partition(|row| row.event == "use-denied-burst");
    assert_eq!(single.len(), recorded);
    assert!(!bursts.is_empty() && bursts.len() <= recorded / budget, "{bursts:?}");
    let counted: u64 = bursts.iter().map(|row| details(row)["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, u64::try_from(refused).unwrap());
    let burst = details(bursts[0]);
    assert_eq!((burst["cause"].as_str(), burst["actor"]["name"].as_str()), (Some("policy"), Some("stranger")));
    assert!(
        burst["reason"].as_str().unwrap().contains("key-user") || burst["reason"].as_str().unwrap().contains("member")
    );
    // What has no entry has no row either.
    let rows = "SELECT count(*) FROM key_request WHERE principal_id = ?1";
    let rows: i64 = place.raw().query_row(rows, [stranger.0.as_bytes().as_slice()], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(rows).unwrap(), recorded);
    let uses = record.iter().filter(|row| row.event == "use-outcome").count();
    assert_eq!(uses, signed);
    assert_eq!(place.verify().await.findings, Vec::<String>::new());

    place.requests.record_bursts(None).await;
    assert_eq!(place.record().await.len(), record.len(), "a burst is recorded once");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_uses_go_on_while_the_budget_of_denials_is_spent() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let user = place.user;
    for _ in 0..Limits::default().denials_per_minute {
        let denied = use_as(&place, user, KeyId::new()).await;
        assert!(matches!(denied, Err(RequestError::Denied { .. })), "{denied:?}");
    }
    let refused = use_as(&place, user, KeyId::new()).await;
    assert!(matches!(refused, Err(RequestError::TooManyDenials { .. })), "{refused:?}");
    use_as(&place, user, key).await.unwrap();

    // What is given meanwhile counts at once.
    let newcomer = PrincipalId::new();
    place.add_user(newcomer, "newcomer").await;
    for _ in 0..=Limits::default().denials_per_minute {
        let _ = use_as(&place, newcomer, key).await;
    }
    assert!(matches!(use_as(&place, newcomer, key).await, Err(RequestError::TooManyDenials { .. })));
    let project = place.project;
    let given: Result<(), StorageError> = place
        .store()
        .write(move |tx| tx.add_project_member(project, Member::Principal(newcomer), ProjectRole::KeyUser).map(drop))
        .await;
    given.unwrap();
    use_as(&place, newcomer, key).await.unwrap();
    place.stop().await;
}

/// Input that no key takes is found in the transaction, after policy has allowed the use.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_after_policy_are_counted_too() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let before = place.record().await.len();
    let mut refused = 0;
    for _ in 0..100 {
        let too_short = Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![1; 5] };
        match place.perform(key, too_short).await {
            Err(RequestError::Unfit(_)) => {}
            Err(RequestError::TooManyDenials { retry_after }) => {
                assert!((1..=60).contains(&retry_after));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let budget = usize::try_from(Limits::default().denials_per_minute).unwrap();
    assert_eq!(refused, 100 - budget);
    assert_eq!(place.record().await.len() - before, budget);
    place.requests.record_bursts(None).await;
    let record = place.record().await;
    assert_eq!(details(record.last().unwrap())["count"], 100 - budget);
    assert_eq!(details(record.last().unwrap())["cause"], "input");
    place.stop().await;
}

#[tokio::test]
async fn approval_that_meets_an_exhausted_quota_is_left_as_it_was() {
    let rules =
        "[rule.tags]\napproval = [{ group = \"approvers\" }]\nquota = [{ per = \"key\", uses = 1, window = \"1h\" }]\n";
    let office = Office::with(rules).await;
    let first = office.waits(&office.request(1)).await;
    office.approve(0, first.approval).await.unwrap();
    office.signs(&office.request(1)).await;
    let second = office.waits(&office.request(2)).await;
    office.approve(0, second.approval).await.unwrap();
    let refused = office.ask(&office.request(2)).await.unwrap_err();
    assert!(refused.to_string().contains("nothing is left"), "{refused}");
    let left = office.show(0, second.approval).await;
    assert_eq!((left.state, left.used), (ApprovalState::Approved, 0));
    // The record and the tables still agree.
    office.end().await;
}
