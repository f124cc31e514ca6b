//! Servers of two releases on one database.

use super::*;
use crate::schema::{IDENTITY, KEYS, Step};

/// The next release: a step that adds a column, and one that takes another away.
const NEXT: Schema = Schema {
    steps: &[
        IDENTITY,
        KEYS,
        Step {
            number: 3,
            works_with: 2,
            sqlite: "ALTER TABLE project ADD COLUMN summary TEXT",
            postgres: "ALTER TABLE project ADD COLUMN summary TEXT",
        },
        Step {
            number: 4,
            works_with: 3,
            sqlite: "ALTER TABLE project DROP COLUMN description",
            postgres: "ALTER TABLE project DROP COLUMN description",
        },
    ],
    needed: 3,
};

/// A release that needs what the present one can't work with.
const AFTER_NEXT: Schema = Schema { needed: 4, ..NEXT };

/// A server of another release starts: the number of the step that it postpones.
async fn start(place: &Place, schema: Schema, node: &Node) -> Result<Option<i64>, StorageError> {
    let (database, node, runtime) = (place.database(), node.clone(), Handle::current());
    let run = move || {
        let mut conn = connect(&database, &runtime)?;
        Ok(schema.apply(&mut conn, Some(&node))?.map(|postponed| postponed.step))
    };
    spawn_blocking(run).await.unwrap()
}

fn other() -> Node {
    Node { id: Uuid::now_v7(), host: Uuid::now_v7() }
}

/// The newest step in the database.
async fn newest(place: &Place) -> i64 {
    Store::schema_status(&place.database()).await.unwrap().newest
}

#[tokio::test]
async fn step_that_takes_away_waits_for_the_end_of_servers_that_need_it() {
    let place = Place::postgres();
    let old = place.store().await;
    let next = other();
    assert_eq!(start(&place, NEXT, &next).await.unwrap(), Some(4));
    // The old server works on, with the wider tables.
    attempt(&old, 1, false).await.unwrap();
    old.stay_announced().await.unwrap();
    assert_eq!(start(&place, NEXT, &next).await.unwrap(), Some(4));
    // Another one of its release may start, too.
    Store::open(&place.database()).await.unwrap().close().await;
    let status = Store::schema_status(&place.database()).await.unwrap();
    let live: Vec<i64> = status.nodes.unwrap().iter().filter(|node| node.live).map(|node| node.schema).collect();
    assert_eq!((status.newest, status.lowest, live.len()), (3, 2, 2), "{live:?}");

    old.close().await;
    drop(old);
    assert_eq!(start(&place, NEXT, &next).await.unwrap(), None);
    assert_eq!(newest(&place).await, 4);
    let refused = Store::open(&place.database()).await.map(drop).unwrap_err();
    assert!(matches!(refused, StorageError::NewerSchema { found: 4, lowest: 3, known: 2 }), "{refused:?}");
    assert!(refused.to_string().contains("install the newer release again"), "{refused}");
}

#[tokio::test]
async fn release_that_needs_the_step_is_refused_and_changes_nothing() {
    let place = Place::postgres();
    let old = place.store().await;
    let refused = start(&place, AFTER_NEXT, &other()).await.unwrap_err();
    assert!(matches!(&refused, StorageError::NodesBehind { step: 4, .. }), "{refused:?}");
    assert_eq!(newest(&place).await, 2);
    let nodes = Store::schema_status(&place.database()).await.unwrap().nodes.unwrap();
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    old.close().await;
    assert_eq!(start(&place, AFTER_NEXT, &other()).await.unwrap(), None);
}

#[tokio::test]
async fn servers_of_a_shared_database_are_told_with_their_ends() {
    let place = Place::postgres();
    let (one, two) = (place.store().await, Store::open(&place.database()).await.unwrap());
    place.tamper("UPDATE node SET seen = seen - 100000").unwrap();
    let ended = other();
    assert_eq!(start(&place, Schema::of_this_release(), &ended).await.unwrap(), None);
    place.tamper("UPDATE node SET seen = seen - 1000").unwrap();
    let mut nodes = one.nodes().await.unwrap();
    nodes.sort_by_key(|node| node.id);
    let told: Vec<_> = nodes.iter().map(|node| (node.id, node.live)).collect();
    assert_eq!(told, [(one.node(), true), (two.node(), true), (ended.id, false)]);
    assert!(nodes.iter().all(|node| node.age >= 1000), "{nodes:?}");
    two.close().await;
}

#[tokio::test]
async fn server_with_a_file_of_its_own_has_no_others() {
    assert_eq!(Place::sqlite().store().await.nodes().await.unwrap(), []);
}

/// A server that hung, and is not heard of, has its connection still: it may write at any moment.
#[tokio::test]
async fn silent_server_with_a_connection_is_waited_for() {
    let place = Place::postgres();
    let old = place.store().await;
    place.tamper("UPDATE node SET seen = seen - 100000").unwrap();
    assert_eq!(start(&place, NEXT, &other()).await.unwrap(), Some(4));
    attempt(&old, 1, false).await.unwrap();
}

#[tokio::test]
async fn server_that_was_taken_for_ended_does_not_write_again() {
    let place = Place::postgres();
    let old = place.store().await;
    place.tamper("UPDATE node SET seen = seen - 100000").unwrap();
    // As after a long break of the network.
    place
        .tamper(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND \
             application_name LIKE 'sealcard-server%(schema 2)'",
        )
        .unwrap();
    let next = other();
    // PostgreSQL gives the lock back when the process of the connection has ended.
    for _ in 0..500 {
        if start(&place, NEXT, &next).await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(newest(&place).await, 4);
    // The first attempt may find the broken connection, the next one would open another.
    for _ in 0..2 {
        assert!(attempt(&old, 1, false).await.is_err());
    }
    let refused = old.stay_announced().await.unwrap_err();
    assert!(matches!(refused, StorageError::NewerSchema { .. }), "{refused:?}");
    let rows = place.cluster.as_ref().unwrap().sql("SELECT count(*) FROM record").unwrap();
    assert_eq!(rows.trim(), "0");
}

#[tokio::test]
async fn server_that_ended_without_a_word_is_waited_for_a_while_and_not_on_its_own_machine() {
    let place = Place::postgres();
    let store = place.store().await;
    let crashed = Node { id: Uuid::now_v7(), host: Uuid::now_v7() };
    store.close().await;
    let old = Schema { steps: &[IDENTITY, KEYS], needed: 2 };
    assert_eq!(start(&place, old, &crashed).await.unwrap(), None);
    assert_eq!(start(&place, NEXT, &other()).await.unwrap(), Some(4));
    // It starts again, upgraded.
    let again = Node { id: Uuid::now_v7(), ..crashed };
    assert_eq!(start(&place, NEXT, &again).await.unwrap(), None);
}

#[tokio::test]
async fn file_is_upgraded_at_once_and_a_release_that_knows_enough_goes_on() {
    let place = Place::sqlite();
    place.store().await.close().await;
    assert_eq!(start(&place, NEXT, &other()).await.unwrap(), None);
    let known = Schema { steps: &NEXT.steps[..3], needed: 3 };
    assert_eq!(start(&place, known, &other()).await.unwrap(), None);
    assert_eq!(newest(&place).await, 4);
    assert!(matches!(Store::open(&place.database()).await, Err(StorageError::NewerSchema { .. })));
}
