//! An issuer that answers over HTTPS as it is told.

use std::{collections::BTreeMap, io, net::SocketAddr, path::Path, sync::Arc};

use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sealcard_oidc::Issuer;
use sealcard_server::issuers::Issuers;
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status, a header and a body.
    Full(u16, String, String),
    /// Nothing, for ever.
    Never,
}

impl Answer {
    pub(crate) fn ok(body: String) -> Self {
        Self::Full(200, "content-type: application/json".to_owned(), body)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Full(status, "x-test: 1".to_owned(), String::new())
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::Full(302, format!("location: {to}"), String::new())
    }
}

/// Public keys of Ed25519 with these names.
pub(crate) fn key_set(names: &[&str]) -> String {
    let point = BASE64URL_NOPAD.encode(&[7; 32]);
    let key = |name: &&str| serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": name, "x": point});
    serde_json::json!({ "keys": names.iter().map(key).collect::<Vec<_>>() }).to_string()
}

/// An issuer that runs until it is dropped.
pub(crate) struct TestIssuer {
    address: SocketAddr,
    certificate: NamedTempFile,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, Answer>>,
    requests: Mutex<Vec<String>>,
}

impl TestIssuer {
    /// At a free port of 127.0.0.1, with the key `old`.
    pub(crate) async fn start() -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                    connections.spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            let _ = serve(BufReader::new(stream), &shared).await;
                        }
                    });
                }
            }
        });
        let certificate = NamedTempFile::new().unwrap();
        std::fs::write(certificate.path(), cert.pem()).unwrap();
        let started = Self { address, certificate, shared, task };
        started.set("/.well-known/openid-configuration", started.configuration());
        started.set("/keys", Answer::ok(key_set(&["old"])));
        started
    }

    pub(crate) fn issuer(&self) -> Issuer {
        Issuer::parse(&format!("https://{}", self.address)).unwrap()
    }

    /// A server's view of it, with nothing fetched yet.
    pub(crate) fn issuers(&self) -> Issuers {
        Issuers::new(Some(self.certificate()), true).unwrap()
    }

    pub(crate) fn certificate(&self) -> &Path {
        self.certificate.path()
    }

    /// What the issuer says about itself when it is well.
    pub(crate) fn configuration(&self) -> Answer {
        let name = self.issuer();
        Answer::ok(serde_json::json!({"issuer": name.as_str(), "jwks_uri": format!("{name}/keys")}).to_string())
    }

    pub(crate) fn set(&self, path: &str, answer: Answer) {
        self.shared.answers.lock().insert(path.to_owned(), answer);
    }

    /// The paths that were asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().clone()
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: BufReader<S>, shared: &Shared) -> io::Result<()> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await?;
        }
        let answer = shared.answers.lock().get(&path).cloned().unwrap_or_else(|| Answer::status(404));
        shared.requests.lock().push(path);
        match answer {
            Answer::Never => std::future::pending().await,
            Answer::Full(status, header, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} Answer\r\n{header}\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(body.as_bytes()).await?;
                stream.flush().await?;
            }
        }
    }
}
