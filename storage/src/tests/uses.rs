//! Signing requests: rows of their own, and entries in the record with them.

use std::{
    future::{Future, ready},
    pin::pin,
};

use sealcard_api::{
    Fingerprint,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm},
    ids::{ComponentId, GrantId, KeyId, PrincipalId, ProjectId, RequestId},
    record::RequestState,
    roles::{PrincipalKind, ProjectRole, SystemRoles},
};
use sealcard_record::{
    Event, Named,
    event::{Asked, Operation, SignerOperation, SigningKey, UseDenied, UseIntent},
};
use sealcard_signer_protocol::{PublicKeyBytes, StoredKey};

use super::*;

const TOKEN: [u8; 32] = [5; 32];

/// What came of a request's arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begun {
    New,
    Known(RequestRow),
    Mismatched,
    Denied,
}

/// A request for a key that is not there.
fn request(principal: PrincipalId, idempotency_key: Uuid) -> NewRequest {
    NewRequest {
        id: RequestId::new(),
        principal,
        grant: GrantId::new(),
        idempotency_key,
        key: KeyId::new(),
        operation: "sign",
        input_sha256: [7; 32],
        node: Uuid::new_v4(),
    }
}

fn query(request: &NewRequest) -> FactsQuery {
    FactsQuery { token: TOKEN, target: Target::Key(request.key, ComponentRole::Sign) }
}

/// With a text that JSON escapes.
fn signing_key(request: &NewRequest) -> SigningKey {
    let name = "a \" and a \\, an ä, a 💳, and \n {\"sequence\":0";
    SigningKey { project: Named::new(ProjectId::new(), "project"), key: Named::new(request.key, name) }
}

fn intent(request: &NewRequest) -> UseIntent {
    UseIntent {
        signing_key: signing_key(request),
        component: ComponentId::new(),
        asked: Asked::new(Operation::Sign, SignerOperation::Sign),
        host: None,
    }
}

fn draft(request: &NewRequest, event: Event) -> Draft {
    Draft::new(request.id, event)
}

/// A small policy: what is denied is a request whose grant, holder, role or key is not good.
fn may(facts: &Facts) -> bool {
    facts.grant.expires > Timestamp::now()
        && !facts.grant.revoked
        && !facts.principal.disabled
        && facts.roles.contains(ProjectRole::KeyUser)
        && facts.key.as_ref().is_some_and(|key| !key.disabled)
}

async fn begin_if(
    store: &Store,
    request: &NewRequest,
    query: FactsQuery,
    cached: Option<Facts>,
    allowed: fn(Option<&Facts>) -> bool,
) -> Result<Begun, StorageError> {
    let copy = *request;
    let decide = move |Snapshot { facts, arrival, .. }: Snapshot<'_>| {
        let denied = |value| {
            let asked = Asked::new(Operation::Sign, SignerOperation::Sign);
            let event = Event::UseDenied(UseDenied::of_unknown_key(copy.key, asked));
            Verdict { next: Some((RequestState::Denied, draft(&copy, event))), value }
        };
        Ok::<_, StorageError>(match arrival {
            _ if !allowed(facts) => denied(Begun::Denied),
            Arrival::Mismatched => denied(Begun::Mismatched),
            Arrival::Repeated(row) | Arrival::Waiting(row) => Verdict { next: None, value: Begun::Known(row.clone()) },
            Arrival::New => {
                let event = Event::UseIntent(intent(&copy));
                Verdict { next: Some((RequestState::Signing, draft(&copy, event))), value: Begun::New }
            }
        })
    };
    store.begin_request(*request, query, cached, decide).await
}

/// Always allowed.
pub(super) async fn begin(store: &Store, request: &NewRequest) -> Result<Begun, StorageError> {
    begin_if(store, request, query(request), None, |_| true).await
}

/// Allowed as [`may`] says.
pub(super) async fn begin_judged(
    store: &Store,
    request: &NewRequest,
    cached: Option<Facts>,
) -> Result<Begun, StorageError> {
    begin_if(store, request, query(request), cached, |facts| facts.is_some_and(may)).await
}

pub(super) async fn finish(store: &Store, request: &NewRequest, signature: &'static [u8]) -> Result<(), StorageError> {
    let outcome = draft(request, Event::UseOutcome(intent(request).outcome(RequestState::Signed)));
    store.finish_request(Some(signature.to_vec()), Some(request.key), outcome).await
}

