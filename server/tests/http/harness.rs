//! Starting a server and asking it.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use reqwest::{Certificate, Client, Method, StatusCode};
use sealcard_api::{
    grants::{GrantIssued, LoginRequest, SecretText},
    ids::PrincipalId,
    problem::{Problem, ProblemCode},
};
use sealcard_policy::{PrincipalKind, SystemRoles};
use sealcard_server::{
    authn::NameKey,
    config::{Config, Limits},
    http::{AppState, Server},
    notices::Channels,
    signers::{Origin, Signers},
    sinks::{Sinks, Targets},
    storage::{Database, PostgresOptions, PrincipalRow, RecordFilter, StorageError, Store},
    tls::{self, CA_FILE, ServerTls},
};
use sealcard_test_cluster::Cluster;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::contract;

pub(crate) const ADMIN: &str = "admin";
pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) store: Store,
    pub(crate) state: AppState,
    pub(crate) tls: Arc<ServerTls>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<bool>,
    client: Client,
    cluster: Option<Cluster>,
}

/// SQLite, or PostgreSQL where `SEALCARD_TEST_DATABASE` says so.
fn database(data: &Path) -> (Database, Option<Cluster>) {
    match std::env::var("SEALCARD_TEST_DATABASE").as_deref() {
        Ok("postgres") => {
            let cluster = Cluster::start().unwrap();
            let options = PostgresOptions {
                url: cluster.url(),
                password: None,
                host: uuid::Uuid::nil(),
                ca_file: None,
                allow_cleartext: false,
            };
            (Database::Postgres(options), Some(cluster))
        }
        Ok("sqlite") | Err(_) => (Database::Sqlite(data.join("sealcard.db")), None),
        Ok(other) => panic!("SEALCARD_TEST_DATABASE is sqlite or postgres, not {other}"),
    }
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with other limits. Its only user is the administrator.
    pub(crate) async fn with(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with_config(|config| change(&mut config.limits)).await
    }

    /// A server that is configured in another way.
    pub(crate) async fn with_config(change: impl FnOnce(&mut Config)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let tls = make_tls(data);
        let (database, cluster) = database(data);
        let store = Store::create(&database).await.unwrap();
        add_admin(&store).await;
        let mut config = Config::default();
        change(&mut config);
        let signers = Signers::start(Origin::Apart, data, &[], &store, []);
        let channels = Channels::load(data, &config.notices).unwrap();
        let targets = Targets::load(data, &config).unwrap();
        let sinks = Sinks::new(store.clone(), targets);
        let names = NameKey::of(data).unwrap();
        let state = AppState::new(store.clone(), signers, Arc::new(config), names, channels, sinks, None);
        tokio::spawn(state.requests.approvals.wake.clone().run());
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(listen, Arc::clone(&tls), state.clone()).await.unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let client = client(data);
        Self { folder, address, store, state, tls, stop: Some(stop), task, client, cluster }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// Asks without a grant.
    pub(crate) async fn ask(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = self.client.request(method.clone(), self.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = Answer::of(request.send().await.unwrap()).await;
        let content_type = answer.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
        contract::check(&method, path, answer.status, content_type, &answer.body);
        answer
    }

    /// Changes the database behind the server's back.
    pub(crate) fn sql(&self, statement: &str) {
        match &self.cluster {
            Some(cluster) => drop(cluster.sql(statement).unwrap()),
            None => {
                let conn = rusqlite::Connection::open(self.folder.path().join("sealcard.db")).unwrap();
                conn.execute_batch(statement).unwrap();
            }
        }
    }

    /// All that is in the database's files.
    pub(crate) fn database_files(&self) -> Vec<u8> {
        let mut content = Vec::new();
        let folder = self.cluster.as_ref().map_or_else(|| self.folder.path().to_owned(), Cluster::data);
        if let Some(cluster) = &self.cluster {
            cluster.sql("CHECKPOINT").unwrap();
        }
        read_below(&folder, &mut content);
        content
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn try_login(&self, user: &str, password: &str) -> Answer {
        let request = LoginRequest::Password {
            user: user.to_owned(),
            password: SecretText(password.to_owned()),
            new_password: None,
            label: "test".to_owned(),
        };
        self.ask(Method::POST, "/v1/login", None, Some(serde_json::to_value(request).unwrap())).await
    }

    pub(crate) async fn login(&self, user: &str, password: &str) -> Session<'_> {
        let issued: GrantIssued = self.try_login(user, password).await.json(StatusCode::OK);
        Session { server: self, token: issued.token.0.clone(), issued }
    }

    pub(crate) async fn admin(&self) -> Session<'_> {
        self.login(ADMIN, PASSWORD).await
    }

    /// Every entry in the record.
    pub(crate) async fn record(&self) -> Vec<Value> {
        let filter = RecordFilter { limit: 500, ..RecordFilter::default() };
        let rows = self.store.record(filter).await.unwrap();
        rows.iter().map(|row| serde_json::from_str::<Value>(&row.body).unwrap()).collect()
    }

    /// Stops the server; whether all requests came to their end.
    pub(crate) async fn stop(mut self) -> bool {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(DEADLINE, &mut self.task).await.expect("the server stops").unwrap()
    }
}

pub(crate) struct Session<'a> {
    pub(crate) server: &'a Running,
    pub(crate) token: String,
    pub(crate) issued: GrantIssued,
}

