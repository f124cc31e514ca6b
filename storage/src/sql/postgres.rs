//! PostgreSQL through tokio-postgres: statements stay prepared, and those that need no answer of one another are sent
//! together.

use std::{
    collections::HashMap,
    future::Future,
    net::IpAddr,
    path::PathBuf,
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{runtime::Handle, sync::Mutex as AsyncMutex};
use tokio_postgres::{
    Client, Config, Statement,
    binary_copy::BinaryCopyInWriter,
    config::{Host, SslMode},
    types::{ToSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use super::{FromRow, Param, Row};
use crate::{StorageError, schema::Schema};

/// How many connections read. Several requests share one: their statements queue in it.
const READERS: usize = 4;

/// How long to wait for a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What every session is set to: promises hold whatever the cluster's defaults are, and a node that hangs does not hold
/// the record for long. No statement has a better plan for some values than for others, and to plan or to compile one
/// takes longer than to execute it.
const SESSION: &str = "SET synchronous_commit = on;
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = '20s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '10s';
    SET plan_cache_mode = force_generic_plan;
    SET jit = off;
    SET client_min_messages = warning";

/// Where the database is and how it is reached.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://USER@HOST:PORT/DATABASE?…`, or `postgres:///DATABASE?host=/folder/of/the/socket`. Without password.
    pub url: String,
    /// The password, if the server wants one.
    pub password: Option<SecretString>,
    /// The id of this server's machine, which stays the same over its restarts.
    pub host: Uuid,
    /// Certificates (PEM) that the server's must go back to; the system's if absent.
    pub ca_file: Option<PathBuf>,
    /// Whether a server on another machine may be reached without encryption.
    pub allow_cleartext: bool,
}

impl PostgresOptions {
    fn config(&self) -> Result<Config, StorageError> {
        let mut config = Config::from_str(&self.url).map_err(|_| {
            StorageError::Options("the database's url must look like postgres://USER@HOST/DATABASE".to_owned())
        })?;
        if config.get_password().is_some() {
            let message = "the database's url holds a password: put it into a file and name that in password-file";
            return Err(StorageError::Options(message.to_owned()));
        }
        if !self.allow_cleartext && !is_encrypted_or_local(&config) {
            let message = "the database is on another machine and its url does not say sslmode=require: add that, or, \
                           if the network itself is encrypted, set allow-cleartext = true in section [database]";
            return Err(StorageError::Options(message.to_owned()));
        }
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        // Who looks at PostgreSQL's sessions sees which release each of them is.
        let schema = Schema::of_this_release().newest();
        let name = format!("sealcard-server {} (schema {schema})", env!("CARGO_PKG_VERSION"));
        config.application_name(&name).connect_timeout(CONNECT_TIMEOUT).keepalives_idle(CONNECT_TIMEOUT);
        Ok(config)
    }

    fn tls(&self) -> Result<MakeRustlsConnect, StorageError> {
        let invalid = |error: String| StorageError::Options(format!("the database's certificates: {error}"));
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(path) => {
                use rustls::pki_types::pem::PemObject as _;
                let certificates = CertificateDer::pem_file_iter(path).map_err(|e| invalid(e.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|e| invalid(e.to_string()))?;
                    roots.add(certificate).map_err(|e| invalid(e.to_string()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| invalid(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }

    /// Connects, and makes sure that what is committed is on the disk.
    pub(crate) async fn connect(&self) -> Result<Session, StorageError> {
        let (client, connection) = self.config()?.connect(self.tls()?).await?;
        tokio::spawn(async move {
            // Whoever asks next is told that the connection has ended.
            if let Err(error) = connection.await {
                let error = crate::DatabaseError::from(error);
                tracing::warn!(%error, "storage: a connection to the database broke");
            }
        });
        client.batch_execute(SESSION).await?;
        let row = client.query_one("SELECT current_setting('fsync'), current_setting('server_encoding')", &[]).await?;
        let (fsync, encoding): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        if fsync != "on" {
            return Err(StorageError::Options(
                "the database runs with fsync=off and may lose what it has confirmed: set fsync=on".to_owned(),
            ));
        }
        if encoding != "UTF8" {
            return Err(StorageError::Options(format!("the database's encoding is {encoding}: make one with UTF8")));
        }
        Ok(Session { client, statements: Mutex::default(), asked: AtomicU64::new(0), answered: AtomicU64::new(0) })
    }
}

/// Whether nobody on a network can read along: by default PostgreSQL's clients go on without TLS if the server, or who
/// is in between, says that it has none.
fn is_encrypted_or_local(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    };
    config.get_ssl_mode() == SslMode::Require
        || (config.get_hosts().iter().all(local) && config.get_hostaddrs().iter().all(IpAddr::is_loopback))
}

/// One connection with its prepared statements. Several tasks may use it at once.
pub(crate) struct Session {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// The number of the newest question.
    asked: AtomicU64,
    /// The number of the newest one that is answered. So are all before it, those included whose callers have gone.
    answered: AtomicU64,
}

impl Session {
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, StorageError> {
        let known = self.statements.lock().get(sql).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let new = self.client.prepare(sql).await?;
        self.statements.lock().insert(sql, new.clone());
        Ok(new)
    }

    /// Prepares a statement, unless it is.
    pub(crate) async fn prepare(&self, sql: &'static str) -> Result<(), StorageError> {
        self.statement(sql).await.map(drop)
    }

    pub(crate) async fn execute(&self, sql: &'static str, params: &[&dyn Param]) -> Result<u64, StorageError> {
        self.execute_with(sql, &upcast(params)).await
    }

    /// As [`Session::execute`], with parameters of types that only PostgreSQL has.
    pub(crate) async fn execute_with(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StorageError> {
        let statement = self.statement(sql).await?;
        Ok(self.client.execute(&statement, params).await?)
    }

    pub(crate) async fn all<T: FromRow>(
        &self,
        sql: &'static str,
        params: &[&dyn Param],
    ) -> Result<Vec<T>, StorageError> {
        self.rows(sql, params).await?.iter().map(|row| T::from_row(&Row::Postgres(row))).collect()
    }

    pub(crate) async fn optional<T: FromRow>(
        &self,
        sql: &'static str,
        params: &[&dyn Param],
    ) -> Result<Option<T>, StorageError> {
        self.rows(sql, params).await?.first().map(|row| T::from_row(&Row::Postgres(row))).transpose()
    }

    async fn rows(&self, sql: &'static str, params: &[&dyn Param]) -> Result<Vec<tokio_postgres::Row>, StorageError> {
        let statement = self.statement(sql).await?;
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let rows = self.client.query(&statement, &upcast(params)).await;
        self.answered.fetch_max(number, Ordering::Relaxed);
        Ok(rows?)
    }

    /// Whether nothing is known to be under way. A question whose caller has gone counts until a later one is answered.
    fn is_idle(&self) -> bool {
        self.answered.load(Ordering::Relaxed) == self.asked.load(Ordering::Relaxed) && !self.is_closed()
    }

    /// A statement that is put together, without parameters. It is not kept prepared.
    pub(crate) async fn dynamic(&self, sql: &str) -> Result<Vec<tokio_postgres::Row>, StorageError> {
        Ok(self.client.query(sql, &[]).await?)
    }

    /// Begins a `COPY … FROM STDIN BINARY` of rows with columns of these types.
    pub(crate) async fn copy_in(&self, sql: &str, types: &[Type]) -> Result<BinaryCopyInWriter, StorageError> {
        Ok(BinaryCopyInWriter::new(self.client.copy_in(sql).await?, types))
    }

    /// Several statements without parameters and answers.
    pub(crate) async fn script(&self, sql: &str) -> Result<(), StorageError> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

fn upcast<'a>(params: &[&'a dyn Param]) -> Vec<&'a (dyn ToSql + Sync)> {
    params.iter().map(|param| *param as &(dyn ToSql + Sync)).collect()
}

/// A session for a thread that waits for each answer.
pub(crate) struct Blocking {
    session: Session,
    runtime: Handle,
    /// Goes out with the next statement.
    deferred: Option<&'static str>,
}

impl Blocking {
    /// Connects. The thread must not be one that runs tasks of `runtime`.
    pub(crate) fn connect(options: &PostgresOptions, runtime: Handle) -> Result<Self, StorageError> {
        let session = runtime.block_on(options.connect())?;
        Ok(Self { session, runtime, deferred: None })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// Waits for what `work` asks of the session. Statements that it sends at once need one exchange.
    pub(crate) fn run<'s, T, F>(&'s mut self, work: impl FnOnce(&'s Session) -> F) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let Self { session, runtime, deferred } = self;
        let work = work(session);
        match deferred.take() {
            None => runtime.block_on(work),
            Some(script) => runtime.block_on(async {
                let (before, done) = tokio::join!(biased; session.script(script), work);
                before.and(done)
            }),
        }
    }

    /// Sends `script` together with the next statement.
    pub(crate) fn defer(&mut self, script: &'static str) -> Result<(), StorageError> {
        if self.deferred.is_some() {
            self.run(async |_| Ok(()))?;
        }
        self.deferred = Some(script);
        Ok(())
    }
}

/// A few connections for reading, opened when they are first needed and again after they broke.
pub(crate) struct Readers {
    options: PostgresOptions,
    all: [AsyncMutex<Option<Arc<Session>>>; READERS],
    next: AtomicUsize,
}

impl Readers {
    pub(crate) fn new(options: PostgresOptions) -> Self {
        Self { options, all: Default::default(), next: AtomicUsize::new(0) }
    }

    /// The first that nobody uses, since its process has its caches warm; else the next in turn.
    pub(super) async fn one(&self) -> Result<Arc<Session>, StorageError> {
        let idle = self.all.iter().find_map(|slot| {
            let slot = slot.try_lock().ok()?;
            slot.as_ref().filter(|session| session.is_idle()).cloned()
        });
        if let Some(idle) = idle {
            return Ok(idle);
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % READERS;
        let Some(slot) = self.all.get(turn) else { return Err(StorageError::Closed) };
        let mut slot = slot.lock().await;
        if let Some(session) = slot.as_ref().filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.options.connect().await?);
        *slot = Some(Arc::clone(&session));
        Ok(session)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealcard_test_cluster::Cluster;
    use tokio::time::timeout;

    use super::{super::params, *};

    #[test]
    fn another_machine_is_reached_with_tls_only() {
        let allowed = |url: &str, allow_cleartext| {
            let url = url.to_owned();
            PostgresOptions { url, password: None, host: Uuid::nil(), ca_file: None, allow_cleartext }.config().is_ok()
        };
        for url in [
            "postgres://a@db.example/x?sslmode=require",
            "postgres://a@localhost/x",
            "postgres://a@127.0.0.1/x?sslmode=disable",
            "postgres:///x?user=a&host=/run/postgresql",
        ] {
            assert!(allowed(url, false), "{url}");
        }
        for url in [
            "postgres://a@db.example/x",
            "postgres://a@db.example/x?sslmode=prefer",
            "postgres://a@192.0.2.1/x?sslmode=disable",
            "postgres://a@localhost,db.example/x",
            "postgres://a@localhost/x?hostaddr=192.0.2.1",
        ] {
            assert!(!allowed(url, false) && allowed(url, true), "{url}");
        }
    }

    #[tokio::test]
    async fn a_connection_whose_caller_went_away_is_idle_again_after_the_next_answer() {
        let cluster = Cluster::start().unwrap();
        let options = PostgresOptions {
            url: cluster.url(),
            password: None,
            host: Uuid::nil(),
            ca_file: None,
            allow_cleartext: false,
        };
        let session = options.connect().await.unwrap();
        assert!(session.is_idle());
        let slow = "SELECT 1::BIGINT FROM pg_sleep(0.2)";
        session.prepare(slow).await.unwrap();
        let gone = session.all::<(i64,)>(slow, params![]);
        assert!(timeout(Duration::from_millis(20), gone).await.is_err());
        assert!(!session.is_idle());
        session.all::<(i64,)>("SELECT 1::BIGINT", params![]).await.unwrap();
        assert!(session.is_idle());
    }
}
