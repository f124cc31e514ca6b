//! Durable state: SQL lives here and nowhere else, in methods named after what they keep.
//!
//! Two databases: SQLite, a file of one server's own, and PostgreSQL, which several servers share. SQLite in WAL mode
//! with `synchronous=FULL`: what [`Store::write`] has answered survives a power cut. Everything is written by one
//! writer (`writer`), which commits all waiting jobs together, so that throughput does not pay one fsync for each;
//! reads have connections of their own and never wait for the writer.

mod approvals;
mod attempts;
mod cache;
mod clock;
mod copy;
mod environments;
mod error;
mod evidence;
mod facts;
mod gate;
mod identity;
mod keys;
mod master_keys;
mod notices;
mod prune;
mod quotas;
mod record;
mod requests;
mod rules;
mod schema;
mod sinks;
mod sql;
mod tables;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
mod transfer;
mod writer;

use std::{
    collections::{HashMap, HashSet},
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use parking_lot::Mutex;
use sealcard_api::{
    Timestamp,
    admin::EnvironmentKind,
    ids::{EnvironmentId, KeyId},
};
use sealcard_signer_protocol::MasterKeyId;
use tokio::{runtime::Handle, task::spawn_blocking};
use uuid::Uuid;

pub use self::sql::postgres::PostgresOptions;
use self::{
    cache::Cache,
    clock::Clock,
    schema::{Node, Schema},
    sql::{
        Conn, Reader, params,
        postgres::{self, Blocking},
        sqlite,
    },
    writer::{PostgresWriter, SqliteWriter, Writer},
};
pub use approvals::{
    ApprovalBody, ApprovalChange, ApprovalQuery, ApprovalRow, ApprovedUse, DecisionRow, FlowOf, NewDecision,
    OverdueRequest, PrincipalNameRow, StageOf, TooManyWaiting, WaitLimits,
};
pub use attempts::{Attempt, Leftover};
pub use clock::{ClockDoubt, ClockFault};
pub use copy::SqliteCopy;
pub use environments::{EnvironmentRow, PinClaim, PinOutcome};
pub use error::{DatabaseError, StorageError};
pub use facts::{Facts, FactsQuery, Target, Version};
pub use gate::{Gate, Instead, Stopped};
#[allow(unused_imports)]
pub use identity::*;
pub use keys::{ComponentRow, KeyEnd, KeyFilter, KeyRow, MAX_CANDIDATES, NewComponentRow, NewKeyRow};
pub use master_keys::MasterKeyState;
pub use notices::{
    Attempted, ChannelRow, Message, NewDelivery, NewNotice, NoticeCounts, NoticeFilter, NoticeRow, Outcome,
};
pub use quotas::QuotaUse;
pub use record::{CheckpointRow, LogKeyRow, RecordFilter, RecordRow, WitnessFailure, WitnessRow};
pub use requests::{Arrival, NewRequest, OpenRequests, RequestRow, Snapshot, UnfinishedRequest, Verdict};
pub use rules::{
    Authorship, CurrentRules, Mention, MentionKind, NewRuleVersion, NewTemplateVersion, RuleOwner, RuleScope,
    RuleTexts, RuleVersionRow, RuleVersions, RulesNaming, RulesState, TemplateText, TemplateVersionRow,
};
pub use schema::{Cause, NodeStatus, Postponed, RoleStatus, SchemaStatus, StepStatus};
pub use sinks::{ParkedRow, SinkFailure, SinkProgress, SinkRow};
pub use tables::{FOLDED_TABLES, Folded, TableRow, Tables, public_key_sha256};
pub use transfer::{TransferProgress, Transferred};
pub use writer::{WriteTx, WriterLoad};

/// Which database.
#[derive(Clone)]
pub enum Database {
    /// A file of this server's own.
    Sqlite(PathBuf),
    /// One that several servers share.
    Postgres(PostgresOptions),
}

impl Database {
    fn host(&self) -> Option<Uuid> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(options) => Some(options.host),
        }
    }
}