#[tokio::test]
async fn idempotency_key_stands_for_one_use_with_one_outcome() {
    for place in Place::both() {
        let store = place.store().await;
        let first = request(PrincipalId::new(), Uuid::new_v4());
        assert_eq!(begin(&store, &first).await.unwrap(), Begun::New);
        let repeated = NewRequest { id: RequestId::new(), ..first };
        let Begun::Known(known) = begin(&store, &repeated).await.unwrap() else { panic!("it is known") };
        assert_eq!((known.id, known.state), (first.id, RequestState::Signing));
        assert!(matches!(finish(&store, &repeated, b"no").await, Err(StorageError::NotFound(_))));

        finish(&store, &first, b"signature").await.unwrap();
        assert!(matches!(finish(&store, &first, b"another").await, Err(StorageError::NotFound(_))));
        let Begun::Known(known) = begin(&store, &repeated).await.unwrap() else { panic!("it is known") };
        assert_eq!((known.state, known.signature.as_deref()), (RequestState::Signed, Some(b"signature".as_slice())));

        let mut other = repeated;
        other.input_sha256 = [8; 32];
        assert_eq!(begin(&store, &other).await.unwrap(), Begun::Mismatched);
        // The row of the first is as it was.
        assert_eq!(store.request(first.id).await.unwrap(), Some(known));
        check_record(&store, 3).await;
    }
}

#[tokio::test]
async fn denied_request_has_a_row_and_is_decided_anew() {
    for place in Place::both() {
        let store = place.store().await;
        let first = request(PrincipalId::new(), Uuid::new_v4());
        let never: fn(Option<&Facts>) -> bool = |_| false;
        assert_eq!(begin_if(&store, &first, query(&first), None, never).await.unwrap(), Begun::Denied);
        assert_eq!(store.request(first.id).await.unwrap().unwrap().state, RequestState::Denied);
        let repeated = NewRequest { id: RequestId::new(), ..first };
        assert_eq!(begin(&store, &repeated).await.unwrap(), Begun::New);
        assert_eq!(store.request(first.id).await.unwrap(), None);
        assert_eq!(store.request(repeated.id).await.unwrap().unwrap().state, RequestState::Signing);
        finish(&store, &repeated, b"signature").await.unwrap();
        // What has been signed stays signed, whatever becomes of a repetition.
        assert_eq!(begin_if(&store, &repeated, query(&repeated), None, never).await.unwrap(), Begun::Denied);
        assert_eq!(store.request(repeated.id).await.unwrap().unwrap().state, RequestState::Signed);
        check_record(&store, 4).await;
    }
}

#[tokio::test]
async fn request_whose_decision_fails_leaves_nothing() {
    for place in Place::both() {
        let store = place.store().await;
        let refused = request(PrincipalId::new(), Uuid::new_v4());
        let refuse = |_: Snapshot<'_>| Err::<Verdict<()>, _>(StorageError::Busy);
        let commits = store.writer_load().commits;
        let answer = store.begin_request(refused, query(&refused), None, refuse).await;
        assert!(matches!(answer, Err(StorageError::Busy)));
        assert_eq!(store.writer_load().commits, commits, "nothing was written");
        assert_eq!(store.request(refused.id).await.unwrap(), None);
        check_record(&store, 0).await;
        // The idempotency key is as new as before.
        assert_eq!(begin(&store, &refused).await.unwrap(), Begun::New);
    }
}

#[tokio::test]
async fn request_that_waits_is_ended_once() {
    for place in Place::both() {
        let store = place.store().await;
        let waiting = request(PrincipalId::new(), Uuid::new_v4());
        let denied = move || {
            let asked = Asked::new(Operation::Sign, SignerOperation::Sign);
            draft(&waiting, Event::UseDenied(UseDenied::of_unknown_key(waiting.key, asked)))
        };
        let entry = denied();
        let wait = move |_: Snapshot<'_>| {
            Ok::<_, StorageError>(Verdict { next: Some((RequestState::Waiting, entry)), value: () })
        };
        assert_eq!(store.newest_entry().await.unwrap(), None);
        store.begin_request(waiting, query(&waiting), None, wait).await.unwrap();
        assert_eq!(store.request(waiting.id).await.unwrap().unwrap().state, RequestState::Waiting);
        assert_eq!(store.open_requests().await.unwrap(), OpenRequests { waiting: 1, unknown: 0 });
        assert_eq!(store.prune_requests(Timestamp::from_unix(i64::from(u32::MAX))).await.unwrap(), 0);
        assert!(store.write(move |tx| tx.end_waiting(waiting.id, RequestState::Cancelled, denied())).await.unwrap());
        assert!(!store.write(move |tx| tx.end_waiting(waiting.id, RequestState::Expired, denied())).await.unwrap());
        assert_eq!(store.request(waiting.id).await.unwrap().unwrap().state, RequestState::Cancelled);
        assert_eq!(store.open_requests().await.unwrap(), OpenRequests::default());
        assert!(store.newest_entry().await.unwrap().is_some_and(|(number, time)| number == 2 && time.unix() > 0));
        check_record(&store, 2).await;
    }
}

