//! Tests of the writer, the schema and the record's protection, on both databases.

use std::sync::mpsc;

use sealcard_api::ids::{GrantId, GroupId, PrincipalId, ProjectId};
use sealcard_api::roles::{PrincipalKind, SystemRoles};
use sealcard_record::{Draft, Event, Named, event::GroupAct, leaf_hash};
use sealcard_test_cluster::Cluster;
use tempfile::TempDir;
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

mod approvals;
mod clock;
mod log;
mod master_keys;
mod notices;
mod owners;
mod roles;
mod rules;
mod tables;
mod transfer;
mod upgrades;
mod uses;

use super::*;

fn note(n: u64) -> Draft {
    let group = Named::new(GroupId::new(), n.to_string());
    Draft::of_server(Event::GroupAdded(GroupAct { group }))
}

/// Where a database lies.
struct Place {
    folder: TempDir,
    cluster: Option<Cluster>,
}

impl Place {
    fn sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), cluster: None }
    }

    fn postgres() -> Self {
        Self { cluster: Some(Cluster::start().unwrap()), ..Self::sqlite() }
    }

    fn both() -> [Self; 2] {
        [Self::sqlite(), Self::postgres()]
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sealcard.db")
    }

    fn database(&self) -> Database {
        match &self.cluster {
            None => Database::Sqlite(self.path()),
            Some(cluster) => Database::Postgres(PostgresOptions {
                url: cluster.url(),
                password: None,
                host: Uuid::nil(),
                ca_file: None,
                allow_cleartext: false,
            }),
        }
    }

    async fn store(&self) -> Store {
        Store::create(&self.database()).await.unwrap()
    }

    /// Changes the database as nobody should.
    fn tamper(&self, sql: &str) -> Result<(), String> {
        match &self.cluster {
            None => rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).map_err(|e| e.to_string()),
            Some(cluster) => cluster.sql(sql).map(drop).map_err(|e| e.to_string()),
        }
    }
}

/// Writes an entry, bumps the registry, and fails if asked to. The number of the newest entry.
async fn attempt(store: &Store, n: u64, fail: bool) -> Result<u64, StorageError> {
    store
        .write(move |tx| {
            tx.append_record(note(n));
            tx.bump_registry()?;
            if fail { Err(StorageError::NotFound("anything")) } else { Ok(()) }
        })
        .await?;
    let newest = store.record(RecordFilter { limit: 1, descending: true, ..RecordFilter::default() }).await?;
    Ok(newest.first().unwrap().sequence)
}

async fn check_record(store: &Store, expected: u64) {
    let rows = store.record(RecordFilter { limit: u32::MAX, ..RecordFilter::default() }).await.unwrap();
    assert_eq!(rows.len() as u64, expected);
    for (number, row) in (1..).zip(rows) {
        assert_eq!((row.sequence, row.hash), (number, leaf_hash(&row.body, &row.salt).unwrap()));
    }
}

