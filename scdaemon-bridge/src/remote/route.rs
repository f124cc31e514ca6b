//! The way to a server: directly or through a proxy. What goes by is noted in the trace.

use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{RemoteError, ServerUrl, UnreachableKind, client::CONNECT_TIMEOUT};
use crate::{
    config::{ConfigError, Paths, Proxy, ProxyChoice},
    trace::Trace,
};

/// The longest head of a proxy's answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// How a server is reached from this workstation.
#[derive(Debug, Clone)]
pub struct Route {
    pub(super) server: ServerUrl,
    pub(super) proxy: Option<Proxy>,
    pub(super) trace: Trace,
}

impl Route {
    /// The way that the configuration names. Nothing is sent.
    ///
    /// # Errors
    ///
    /// When `proxy.toml` can't be read.
    pub fn to(server: ServerUrl, paths: &Paths) -> Result<Self, ConfigError> {
        let proxy = ProxyChoice::load(paths)?.and_then(|choice| choice.towards(server.host(), server.port()));
        Ok(Self { server, proxy, trace: Trace::of(paths) })
    }

    /// The server.
    #[must_use]
    pub const fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The proxy on the way, if there is one.
    #[must_use]
    pub const fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The server as messages name it, with the proxy.
    pub(super) fn name(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("{} through the proxy {proxy}", self.server),
            None => self.server.to_string(),
        }
    }

    /// A connection to the server's port, on which nothing was said yet. Takes 5 seconds at most for each step.
    pub(super) async fn connect(&self) -> Result<TcpStream, RemoteError> {
        let (host, port) = match &self.proxy {
            Some(proxy) => (proxy.host().trim_matches(['[', ']']), proxy.port()),
            None => (self.server.host(), self.server.port()),
        };
        let addresses: Vec<_> = tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| self.unreachable(UnreachableKind::Name, error))?
            .collect();
        let mut stream = within(self, TcpStream::connect(addresses.as_slice()))
            .await?
            .map_err(|error| self.unreachable(UnreachableKind::of_io(error.kind()), error))?;
        if let Some(proxy) = &self.proxy {
            within(self, tunnel(&mut stream, &self.server, proxy.authorization()))
                .await?
                .map_err(|error| self.unreachable(UnreachableKind::Proxy, error))?;
        }
        Ok(stream)
    }

    pub(super) fn unreachable(&self, kind: UnreachableKind, detail: impl ToString) -> RemoteError {
        RemoteError::Unreachable { server: self.name(), kind, detail: detail.to_string() }
    }
}

async fn within<T>(route: &Route, step: impl Future<Output = T>) -> Result<T, RemoteError> {
    const STEP: Duration = CONNECT_TIMEOUT;
    timeout(STEP, step).await.map_err(|_| route.unreachable(UnreachableKind::Timeout, "no answer"))
}

/// Asks the proxy for the way (RFC 9110 section 9.3.6).
async fn tunnel(stream: &mut TcpStream, server: &ServerUrl, authorization: Option<HeaderValue>) -> Result<(), String> {
    let name = server.authority();
    let mut request = zeroize::Zeroizing::new(format!("CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n").into_bytes());
    if let Some(authorization) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(|error| error.to_string())?;
    let mut head = Vec::new();
    // Byte by byte: what comes behind the head belongs to the server.
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.map_err(|_| "it closed the connection".to_owned())?;
        head.push(byte);
        if head.len() > MAX_HEAD {
            return Err("its answer is too long".to_owned());
        }
    }
    accepted(&head)
}

/// Whether the head of an answer opens the way.
pub(super) fn accepted(head: &[u8]) -> Result<(), String> {
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let mut words = line.splitn(3, ' ');
    let version = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let status = words.next().and_then(|word| word.parse::<u16>().ok()).filter(|_| version);
    match status {
        Some(200..=299) => Ok(()),
        Some(407) => Err("it wants another user name and password (407)".to_owned()),
        Some(status) => Err(format!("it answers with status {status}")),
        None => Err("it does not speak HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_success_opens_the_way() {
        assert_eq!(accepted(b"HTTP/1.1 200 Connection established\r\n\r\n"), Ok(()));
        assert_eq!(accepted(b"HTTP/1.0 204\r\n\r\n"), Ok(()));
        for (head, says) in [
            (&b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], "password"),
            (b"HTTP/1.1 503 x\r\n\r\n", "503"),
            (b"SSH-2.0-OpenSSH_9 200\r\n\r\n", "HTTP"),
            (b"", "HTTP"),
        ] {
            assert!(accepted(head).is_err_and(|error| error.contains(says)));
        }
    }

    proptest! {
        #[test]
        fn any_head_is_judged(head: Vec<u8>) {
            let _ = accepted(&head);
        }
    }
}
