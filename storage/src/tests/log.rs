//! The record's log: complete subtrees, and its right edge after a start.

use sealcard_transparency::{Frontier, Hash, TreeHead, verify_consistency, verify_inclusion};

use super::*;
use crate::{record, sql::params};

/// Writes so many entries, several in each transaction.
async fn fill(store: &Store, entries: u64) {
    let mut left = entries;
    while left > 0 {
        let some = left.min(47);
        left -= some;
        let work = move |tx: &mut WriteTx| {
            (0..some).for_each(|n| tx.append_record(note(n)));
            Ok::<_, StorageError>(())
        };
        store.write(work).await.unwrap();
    }
}

/// The log of the hashes beside the entries, with the roots of its subtrees of 256 leaves.
async fn of_entries(store: &Store) -> (Frontier, Vec<(i64, i64, Vec<u8>)>) {
    let rows = store.record(RecordFilter { limit: u32::MAX, ..RecordFilter::default() }).await.unwrap();
    let (mut log, mut subtrees) = (Frontier::new(), Vec::new());
    for row in rows {
        let complete = log.append(Hash(row.hash.0)).unwrap();
        subtrees.extend(
            complete
                .into_iter()
                .filter(|(node, _)| node.level == 8)
                .map(|(node, hash)| (1, node.index.cast_signed(), hash.0.to_vec())),
        );
    }
    (log, subtrees)
}

#[tokio::test]
async fn log_goes_on_where_it_was_after_a_start() {
    for place in Place::both() {
        let mut store = place.store().await;
        let mut entries = 0;
        for more in [0, 255, 1, 1, 300] {
            fill(&store, more).await;
            entries += more;
            store.close().await;
            drop(store);
            store = Store::open(&place.database()).await.unwrap();
            fill(&store, 1).await;
            entries += 1;
            check_record(&store, entries).await;
            let (log, subtrees) = of_entries(&store).await;
            assert_eq!(log.size(), entries);
            let stored: Vec<(i64, i64, Vec<u8>)> = store
                .reader()
                .all("SELECT level, number, hash FROM record_subtree ORDER BY number", params![])
                .await
                .unwrap();
            assert_eq!(stored, subtrees);
            if place.cluster.is_some() {
                let stored: Option<(Vec<u8>,)> =
                    store.reader().optional("SELECT log FROM record_head", params![]).await.unwrap();
                assert_eq!(record::stored_log(&stored.unwrap().0).unwrap(), log);
            }
        }
    }
}

#[tokio::test]
async fn proofs_are_made_from_what_is_stored() {
    for place in Place::both() {
        let store = place.store().await;
        fill(&store, 600).await;
        let (log, _) = of_entries(&store).await;
        let rows = store.record(RecordFilter { limit: u32::MAX, ..RecordFilter::default() }).await.unwrap();
        for size in [1, 2, 255, 256, 257, 511, 512, 513, 600] {
            let head = store.log_head_at(size).await.unwrap().unwrap();
            let tree = TreeHead { size, root: Hash(head.root.0) };
            for index in [0, size / 2, size - 1] {
                let proof = store.prove_inclusion(index, size).await.unwrap();
                let leaf = Hash(rows[usize::try_from(index).unwrap()].hash.0);
                verify_inclusion(&leaf, index, &tree, &proof).unwrap();
            }
            let proof = store.prove_consistency(size, 600).await.unwrap();
            verify_consistency(&tree, &log.head(), &proof).unwrap();
            let leaves = store.log_leaves(size - 1, 1).await.unwrap();
            assert_eq!(leaves[0].hash().0, rows[usize::try_from(size).unwrap() - 1].hash.0);
        }
        assert!(store.log_head_at(601).await.unwrap().is_none());
        assert!(store.prove_inclusion(600, 600).await.is_err());
    }
}

#[test]
fn last_leaf_of_a_large_subtree_completes_it_and_the_one_below() {
    let size: u64 = 3 * 65_536 - 1;
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.resize(8 + 32 * size.count_ones() as usize, 7);
    let mut log = Frontier::from_bytes(&bytes).unwrap();
    let appended = record::place(&mut log, vec![note(1), note(2)]).unwrap();
    let places: Vec<(i64, i64)> = appended.subtrees.iter().map(|subtree| (subtree.level, subtree.number)).collect();
    assert_eq!(places, [(1, 3 * 256 - 1), (2, 2)]);
    assert_eq!(log.size(), size + 2);
}

#[tokio::test]
async fn changed_edge_of_the_log_is_found_at_start() {
    let [_, place] = Place::both();
    let store = place.store().await;
    fill(&store, 3).await;
    store.close().await;
    drop(store);
    place.tamper("UPDATE record_head SET log = overlay(log placing '\\x00' from 12)").unwrap();
    let refused = Store::open(&place.database()).await.map(drop);
    assert!(matches!(refused, Err(StorageError::Damaged(_))), "{refused:?}");
}