#[tokio::test]
async fn finished_requests_are_deleted_after_their_time() {
    for place in Place::both() {
        let store = place.store().await;
        let principal = PrincipalId::new();
        let finished = [(); 3].map(|()| request(principal, Uuid::new_v4()));
        for one in &finished {
            assert_eq!(begin(&store, one).await.unwrap(), Begun::New);
            finish(&store, one, b"signature").await.unwrap();
        }
        let signing = request(principal, Uuid::new_v4());
        assert_eq!(begin(&store, &signing).await.unwrap(), Begun::New);
        let now = Timestamp::now().unix();
        assert_eq!(store.prune_requests(Timestamp::from_unix(now - 60)).await.unwrap(), 0);
        assert_eq!(store.prune_requests(Timestamp::from_unix(now + 60)).await.unwrap(), 3);
        assert!(store.request(signing.id).await.unwrap().is_some());
        // The idempotency key is free again, and the record has everything.
        let [first, ..] = finished;
        let again = NewRequest { id: RequestId::new(), ..first };
        assert_eq!(begin(&store, &again).await.unwrap(), Begun::New);
        check_record(&store, 8).await;
    }
}

/// A key with one subkey, and a user who may use it.
pub(super) struct Scene {
    pub(super) store: Store,
    /// Another server's, if several can share the database.
    pub(super) other: Store,
    pub(super) user: PrincipalId,
    grant: GrantId,
    pub(super) project: ProjectId,
    pub(super) key: KeyId,
}

impl Scene {
    pub(super) async fn new(place: &Place) -> Self {
        let store = place.store().await;
        let other = if place.cluster.is_some() { Store::open(&place.database()).await.unwrap() } else { store.clone() };
        let scene = Self {
            store,
            other,
            user: PrincipalId::new(),
            grant: GrantId::new(),
            project: ProjectId::new(),
            key: KeyId::new(),
        };
        let Self { user, grant, project, key, .. } = scene;
        let now = Timestamp::now();
        let end = now.unix() + 3600;
        let component = StoredKey {
            component: Uuid::now_v7(),
            role: ComponentRole::Sign,
            algorithm: ComponentAlgorithm::of(KeyAlgorithm::Ed25519, ComponentRole::Sign),
            public_key: PublicKeyBytes::Ec { point: vec![1; 32] },
            handle: vec![2; 48],
        };
        let row = NewKeyRow {
            id: key,
            project,
            environment: scene.store.environments().await.unwrap().first().unwrap().id,
            name: "key".to_owned(),
            algorithm: KeyAlgorithm::Ed25519,
            user_id: "Key <key@example.org>".to_owned(),
            fingerprint: Fingerprint([3; 20]),
            serial: 1,
            certificate: String::new(),
            created: now,
            revocation: None,
            components: vec![NewComponentRow {
                key: component,
                fingerprint: Fingerprint([4; 20]),
                created: now,
                expires: None,
                evidence: None,
            }],
        };
        let made: Result<(), StorageError> = scene
            .store
            .write(move |tx| {
                let (kind, name) = (PrincipalKind::User, "user".to_owned());
                let principal = PrincipalRow {
                    id: user,
                    kind,
                    name,
                    system_roles: SystemRoles::NONE,
                    disabled: false,
                    created: 0,
                    one_time_until: None,
                    owner: None,
                    email: None,
                };
                tx.add_principal(&principal, Some("none"))?;
                let (service_token, label) = (None, String::new());
                let held = NewGrantRow {
                    id: grant,
                    principal: user,
                    service_token,
                    label,
                    created: 0,
                    expires: end,
                    refreshable_until: end,
                    address: None,
                };
                tx.add_grant(&held, &TOKEN)?;
                let (name, description) = ("project".to_owned(), String::new());
                tx.add_project(&ProjectRow { id: project, name, description, strict_separation: false, created: 0 })?;
                tx.add_project_member(project, Member::Principal(user), ProjectRole::KeyUser)?;
                tx.insert_key(&row)
            })
            .await;
        made.unwrap();
        scene
    }

