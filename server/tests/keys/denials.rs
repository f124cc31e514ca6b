//! What is refused, and that it is recorded.

use sealcard_api::{
    Timestamp,
    algorithm::{HashAlgorithm, KeyAlgorithm},
    ids::{GrantId, GroupId, KeyId, PrincipalId},
    keys::{KeyState, RevocationReason},
    record::RecordKind,
    roles::ProjectRole,
};
use sealcard_policy::Action;
use sealcard_server::{
    authn::AuthorizationError,
    keys::{self, KeyError},
    requests::RequestError,
    storage::{KeyFilter, KeyRow, Member, PrincipalChange, StorageError, WriteTx},
};
use sealcard_signer_protocol::Operation;

use crate::harness::{DEADLINE, Place, UseKey as _, details, plaintext, request, sign, signature};

/// What a workstation is shown.
async fn cards(place: &Place, principal: PrincipalId) -> Vec<KeyRow> {
    let filter = KeyFilter { usable_by: Some(principal), limit: 10, ..KeyFilter::default() };
    place.store().keys(filter).await.unwrap()
}

async fn usable(place: &Place, principal: PrincipalId) -> usize {
    cards(place, principal).await.iter().filter(|key| key.state(Timestamp::now()) == KeyState::Active).count()
}

async fn set_disabled(place: &Place, key: KeyId, disabled: bool) {
    let set: Result<bool, StorageError> = place.store().write(move |tx| tx.set_key_disabled(key, disabled)).await;
    assert!(set.unwrap());
}

fn is_denied(result: &Result<sealcard_server::requests::UseResponse, RequestError>, why: &str) -> bool {
    matches!(result, Err(error @ RequestError::Denied { .. }) if error.to_string().contains(why))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_key_is_refused_by_the_very_next_request() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    place.sign(key, &[1; 32]).await;
    assert_eq!(usable(&place, place.user).await, 1);

    set_disabled(&place, key, true).await;
    let refused = place.perform(key, sign(&[1; 32])).await;
    assert!(is_denied(&refused, "disabled"), "{refused:?}");
    assert_eq!(usable(&place, place.user).await, 0);
    let record = place.record().await;
    let last = record.last().unwrap();
    assert_eq!((last.kind.as_str(), last.key), (RecordKind::Denied.name(), Some(key)));
    assert!(details(last)["reasons"].to_string().contains("disabled"), "{last:?}");

    set_disabled(&place, key, false).await;
    place.sign(key, &[1; 32]).await;
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_signs_no_more_but_decrypts_and_stays_a_card() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let place = place.tampered("UPDATE component_key SET expires = unixepoch()").await;
    let refused = place.perform(key, sign(&[1; 32])).await;
    assert!(is_denied(&refused, "expired"), "{refused:?}");
    let detail = detail(refused);
    assert!(detail.starts_with("project/ed25519 expired on 20") && detail.contains("extend"), "{detail}");
    plaintext(place.perform(key, decrypt()).await.unwrap());
    let cards = cards(&place, place.user).await;
    assert_eq!(cards[0].state(Timestamp::now()), KeyState::Expired);
    assert_eq!(cards[0].components.len(), 4);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_encryption_subkey_ends_no_signature() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let place = place.tampered("UPDATE component_key SET expires = unixepoch() WHERE role = 'decrypt'").await;
    place.sign(key, &[1; 32]).await;
    plaintext(place.perform(key, decrypt()).await.unwrap());
    let cards = cards(&place, place.user).await;
    assert_eq!(cards[0].state(Timestamp::now()), KeyState::Active);
    let warnings = cards[0].warnings(Timestamp::now());
    assert!(warnings.iter().any(|text| text.contains("for encryption expired")), "{warnings:?}");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_reasons_are_four_texts() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    set_disabled(&place, key, true).await;
    let disabled = place.perform(key, sign(&[1; 32])).await;
    assert!(is_denied(&disabled, "disabled"), "{disabled:?}");
    assert_eq!(detail(disabled), "project/ed25519 is disabled; ask an owner of project to enable it");
    set_disabled(&place, key, false).await;

    let row = place.store().key(key).await.unwrap().unwrap();
    let (store, signers) = (place.store(), &place.requests.signers);
    let message = "ed25519-2 takes its place".to_owned();
    keys::revoke(store, signers, place.maker(), &row, RevocationReason::Superseded, message).await.unwrap();
    let revoked = place.perform(key, sign(&[1; 32])).await;
    assert!(is_denied(&revoked, "revoked"), "{revoked:?}");
    assert_eq!(detail(revoked), "project/ed25519 is revoked (superseded): ed25519-2 takes its place");
    let cards = cards(&place, place.user).await;
    assert_eq!(cards[0].state(Timestamp::now()), KeyState::Revoked);
    assert_eq!(cards[0].revoked.as_ref().unwrap().reason, RevocationReason::Superseded);

    let (project, user) = (place.project, place.user);
    change(&place, move |tx| {
        let member = Member::Principal(user);
        tx.remove_project_member(project, member, ProjectRole::KeyUser).map(drop)
    })
    .await;
    let refused = place.perform(key, sign(&[1; 32])).await;
    assert!(is_denied(&refused, "key-user"), "{refused:?}");
    assert!(matches!(refused, Err(RequestError::Denied { detail: None, .. })), "a stranger learns nothing of the key");
    place.stop().await;
}

