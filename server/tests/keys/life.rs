//! Later ends for keys, and what gpg makes of them.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use sealcard_api::{
    Timestamp,
    algorithm::KeyAlgorithm,
    keys::{KeyProfile, KeyState, RevocationReason},
};
use sealcard_server::{
    ends,
    keys::{self, KeyError},
};

use crate::harness::{Place, details, sign};

const DAY: i64 = 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_extended_and_gpg_takes_the_new_end() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let before = place.store().key(key).await.unwrap().unwrap();
    let place = place.tampered("UPDATE component_key SET expires = unixepoch()").await;
    place.perform(key, sign(&[1; 32])).await.unwrap_err();

    let end = Timestamp::from_unix(Timestamp::now().unix() + 400 * DAY);
    let row = place.store().key(key).await.unwrap().unwrap();
    assert_eq!(row.state(Timestamp::now()), KeyState::Expired);
    keys::extend(place.store(), &place.requests.signers, place.maker(), &row, end).await.unwrap();
    place.sign(key, &[1; 32]).await;

    let row = place.store().key(key).await.unwrap().unwrap();
    assert_eq!((row.state(Timestamp::now()), row.expires()), (KeyState::Active, Some(end)));
    assert!(row.components.iter().all(|component| component.expires == Some(end)));
    assert_eq!((row.fingerprint, row.serial), (before.fingerprint, before.serial));

    // gpg has the old certificate, gets the new one, and checks every signature: the old ones are there too.
    let home = tempfile::tempdir().unwrap();
    gpg(home.path(), &["--import"], &before.certificate);
    gpg(home.path(), &["--import"], &row.certificate);
    let list = gpg(home.path(), &["--with-colons", "--check-sigs"], "");
    let field = |kind: &str, index: usize| -> Vec<&str> {
        let lines = list.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|fields| fields[0] == kind);
        lines.map(|fields| fields[index]).collect()
    };
    let expires = end.unix().to_string();
    assert!(field("pub", 6).into_iter().chain(field("sub", 6)).all(|end| end == expires), "{list}");
    assert_eq!(field("sig", 1), ["!"; 8], "{list}");
    assert!(field("sub", 11).contains(&"s"), "the signing subkey keeps its back signature: {list}");

    let record = place.record().await;
    assert_eq!(details(record.iter().rev().find(|row| row.kind == "administration").unwrap())["event"], "key-extended");
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packages_key_is_extended_twice() {
    let place = Place::new().await;
    let plan = keys::KeyPlan { profile: KeyProfile::Packages, ..place.plan("packages", KeyAlgorithm::NistP256) };
    let key = keys::create(place.store(), &place.requests.signers, place.maker(), plan).await.unwrap();
    for days in [100, 200] {
        let end = Timestamp::from_unix(Timestamp::now().unix() + days * DAY);
        let row = place.store().key(key).await.unwrap().unwrap();
        keys::extend(place.store(), &place.requests.signers, place.maker(), &row, end).await.unwrap();
        assert_eq!(place.store().key(key).await.unwrap().unwrap().expires(), Some(end));
    }
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_end_and_a_revoked_key_are_refused() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let extend = async |days: i64| {
        let row = place.store().key(key).await.unwrap().unwrap();
        let end = Timestamp::from_unix(Timestamp::now().unix() + days * DAY);
        keys::extend(place.store(), &place.requests.signers, place.maker(), &row, end).await
    };
    let refused = extend(3).await.unwrap_err();
    assert!(matches!(refused, KeyError::State(why) if why.contains("later")), "{refused:?}");
    let row = place.store().key(key).await.unwrap().unwrap();
    let (store, signers) = (place.store(), &place.requests.signers);
    keys::revoke(store, signers, place.maker(), &row, RevocationReason::Retired, String::new()).await.unwrap();
    let refused = extend(400).await.unwrap_err();
    assert!(matches!(refused, KeyError::State(why) if why.contains("revoked")), "{refused:?}");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_warns_from_sixty_days_before_the_end_to_sixty_after() {
    let place = Place::new().await;
    let plan = keys::KeyPlan { days: 100, ..place.plan("tags", KeyAlgorithm::Ed25519) };
    keys::create(place.store(), &place.requests.signers, place.maker(), plan).await.unwrap();
    let in_days = async |days: i64| {
        let then = Timestamp::from_unix(Timestamp::now().unix() + days * DAY + 60);
        ends::of_keys(place.store(), then).await.unwrap()
    };
    assert_eq!(in_days(39).await, Vec::<String>::new());
    let soon = in_days(40).await;
    assert!(
        soon.len() == 1 && soon[0].starts_with("project/tags expires on ") && soon[0].contains("59 days"),
        "{soon:?}"
    );
    let over = in_days(101).await;
    assert!(over.len() == 1 && over[0].starts_with("project/tags expired on "), "{over:?}");
    assert_eq!(in_days(161).await, Vec::<String>::new());
    place.stop().await;
}

/// gpg on a machine whose clock is two minutes behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_taken_where_the_clock_is_behind() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let row = place.store().key(key).await.unwrap().unwrap();
    // People are told when it was made, not what it claims.
    let (now, claimed) = (Timestamp::now().unix(), row.components[0].created.unix());
    assert!(now - row.created.unix() < 120 && row.created.unix() - claimed >= 300, "{} {claimed}", row.created);
    let home = tempfile::tempdir().unwrap();
    let then = (Timestamp::now().unix() - 120).to_string();
    let import = ["--faked-system-time", &then, "--import"];
    gpg(home.path(), &import, &row.certificate);
    let list = gpg(home.path(), &["--faked-system-time", &then, "--with-colons", "-k"], "");
    assert!(list.contains("uid:") && !list.contains("pub:i") && !list.contains("pub:e"), "{list}");
    place.stop().await;
}

fn gpg(home: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("gpg")
        .args(["--batch", "--no-tty", "--trust-model", "always"])
        .args(arguments)
        .env("GNUPGHOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
