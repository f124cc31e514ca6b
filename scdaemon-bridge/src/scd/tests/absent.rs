//! No card, or not the card that gpg wants: a clean error, never a prompt to insert it.

use std::rc::Rc;

use super::{
    super::{
        Daemon,
        testing::{Client, MemoryHolder, run},
    },
    daemon_of, daemon_with_cards,
};
use crate::{cards::cache, last};
use sealcard_api::{algorithm::KeyAlgorithm, problem::ProblemCode};

const UNKNOWN: &str = "0123456789012345678901234567890123456789";
const DIGEST: &str =
    "3031300D0609608648016503040201050004200101010101010101010101010101010101010101010101010101010101010101";

/// Codes with which gpg-agent asks the user to insert a card.
const ABSENT: [u32; 2] = [100_696_144, 100_663_408];

#[test]
fn without_any_card_2_2_gets_a_code_that_asks_for_nothing() {
    run(async {
        let daemon = Rc::new(Daemon::with_holder(MemoryHolder::new(KeyAlgorithm::Ed25519), None));
        let mut c = Client::connect(&daemon).await;
        assert_eq!(c.error("SERIALNO").await, 100_696_144);
        assert_eq!(c.error("SERIALNO --demand=D276000124010304FFFE100000010000").await, 100_663_610);
        assert_eq!(c.error("LEARN --force").await, 100_663_408);
        assert_eq!(c.text("GETINFO card_list").await, ["OK"]);
        assert_eq!(c.text("KEYINFO --list").await, ["OK"]);
        assert_eq!(c.text("GETINFO status").await, ["D r", "OK"]);
    });
}

#[test]
fn an_unknown_card_is_not_found_and_not_absent() {
    run(async {
        let mut c = Client::connect(&daemon_with_cards()).await;
        for serial in ["D276000124010304FFFE1000000F0000", "", "xyz", &"0".repeat(900)] {
            let error = c.error(&format!("SERIALNO --demand={serial}")).await;
            assert!(!ABSENT.contains(&error), "{error}");
        }
    });
}

/// gpg-agent 2.4 takes any error of these two for an absent card, and prompts in a loop.
#[test]
fn the_search_of_2_4_for_a_key_never_fails_and_the_use_says_what_is_wrong() {
    run(async {
        let holder = MemoryHolder::new(KeyAlgorithm::Ed25519);
        holder.list.borrow_mut().cards.clear();
        let daemon = Rc::new(Daemon::with_holder(holder, None));
        let mut c = Client::connect(&daemon).await;
        assert_eq!(c.text("SERIALNO --all").await.len(), 2);
        let info = c.text(&format!("KEYINFO {UNKNOWN}")).await;
        assert!(info[0].starts_with(&format!("S KEYINFO {UNKNOWN} T ")), "{info:?}");
        assert_eq!(c.text(&format!("SETDATA {DIGEST}")).await, ["OK"]);
        assert_eq!(c.error(&format!("PKSIGN --hash=sha256 {UNKNOWN}")).await, 100_663_313);
        // Asked for its own sake, the truth.
        assert_eq!(c.error(&format!("KEYINFO {UNKNOWN}")).await, 100_663_323);
    });
}

#[test]
fn a_key_that_vanished_is_not_shown_but_the_server_says_why_it_cant_be_used() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let holder = MemoryHolder::new(KeyAlgorithm::Ed25519);
        let (daemon, paths) = daemon_of(&holder, &folder);
        let mut c = Client::connect(&daemon).await;
        let serial = holder.list.borrow().cards[0].serial.to_string();
        let mut fewer = holder.list.borrow().clone();
        fewer.cards.clear();
        cache::update(&paths.cards_file(), "https://localhost:8443", fewer).unwrap();
        holder.problem.set(Some(ProblemCode::KeyDisabled));

        assert_eq!(c.text("KEYINFO --list").await, ["OK"]);
        assert_eq!(c.error("SERIALNO").await, 100_696_144);
        assert_eq!(c.text(&format!("SERIALNO --demand={serial}")).await, [&format!("S SERIALNO {serial}"), "OK"]);
        assert_eq!(c.error("LEARN --force").await, 100_663_406);
        c.text(&format!("SETDATA {DIGEST}")).await;
        assert_eq!(c.error(&format!("PKSIGN --hash=sha256 {}", holder.grip(1))).await, 100_663_548);
        daemon.finish().await;
        let last = last::load(&paths.last_file()).unwrap().unwrap();
        assert_eq!(last.code.as_deref(), Some("key-disabled"));
    });
}
