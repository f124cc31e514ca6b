//! Uses of keys: rows of their own, and entries in the record with them.

use std::{
    future::{Future, ready},
    pin::pin,
};

use sealcard_api::{
    Fingerprint,
    admin::ProjectRole,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm},
    ids::{ComponentId, GrantId, KeyId, PrincipalId, ProjectId, RequestId},
    record::{RecordKind, RequestState},
};
use sealcard_policy::{KeyStanding, PrincipalKind, Roles};
use sealcard_record::{
    Actor, Draft, Event, Named,
    event::{self, Asked, SignerOperation, SigningKey, UseIntent},
};
use sealcard_signer_protocol::{PublicKeyBytes, StoredKey};

use super::*;

const TOKEN: [u8; 32] = [5; 32];

fn request(principal: PrincipalId, key: Uuid) -> NewRequest {
    NewRequest {
        id: RequestId::new(),
        idempotency: Idempotency {
            use_of: UseOf {
                key: KeyId::new(),
                role: ComponentRole::Sign,
                principal,
                grant: GrantId::new(),
                token: TOKEN,
            },
            key,
            operation: "sign",
            input_sha256: [7; 32],
        },
        component: Uuid::new_v4(),
        project: ProjectId::new(),
        node: Uuid::new_v4(),
    }
}

fn entry(request: &NewRequest, kind: RecordKind, state: RequestState) -> Draft {
    let use_of = request.idempotency.use_of;
    let intent = UseIntent {
        signing_key: SigningKey {
            project: Named::new(request.project, "release"),
            key: Named::new(use_of.key, "a \" and a \\, an ä, a 💳, and \n {\"sequence\":0"),
        },
        component: ComponentId(request.component),
        asked: Asked::new(event::Operation::Sign, SignerOperation::Sign),
        host: None,
    };
    let event = match kind {
        RecordKind::Intent => Event::UseIntent(intent),
        _ => Event::UseOutcome(intent.outcome(state)),
    };
    Draft::new(request.id, event).by(Actor::new(use_of.principal, "user", use_of.grant))
}

/// Judged right before.
async fn begin(store: &Store, request: &NewRequest) -> Result<Begun, StorageError> {
    loop {
        let changes: Option<(i64,)> =
            store.reader().optional("SELECT changes FROM record_head", params![]).await.unwrap();
        let begun = begin_judged(store, request, judged_as_of(changes.unwrap().0)).await;
        if !matches!(begun, Err(StorageError::Stale)) {
            return begun;
        }
    }
}

pub(super) async fn begin_judged(store: &Store, request: &NewRequest, judged: KeyUse) -> Result<Begun, StorageError> {
    store.begin_request(*request, judged, entry(request, RecordKind::Intent, RequestState::Signing)).await
}

/// Of a key that is not there: what was judged does not matter as long as nothing changes.
fn judged_as_of(as_of: i64) -> KeyUse {
    KeyUse {
        project: ProjectId::new(),
        environment: EnvironmentId::new(),
        algorithm: KeyAlgorithm::Ed25519,
        standing: KeyStanding::Active,
        expires: None,
        component_revoked: false,
        roles: Roles::NONE,
        component: None,
        grant_expires: None,
        asker_may_ask: true,
        as_of: AsOf::number(as_of),
    }
}

pub(super) async fn finish(store: &Store, request: &NewRequest, signature: &'static [u8]) -> Result<(), StorageError> {
    let outcome = entry(request, RecordKind::Outcome, RequestState::Signed);
    let counted = Some(request.idempotency.use_of.key);
    store.finish_request(Some(signature.to_vec()), counted, outcome).await
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_use_and_a_use_has_one_outcome() {
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
        other.idempotency.input_sha256 = [8; 32];
        assert_eq!(begin(&store, &other).await.unwrap(), Begun::Mismatch);
        // Only what was done is in the record.
        check_chain(&store, 2).await;
    }
}