fn detail(refused: Result<sealcard_server::requests::UseResponse, RequestError>) -> String {
    match refused {
        Err(RequestError::Denied { detail: Some(detail), .. }) => detail,
        other => panic!("{other:?}"),
    }
}

/// The base point of Curve25519 (RFC 7748 section 4.1) as a sender's ephemeral key.
fn decrypt() -> Operation {
    let mut point = vec![0; 32];
    point[0] = 9;
    Operation::Decrypt { ciphertext: point }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_key_users_use_keys_directly_or_through_a_group() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let stranger = PrincipalId::new();
    place.add_user(stranger, "stranger").await;
    let as_stranger = async |place: &Place| {
        let caller = place.let_in(GrantId(stranger.0)).await;
        let request = request(key, sign(&[1; 32]));
        place.requests.use_key(&caller, request).await
    };
    let refused = as_stranger(&place).await;
    assert!(is_denied(&refused, "key-user"), "{refused:?}");
    assert_eq!(usable(&place, stranger).await, 0);

    let project = place.project;
    let member = Member::Principal(stranger);
    for role in [ProjectRole::Owner, ProjectRole::Approver, ProjectRole::Auditor] {
        let given: Result<bool, StorageError> =
            place.store().write(move |tx| tx.add_project_member(project, member, role)).await;
        assert!(given.unwrap());
        let refused = as_stranger(&place).await;
        assert!(is_denied(&refused, "key-user"), "the role {role} is not enough: {refused:?}");
    }

    let place = place
        .tampered(
            "INSERT INTO principal_group (id, name, created) VALUES (zeroblob(16), 'group', 0);
             INSERT INTO group_member SELECT zeroblob(16), id FROM principal WHERE name = 'stranger';
             INSERT INTO project_group SELECT id, zeroblob(16), 'key-user' FROM project;",
        )
        .await;
    signature(as_stranger(&place).await.unwrap());
    assert_eq!(usable(&place, stranger).await, 1);
    place.stop().await;
}

/// Each time after a use was allowed, so that whatever the server keeps in memory of it is no longer true.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_given_or_taken_counts_for_the_very_next_request() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let (project, user, group) = (place.project, place.user, GroupId::new());
    place.sign(key, &[1; 32]).await;

    change(&place, move |tx| {
        let member = Member::Principal(user);
        tx.remove_project_member(project, member, ProjectRole::KeyUser).map(drop)
    })
    .await;
    let refused = place.perform(key, sign(&[1; 32])).await;
    assert!(is_denied(&refused, "key-user"), "{refused:?}");

    change(&place, move |tx| {
        tx.add_group(group, "group", 0)?;
        tx.add_project_member(project, Member::Group(group), ProjectRole::KeyUser).map(drop)
    })
    .await;
    let refused = place.perform(key, sign(&[1; 32])).await;
    assert!(is_denied(&refused, "key-user"), "{refused:?}");

    change(&place, move |tx| tx.add_group_member(group, user).map(drop)).await;
    place.sign(key, &[1; 32]).await;
    change(&place, move |tx| tx.remove_group_member(group, user).map(drop)).await;
    let refused = place.perform(key, sign(&[1; 32])).await;
    assert!(is_denied(&refused, "key-user"), "{refused:?}");

    change(&place, move |tx| tx.add_group_member(group, user).map(drop)).await;
    place.sign(key, &[1; 32]).await;
    change(&place, move |tx| tx.remove_group(group)).await;
    let refused = place.perform(key, sign(&[1; 32])).await;
    assert!(is_denied(&refused, "key-user"), "{refused:?}");
    place.stop().await;
}

/// As when it waited after it was let in, for its own first attempt or in a batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_was_revoked_and_a_user_who_was_disabled_count_no_more_for_a_use_that_was_let_in() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let (user, grant) = (place.user, place.grant);
    place.sign(key, &[1; 32]).await;
    let disabled = |disabled| PrincipalChange { disabled: Some(disabled), ..PrincipalChange::default() };
    change(&place, move |tx| tx.change_principal(user, &disabled(true))).await;
    let entries = place.record().await.len();
    assert!(matches!(place.perform(key, sign(&[1; 32])).await, Err(RequestError::Denied { .. })));
    let record = place.record().await;
    let last = record.last().unwrap();
    assert_eq!((last.kind.as_str(), last.key), (RecordKind::Denied.name(), Some(key)));
    assert!(details(last)["reasons"].to_string().contains("the account has been disabled"), "{last:?}");
    change(&place, move |tx| tx.change_principal(user, &disabled(false))).await;
    place.sign(key, &[1; 32]).await;

    change(&place, move |tx| tx.revoke_grant(grant).map(drop)).await;
    assert!(matches!(place.perform(key, sign(&[1; 32])).await, Err(RequestError::Denied { .. })));
    // One that is somebody else's does not help.
    let stranger = PrincipalId::new();
    place.add_user(stranger, "stranger").await;
    let stranger = place.let_in(GrantId(stranger.0)).await;
    let request = request(key, sign(&[1; 32]));
    assert!(matches!(place.requests.use_key(&stranger, request).await, Err(RequestError::Denied { .. })));
    assert_eq!(place.record().await.len(), entries + 5, "three denials, an intent and an outcome");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_expires_counts_no_more_for_a_use_that_was_let_in() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let place = place.tampered("UPDATE access_grant SET expires = unixepoch() + 1").await;
    let started = std::time::Instant::now();
    while place.perform(key, sign(&[1; 32])).await.is_ok() {
        assert!(started.elapsed() < DEADLINE, "it never expires");
    }
    assert!(matches!(place.perform(key, sign(&[1; 32])).await, Err(RequestError::Denied { .. })));
    place.stop().await;
}

