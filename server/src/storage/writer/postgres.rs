//! The writer of PostgreSQL: one task on one connection. Whoever writes holds the row of the record's head, so that the
//! servers that share the database append one after the other and the chain never forks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use uuid::Uuid;

use super::{BATCH, WriteTx, job::Job, perform};
use crate::storage::{
    StorageError,
    pace::Pace,
    record::RecordHead,
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
    ) -> Result<Self, StorageError> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let tx = open(&options, node, published.load(Ordering::Acquire)).await?;
        let task = Task { tx: Some(tx), options, node, pace, published, commits: Arc::clone(&commits) };
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
    tx: Option<WriteTx>,
    options: PostgresOptions,
    node: Uuid,
    pace: Arc<Pace>,
    published: Arc<AtomicU64>,
    commits: Arc<AtomicU64>,
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
                let failure = self.batch(&mut batch).await.err();
                if let Some(error) = &failure {
                    tracing::error!(%error, jobs = batch.len(), "storage: this batch was not confirmed");
                }
                for job in batch.drain(..) {
                    job.finish(failure.clone());
                }
            }
        }
        queue.close();
        drop(self.tx.take());
        if let Some(done) = close {
            let _ = done.send(());
        }
    }

    async fn batch(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), StorageError> {
        let usable = self.tx.take().filter(|tx| matches!(&tx.conn, Conn::Postgres(session) if !session.is_closed()));
        let mut tx = match usable {
            Some(tx) => tx,
            None => open(&self.options, self.node, self.published.load(Ordering::Acquire)).await?,
        };
        // Not put back on error: dropping the connection ends whatever is left of the transaction.
        if transaction(&mut tx, jobs).await? {
            self.published.fetch_max(tx.registry_version, Ordering::AcqRel);
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        self.tx = Some(tx);
        Ok(())
    }
}

async fn open(options: &PostgresOptions, node: Uuid, registry_version: u64) -> Result<WriteTx, StorageError> {
    let session = options.connect().await?;
    // Held until the connection ends, however it ends.
    session.execute("SELECT pg_advisory_lock($1)", params![lock_number(node)]).await?;
    Ok(WriteTx { conn: Conn::Postgres(session), head: RecordHead::default(), registry_version })
}

/// Whether anything was committed.
async fn transaction(tx: &mut WriteTx, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
    let Conn::Postgres(session) = &tx.conn else { return Err(StorageError::Closed) };
    tx.head = begin(session).await?;
    let before = tx.head.clone();
    let any = perform(tx, jobs).await?;
    let Conn::Postgres(session) = &tx.conn else { return Err(StorageError::Closed) };
    if any {
        commit(session, (tx.head != before).then_some(&tx.head)).await?;
    } else {
        session.script("ROLLBACK").await?;
    }
    Ok(any)
}

/// Begins a transaction and takes the record's head, in one exchange.
async fn begin(session: &Session) -> Result<RecordHead, StorageError> {
    const HEAD: &str = "SELECT sequence, hash FROM record_head FOR UPDATE";
    let (begun, head) = tokio::join!(session.script("BEGIN"), session.optional::<(i64, Vec<u8>)>(HEAD, params![]),);
    begun?;
    let damaged = || StorageError::Damaged("the record's head".to_owned());
    let (sequence, hash) = head?.ok_or_else(damaged)?;
    Ok(RecordHead { sequence: sequence.cast_unsigned(), hash: hash.try_into().map_err(|_| damaged())? })
}

/// Notes the record's new head and commits, in one exchange. If the first fails, so does the second.
async fn commit(session: &Session, head: Option<&RecordHead>) -> Result<(), StorageError> {
    const HEAD: &str = "UPDATE record_head SET sequence = $1, hash = $2";
    let Some(head) = head else { return session.script("COMMIT").await.map_err(StorageError::into_commit) };
    let sequence = head.sequence.cast_signed();
    let hash = head.hash.as_slice();
    let params = params![sequence, hash];
    // Were it prepared only now, COMMIT would overtake it.
    session.prepare(HEAD).await.map_err(StorageError::into_commit)?;
    let (noted, committed) = tokio::join!(session.execute(HEAD, params), session.script("COMMIT"));
    if noted.map_err(StorageError::into_commit)? != 1 {
        return Err(StorageError::Damaged("the record has no head".to_owned()));
    }
    committed.map_err(StorageError::into_commit)
}

/// What stands for a node among the database's advisory locks.
pub(super) const fn lock_number(node: Uuid) -> i64 {
    let (_, low) = node.as_u64_pair();
    low.cast_signed()
}
