//! A TLS server that answers as a test tells it, one request at a time, and remembers what it was asked.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unreachable_pub)]

pub mod person;
pub mod proxy;
pub mod sockets;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sealcard_api::{
    Timestamp,
    grants::{GrantInfo, GrantIssued, LoginMethod, SecretText},
    ids::{GrantId, PrincipalId},
    problem::{Problem, ProblemCode},
    roles::PrincipalKind,
};
use sealcard_bridge::{
    config::{CertificateFingerprint, Config, GrantStore, Paths, Trust, files},
    grant::{self, Grant},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// A certificate authority and what it issued for `localhost`.
pub struct Identity {
    pub ca_pem: String,
    pub certificate: CertificateDer<'static>,
    pub key: KeyPair,
    ca: Arc<CertifiedIssuer<'static, KeyPair>>,
    shows_authority: bool,
}

impl Identity {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self::issued_by(Arc::new(ca), name, false)
    }

    fn issued_by(ca: Arc<CertifiedIssuer<'static, KeyPair>>, name: &str, shows_authority: bool) -> Self {
        Self::valid(ca, name, shows_authority, (-365, 365))
    }

    /// Valid from one day to another, counted from today.
    fn valid(
        ca: Arc<CertifiedIssuer<'static, KeyPair>>,
        name: &str,
        shows_authority: bool,
        (from, to): (i64, i64),
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now + time::Duration::days(from);
        params.not_after = now + time::Duration::days(to) + time::Duration::minutes(1);
        let certificate = params.signed_by(&key, &ca).unwrap();
        Self { ca_pem: ca.pem(), certificate: certificate.der().clone(), key, ca, shows_authority }
    }

    /// The same, showing the authority's certificate beside its own.
    pub fn with_authority(self) -> Self {
        Self { shows_authority: true, ..self }
    }

    /// The same, with a certificate that is valid from one day to another, counted from today.
    pub fn valid_between(self, name: &str, from: i64, to: i64) -> Self {
        Self::valid(self.ca, name, self.shows_authority, (from, to))
    }

    /// Another certificate of the same authority.
    pub fn renewed(&self, name: &str) -> Self {
        Self::issued_by(self.ca.clone(), name, self.shows_authority)
    }

    pub fn authority(&self) -> CertificateFingerprint {
        CertificateFingerprint::of(self.ca.der())
    }

    pub fn fingerprint(&self) -> CertificateFingerprint {
        CertificateFingerprint::of(&self.certificate)
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        let authority = self.shows_authority.then(|| self.ca.der().clone());
        std::iter::once(self.certificate.clone()).chain(authority).collect()
    }

    /// A configuration that shows this certificate and signs with `key`, which need not belong to it.
    pub fn config(&self, key: &KeyPair) -> ServerConfig {
        #[derive(Debug)]
        struct Always(Arc<CertifiedKey>);
        impl ResolvesServerCert for Always {
            fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
                Some(self.0.clone())
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let signing = provider.key_provider.load_private_key(der).unwrap();
        let certified = CertifiedKey::new(self.chain(), signing);
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(Arc::new(certified))))
    }
}

/// What the server was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// What it does then.
pub enum Reply {
    Json(u16, String),
    /// Answers and closes the connection without having said so.
    JsonThenClose(u16, String),
    /// Closes the connection instead of answering.
    Close,
}

impl Reply {
    pub fn ok<T: serde::Serialize>(value: &T) -> Self {
        Self::Json(200, serde_json::to_string(value).unwrap())
    }

    pub fn problem(code: ProblemCode) -> Self {
        Self::Json(code.status(), serde_json::to_string(&Problem::new(code)).unwrap())
    }
}

pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    clock_ahead: Arc<AtomicI64>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(
        config: ServerConfig,
        behaviour: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_on(0, config, behaviour).await
    }

    /// On a port that another server had.
    pub async fn start_on(
        port: u16,
        config: ServerConfig,
        behaviour: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, behaviour, acceptor) = (asked.clone(), Arc::new(behaviour), TlsAcceptor::from(Arc::new(config)));
        let clock_ahead = Arc::new(AtomicI64::new(0));
        let ahead = clock_ahead.clone();
        let task = tokio::spawn(async move {
            // Connections end with the server.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, behaviour, acceptor) = (seen.clone(), behaviour.clone(), acceptor.clone());
                let ahead = ahead.clone();
                connections.spawn(async move {
                    // A client that refuses the certificate ends the handshake.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let mut stream = BufReader::new(stream);
                    while let Some(request) = read(&mut stream).await {
                        let number = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(request.clone());
                            seen.len()
                        };
                        let (status, body, close) = match behaviour(number, &request) {
                            Reply::Json(status, body) => (status, body, false),
                            Reply::JsonThenClose(status, body) => (status, body, true),
                            Reply::Close => return,
                        };
                        let head = format!(
                            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nsealcard-registry-version: 7\r\ndate: {}\r\n\r\n",
                            body.len(),
                            date(ahead.load(Ordering::Relaxed))
                        );
                        stream.write_all((head + &body).as_bytes()).await.unwrap();
                        stream.flush().await.unwrap();
                        if close {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, asked, clock_ahead, task }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Server {
    /// Sets its clock ahead of this machine's, in seconds.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.clock_ahead.store(seconds, Ordering::Relaxed);
    }
}

/// As the header has it.
fn date(ahead: i64) -> String {
    let now = time::OffsetDateTime::now_utc() + time::Duration::seconds(ahead);
    let text = now.format(&time::format_description::well_known::Rfc2822).unwrap();
    text.replace("+0000", "GMT")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: &mut BufReader<tokio_rustls::server::TlsStream<tokio::net::TcpStream>>) -> Option<Asked> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok().filter(|size| *size > 0)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked { method, path, headers, body: String::from_utf8(body).unwrap() })
}

/// A workstation's folders with a configuration and a grant.
pub struct Workstation {
    pub folder: tempfile::TempDir,
    pub paths: Paths,
}

impl Workstation {
    pub fn new(server: &str, trust: Trust) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("config"), folder.path().join("state")).unwrap();
        Config { server: server.to_owned(), user: None, grant_store: GrantStore::File, notify_waiting: true, trust }
            .save(&paths)
            .unwrap();
        Self { folder, paths }
    }

    pub fn with_ca(self, pem: &str) -> Self {
        files::write_private(&self.paths.ca_file(), pem.as_bytes()).unwrap();
        self
    }

    pub fn with_grant(self, server: &str, token: &str) -> Self {
        self.store(server, issued(token, 0, 3600));
        self
    }

    pub fn store(&self, server: &str, issued: GrantIssued) {
        let grant = Grant::new(server.to_owned(), issued).unwrap();
        grant::save(&self.paths, GrantStore::File, &grant).unwrap();
    }

    /// A stored grant with less than half of its time left.
    pub fn store_due(&self, server: &str, token: &str) {
        let now = Timestamp::now().unix();
        let stored = serde_json::json!({
            "server": server,
            "token": token,
            "obtained": Timestamp::from_unix(now - 3000),
            "grant": issued(token, -3000, 600).grant,
        });
        files::write_private(&self.paths.grant_file(), stored.to_string().as_bytes()).unwrap();
    }

    pub fn stored(&self) -> Grant {
        grant::load(&self.paths, GrantStore::File).unwrap().unwrap()
    }
}

/// A grant whose times are these seconds from now; renewable for a day.
pub fn issued(token: &str, created: i64, expires: i64) -> GrantIssued {
    let now = Timestamp::now().unix();
    GrantIssued {
        token: SecretText(token.to_owned()),
        grant: GrantInfo {
            id: GrantId::new(),
            principal: PrincipalId::new(),
            principal_name: "jane".to_owned(),
            roles: Vec::new(),
            label: "test".to_owned(),
            created: Timestamp::from_unix(now + created),
            expires: Timestamp::from_unix(now + expires),
            refreshable_until: Timestamp::from_unix(now + 86_400),
            revoked: None,
            kind: PrincipalKind::User,
            last_used: None,
            last_address: None,
            login_method: LoginMethod::Password,
            login_address: None,
        },
    }
}