/// A key with one subkey, and a user who may use it.
pub(super) struct Scene {
    pub(super) store: Store,
    /// Another server's, if several can share the database.
    pub(super) other: Store,
    user: PrincipalId,
    grant: GrantId,
    project: ProjectId,
    key: KeyId,
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
                    administrator: false,
                    disabled: false,
                    created: 0,
                    one_time_until: None,
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
                };
                tx.add_grant(&held, &TOKEN)?;
                let (name, description) = ("project".to_owned(), String::new());
                tx.add_project(&ProjectRow { id: project, name, description, created: 0 })?;
                tx.add_project_member(project, Member::Principal(user), ProjectRole::KeyUser)?;
                tx.insert_key(&row)
            })
            .await;
        made.unwrap();
        scene
    }

    fn use_of(&self) -> UseOf {
        let Self { key, user: principal, grant, .. } = *self;
        UseOf { key, role: ComponentRole::Sign, principal, grant, token: TOKEN }
    }

    pub(super) async fn judged(&self) -> KeyUse {
        self.store.key_use(self.use_of()).await.unwrap().unwrap()
    }

    pub(super) fn request(&self) -> NewRequest {
        let mut request = request(self.user, Uuid::new_v4());
        request.idempotency.use_of = self.use_of();
        request
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

/// Between the judgement and the intent there may be a long wait for the writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_use_begins_only_if_it_would_be_judged_the_same_at_that_moment() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let store = &scene.store;
        let judged = scene.judged().await;
        // Something that does not concern it.
        attempt(store, 0, false).await.unwrap();
        assert_eq!(begin_judged(store, &scene.request(), judged).await.unwrap(), Begun::New);
        let mut entries = 2;
        for what in 0..3 {
            // The change is there before the use comes to the writer.
            let judged = scene.judged().await;
            scene.change(&scene.other, what, true).await;
            let late = begin_judged(store, &scene.request(), judged.clone()).await;
            assert!(matches!(late, Err(StorageError::Stale)), "{late:?}");
            scene.change(&scene.other, what, false).await;
            assert_eq!(begin_judged(store, &scene.request(), judged).await.unwrap(), Begun::New);
            entries += 1;

            // Both come to it in one transaction, or in two of which the change's is the first.
            let judged = scene.judged().await;
            let (release, holder) = hold(store);
            let request = scene.request();
            let mut change = pin!(scene.change(store, what, true));
            let mut late = pin!(begin_judged(store, &request, judged));
            assert!(waits(&mut change).await && waits(&mut late).await);
            release.send(()).unwrap();
            holder.await.unwrap().unwrap();
            change.await;
            let late = late.await;
            assert!(matches!(late, Err(StorageError::Stale)), "{late:?}");
            scene.change(store, what, false).await;
        }
        // Time passes for what was judged, too.
        let over = KeyUse { grant_expires: Some(Timestamp::now()), ..scene.judged().await };
        let late = begin_judged(store, &scene.request(), over).await;
        assert!(matches!(late, Err(StorageError::Stale)), "{late:?}");
        check_chain(store, entries).await;
    }
}

/// Another server may have changed everything since.
#[tokio::test]
async fn what_is_believed_is_what_the_database_said_last() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let (store, shared) = (&scene.store, place.cluster.is_some());
        let ask = async || store.held_grant(TOKEN).await.unwrap().unwrap();
        let believed = || (store.believed_grant(TOKEN), store.believed_key_use(scene.use_of()));
        let known = |held: &HeldGrant, judged: &KeyUse| {
            if shared { (Some(held.clone()), Some(judged.clone())) } else { (None, None) }
        };
        let (held, judged) = (ask().await, scene.judged().await);
        assert_eq!(believed(), known(&held, &judged));
        // Uses change nothing.
        assert_eq!(begin_judged(store, &scene.request(), judged.clone()).await.unwrap(), Begun::New);
        assert_eq!(believed(), known(&held, &judged));

        // One use finds that something was changed, the next one asks.
        attempt(&scene.other, 0, false).await.unwrap();
        assert_eq!(believed(), known(&held, &judged));
        assert_eq!(begin_judged(store, &scene.request(), judged.clone()).await.unwrap(), Begun::New);
        assert_eq!(believed(), (None, None));
        let newer = scene.judged().await;
        assert_eq!(believed(), (None, shared.then(|| newer.clone())));
        let held = ask().await;
        assert_eq!(believed(), known(&held, &newer));
        check_chain(store, 3).await;
    }
}

