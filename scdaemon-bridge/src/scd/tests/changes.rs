//! Cards that come and go while the daemon runs.

use sealcard_api::algorithm::KeyAlgorithm;

use super::{
    super::testing::{Client, MemoryHolder, card, run},
    daemon_of,
};
use crate::cards::cache;

const DIGEST: &str = "0101010101010101010101010101010101010101010101010101010101010101";

#[test]
fn a_new_cache_is_seen_by_the_next_command() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let holder = MemoryHolder::new(KeyAlgorithm::NistP256);
        let (daemon, paths) = daemon_of(&holder, &folder);
        let mut c = Client::connect(&daemon).await;
        assert_eq!(c.text("GETINFO card_list").await.len(), 2);
        let mut list = holder.list.borrow().clone();
        list.cards.push(card(5, KeyAlgorithm::Ed25519, vec![]));
        cache::update(&paths.cards_file(), "https://localhost:8443", list).unwrap();
        assert_eq!(c.text("GETINFO card_list").await.len(), 3);
        // A damaged file changes nothing.
        std::fs::write(paths.cards_file(), b"{").unwrap();
        assert_eq!(c.text("GETINFO card_list").await.len(), 3);
        std::fs::remove_file(paths.cards_file()).unwrap();
        assert_eq!(c.text("GETINFO card_list").await, ["OK"]);
    });
}

#[test]
fn news_that_an_answer_announces_are_fetched_in_the_background() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let holder = MemoryHolder::new(KeyAlgorithm::Ed25519);
        let (daemon, paths) = daemon_of(&holder, &folder);
        let mut c = Client::connect(&daemon).await;
        {
            let mut list = holder.list.borrow_mut();
            list.registry_version = 8;
            list.cards.push(card(5, KeyAlgorithm::Ed25519, vec![]));
            holder.version.set(Some(8));
        }
        assert_eq!(c.text("GETINFO card_list").await.len(), 2);
        c.text(&format!("SETDATA {DIGEST}")).await;
        assert_eq!(c.data(&format!("PKSIGN --hash=sha256 {}", holder.grip(1))).await.len(), 64);
        for _ in 0..1000 {
            if cache::load(&paths.cards_file()).unwrap().unwrap().list.registry_version == 8 {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(c.text("GETINFO card_list").await.len(), 3);
    });
}

#[test]
fn a_key_that_is_newer_than_the_cache_is_found_at_its_first_use() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let holder = MemoryHolder::new(KeyAlgorithm::Ed25519);
        let (daemon, paths) = daemon_of(&holder, &folder);
        std::fs::remove_file(paths.cards_file()).unwrap();
        let mut c = Client::connect(&daemon).await;
        assert_eq!(c.text("KEYINFO --list").await, ["OK"]);
        c.text(&format!("SETDATA {DIGEST}")).await;
        assert_eq!(c.data(&format!("PKSIGN --hash=sha256 {}", holder.grip(1))).await.len(), 64);
    });
}
