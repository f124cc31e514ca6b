//! The writer of PostgreSQL: one thread with one connection. It holds the row of the record's head while it writes, so
//! that the servers that share the database append one after the other and the log never forks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sealcard_transparency::Frontier;
use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{CHANGED, Job, Jobs, WriteTx, perform};
use crate::{
    StorageError, Version,
    cache::Cache,
    clock::Clock,
    record::{self, Appended, Entry, LastHead},
    schema::{READ_NEWEST, SCHEMA_STAYS, Schema},
    sql::{
        Conn, params,
        postgres::{Blocking, PostgresOptions, Session},
    },
};

pub(crate) struct PostgresWriter {
    /// Absent after a failure, until there is a new connection.
    tx: Option<WriteTx>,
    options: PostgresOptions,
    runtime: Handle,
    node: Uuid,
    published: Arc<AtomicU64>,
    cache: Cache,
    last_head: LastHead,
    clock: Arc<Clock>,
}

impl PostgresWriter {
    /// Connects and starts the thread. As long as its connection lives, `node` is known to the other servers as
    /// running.
    pub(crate) fn start(
        options: PostgresOptions,
        runtime: Handle,
        node: Uuid,
        jobs: Jobs,
        published: Arc<AtomicU64>,
        (cache, last_head): (Cache, LastHead),
        clock: Arc<Clock>,
    ) -> Result<(), StorageError> {
        let mut writer = Self { tx: None, options, runtime, node, published, cache, last_head, clock };
        writer.tx = Some(writer.open()?);
        let run = move || jobs.run(|batch| writer.write(batch));
        let started = std::thread::Builder::new().name("writer".into()).spawn(run);
        started.map(drop).map_err(|error| StorageError::Options(format!("the writer's thread: {error}")))
    }

    fn open(&self) -> Result<WriteTx, StorageError> {
        let mut conn = Blocking::connect(&self.options, self.runtime.clone())?;
        let lock = lock_number(self.node);
        let schema = Schema::of_this_release();
        conn.run(async |session| {
            // The schema does not change before the lock is taken by which others see that this server runs.
            session.script(SCHEMA_STAYS).await?;
            // Held until the connection ends, however it ends.
            session.execute("SELECT pg_advisory_lock($1)", params![lock]).await?;
            let newest: Option<(i64, i64)> = session.optional(READ_NEWEST, params![]).await?;
            session.script("COMMIT").await?;
            let (found, lowest) = newest.unwrap_or_default();
            schema.expect_works(found, lowest)?;
            // A statement outside a transaction must not be committed by itself.
            session.script("SET default_transaction_read_only = on").await?;
            // Were they prepared only when they are needed, what is sent after them would overtake them.
            for sql in [HEAD, APPEND_ONE, APPEND, COMPLETE, CHANGED] {
                session.prepare(sql).await?;
            }
            Ok(())
        })?;
        let registry_version = self.published.load(Ordering::Acquire);
        Ok(WriteTx::new(Conn::Postgres(conn), registry_version, Arc::clone(&self.clock)))
    }

    /// Whether anything was committed.
    fn write(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
        let usable = self.tx.take().filter(|tx| matches!(&tx.conn, Conn::Postgres(conn) if !conn.is_closed()));
        let mut tx = match usable {
            Some(tx) => tx,
            None => {
                self.cache.new_connection();
                self.open()?
            }
        };
        // Not put back on error: dropping the connection ends whatever is left of the transaction.
        let committed = transaction(&mut tx, self.cache.connection(), &self.last_head, jobs)?;
        // Also when nothing was committed: another server may have changed something.
        self.cache.observe(if committed { tx.committed_version() } else { tx.version });
        self.published.fetch_max(tx.registry_version, Ordering::AcqRel);
        self.tx = Some(tx);
        Ok(committed)
    }
}

const HEAD: &str = "SELECT log, changes FROM record_head FOR UPDATE";
/// One entry, and the log with it.
const APPEND_ONE: &str = "WITH head AS (UPDATE record_head SET log = $14)
    INSERT INTO record
        (sequence, time, kind, event, request_id, principal_id, project_id, key_id, state, signature_sha256, body, salt,
         hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
/// Several entries, in one statement too. It takes PostgreSQL longer than the other takes for a single one.
const APPEND: &str = "WITH head AS (UPDATE record_head SET log = $14)
    INSERT INTO record
        (sequence, time, kind, event, request_id, principal_id, project_id, key_id, state, signature_sha256, body, salt,
         hash)
    SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::UUID[], $6::UUID[], $7::UUID[],
        $8::UUID[], $9::TEXT[], $10::BYTEA[], $11::TEXT[], $12::BYTEA[], $13::BYTEA[])";