/// The database of one server. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    reader: Arc<Reader>,
    writer: Writer,
    cache: Cache,
    last_head: record::LastHead,
    /// Whether no other process writes to the database.
    writes_alone: bool,
    /// Keys whose rows are damaged, as far as the log names them.
    damaged: Arc<Mutex<HashSet<KeyId>>>,
    registry_version: Arc<AtomicU64>,
    server_id: Uuid,
    node: Uuid,
    host: Option<Uuid>,
    clock: Arc<Clock>,
    gateway: gate::Gateway,
    database: Arc<Database>,
    /// Those that this server's signers have, as others are told.
    master_keys: Arc<Mutex<HashMap<EnvironmentId, Vec<MasterKeyId>>>>,
    _lock: Option<Arc<Flock<File>>>,
}

impl Store {
    /// Makes a database with one environment named `default` and a new server's id. An SQLite file must not exist; a
    /// PostgreSQL database must exist and hold no server yet.
    ///
    /// # Errors
    /// If it can't be made; [`StorageError::Taken`] if the database holds a server.
    pub async fn create(database: &Database) -> Result<Self, StorageError> {
        Self::waiting(database, |database, runtime| {
            create(database, &runtime)?;
            Self::open_at(database, runtime)
        })
        .await
    }

    /// Opens a database, brings its schema up to date and starts the writer. Other servers that share the database know
    /// of this one until [`Self::close`].
    ///
    /// # Errors
    /// If another process has the file open, if its schema does not work with this release, if a server runs that can't
    /// work with the schema that this release needs, or if it can't be read.
    pub async fn open(database: &Database) -> Result<Self, StorageError> {
        Self::waiting(database, Self::open_at).await
    }

    /// Runs `work` in a thread that may wait.
    async fn waiting(
        database: &Database,
        work: impl FnOnce(&Database, Handle) -> Result<Self, StorageError> + Send + 'static,
    ) -> Result<Self, StorageError> {
        let (database, runtime) = (database.clone(), Handle::current());
        spawn_blocking(move || work(&database, runtime)).await.map_err(|_| StorageError::Panicked)?
    }

    fn open_at(database: &Database, runtime: Handle) -> Result<Self, StorageError> {
        let lock = match database {
            Database::Sqlite(path) => {
                let lock = lock(path)?;
                sqlite::prepare_log(path)?;
                Some(Arc::new(lock))
            }
            Database::Postgres(_) => None,
        };
        let mut conn = connect(database, &runtime)?;
        let node = Uuid::now_v7();
        let announced = database.host().map(|host| Node { id: node, host });
        if let Some(postponed) = Schema::of_this_release().apply(&mut conn, announced.as_ref())? {
            tracing::warn!("storage: {postponed}");
        }
        let (server_id, registry_version) = read_server(&mut conn)?;
        let clock = Arc::new(Clock::read(&mut conn, Timestamp::now())?);
        let registry_version = Arc::new(AtomicU64::new(registry_version));
        let published = Arc::clone(&registry_version);
        let cache = Cache::default();
        let last_head = record::LastHead::default();
        let (writer, jobs) = Writer::new();
        let reader = match database {
            Database::Sqlite(path) => {
                let (cache, head, clock) = (cache.clone(), last_head.clone(), Arc::clone(&clock));
                SqliteWriter::start(path.clone(), jobs, published, cache, head, clock)?;
                Reader::Sqlite(sqlite::Readers::open(path)?)
            }
            Database::Postgres(options) => {
                record::check_log(&mut conn)?;
                let (cache, head, clock) = (cache.clone(), last_head.clone(), Arc::clone(&clock));
                PostgresWriter::start(options.clone(), runtime, node, jobs, published, (cache, head), clock)?;
                Reader::Postgres(postgres::Readers::new(options.clone()))
            }
        };
        Ok(Self {
            reader: Arc::new(reader),
            writer,
            cache,
            last_head,
            writes_alone: matches!(database, Database::Sqlite(_)),
            damaged: Arc::default(),
            registry_version,
            server_id,
            node,
            host: database.host(),
            clock,
            gateway: gate::Gateway::default(),
            database: Arc::new(database.clone()),
            master_keys: Arc::default(),
            _lock: lock,
        })
    }

