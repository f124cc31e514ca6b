//! Moving the data from SQLite to PostgreSQL.

use std::collections::BTreeSet;

use super::*;
use crate::{schema::OWN_TABLES, transfer::TABLES};

/// PostgreSQL's options of a place.
fn options(place: &Place) -> PostgresOptions {
    match place.database() {
        Database::Postgres(options) => options,
        Database::Sqlite(_) => unreachable!(),
    }
}

fn names(text: &str) -> BTreeSet<String> {
    text.lines().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn every_table_is_copied_with_its_own_key() {
    let [file, cluster] = Place::both();
    file.store().await;
    cluster.store().await;
    let listed: BTreeSet<String> = TABLES.iter().map(|table| table.name.to_owned()).collect();
    let own = OWN_TABLES.iter().chain(&["record_head"]).map(ToString::to_string);
    let with_own: BTreeSet<String> = own.chain(listed.clone()).collect();
    let sql = |sql: &str| cluster.cluster.as_ref().unwrap().sql(sql).unwrap();
    let there = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'
        AND table_type = 'BASE TABLE'";
    assert_eq!(names(&sql(there)), with_own, "a table is missing in the list of those that are moved");
    let conn = rusqlite::Connection::open(file.path()).unwrap();
    let mut statement = conn.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    let mut found: BTreeSet<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(found.remove("schema_step") && found.remove("record_head"));
    assert_eq!(found, listed);
    for table in TABLES {
        let key = "SELECT string_agg(column_name, ',' ORDER BY ordinal_position)
            FROM information_schema.key_column_usage JOIN information_schema.table_constraints USING (constraint_name)
            WHERE constraint_type = 'PRIMARY KEY' AND key_column_usage.table_name";
        assert_eq!(sql(&format!("{key} = '{}'", table.name)).trim(), table.key.join(","), "{}", table.name);
    }
}

#[tokio::test]
async fn moved_server_has_the_same_record_and_writes_on() {
    let [file, cluster] = Place::both();
    let scene = uses::Scene::new(&file).await;
    let store = scene.store.clone();
    for n in 1..=5 {
        attempt(&store, n, false).await.unwrap();
    }
    let (id, version) = (store.server_id(), store.registry_version());
    let in_use = Store::transfer(&file.path(), &options(&cluster), |_| {}).await.unwrap_err();
    assert!(matches!(in_use, StorageError::InUse(_)), "{in_use:?}");
    store.close().await;
    drop((store, scene));

    let (sender, told) = mpsc::channel();
    let tell = move |progress| sender.send(progress).unwrap();
    let moved = Store::transfer(&file.path(), &options(&cluster), tell).await.unwrap();
    assert_eq!(moved.record.sequence, 5);
    assert!(told.iter().any(|progress| progress.table == "record" && progress.comparing && progress.rows == 5));
    let store = Store::open(&cluster.database()).await.unwrap();
    assert_eq!((store.server_id(), store.registry_version()), (id, version));
    assert_eq!(attempt(&store, 6, false).await.unwrap(), 6);
    check_record(&store, 6).await;

    let full = Store::transfer(&file.path(), &options(&cluster), |_| {}).await.unwrap_err();
    assert!(full.to_string().contains("holds a server already"), "{full}");
}

#[tokio::test]
async fn database_of_something_else_is_refused_and_a_broken_record_is_not_moved() {
    let [file, cluster] = Place::both();
    let store = file.store().await;
    attempt(&store, 1, false).await.unwrap();
    attempt(&store, 2, false).await.unwrap();
    store.close().await;
    drop(store);
    cluster.tamper("CREATE TABLE wiki_page (id BIGINT)").unwrap();
    let refused = Store::transfer(&file.path(), &options(&cluster), |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("wiki_page"), "{refused}");
    cluster.tamper("DROP TABLE wiki_page").unwrap();

    file.tamper("DROP TRIGGER record_is_never_changed; UPDATE record SET hash = zeroblob(32) WHERE sequence = 1")
        .unwrap();
    let broken = Store::transfer(&file.path(), &options(&cluster), |_| {}).await.unwrap_err();
    assert!(broken.to_string().contains("entry 1 of the record was changed"), "{broken}");
    // Nothing was moved, so the same database can be used for the next attempt.
    assert!(matches!(Store::open(&cluster.database()).await, Err(StorageError::Damaged(_))));
    let again = Store::transfer(&file.path(), &options(&cluster), |_| {}).await.unwrap_err();
    assert!(again.to_string().contains("entry 1 of the record was changed"), "{again}");
}