impl Session<'_> {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.server.ask(Method::GET, path, Some(&self.token), None).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Serialize) -> Answer {
        let body = serde_json::to_value(body).unwrap();
        self.server.ask(method, path, Some(&self.token), Some(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Serialize) -> Answer {
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn bare(&self, method: Method, path: &str) -> Answer {
        self.server.ask(method, path, Some(&self.token), None).await
    }

    pub(crate) async fn add_user(&self, name: &str) {
        let body = serde_json::json!({"name": name, "password": PASSWORD});
        let _: Value = self.post("/v1/users", body).await.json(StatusCode::CREATED);
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self, status: StatusCode) -> T {
        assert_eq!(self.status, status, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn done(&self) {
        assert_eq!(self.status, StatusCode::NO_CONTENT, "{}", self.text());
    }

    /// The problem, which is well formed and of this code.
    #[track_caller]
    pub(crate) fn problem(&self, code: ProblemCode) -> Problem {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text());
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.code, code, "{}", self.text());
        assert_eq!((problem.status, self.status.as_u16()), (code.status(), code.status()));
        assert_eq!(problem.request_id.unwrap().to_string(), self.headers["x-request-id"].to_str().unwrap());
        problem
    }
}

pub(crate) fn make_tls(data: &Path) -> Arc<ServerTls> {
    std::fs::create_dir(data.join("tls")).unwrap();
    tls::make_authority(data).unwrap();
    let (certificate, key) = tls::default_pair(data);
    tls::issue_server(data, &["localhost".to_owned(), "127.0.0.1".to_owned()], &certificate, &key).unwrap();
    Arc::new(ServerTls::load(certificate, key).unwrap())
}

pub(crate) fn client(data: &Path) -> Client {
    let ca = Certificate::from_pem(&std::fs::read(data.join(CA_FILE)).unwrap()).unwrap();
    Client::builder().tls_certs_only([ca]).timeout(DEADLINE).build().unwrap()
}

async fn add_admin(store: &Store) {
    let row = PrincipalRow {
        id: PrincipalId::new(),
        kind: PrincipalKind::User,
        name: ADMIN.to_owned(),
        system_roles: SystemRoles::ADMINISTRATOR,
        disabled: false,
        created: sealcard_api::Timestamp::now().unix(),
        one_time_until: None,
        owner: None,
        email: None,
    };
    let password = sealcard_server::authn::hash_password_now(PASSWORD).unwrap();
    let added: Result<(), StorageError> = store.write(move |tx| tx.add_principal(&row, Some(&password))).await;
    added.unwrap();
}

fn read_below(folder: &Path, content: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            read_below(&entry.path(), content);
        } else {
            // The database may remove one meanwhile.
            content.extend(std::fs::read(entry.path()).unwrap_or_default());
        }
    }
}