    /// Runs `job` in the writer and answers once its changes are durable. An error of the job undoes the job alone.
    ///
    /// The job runs in the writer's thread and should do nothing but SQL: others wait.
    ///
    /// # Errors
    /// The job's own, or a [`StorageError`] when nothing was committed.
    pub async fn write<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: FnOnce(&mut WriteTx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        if !self.gateway.is_set() {
            return self.writer.run(job).await;
        }
        let (gateway, slot) = (self.gateway.clone(), gate::Slot::default());
        let left = Arc::clone(&slot);
        let done = self.writer.run(move |tx| {
            let first = tx.appended.len();
            let value = job(tx)?;
            gateway.judge(tx, first, &left)?;
            Ok(value)
        });
        let done = done.await;
        let instead = slot.lock().take();
        if let Some(instead) = instead {
            self.writer.run::<_, StorageError, _>(instead).await?;
        }
        done
    }

    /// Lets every later job pass this gate. Only the first one counts.
    pub fn set_gate(&self, gate: Arc<dyn Gate>) {
        self.gateway.set(gate);
    }

    /// The connections that read. They see what has been committed.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The number that grows with every change of what clients may see.
    #[must_use]
    pub fn registry_version(&self) -> u64 {
        self.registry_version.load(Ordering::Acquire)
    }

    /// The id made at `init`.
    #[must_use]
    pub fn server_id(&self) -> Uuid {
        self.server_id
    }

    /// The id of this run of the server, by which others that share the database know what it works on.
    #[must_use]
    pub fn node(&self) -> Uuid {
        self.node
    }

    /// Whether the server that ran as `node` has ended. One file has one server, which is this one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn node_has_ended(&self, node: Uuid) -> Result<bool, StorageError> {
        match &*self.reader {
            Reader::Sqlite(_) => Ok(true),
            Reader::Postgres(_) => {
                let number = params![writer::lock_number(node)];
                let had: Option<(bool,)> = self.reader.optional(writer::NODE_HAS_ENDED, number).await?;
                Ok(had == Some((true,)))
            }
        }
    }

    /// The machine, if several share the database: whose journals tell of the uses.
    #[must_use]
    pub fn host(&self) -> Option<Uuid> {
        self.host
    }

    /// Takes note of a registry version that was read from the database; another server may have raised it.
    fn saw_registry_version(&self, version: u64) {
        self.registry_version.fetch_max(version, Ordering::AcqRel);
    }

    /// What the writer has done so far, and what waits for it.
    #[must_use]
    pub fn writer_load(&self) -> WriterLoad {
        self.writer.load()
    }

    /// Whether the database can be read and the writer lives: for readiness.
    ///
    /// # Errors
    /// If not.
    pub async fn check(&self) -> Result<(), StorageError> {
        self.reader.optional::<(i64,)>("SELECT registry_version FROM server", params![]).await?;
        if self.writer.is_closed() { Err(StorageError::Closed) } else { Ok(()) }
    }

    /// Ends the writer after the jobs that wait. Other servers are told that this one has ended.
    pub async fn close(&self) {
        if let Some(node) = self.announced() {
            let forgotten: Result<(), StorageError> =
                self.write(move |tx| schema::forget(tx.conn_for_uses(), &node)).await;
            if let Err(error) = forgotten {
                tracing::warn!(%error, "storage: other servers will know only later that this one has ended");
            }
        }
        self.writer.close().await;
    }

    /// How this server is known to others.
    fn announced(&self) -> Option<Node> {
        self.host.map(|host| Node { id: self.node, host })
    }

    /// Tells the servers that share the database that this one runs, and applies steps of the schema that were
    /// postponed, if it can. To be called more often than once in a minute.
    ///
    /// # Errors
    /// [`StorageError::NewerSchema`] if this server must end: the schema does not work with it any more. Others pass.
    pub async fn stay_announced(&self) -> Result<(), StorageError> {
        let Some(node) = self.announced() else { return Ok(()) };
        let schema = Schema::of_this_release();
        let announced = node.clone();
        let newest: Result<i64, StorageError> =
            self.write(move |tx| schema::refresh(tx.conn_for_uses(), &announced, schema)).await;
        if newest? >= schema.newest() {
            return Ok(());
        }
        let (database, runtime) = (Arc::clone(&self.database), Handle::current());
        let apply = move || schema.apply(&mut connect(&database, &runtime)?, Some(&node)).map(drop);
        spawn_blocking(apply).await.map_err(|_| StorageError::Panicked)?
    }

    /// How the schema of a database is, and which servers share it. Changes nothing; a server may run.
    ///
    /// # Errors
    /// If it can't be read, or holds no server.
    pub async fn schema_status(database: &Database) -> Result<SchemaStatus, StorageError> {
        let (database, runtime) = (database.clone(), Handle::current());
        let read = move || {
            let mut conn = match &database {
                Database::Sqlite(path) => Conn::Sqlite(sqlite::open_for_reading(path)?),
                Database::Postgres(_) => connect(&database, &runtime)?,
            };
            Schema::of_this_release().status(&mut conn)
        };
        spawn_blocking(read).await.map_err(|_| StorageError::Panicked)?
    }

    /// Makes the tables of a PostgreSQL database, or brings them up to date, as the role of `owner`, and gives `role`
    /// what servers need: they can add entries to the record, and change or remove none. The first step that waits for
    /// something, if one does.
    ///
    /// # Errors
    /// If there is no such role or it could change the record, if the tables belong to another one than `owner`'s, or
    /// if a server runs that can't work with a step that this release needs.
    pub async fn prepare(owner: &PostgresOptions, role: &str) -> Result<Option<Postponed>, StorageError> {
        let (database, role, runtime) = (Database::Postgres(owner.clone()), role.to_owned(), Handle::current());
        let prepare = move || Schema::of_this_release().prepare(&mut connect(&database, &runtime)?, &role);
        spawn_blocking(prepare).await.map_err(|_| StorageError::Panicked)?
    }
}