/// A job that holds the writer, and is in it now, until it is released.
fn hold(store: &Store) -> (mpsc::Sender<()>, JoinHandle<Result<(), StorageError>>) {
    let (begun, begins) = mpsc::channel();
    let (release, held) = mpsc::channel();
    let store = store.clone();
    let holder = tokio::spawn(async move {
        store
            .write(move |_| {
                begun.send(()).unwrap();
                let _ = held.recv();
                Ok::<_, StorageError>(())
            })
            .await
    });
    begins.recv().unwrap();
    (release, holder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_fails_undoes_itself_and_nothing_else() {
    for place in Place::both() {
        let store = place.store().await;
        let version = store.registry_version();
        assert!(attempt(&store, 0, true).await.is_err());
        check_record(&store, 0).await;
        assert_eq!(store.registry_version(), version);

        // The first job holds the writer until the others wait.
        let (release, holder) = hold(&store);
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
        check_record(&store, 66).await;
        assert_eq!(store.registry_version(), version + 66);
        assert!(store.writer_load().commits < 66, "{} commits", store.writer_load().commits);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn panicking_job_fails_its_batch_and_nothing_else() {
    for place in Place::both() {
        let store = place.store().await;
        assert_eq!(attempt(&store, 1, false).await.unwrap(), 1);
        // Another caller's job in the same batch has an error, not a panic of its own.
        let (release, holder) = hold(&store);
        let (queued, both_wait) = oneshot::channel();
        let both = tokio::spawn({
            let store = store.clone();
            async move {
                let panics = store.write::<(), StorageError, _>(|_| panic!("a job's own fault"));
                let queued = async { queued.send(()).unwrap() };
                tokio::join!(biased; panics, attempt(&store, 2, false), queued)
            }
        });
        both_wait.await.unwrap();
        release.send(()).unwrap();
        holder.await.unwrap().unwrap();
        let (panics, other, ()) = both.await.unwrap();
        assert!(matches!(panics, Err(StorageError::Panicked)), "{panics:?}");
        assert!(matches!(other, Err(StorageError::Panicked)), "{other:?}");
        check_record(&store, 1).await;

        let broken: Result<(), StorageError> = store.write(|_| panic!("a job's own fault")).await;
        assert!(matches!(broken, Err(StorageError::Panicked)), "{broken:?}");
        let broken: Result<(), StorageError> = store
            .write(|tx| {
                tx.append_record(note(65));
                tx.bump_registry()?;
                panic!("a job's own fault, later")
            })
            .await;
        assert!(matches!(broken, Err(StorageError::Panicked)), "{broken:?}");
        assert_eq!(attempt(&store, 65, false).await.unwrap(), 2);
        check_record(&store, 2).await;
        store.close().await;
        assert!(attempt(&store, 66, false).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waits_when_the_store_is_closed_is_written_before() {
    for place in Place::both() {
        let store = place.store().await;
        let (release, holder) = hold(&store);
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { attempt(&store, 1, false).await }
        });
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let closing = tokio::spawn({
            let store = store.clone();
            async move { store.close().await }
        });
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        release.send(()).unwrap();
        holder.await.unwrap().unwrap();
        let patience = std::time::Duration::from_secs(20);
        assert_eq!(tokio::time::timeout(patience, waiting).await.unwrap().unwrap().unwrap(), 1);
        tokio::time::timeout(patience, closing).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_job_whose_sql_fails_leaves_the_writer_working() {
    for place in Place::both() {
        let store = place.store().await;
        let broken: Result<(), StorageError> = store
            .write(|tx| {
                tx.append_record(note(0));
                tx.conn().execute("INSERT INTO environment (id) VALUES (1)", params![])?;
                Ok(())
            })
            .await;
        assert!(matches!(broken, Err(StorageError::Database(_))), "{broken:?}");
        assert_eq!(attempt(&store, 1, false).await.unwrap(), 1);
        check_record(&store, 1).await;
    }
}

/// As when BEGIN fails, after which PostgreSQL executes what was sent with it. Sees that it does not.
async fn write_outside_a_transaction(store: &Store) {
    let name = "astray";
    let outside: Result<(), StorageError> = store
        .write(move |tx| {
            tx.conn().script("ROLLBACK")?;
            tx.insert_environment(EnvironmentId::new(), name, EnvironmentKind::Sealed)
        })
        .await;
    let Err(StorageError::Database(error)) = outside else { panic!("{outside:?}") };
    assert!(error.to_string().contains("read-only"), "{error}");
    assert!(store.environments().await.unwrap().iter().all(|environment| environment.name != name));
}

#[tokio::test]
async fn outside_a_transaction_nothing_is_written() {
    let place = Place::postgres();
    let store = place.store().await;
    write_outside_a_transaction(&store).await;
    assert_eq!(attempt(&store, 1, false).await.unwrap(), 1);
    check_record(&store, 1).await;
}

/// A job that hides an error of its SQL has not had its way: PostgreSQL has ended the transaction.
#[tokio::test]
async fn a_job_that_hides_an_error_is_not_told_of_success() {
    let place = Place::postgres();
    let store = place.store().await;
    let hidden: Result<(), StorageError> = store
        .write(|tx| {
            assert!(tx.conn().execute("INSERT INTO environment (id) VALUES (1)", params![]).is_err());
            Ok(())
        })
        .await;
    assert!(matches!(hidden, Err(StorageError::Commit(_))), "{hidden:?}");
    assert_eq!(attempt(&store, 1, false).await.unwrap(), 1);
}

/// The transaction, or the connection, is ended behind the writer's back, so that its COMMIT fails.
#[tokio::test]
async fn after_a_failed_commit_nothing_was_written_and_the_next_job_works() {
    for place in Place::both() {
        let store = place.store().await;
        let postgres = place.cluster.is_some();
        let lost: Result<(), StorageError> = store
            .write(move |tx| {
                tx.append_record(note(0));
                let end = if postgres { "SELECT pg_terminate_backend(pg_backend_pid())" } else { "ROLLBACK" };
                let ended = tx.conn().execute(end, params![]);
                if postgres { Ok(()) } else { ended.map(drop) }
            })
            .await;
        assert!(matches!(lost, Err(StorageError::Commit(_))), "{lost:?}");
        assert_eq!(attempt(&store, 1, false).await.unwrap(), 1);
        check_record(&store, 1).await;
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    for place in Place::both() {
        let store = place.store().await;
        attempt(&store, 1, false).await.unwrap();
        let (id, version) = (store.server_id(), store.registry_version());
        store.close().await;
        assert!(matches!(attempt(&store, 2, false).await, Err(StorageError::Closed)));
        assert!(store.check().await.is_err());
        drop(store);
        let store = Store::open(&place.database()).await.unwrap();
        assert_eq!((store.server_id(), store.registry_version()), (id, version));
        assert_eq!(attempt(&store, 2, false).await.unwrap(), 2);
        check_record(&store, 2).await;
    }
}

#[tokio::test]
async fn a_newer_or_changed_schema_is_refused() {
    for newer in [true, false] {
        for place in Place::both() {
            let store = place.store().await;
            store.close().await;
            drop(store);
            let zero = if place.cluster.is_some() { "'\\x00'" } else { "x'00'" };
            let sql = match newer {
                true => format!("INSERT INTO schema_step VALUES (99, {zero}, 98, 0)"),
                false => format!("UPDATE schema_step SET sha256 = {zero} WHERE number = 1"),
            };
            place.tamper(&sql).unwrap();
            match Store::open(&place.database()).await.map(drop) {
                Err(StorageError::NewerSchema { found: 99, lowest: 98, .. }) if newer => {}
                Err(StorageError::ChangedSchema(1)) if !newer => {}
                other => panic!("{sql}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_record_can_be_neither_changed_nor_shortened() {
    for place in Place::both() {
        let store = place.store().await;
        attempt(&store, 1, false).await.unwrap();
        for sql in ["UPDATE record SET time = 0", "DELETE FROM record", "DELETE FROM signing_key"] {
            let refusal = place.tamper(sql);
            // SQLite's trigger is for each row, and there is no signing key yet.
            assert!(refusal.is_err() || sql.contains("signing_key"), "{sql}");
        }
        check_record(&store, 1).await;
    }
}

#[tokio::test]
async fn a_database_that_holds_a_server_is_not_made_anew() {
    for place in Place::both() {
        let store = place.store().await;
        attempt(&store, 1, false).await.unwrap();
        store.close().await;
        drop(store);
        assert!(Store::create(&place.database()).await.is_err());
        check_record(&Store::open(&place.database()).await.unwrap(), 1).await;
    }
}

#[tokio::test]
async fn a_record_whose_end_was_cut_off_behind_the_servers_back_is_found_at_start() {
    let [_, place] = Place::both();
    let store = place.store().await;
    attempt(&store, 1, false).await.unwrap();
    attempt(&store, 2, false).await.unwrap();
    store.close().await;
    drop(store);
    place.tamper("ALTER TABLE record DISABLE TRIGGER ALL; DELETE FROM record WHERE sequence = 2").unwrap();
    let refused = Store::open(&place.database()).await.map(drop);
    assert!(matches!(refused, Err(StorageError::Damaged(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_servers_on_one_database_append_to_one_chain() {
    let [_, place] = Place::both();
    let stores = [place.store().await, Store::open(&place.database()).await.unwrap()];
    let mut jobs = JoinSet::new();
    for n in 0..100 {
        for store in stores.clone() {
            jobs.spawn(async move { attempt(&store, n, n % 3 == 0).await.is_ok() == (n % 3 != 0) });
        }
    }
    assert!(jobs.join_all().await.into_iter().all(|as_expected| as_expected));
    check_record(&stores[0], 132).await;
    let newest = stores.iter().map(Store::registry_version).max();
    assert_eq!(newest, Some(1 + 132));
}

#[tokio::test]
async fn every_parameter_of_a_long_statement_is_bound() {
    const NAMES: &str =
        "SELECT json_array($20, $19, $18, $17, $16, $15, $14, $13, $12, $11, $10, $9, $8, $7, $6, $5, $4, $3,
        $2, $1)";
    let place = Place::sqlite();
    let store = place.store().await;
    let values: Vec<i64> = (1..=20).collect();
    let params: Vec<&dyn sql::Param> = values.iter().map(|value| value as &dyn sql::Param).collect();
    let bound: Option<(String,)> = store.reader().optional(NAMES, &params).await.unwrap();
    let expected: Vec<i64> = values.iter().rev().copied().collect();
    assert_eq!(bound.unwrap().0, serde_json::json!(expected).to_string());
    let short: Result<Option<(String,)>, _> = store.reader().optional(NAMES, params.split_last().unwrap().1).await;
    assert!(short.is_err());
}

#[tokio::test]
async fn a_node_has_ended_when_its_connection_has() {
    let [_, place] = Place::both();
    let (one, other) = (place.store().await, Store::open(&place.database()).await.unwrap());
    let before = one.writer_load().commits;
    let ended = async |node: Uuid| one.node_has_ended(node).await.unwrap();
    assert!(!ended(other.node()).await);
    other.close().await;
    // PostgreSQL gives the lock back when it has noticed the end.
    for _ in 0..1000 {
        if ended(other.node()).await {
            assert_eq!(one.writer_load().commits, before, "the question is no write");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the ended node is still taken for running");
}

#[tokio::test]
async fn after_a_crash_of_the_database_the_same_server_goes_on() {
    let [_, mut place] = Place::both();
    let store = place.store().await;
    attempt(&store, 1, false).await.unwrap();
    let cluster = place.cluster.as_mut().unwrap();
    cluster.crash().unwrap();
    assert!(attempt(&store, 2, false).await.is_err());
    assert!(store.check().await.is_err());
    cluster.start_again().unwrap();
    store.check().await.unwrap();
    assert_eq!(attempt(&store, 3, false).await.unwrap(), 2);
    check_record(&store, 2).await;
}

#[tokio::test]
async fn a_database_that_may_lose_what_it_confirms_is_refused() {
    let [_, mut place] = Place::both();
    let cluster = place.cluster.as_mut().unwrap();
    cluster.sql("ALTER SYSTEM SET fsync = off").unwrap();
    cluster.crash().unwrap();
    cluster.start_again().unwrap();
    let refused = Store::create(&place.database()).await.map(drop);
    assert!(matches!(&refused, Err(StorageError::Options(why)) if why.contains("fsync")), "{refused:?}");
}

#[tokio::test]
async fn the_files_are_for_the_owner_alone_and_an_existing_one_is_not_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::sqlite();
    let folder = &place.folder;
    let store = place.store().await;
    attempt(&store, 1, false).await.unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    assert!(names.iter().any(|name| name.ends_with("-wal")), "{names:?}");
    assert!(Store::create(&place.database()).await.is_err());
    check_record(&store, 1).await;
}

#[tokio::test]
async fn the_database_is_as_durable_as_promised() {
    let place = Place::sqlite();
    let store = place.store().await;
    let pragmas: Result<_, StorageError> = store
        .write(|tx| {
            let mode: Option<String> = tx.conn().scalar("PRAGMA journal_mode", params![])?;
            let synchronous: Option<i64> = tx.conn().scalar("PRAGMA synchronous", params![])?;
            let foreign_keys: Option<i64> = tx.conn().scalar("PRAGMA foreign_keys", params![])?;
            Ok((mode, synchronous, foreign_keys))
        })
        .await;
    assert_eq!(pragmas.unwrap(), (Some("wal".to_owned()), Some(2), Some(1)));
}

/// PostgreSQL refuses what its disk has no space for, and goes on; SQLite's full disk is tested beside its error.
#[tokio::test]
async fn full_disk_of_postgres_is_told_from_other_failures_and_passes() {
    let place = Place::postgres();
    let store = place.store().await;
    let refuse = |code: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '{code}'; END $$;
             CREATE OR REPLACE TRIGGER full_disk BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION full_disk();"
        )
    };
    for (code, full) in [("53100", true), ("58030", false)] {
        place.tamper(&refuse(code)).unwrap();
        let error = attempt(&store, 1, false).await.unwrap_err();
        assert_eq!(error.is_disk_full(), full, "{error}");
    }
    place.tamper("DROP TRIGGER full_disk ON record").unwrap();
    assert_eq!(attempt(&store, 1, false).await.unwrap(), 1);
}

/// A user whose clock was ahead for one login must not lose what is valid.
#[tokio::test]
async fn grants_are_forgotten_a_year_after_their_end_but_not_by_a_clock_that_jumped() {
    const DAY: i64 = 86_400;
    for place in Place::both() {
        let store = place.store().await;
        let user = PrincipalRow {
            id: PrincipalId::new(),
            kind: PrincipalKind::User,
            name: "user".to_owned(),
            system_roles: SystemRoles::NONE,
            disabled: false,
            created: 0,
            one_time_until: None,
            owner: None,
            email: None,
        };
        let principal = user.id;
        let added: Result<(), StorageError> = store.write(move |tx| tx.add_principal(&user, Some("hash"))).await;
        added.unwrap();
        let now = 1_800_000_000;
        let log_in = async |created: i64| {
            let id = GrantId::new();
            let row = NewGrantRow {
                id,
                principal,
                service_token: None,
                label: String::new(),
                created,
                expires: created + 30 * DAY,
                refreshable_until: created + 365 * DAY,
                address: None,
            };
            let stored: Result<Vec<_>, StorageError> = store.write(move |tx| tx.add_grant(&row, id.0.as_bytes())).await;
            stored.unwrap();
            id
        };
        let kept = async |id: GrantId| store.grant(id).await.unwrap().is_some();
        let first = log_in(now).await;
        for jumped in [now + 800 * DAY, now + 800 * DAY + 60] {
            log_in(jumped).await;
            assert!(kept(first).await, "forgotten by a clock that is ahead");
        }
        // The same time, passed while the server was used.
        log_in(now + 700 * DAY).await;
        log_in(now + 800 * DAY).await;
        assert!(!kept(first).await, "kept for ever");
    }
}
