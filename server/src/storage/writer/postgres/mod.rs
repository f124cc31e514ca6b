//! The writer of PostgreSQL: one task on one connection. Whoever writes holds the row of the record's head, so that the
//! servers that share the database append one after the other and the chain never forks.

mod lone;

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use self::lone::{HeadRow, Shortcut};
use super::{BATCH, CHANGED, WriteTx, job::Job, perform};
use crate::storage::{
    StorageError,
    known::Changes,
    pace::Pace,
    record::{self, Entry, RecordHead},
    sql::{
        Conn, params,
        postgres::{PostgresOptions, Session},
    },
};

/// How many jobs may wait before callers are refused.
const QUEUE: usize = 4096;

pub(in crate::storage) struct PostgresWriter {
    queue: mpsc::Sender<Message>,
    commits: Arc<AtomicU64>,
}

/// The shortest wait that is worth it.
const TICK: Duration = Duration::from_millis(1);

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl PostgresWriter {
    /// Connects and starts the task. As long as its connection lives, `node` is known to the other servers as running.
    pub(in crate::storage) async fn start(
        options: PostgresOptions,
        node: Uuid,
        pace: Arc<Pace>,
        published: Arc<AtomicU64>,
        changes: Changes,
    ) -> Result<Self, StorageError> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let held = Held::open(&options, node, published.load(Ordering::Acquire)).await?;
        let task = Task { held: Some(held), options, node, pace, published, changes, commits: Arc::clone(&commits) };
        tokio::spawn(task.run(receiver));
        Ok(Self { queue, commits })
    }

    pub(super) fn submit(&self, job: Box<dyn Job>) -> Result<(), StorageError> {
        self.queue.try_send(Message::Job(job)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StorageError::Busy,
            mpsc::error::TrySendError::Closed(_) => StorageError::Closed,
        })
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

struct Task {
    /// Absent after a failure, until there is a new connection.
    held: Option<Held>,
    options: PostgresOptions,
    node: Uuid,
    pace: Arc<Pace>,
    published: Arc<AtomicU64>,
    changes: Changes,
    commits: Arc<AtomicU64>,
}

/// The result of `work`, or of its panic: a fault in one job must not end the writer. Its connection is dropped with it, and
/// so the transaction rolled back.
async fn caught<T>(work: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| Poll::Ready(Err(StorageError::Panicked)))
    })
    .await
}

/// One connection.
struct Held {
    session: Arc<Session>,
    /// On the same.
    tx: WriteTx,
    shortcut: Shortcut,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut close = None;
        while close.is_none() {
            let Some(first) = queue.recv().await else { break };
            // The runtime's clock counts in milliseconds: a shorter wait would be a longer one.
            if let Some(patience) = self.pace.patience().filter(|patience| *patience >= TICK) {
                sleep(patience).await;
            }
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Job(job) => batch.push(job),
                    Message::Close(done) => close = Some(done),
                }
                next = if batch.len() < BATCH { queue.try_recv().ok() } else { None };
            }
            if !batch.is_empty() {
                let failure = caught(self.batch(&mut batch)).await.err();
                if let Some(error) = &failure {
                    tracing::error!(%error, jobs = batch.len(), "storage: this batch was not confirmed");
                }
                for job in batch.drain(..) {
                    job.finish(failure.clone());
                }
            }
        }
        queue.close();
        drop(self.held.take());
        if let Some(done) = close {
            let _ = done.send(());
        }
    }

    async fn batch(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), StorageError> {
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
        // With company, one transaction for several of them is better than one for each.
        let alone = self.pace.patience().is_none();
        // Not put back on error: dropping the connection ends whatever is left of the transaction.
        if (alone && held.at_once(jobs).await?) || held.transaction(jobs).await? {
            self.published.fetch_max(held.tx.registry_version, Ordering::AcqRel);
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(found) = held.tx.found.take() {
            self.changes.heard(found);
        }
        self.held = Some(held);
        Ok(())
    }
}

const HEAD: &str = "SELECT sequence, hash, changes FROM record_head FOR UPDATE";
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
        Shortcut::prepare(&session).await?;
        let session = Arc::new(session);
        let tx = WriteTx::new(Conn::Postgres(Arc::clone(&session)), registry_version);
        Ok(Self { session, tx, shortcut: Shortcut::default() })
    }

    /// Whether the only job was done with one statement.
    async fn at_once(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
        let ([only], true) = (jobs, self.shortcut.is_possible()) else { return Ok(false) };
        let Some(lone) = only.lone() else { return Ok(false) };
        let done = self.shortcut.perform(&self.session, self.tx.era, lone).await?;
        if done {
            only.done_alone();
        }
        Ok(done)
    }

    /// Whether anything was committed.
    async fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
        let Self { session, tx, shortcut } = self;
        shortcut.guard(session).await?;
        // The jobs' first statement goes out together with these two, and is executed after them.
        let (row, any) = tokio::join!(biased; begin(session), perform(tx, jobs));
        let mut row = row.inspect_err(|_| jobs.iter_mut().for_each(|job| job.discard()))?;
        shortcut.saw(&row);
        let any = any?;
        if !any {
            session.script("ROLLBACK").await?;
            shortcut.left(row);
            return Ok(false);
        }
        let entries = record::chain(&mut row.head, std::mem::take(&mut tx.appended))?;
        row.changes += i64::from(tx.more_than_uses);
        // What is appended and COMMIT go out together; if one fails, so does what follows.
        let changed =
            async { if tx.more_than_uses { session.execute(CHANGED, params![]).await.map(drop) } else { Ok(()) } };
        let (appended, changed, committed) =
            tokio::join!(biased; append(session, &entries), changed, session.script("COMMIT"));
        appended.and(changed).and(committed).map_err(StorageError::into_commit)?;
        shortcut.left(row);
        Ok(true)
    }
}

/// Begins a transaction and takes the record's head, in one exchange.
async fn begin(session: &Session) -> Result<HeadRow, StorageError> {
    let begin = session.script("BEGIN READ WRITE");
    let (begun, head) = tokio::join!(biased; begin, session.optional::<(i64, Vec<u8>, i64)>(HEAD, params![]));
    begun?;
    let damaged = || StorageError::Damaged("the record's head".to_owned());
    let (sequence, hash, changes) = head?.ok_or_else(damaged)?;
    let head = RecordHead { sequence: sequence.cast_unsigned(), hash: hash.try_into().map_err(|_| damaged())? };
    Ok(HeadRow { head, changes })
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

/// What stands for a node among the database's advisory locks.
pub(super) const fn lock_number(node: Uuid) -> i64 {
    let (_, low) = node.as_u64_pair();
    low.cast_signed()
}