/// Makes the schema and the server's row.
fn create(database: &Database, runtime: &Handle) -> Result<(), StorageError> {
    if let Database::Sqlite(path) = database {
        // Created first, so that the database, its WAL and its index are all readable by the owner alone.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| StorageError::file(path, &error))?;
    }
    let mut conn = connect(database, runtime)?;
    Schema::of_this_release().apply(&mut conn, None)?;
    let now = Timestamp::now();
    conn.script("BEGIN")?;
    conn.execute(
        "INSERT INTO server (one, server_id, registry_version, created) VALUES (1, $1, 1, $2)",
        params![Uuid::now_v7(), now.unix()],
    )
    .map_err(|error| error.taken("a Sealcard server already exists in this database"))?;
    environments::insert(&mut conn, EnvironmentId::new(), "default", EnvironmentKind::Sealed, now)?;
    conn.script("COMMIT")
}

fn connect(database: &Database, runtime: &Handle) -> Result<Conn, StorageError> {
    Ok(match database {
        Database::Sqlite(path) => Conn::Sqlite(sqlite::open(path)?),
        Database::Postgres(options) => Conn::Postgres(Blocking::connect(options, runtime.clone())?),
    })
}

/// The log's right edge is kept in memory: a second server on the same file would fork them.
fn lock(path: &Path) -> Result<Flock<File>, StorageError> {
    let lock_path = path.with_extension("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|error| StorageError::file(&lock_path, &error))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => StorageError::InUse(lock_path.parent().unwrap_or(path).to_owned()),
        errno => StorageError::file(&lock_path, &errno.into()),
    })
}

fn read_server(conn: &mut Conn) -> Result<(Uuid, u64), StorageError> {
    let row: Option<(Uuid, i64)> = conn.optional("SELECT server_id, registry_version FROM server", params![])?;
    let (server_id, version) = row.ok_or_else(|| StorageError::Damaged("the table server is empty".to_owned()))?;
    Ok((server_id, version.cast_unsigned()))
}
