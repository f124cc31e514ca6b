//! A receiver of webhooks that answers as it is told.

use std::{collections::VecDeque, net::SocketAddr, path::Path, sync::Arc};

use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sealcard_server::tls;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What it answers to one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status and a header.
    Status(u16, Option<(&'static str, String)>),
    /// Nothing, for ever.
    Never,
    /// It closes the connection.
    Close,
}

/// What it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or_else(|| panic!("no {name} in {self:?}"), |(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver that runs until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    /// The next answers; 200 when there are no more.
    answers: Mutex<VecDeque<Answer>>,
}

impl Receiver {
    /// With the certificate of the data folder, at a free port of 127.0.0.1.
    pub(crate) async fn start(data: &Path, answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start_at(data, SocketAddr::from(([127, 0, 0, 1], 0)), answers).await
    }

    pub(crate) async fn start_at(data: &Path, at: SocketAddr, answers: impl IntoIterator<Item = Answer>) -> Self {
        let (certificate, key) = tls::default_pair(data);
        let chain = CertificateDer::pem_file_iter(certificate).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { answers: Mutex::new(answers.into_iter().collect()), ..Shared::default() });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let mut connections = tokio::task::JoinSet::new();
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
        Self { address, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/hook", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: BufReader<S>, shared: &Shared) -> std::io::Result<()> {
    loop {
        let (mut headers, mut length, mut line) = (Vec::new(), 0, String::new());
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        assert!(line.starts_with("POST /hook HTTP/1.1"), "{line}");
        loop {
            line.clear();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            let name = name.to_ascii_lowercase();
            if name == "content-length" {
                length = value.parse().unwrap();
            }
            headers.push((name, value.to_owned()));
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        shared.requests.lock().push(Request { headers, body: String::from_utf8(body).unwrap() });
        let answer = shared.answers.lock().pop_front().unwrap_or(Answer::Status(200, None));
        match answer {
            Answer::Close => return Ok(()),
            Answer::Never => std::future::pending().await,
            Answer::Status(status, header) => {
                let header = header.map_or_else(String::new, |(name, value)| format!("{name}: {value}\r\n"));
                let answer = format!("HTTP/1.1 {status} Answer\r\n{header}content-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await?;
                stream.flush().await?;
            }
        }
    }
}