/// Subtrees of the log that have become complete.
const COMPLETE: &str = "INSERT INTO record_subtree (level, number, hash)
    SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BYTEA[])";

/// Whether anything was committed.
fn transaction(
    tx: &mut WriteTx,
    connection: u32,
    last_head: &LastHead,
    jobs: &mut [Box<dyn Job>],
) -> Result<bool, StorageError> {
    let (mut log, changes) = begin(session(&mut tx.conn)?)?;
    tx.begin(Version { connection, changes });
    if !perform(tx, jobs)? {
        tx.conn.script("ROLLBACK")?;
        return Ok(false);
    }
    let appended = record::place(&mut log, std::mem::take(&mut tx.appended))?;
    let more_than_uses = tx.more_than_uses;
    // What is appended and COMMIT go out together; if one fails, so does what follows.
    let committed = session(&mut tx.conn)?.run(async |session| {
        let changed =
            async { if more_than_uses { session.execute(CHANGED, params![]).await.map(drop) } else { Ok(()) } };
        let (appended, changed, committed) =
            tokio::join!(biased; append(session, &appended, &log), changed, session.script("COMMIT"));
        appended.and(changed).and(committed)
    });
    committed.map_err(StorageError::into_commit)?;
    last_head.set(&log);
    Ok(true)
}

fn session(conn: &mut Conn) -> Result<&mut Blocking, StorageError> {
    match conn {
        Conn::Postgres(session) => Ok(session),
        Conn::Sqlite(_) => Err(StorageError::Closed),
    }
}

/// Begins a transaction and takes the record's head and the count of changes, in one exchange.
fn begin(conn: &mut Blocking) -> Result<(Frontier, u64), StorageError> {
    let head: Option<(Vec<u8>, i64)> = conn.run(async |session| {
        let (begun, head) = tokio::join!(biased; session.script("BEGIN READ WRITE"), session.optional(HEAD, params![]));
        begun.and(head)
    })?;
    let head = head.ok_or_else(|| StorageError::Damaged("the record's head".to_owned()))?;
    let (log, changes) = head;
    Ok((record::stored_log(&log)?, changes.cast_unsigned()))
}

/// Appends entries to the record and notes its log, which this transaction has locked.
async fn append(session: &Session, appended: &Appended, log: &Frontier) -> Result<(), StorageError> {
    let Appended { entries, subtrees } = appended;
    let complete = async {
        if subtrees.is_empty() {
            return Ok(());
        }
        let columns: [&(dyn ToSql + Sync); 3] = [
            &subtrees.iter().map(|subtree| subtree.level).collect::<Vec<_>>(),
            &subtrees.iter().map(|subtree| subtree.number).collect::<Vec<_>>(),
            &subtrees.iter().map(|subtree| subtree.hash.as_slice()).collect::<Vec<_>>(),
        ];
        session.execute_with(COMPLETE, &columns).await.map(drop)
    };
    let log = log.to_bytes();
    let (appended, complete) = tokio::join!(biased; append_entries(session, entries, &log), complete);
    appended.and(complete)
}

async fn append_entries(session: &Session, entries: &[Entry], log: &[u8]) -> Result<(), StorageError> {
    macro_rules! column {
        ($entry:ident => $value:expr) => {
            entries.iter().map(|$entry| $value).collect::<Vec<_>>()
        };
    }
    // Fails where the transaction has: COMMIT alone would be answered as if it had been one.
    if entries.is_empty() {
        return session.script("SELECT 1").await;
    }
    if let [only] = entries {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m] = only.values();
        let values = [a, b, c, d, e, f, g, h, i, j, k, l, m, &log];
        return session.execute(APPEND_ONE, &values).await.map(drop);
    }
    let columns: [&(dyn ToSql + Sync); 14] = [
        &column!(entry => entry.sequence),
        &column!(entry => entry.time),
        &column!(entry => entry.kind),
        &column!(entry => entry.event),
        &column!(entry => entry.request_id),
        &column!(entry => entry.principal_id),
        &column!(entry => entry.project_id),
        &column!(entry => entry.key_id),
        &column!(entry => entry.state),
        &column!(entry => entry.signature_sha256.as_deref()),
        &column!(entry => entry.body.as_str()),
        &column!(entry => entry.salt.as_slice()),
        &column!(entry => entry.hash.as_slice()),
        &log,
    ];
    session.execute_with(APPEND, &columns).await.map(drop)
}

/// Whether the node with this lock has ended: the lock can be had only when its connection is gone. It is given back
/// with the transaction.
pub(crate) const NODE_HAS_ENDED: &str = "SELECT pg_try_advisory_xact_lock($1)";

/// What stands for a node among the database's advisory locks.
pub(crate) const fn lock_number(node: Uuid) -> i64 {
    let (_, low) = node.as_u64_pair();
    low.cast_signed()
}