/// What is connected to then may be a database that took over, and has counted other changes.
#[tokio::test]
async fn nothing_that_was_read_before_the_connection_broke_is_believed_after_it() {
    let place = Place::postgres();
    let scene = Scene::new(&place).await;
    let store = &scene.store;
    let (held, judged) = (store.held_grant(TOKEN).await.unwrap().unwrap(), scene.judged().await);
    assert_eq!(store.believed_grant(TOKEN), Some(held));
    // In the new database the user has been disabled, and as many changes have been made.
    let cluster = place.cluster.as_ref().unwrap();
    cluster.sql("UPDATE principal SET disabled = true").unwrap();
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sealcard' AND pid <> pg_backend_pid()";
    cluster.sql(end).unwrap();
    loop {
        match begin_judged(store, &scene.request(), judged.clone()).await {
            Err(StorageError::Stale) => break,
            Err(error) => assert!(matches!(error, StorageError::Database(_) | StorageError::Commit(_)), "{error:?}"),
            Ok(begun) => panic!("{begun:?}"),
        }
    }
    assert_eq!((store.believed_grant(TOKEN), store.believed_key_use(scene.use_of())), (None, None));
    check_chain(store, 0).await;
}

/// A token of a grant that was refreshed is good for some time.
#[tokio::test]
async fn no_use_begins_with_a_token_that_was_retired() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let store = &scene.store;
        let judged = scene.judged().await;
        let (grant, now) = (scene.grant, Timestamp::now().unix());
        let (expires, retired) = (judged.grant_expires.unwrap().unix(), now + 1);
        let refreshed: Result<(), StorageError> = scene
            .other
            .write(move |tx| tx.refresh_grant(grant, expires, (&TOKEN, retired), (&[6; 32], now)).map(drop))
            .await;
        refreshed.unwrap();
        let late = begin_judged(store, &scene.request(), judged).await;
        assert!(matches!(late, Err(StorageError::Stale)), "{late:?}");
        let judged = scene.judged().await;
        assert_eq!(judged.grant_expires.map(Timestamp::unix), Some(retired));
        while begin_judged(store, &scene.request(), judged.clone()).await.is_ok() {
            assert!(Timestamp::now().unix() < retired + 60, "it is never over");
        }
        assert!(Timestamp::now().unix() >= retired);
        // The new one is.
        let mut request = scene.request();
        request.idempotency.use_of.token = [6; 32];
        let judged = store.key_use(request.idempotency.use_of).await.unwrap().unwrap();
        assert_eq!(begin_judged(store, &request, judged).await.unwrap(), Begun::New);
    }
}

/// Alone, each has a statement or transaction of its own; in company they share one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uses_of_two_servers_alone_and_in_company_are_one_chain() {
    const EACH: u64 = 40;
    let place = Place::postgres();
    let stores = [place.store().await, Store::open(&place.database()).await.unwrap()];
    let principal = PrincipalId::new();
    let mut all = JoinSet::new();
    for company in [1, 8] {
        let before: u64 = stores.iter().map(Store::commits).sum();
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
        let commits = stores.iter().map(Store::commits).sum::<u64>() - before;
        assert!(company == 1 || commits < 2 * EACH * 3, "{commits} commits");
    }
    check_chain(&stores[0], 2 * 2 * EACH * 3).await;
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
        check_chain(&stores[0], n).await;
    }
}
