//! Sessions against a daemon in this process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod absent;
mod changes;
mod operations;
mod transcripts;
mod waiting;

use std::rc::Rc;

use super::{
    Daemon, Misconfigured,
    testing::{MemoryHolder, sample_list},
};
use crate::{
    cards::{Registry, cache::Cache},
    config::Paths,
};

#[test]
fn the_cards_of_the_fuzz_targets_are_the_sample_cards() {
    let stored = Cache::parse(include_bytes!("../../cards/testdata/cards.json")).unwrap();
    assert_eq!(stored.list, sample_list());
}

/// A daemon with the sample cards and nobody to use their keys.
fn daemon_with_cards() -> Rc<Daemon> {
    let daemon = Rc::new(Daemon::with_holder(Rc::new(Misconfigured::new(&"no server")), None));
    daemon.set_registry(Registry::new(Some(Cache::new("https://localhost:8443", sample_list(), None))));
    daemon
}

/// A daemon with a holder's card and a state folder of its own.
fn daemon_of(holder: &Rc<MemoryHolder>, folder: &tempfile::TempDir) -> (Rc<Daemon>, Paths) {
    let paths = Paths::new(folder.path().join("config"), folder.path().join("state")).unwrap();
    crate::cards::cache::update(&paths.cards_file(), "https://localhost:8443", holder.list.borrow().clone()).unwrap();
    let holder: Rc<MemoryHolder> = Rc::clone(holder);
    (Rc::new(Daemon::with_holder(holder, Some(paths.clone()))), paths)
}
