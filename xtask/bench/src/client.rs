//! A client that does as little as can be, because it runs on the same processors as the server.

use std::{net::IpAddr, path::Path, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use uuid::Uuid;

/// Where to ask, and as whom.
#[derive(Clone)]
pub(crate) struct Client {
    connector: TlsConnector,
    address: String,
    token: String,
    /// The address that connections come from, if it matters.
    source: Option<IpAddr>,
}

impl Client {
    /// Somebody without a login.
    pub(crate) fn anonymous(url: &str, ca: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).context("the server's authority")?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = url.strip_prefix("https://").context("no https address")?.to_owned();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), address, token: String::new(), source: None })
    }

    /// Logs in.
    pub(crate) fn login(url: &str, ca: &Path, user: &str, password: &str) -> Result<Self> {
        let mut client = Self::anonymous(url, ca)?;
        let body = json!({"type": "password", "user": user, "password": password, "label": "bench"}).to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(async {
            let mut stream = client.connect().await?;
            let mut buffer = Vec::new();
            exchange(&mut stream, client.request("/v1/login", None, &body).as_bytes(), &mut buffer).await
        })?;
        let answer: Value = serde_json::from_slice(&answer)?;
        client.token = answer.get("token").and_then(Value::as_str).context("no token in the answer")?.to_owned();
        Ok(client)
    }

    /// The token of its grant.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The same from another address of this machine.
    pub(crate) fn from(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(source) = self.source {
            socket.bind((source, 0).into())?;
        }
        let stream = socket.connect(self.address.parse()?).await?;
        stream.set_nodelay(true)?;
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        Ok(self.connector.connect(ServerName::try_from(host.to_owned())?, stream).await?)
    }

    pub(crate) fn request(&self, path: &str, idempotency: Option<Uuid>, body: &str) -> String {
        format!("{}{body}", self.head(path, idempotency, body.len()))
    }

    /// The head of a request with a body of so many bytes.
    pub(crate) fn head(&self, path: &str, idempotency: Option<Uuid>, length: usize) -> String {
        let idempotency = idempotency.map_or_else(String::new, |key| format!("idempotency-key: {key}\r\n"));
        format!(
            "{}content-type: application/json\r\n{idempotency}content-length: {length}\r\n\r\n",
            self.begin("POST", path),
        )
    }

    /// A request without a body.
    pub(crate) fn bare(&self, method: &str, path: &str) -> String {
        format!("{}\r\n", self.begin(method, path))
    }

    fn begin(&self, method: &str, path: &str) -> String {
        let token =
            if self.token.is_empty() { String::new() } else { format!("authorization: Bearer {}\r\n", self.token) };
        format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{token}", self.address)
    }
}

/// Path and body of a request. The digest is that of nothing that matters: 32 bytes in base64.
pub(crate) fn sign(key: &str, number: usize) -> (String, String) {
    let digest = format!("{number:0>42}A=");
    (format!("/v1/keys/{key}/sign"), json!({"hash": "sha256", "digest": digest}).to_string())
}

/// Sends a request, which must be answered with success, and gives the answer's body.
pub(crate) async fn exchange(
    stream: &mut TlsStream<TcpStream>,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<Vec<u8>> {
    let (status, body) = ask(stream, request, buffer).await?;
    if status != 200 && status != 201 {
        bail!("{}", String::from_utf8_lossy(&body));
    }
    Ok(body)
}

/// Sends a request and gives the answer's status and body.
pub(crate) async fn ask(
    stream: &mut TlsStream<TcpStream>,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(u16, Vec<u8>)> {
    stream.write_all(request).await?;
    stream.flush().await?;
    answer(stream, buffer).await
}

/// Reads an answer: its status and body.
pub(crate) async fn answer(stream: &mut TlsStream<TcpStream>, buffer: &mut Vec<u8>) -> Result<(u16, Vec<u8>)> {
    buffer.clear();
    loop {
        ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(buffer.get(..head).unwrap_or_default())?.to_ascii_lowercase();
        let status: u16 = text.get(9..12).context("an answer without a status")?.parse()?;
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = match length {
            Some(length) => length.trim().parse()?,
            None if status == 204 => 0,
            None => bail!("an answer without a length"),
        };
        let body = head + 4..head + 4 + length;
        while buffer.len() < body.end {
            ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
        }
        return Ok((status, buffer.get(body).unwrap_or_default().to_vec()));
    }
}