/// Making a key may have waited for its turn.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_made_or_ended_for_somebody_who_may_not_any_more() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let row = place.store().key(key).await.unwrap().unwrap();
    let entries = place.record().await.len();
    let attempts = async |actions: &'static [Action]| {
        let (store, signers) = (place.store(), &place.requests.signers);
        let maker = || place.maker_with(actions);
        let made = keys::create(store, signers, maker(), place.plan("another", KeyAlgorithm::Ed25519)).await.map(drop);
        let (reason, message) = (RevocationReason::Unspecified, String::new());
        let revoked = keys::revoke(store, signers, maker(), &row, reason, message).await;
        [made, revoked, keys::destroy(store, signers, maker(), &row).await]
    };
    for refused in attempts(&[Action::ManageProject]).await {
        assert!(matches!(refused, Err(KeyError::Authorization(AuthorizationError::Denied(_)))), "{refused:?}");
    }
    let grant = place.grant;
    change(&place, move |tx| tx.revoke_grant(grant).map(drop)).await;
    for refused in attempts(&[]).await {
        assert!(matches!(refused, Err(KeyError::Authorization(AuthorizationError::Denied(_)))), "{refused:?}");
    }
    assert_eq!(place.record().await.len(), entries);
    place.stop().await;
}

async fn change(place: &Place, change: impl FnOnce(&mut WriteTx) -> Result<(), StorageError> + Send + 'static) {
    place.store().write(change).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn use_of_an_unknown_key_is_denied_and_recorded() {
    let place = Place::new().await;
    let key = KeyId::new();
    let refused = place.perform(key, sign(&[1; 32])).await;
    assert!(is_denied(&refused, "no such key"), "{refused:?}");
    let record = place.record().await;
    let last = record.last().unwrap();
    assert_eq!((last.kind.as_str(), last.principal), (RecordKind::Denied.name(), Some(place.user)));
    assert_eq!(details(last)["unknown_key"], key.to_string());
    assert_eq!(details(last)["cause"], "unknown-key");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_does_not_fit_is_refused_recorded_and_never_reaches_the_journal() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let journal = || std::fs::read_to_string(place.folder.path().join("signer/default/journal.jsonl")).unwrap();
    let before = journal();
    let unfit = [
        Operation::Sign { hash: HashAlgorithm::Sha512, digest: vec![1; 32] },
        Operation::Authenticate { hash: HashAlgorithm::Sha256, digest: vec![1; 32] },
        Operation::AuthenticateSsh { message: b"rm -rf /".to_vec() },
    ];
    let count = unfit.len();
    for operation in unfit {
        let refused = place.perform(key, operation.clone()).await;
        assert!(matches!(refused, Err(RequestError::Unfit(_))), "{operation:?} gave {refused:?}");
    }
    let denied = place.record().await.iter().filter(|row| row.kind == "denied").count();
    assert_eq!(denied, count);
    assert_eq!(journal(), before);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_logins_are_authentications_and_sshsig_blobs_are_signatures() {
    fn string(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let sshsig = [b"SSHSIG".to_vec(), string(b"git"), string(b""), string(b"sha512"), string(&[1; 64])].concat();
    let login = [
        string(&[7; 32]),
        vec![50],
        string(b"root"),
        string(b"ssh-connection"),
        string(b"publickey"),
        vec![1],
        string(b"ssh-ed25519"),
        string(b"blob"),
    ]
    .concat();
    for (message, operation, detail, value) in
        [(sshsig, "sign", "ssh_namespace", "git"), (login, "authenticate", "ssh_user", "root")]
    {
        let done = place.perform(key, Operation::AuthenticateSsh { message }).await.unwrap();
        let record = place.record().await;
        let intent = record.iter().find(|row| row.request_id == done.request_id && row.kind == "intent").unwrap();
        assert_eq!(details(intent)["operation"], operation);
        assert_eq!(details(intent)[detail], value);
        assert_eq!(details(intent)["signer_operation"], "authenticate-ssh");
    }
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}
