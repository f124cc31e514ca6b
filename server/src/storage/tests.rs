//! Tests of the writer, the schema and the record's protection.

use sealcard_api::{ids::RequestId, record::RecordKind};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;

fn note(n: u64) -> Draft {
    Draft {
        kind: RecordKind::Administration,
        request_id: RequestId::new(),
        principal: None,
        project: None,
        key: None,
        state: None,
        details: json!({"n": n}),
    }
}

async fn new_store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(&Database::Sqlite(folder.path().join("sealcard.db"))).await.unwrap();
    (folder, store)
}

/// Writes an entry, bumps the registry, and fails if asked to.
async fn attempt(store: &Store, n: u64, fail: bool) -> Result<u64, StorageError> {
    store
        .write(move |tx| {
            Box::pin(async move {
                let sequence = tx.append_record(&note(n)).await?;
                tx.bump_registry().await?;
                if fail { Err(StorageError::NotFound("anything")) } else { Ok(sequence) }
            })
        })
        .await
}

async fn check_chain(store: &Store, expected: u64) {
    let rows = store.record(RecordFilter { limit: u32::MAX, ..RecordFilter::default() }).await.unwrap();
    assert_eq!(rows.len() as u64, expected);
    let mut head = RecordHead::default();
    for row in rows {
        head = head.next(&row.body);
        assert_eq!((row.sequence, row.hash.as_slice()), (head.sequence, head.hash.as_slice()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_fails_undoes_itself_and_nothing_else() {
    let (_folder, store) = new_store().await;
    let version = store.registry_version();
    assert!(attempt(&store, 0, true).await.is_err());
    check_chain(&store, 0).await;
    assert_eq!(store.registry_version(), version);

    // The first job holds the writer until the others wait.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let holder = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .write(move |_| {
                    let _ = held.recv();
                    Box::pin(async { Ok::<_, StorageError>(()) })
                })
                .await
        }
    });
    let waiting = Arc::new(AtomicU64::new(0));
    let mut jobs = JoinSet::new();
    for n in 0..100 {
        let waiting = Arc::clone(&waiting);
        let store = store.clone();
        jobs.spawn(async move {
            waiting.fetch_add(1, Ordering::SeqCst);
            attempt(&store, n, n % 3 == 0).await.is_ok() == (n % 3 != 0)
        });
    }
    while waiting.load(Ordering::SeqCst) < 100 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    holder.await.unwrap().unwrap();
    assert!(jobs.join_all().await.into_iter().all(|as_expected| as_expected));
    check_chain(&store, 66).await;
    assert_eq!(store.registry_version(), version + 66);
    assert!(store.commits() < 66, "{} commits", store.commits());
}

#[tokio::test]
async fn a_job_whose_sql_fails_leaves_the_writer_working() {
    let (_folder, store) = new_store().await;
    let broken: Result<(), StorageError> = store
        .write(|tx| {
            Box::pin(async move {
                tx.append_record(&note(0)).await?;
                tx.conn().execute("INSERT INTO environment (id) VALUES (1)", params![]).await?;
                Ok(())
            })
        })
        .await;
    assert!(matches!(broken, Err(StorageError::Database(_))), "{broken:?}");
    assert_eq!(attempt(&store, 1, false).await.unwrap(), 1);
    check_chain(&store, 1).await;
}

/// The transaction is ended behind the writer's back, so that its COMMIT fails.
#[tokio::test]
async fn after_a_failed_commit_nothing_was_written_and_the_next_job_works() {
    let (_folder, store) = new_store().await;
    let lost: Result<(), StorageError> = store
        .write(|tx| {
            Box::pin(async move {
                tx.append_record(&note(0)).await?;
                tx.conn().execute("ROLLBACK", params![]).await?;
                Ok(())
            })
        })
        .await;
    assert!(matches!(lost, Err(StorageError::Commit(_))), "{lost:?}");
    assert_eq!(attempt(&store, 1, false).await.unwrap(), 1);
    check_chain(&store, 1).await;
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let (folder, store) = new_store().await;
    attempt(&store, 1, false).await.unwrap();
    let (id, version) = (store.server_id(), store.registry_version());
    store.close().await;
    assert!(matches!(attempt(&store, 2, false).await, Err(StorageError::Closed)));
    assert!(store.check().await.is_err());
    drop(store);
    let store = Store::open(&Database::Sqlite(folder.path().join("sealcard.db"))).await.unwrap();
    assert_eq!((store.server_id(), store.registry_version()), (id, version));
    assert_eq!(attempt(&store, 2, false).await.unwrap(), 2);
    check_chain(&store, 2).await;
}

#[tokio::test]
async fn a_newer_or_changed_schema_is_refused() {
    for (sql, newer) in [
        ("INSERT INTO schema_step VALUES (99, x'00', 0)", true),
        ("UPDATE schema_step SET sha256 = x'00' WHERE number = 1", false),
    ] {
        let (folder, store) = new_store().await;
        store.close().await;
        drop(store);
        let path = folder.path().join("sealcard.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        match Store::open(&Database::Sqlite(path)).await.map(drop) {
            Err(StorageError::NewerSchema { found: 99, .. }) if newer => {}
            Err(StorageError::ChangedSchema(1)) if !newer => {}
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_files_are_for_the_owner_alone_and_an_existing_one_is_not_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, store) = new_store().await;
    attempt(&store, 1, false).await.unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    assert!(names.iter().any(|name| name.ends_with("-wal")), "{names:?}");
    assert!(Store::create(&Database::Sqlite(folder.path().join("sealcard.db"))).await.is_err());
    check_chain(&store, 1).await;
}

#[tokio::test]
async fn the_database_is_as_durable_as_promised() {
    let (_folder, store) = new_store().await;
    let pragmas: Result<_, StorageError> = store
        .write(|tx| {
            Box::pin(async move {
                let mode: Option<String> = tx.conn().scalar("PRAGMA journal_mode", params![]).await?;
                let synchronous: Option<i64> = tx.conn().scalar("PRAGMA synchronous", params![]).await?;
                let foreign_keys: Option<i64> = tx.conn().scalar("PRAGMA foreign_keys", params![]).await?;
                Ok((mode, synchronous, foreign_keys))
            })
        })
        .await;
    assert_eq!(pragmas.unwrap(), (Some("wal".to_owned()), Some(2), Some(1)));
}
