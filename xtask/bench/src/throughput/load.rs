//! Many clients that sign over HTTPS as fast as the server lets them. The client does as little as can be (one
//! connection and one request at a time for each, its text made once), because it runs on the same processors.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use uuid::Uuid;

use crate::processes::processor_time;

/// What is counted only once the first connections are warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// Where to sign, and as whom.
pub(super) struct Target {
    connector: TlsConnector,
    address: String,
    token: String,
}

/// What came of it.
pub(super) struct Measured {
    /// Signatures in a second.
    pub(super) rate: f64,
    /// Microseconds of processor time that the clients took for each signature.
    pub(super) client: f64,
    /// Those of the server.
    pub(super) server: f64,
    /// Those of its signers, keepers and workers together.
    pub(super) signers: f64,
}

/// Whose processor time is counted beside this process's.
pub(super) struct Processes {
    pub(super) server: u32,
    pub(super) signers: Vec<u32>,
}

impl Target {
    /// Logs in.
    pub(super) fn login(url: &str, ca: &Path, user: &str, password: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).context("the server's authority")?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = url.strip_prefix("https://").context("no https address")?.to_owned();
        let mut target = Self { connector: TlsConnector::from(Arc::new(config)), address, token: String::new() };
        let body = json!({"type": "password", "user": user, "password": password, "label": "bench"}).to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(async {
            let mut stream = target.connect().await?;
            let mut buffer = Vec::new();
            exchange(&mut stream, target.request("/v1/login", None, &body).as_bytes(), &mut buffer).await
        })?;
        let answer: Value = serde_json::from_slice(&answer)?;
        target.token = answer.get("token").and_then(Value::as_str).context("no token in the answer")?.to_owned();
        Ok(target)
    }

    /// Signs with `key` from `clients` connections for the time.
    pub(super) fn run(&self, key: &str, clients: usize, time: Duration, processes: &Processes) -> Result<Measured> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let done = Arc::new(AtomicU64::new(0));
            let mut streams = Vec::with_capacity(clients);
            for _ in 0..clients {
                streams.push(self.connect().await?);
            }
            let end = Instant::now() + WARM_UP + time;
            let mut tasks = tokio::task::JoinSet::new();
            for (number, mut stream) in streams.into_iter().enumerate() {
                let done = Arc::clone(&done);
                let (path, body) = sign(key, number);
                let head = self.request(&path, Some(Uuid::nil()), &body);
                tasks.spawn(async move {
                    let mut buffer = Vec::with_capacity(4096);
                    while Instant::now() < end {
                        let text = head.replacen(&Uuid::nil().to_string(), &Uuid::now_v7().to_string(), 1);
                        exchange(&mut stream, text.as_bytes(), &mut buffer).await?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                });
            }
            tokio::time::sleep(WARM_UP).await;
            let (before, spent, started) = (done.load(Ordering::Relaxed), processes.spent()?, Instant::now());
            tokio::time::sleep(time).await;
            let (after, [client, server, signers], took) =
                (done.load(Ordering::Relaxed), processes.spent()?, started.elapsed().as_secs_f64());
            while let Some(task) = tasks.join_next().await {
                task??;
            }
            #[allow(clippy::cast_precision_loss)] // counts of some seconds
            let signatures = (after - before) as f64;
            ensure!(signatures > 0.0, "nothing was signed in {took:.1} seconds");
            let each = |after: f64, before: f64| (after - before) * 1e6 / signatures;
            let [client_before, server_before, signers_before] = spent;
            Ok(Measured {
                rate: signatures / took,
                client: each(client, client_before),
                server: each(server, server_before),
                signers: each(signers, signers_before),
            })
        })
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        Ok(self.connector.connect(ServerName::try_from(host.to_owned())?, stream).await?)
    }

    fn request(&self, path: &str, idempotency: Option<Uuid>, body: &str) -> String {
        let idempotency = idempotency.map_or_else(String::new, |key| format!("idempotency-key: {key}\r\n"));
        let token =
            if self.token.is_empty() { String::new() } else { format!("authorization: Bearer {}\r\n", self.token) };
        format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{idempotency}{token}content-length: \
             {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
    }
}

/// Path and body of a request. The digest is that of nothing that matters: 32 bytes in base64.
fn sign(key: &str, number: usize) -> (String, String) {
    let digest = format!("{number:0>42}A=");
    (format!("/v1/keys/{key}/sign"), json!({"hash": "sha256", "digest": digest}).to_string())
}

/// Sends a request and gives the answer's body.
async fn exchange(stream: &mut TlsStream<TcpStream>, request: &[u8], buffer: &mut Vec<u8>) -> Result<Vec<u8>> {
    stream.write_all(request).await?;
    stream.flush().await?;
    buffer.clear();
    loop {
        ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(buffer.get(..head).unwrap_or_default())?.to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("an answer without a length")?.trim().parse()?;
        let body = head + 4..head + 4 + length;
        while buffer.len() < body.end {
            ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
        }
        let body = buffer.get(body).unwrap_or_default().to_vec();
        if !text.starts_with("http/1.1 200") && !text.starts_with("http/1.1 201") {
            bail!("{}", String::from_utf8_lossy(&body));
        }
        return Ok(body);
    }
}

impl Processes {
    /// Seconds of processor time so far: of this process, the server and the signers.
    fn spent(&self) -> Result<[f64; 3]> {
        let signers = self.signers.iter().map(|pid| processor_time(*pid)).sum::<Result<f64>>()?;
        Ok([processor_time(std::process::id())?, processor_time(self.server)?, signers])
    }
}