    pub(super) fn query(&self) -> FactsQuery {
        FactsQuery { token: TOKEN, target: Target::Key(self.key, ComponentRole::Sign) }
    }

    /// The facts as this server knows them.
    pub(super) async fn facts(&self) -> Option<Facts> {
        let facts = self.store.facts(self.query()).await.unwrap();
        assert!(facts.is_some());
        facts
    }

    pub(super) fn request(&self) -> NewRequest {
        let Self { user, grant, key, .. } = *self;
        NewRequest { grant, key, ..request(user, Uuid::new_v4()) }
    }

    /// Ends, or gives back, what a use needs, in turn.
    pub(super) async fn change(&self, through: &Store, what: usize, away: bool) {
        let change = self.changing(what, away);
        through.write(move |tx| change.perform(tx)).await.unwrap();
    }

    pub(super) fn changing(&self, what: usize, away: bool) -> Changing {
        let Self { user, project, key, .. } = *self;
        Changing { user, project, key, what, away }
    }
}

/// [`Scene::change`] for a transaction.
pub(super) struct Changing {
    user: PrincipalId,
    project: ProjectId,
    key: KeyId,
    what: usize,
    away: bool,
}

impl Changing {
    pub(super) fn perform(self, tx: &mut WriteTx) -> Result<(), StorageError> {
        let Self { user, project, key, what, away } = self;
        let member = Member::Principal(user);
        match (what, away) {
            (0, _) => {
                let change = PrincipalChange { disabled: Some(away), ..PrincipalChange::default() };
                tx.change_principal(user, &change)
            }
            (1, true) => tx.remove_project_member(project, member, ProjectRole::KeyUser).map(drop),
            (1, false) => tx.add_project_member(project, member, ProjectRole::KeyUser).map(drop),
            _ => tx.set_key_disabled(key, away).map(drop),
        }
    }
}

/// Whether it waits after it was begun.
async fn waits<T>(mut future: impl Future<Output = T> + Unpin) -> bool {
    tokio::select! { biased; _ = &mut future => false, () = ready(()) => true }
}

/// Between the first look at the facts and the intent there may be a long wait for the writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn request_is_decided_by_the_facts_of_its_transaction() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let store = &scene.store;
        let cached = scene.facts().await;
        // Something that does not concern it.
        attempt(store, 0, false).await.unwrap();
        assert_eq!(begin_judged(store, &scene.request(), cached).await.unwrap(), Begun::New);
        let mut entries = 2;
        for what in 0..3 {
            // The change is there before the request comes to the writer.
            let cached = scene.facts().await;
            scene.change(&scene.other, what, true).await;
            assert_eq!(begin_judged(store, &scene.request(), cached.clone()).await.unwrap(), Begun::Denied);
            scene.change(&scene.other, what, false).await;
            assert_eq!(begin_judged(store, &scene.request(), cached).await.unwrap(), Begun::New);

            // Both come to it in one transaction, or in two of which the change's is the first.
            let cached = scene.facts().await;
            let (release, holder) = hold(store);
            let request = scene.request();
            let mut change = pin!(scene.change(store, what, true));
            let mut late = pin!(begin_judged(store, &request, cached));
            assert!(waits(&mut change).await && waits(&mut late).await);
            release.send(()).unwrap();
            holder.await.unwrap().unwrap();
            change.await;
            assert_eq!(late.await.unwrap(), Begun::Denied);
            scene.change(store, what, false).await;
            entries += 3;
        }
        check_record(store, entries).await;
    }
}

/// Another server may have changed everything since.
#[tokio::test]
async fn cached_facts_are_those_that_the_database_gave_last() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let (store, query) = (&scene.store, scene.query());
        let facts = scene.facts().await;
        assert_eq!(store.cache.get(&query), facts);
        // Uses change nothing.
        assert_eq!(begin_judged(store, &scene.request(), facts.clone()).await.unwrap(), Begun::New);
        assert_eq!(store.cache.get(&query), facts);

        scene.change(&scene.other, 2, true).await;
        if place.cluster.is_some() {
            // One request finds that something was changed, the next one reads.
            assert_eq!(store.cached_facts(query).await.unwrap(), facts);
            assert_eq!(begin_judged(store, &scene.request(), facts.clone()).await.unwrap(), Begun::Denied);
        }
        assert_eq!(store.cache.get(&query), None);
        let newer = scene.facts().await;
        assert!(newer.as_ref().unwrap().key.as_ref().unwrap().disabled);
        assert_eq!(store.cache.get(&query), newer);
    }
}

