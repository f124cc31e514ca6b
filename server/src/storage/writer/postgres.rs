//! The writer of PostgreSQL: one task on one connection. Whoever writes holds the row of the record's head, so that the
//! servers that share the database append one after the other and the chain never forks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{CHANGED, Job, Jobs, WriteTx, caught, perform};
use crate::storage::{
    StorageError,
    known::Changes,
    record::{self, Entry, RecordHead},
    sql::{
        Conn, params,
        postgres::{PostgresOptions, Session},
    },
};

pub(in crate::storage) struct PostgresWriter {
    /// Absent after a failure, until there is a new connection.
    held: Option<Held>,
    options: PostgresOptions,
    node: Uuid,
    published: Arc<AtomicU64>,
    changes: Changes,
}

/// One connection.
struct Held {
    session: Arc<Session>,
    /// On the same.
    tx: WriteTx,
}

impl PostgresWriter {
    /// Connects and starts the task. As long as its connection lives, `node` is known to the other servers as running.
    pub(in crate::storage) async fn start(
        options: PostgresOptions,
        node: Uuid,
        mut jobs: Jobs,
        published: Arc<AtomicU64>,
        changes: Changes,
    ) -> Result<(), StorageError> {
        let held = Held::open(&options, node, published.load(Ordering::Acquire)).await?;
        let mut writer = Self { held: Some(held), options, node, published, changes };
        tokio::spawn(async move {
            while let Some(mut batch) = jobs.next().await {
                let committed = caught(writer.write(&mut batch)).await;
                jobs.finish(batch, committed);
            }
            // Closed before anybody is told that the writer has ended.
            drop(writer);
            drop(jobs);
        });
        Ok(())
    }

    /// Whether anything was committed.
    async fn write(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
        let usable = self.held.take().filter(|held| !held.session.is_closed());
        let mut held = match usable {
            Some(held) => held,
            None => {
                self.changes.begin_era();
                Held::open(&self.options, self.node, self.published.load(Ordering::Acquire)).await?
            }
        };
        held.tx.more_than_uses = false;
        held.tx.era = self.changes.era();
        // Not put back on error: dropping the connection ends whatever is left of the transaction.
        let committed = held.transaction(jobs).await?;
        if committed {
            self.published.fetch_max(held.tx.registry_version, Ordering::AcqRel);
        }
        if let Some(found) = held.tx.found.take() {
            self.changes.heard(found);
        }
        self.held = Some(held);
        Ok(committed)
    }
}

const HEAD: &str = "SELECT sequence, hash FROM record_head FOR UPDATE";
/// One entry, which becomes the head.
const APPEND_ONE: &str = "WITH head AS (UPDATE record_head SET sequence = $1, hash = $10)
    INSERT INTO record (sequence, time, kind, request_id, principal_id, project_id, key_id, state, body, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
/// Several entries, in one statement too. It takes PostgreSQL longer than the other takes for a single one.
const APPEND: &str = "WITH head AS (UPDATE record_head SET sequence = $11, hash = $12)
    INSERT INTO record (sequence, time, kind, request_id, principal_id, project_id, key_id, state, body, hash)
    SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[], $4::UUID[], $5::UUID[], $6::UUID[], $7::UUID[],
        $8::TEXT[], $9::TEXT[], $10::BYTEA[])";

impl Held {
    async fn open(options: &PostgresOptions, node: Uuid, registry_version: u64) -> Result<Self, StorageError> {
        let session = options.connect().await?;
        // Held until the connection ends, however it ends.
        session.execute("SELECT pg_advisory_lock($1)", params![lock_number(node)]).await?;
        // Should BEGIN fail, what was sent after it must not be committed statement by statement.
        session.script("SET default_transaction_read_only = on").await?;
        // Were they prepared only when they are needed, what is sent after them would overtake them.
        for sql in [HEAD, APPEND_ONE, APPEND, CHANGED] {
            session.prepare(sql).await?;
        }
        let session = Arc::new(session);
        let tx = WriteTx::new(Conn::Postgres(Arc::clone(&session)), registry_version);
        Ok(Self { session, tx })
    }

    /// Whether anything was committed.
    async fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
        let Self { session, tx } = self;
        // The jobs' first statement goes out together with these two, and is executed after them.
        let (head, any) = tokio::join!(biased; begin(session), perform(tx, jobs));
        let mut head = head.inspect_err(|_| jobs.iter_mut().for_each(|job| job.discard()))?;
        if !any? {
            session.script("ROLLBACK").await?;
            return Ok(false);
        }
        let entries = record::chain(&mut head, std::mem::take(&mut tx.appended))?;
        // What is appended and COMMIT go out together; if one fails, so does what follows.
        let changed =
            async { if tx.more_than_uses { session.execute(CHANGED, params![]).await.map(drop) } else { Ok(()) } };
        let (appended, changed, committed) =
            tokio::join!(biased; append(session, &entries), changed, session.script("COMMIT"));
        appended.and(changed).and(committed).map_err(StorageError::into_commit)?;
        Ok(true)
    }
}

/// Begins a transaction and takes the record's head, in one exchange.
async fn begin(session: &Session) -> Result<RecordHead, StorageError> {
    let begin = session.script("BEGIN READ WRITE");
    let (begun, head) = tokio::join!(biased; begin, session.optional::<(i64, Vec<u8>)>(HEAD, params![]));
    begun?;
    let damaged = || StorageError::Damaged("the record's head".to_owned());
    let (sequence, hash) = head?.ok_or_else(damaged)?;
    Ok(RecordHead { sequence: sequence.cast_unsigned(), hash: hash.try_into().map_err(|_| damaged())? })
}

/// Appends entries to the record and notes its new head, which this transaction has locked.
async fn append(session: &Session, entries: &[Entry]) -> Result<(), StorageError> {
    macro_rules! column {
        ($entry:ident => $value:expr) => {
            entries.iter().map(|$entry| $value).collect::<Vec<_>>()
        };
    }
    // Fails where the transaction has: COMMIT alone would be answered as if it had been one.
    let Some(last) = entries.last() else { return session.script("SELECT 1").await };
    if let [only] = entries {
        return session.execute(APPEND_ONE, &only.values()).await.map(drop);
    }
    let columns: [&(dyn ToSql + Sync); 12] = [
        &column!(entry => entry.sequence),
        &column!(entry => entry.time),
        &column!(entry => entry.kind),
        &column!(entry => entry.request_id),
        &column!(entry => entry.principal_id),
        &column!(entry => entry.project_id),
        &column!(entry => entry.key_id),
        &column!(entry => entry.state),
        &column!(entry => entry.body.as_str()),
        &column!(entry => entry.hash.as_slice()),
        &last.sequence,
        &last.hash,
    ];
    session.execute_with(APPEND, &columns).await.map(drop)
}

/// Whether the node with this lock has ended: the lock can be had only when its connection is gone. It is given back with the
/// transaction.
pub(in crate::storage) const NODE_HAS_ENDED: &str = "SELECT pg_try_advisory_xact_lock($1)";

/// What stands for a node among the database's advisory locks.
pub(in crate::storage) const fn lock_number(node: Uuid) -> i64 {
    let (_, low) = node.as_u64_pair();
    low.cast_signed()
}