/// What is connected to then may be a database that took over, and has counted other changes.
#[tokio::test]
async fn nothing_that_was_read_before_the_connection_broke_counts_after_it() {
    let place = Place::postgres();
    let scene = Scene::new(&place).await;
    let store = &scene.store;
    let facts = scene.facts().await;
    assert_eq!(store.cache.get(&scene.query()), facts);
    // In the new database the user has been disabled, and as many changes have been made.
    let cluster = place.cluster.as_ref().unwrap();
    cluster.sql("UPDATE principal SET disabled = true").unwrap();
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sealcard' AND pid <> pg_backend_pid()";
    cluster.sql(end).unwrap();
    loop {
        match begin_judged(store, &scene.request(), facts.clone()).await {
            Ok(Begun::Denied) => break,
            Err(error) => assert!(matches!(error, StorageError::Database(_) | StorageError::Commit(_)), "{error:?}"),
            Ok(begun) => panic!("{begun:?}"),
        }
    }
    assert_eq!(store.cache.get(&scene.query()), None);
    check_record(store, 1).await;
}

/// A token of a grant that was refreshed is good for some time.
#[tokio::test]
async fn retired_token_ends_with_its_time() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let store = &scene.store;
        let cached = scene.facts().await;
        let (grant, now) = (scene.grant, Timestamp::now().unix());
        let (expires, retired) = (cached.as_ref().unwrap().grant.expires.unix(), now + 1);
        let refreshed: Result<(), StorageError> =
            scene.other.write(move |tx| tx.refresh_grant(grant, expires, (&TOKEN, retired), &[6; 32]).map(drop)).await;
        refreshed.unwrap();
        assert_eq!(scene.facts().await.unwrap().grant.expires.unix(), retired);
        while begin_judged(store, &scene.request(), cached.clone()).await.unwrap() == Begun::New {
            assert!(Timestamp::now().unix() < retired + 60, "it is never over");
        }
        assert!(Timestamp::now().unix() >= retired);
        // The new one is good.
        let request = scene.request();
        let query = FactsQuery { token: [6; 32], ..scene.query() };
        let begun = begin_if(store, &request, query, None, |facts| facts.is_some_and(may)).await;
        assert_eq!(begun.unwrap(), Begun::New);
    }
}

/// Alone, each has a transaction of its own; in company they share one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uses_of_two_servers_alone_and_in_company_are_one_record() {
    const EACH: u64 = 40;
    let place = Place::postgres();
    let stores = [place.store().await, Store::open(&place.database()).await.unwrap()];
    let principal = PrincipalId::new();
    let mut all = JoinSet::new();
    for company in [1, 8] {
        let before: u64 = stores.iter().map(|store| store.writer_load().commits).sum();
        for store in &stores {
            for n in 0..company {
                let store = store.clone();
                all.spawn(async move {
                    for _ in 0..EACH / company {
                        let request = request(principal, Uuid::new_v4());
                        assert_eq!(begin(&store, &request).await.unwrap(), Begun::New);
                        finish(&store, &request, b"signature").await.unwrap();
                        attempt(&store, n, false).await.unwrap();
                    }
                });
            }
        }
        while let Some(ended) = all.join_next().await {
            ended.unwrap();
        }
        let commits = stores.iter().map(|store| store.writer_load().commits).sum::<u64>() - before;
        assert!(company == 1 || commits < 2 * EACH * 3, "{commits} commits");
    }
    check_record(&stores[0], 2 * 2 * EACH * 3).await;
}

/// The same request at both servers at once: one of them does it, and neither waits for the other for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_request_at_two_servers_is_one_use() {
    let place = Place::postgres();
    let stores = [place.store().await, Store::open(&place.database()).await.unwrap()];
    let principal = PrincipalId::new();
    for n in 1..=30 {
        let same = request(principal, Uuid::new_v4());
        let mut both = JoinSet::new();
        for store in &stores {
            let (store, request) = (store.clone(), NewRequest { id: RequestId::new(), ..same });
            both.spawn(async move { begin(&store, &request).await.unwrap() });
        }
        let begun = both.join_all().await;
        assert_eq!(begun.iter().filter(|begun| **begun == Begun::New).count(), 1, "{begun:?}");
        check_record(&stores[0], n).await;
    }
}
