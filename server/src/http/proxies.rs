//! The proxies that are believed when they say whose connection they pass on.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::proxy_header::{HeaderError, MAX_HEADER, Parsed, Source, parse};
use crate::{
    config::{Config, Network},
    limits,
};

/// The trusted proxies of a server.
#[derive(Debug)]
pub(super) struct Proxies {
    trusted: Vec<Network>,
    deadline: Duration,
    /// One for each connection whose header is still read: no client's limits count it yet.
    unread: Arc<Semaphore>,
    refused: Mutex<Refused>,
}

/// The connections that were refused since the log last had a warning.
#[derive(Debug, Default)]
struct Refused {
    count: u64,
    warned: Option<Instant>,
}

/// Why a proxy's connection is closed.
#[derive(Debug, Error)]
enum ProxyError {
    #[error("too many connections whose header has not come")]
    TooMany,
    #[error("the header did not come in time")]
    Late,
    #[error("the connection ended in the header")]
    Ended(#[source] io::Error),
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl Proxies {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            trusted: config.trusted_proxies.clone(),
            deadline: Duration::from_secs(config.limits.handshake_seconds),
            unread: Arc::new(Semaphore::new(config.limits.connections)),
            refused: Mutex::default(),
        }
    }

    /// Whether connections from there begin with a header.
    pub(super) fn trust(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// The other end of a connection from the trusted `proxy`, once its header has been read. None if there is none, or
    /// none that is accepted: then the connection is to be closed.
    pub(super) async fn peer(&self, stream: &mut (impl AsyncRead + Unpin), proxy: SocketAddr) -> Option<SocketAddr> {
        match self.source(stream).await {
            Ok(Source::Client(client)) => Some(client),
            Ok(Source::Proxy) => Some(proxy),
            // A check that only connects.
            Err(ProxyError::Ended(error)) => {
                tracing::debug!(%proxy, %error, "a proxy's connection ended in its header");
                None
            }
            Err(error) => {
                tracing::debug!(%proxy, %error, "refused a proxy's connection");
                if let Some(refused) = self.refused.lock().warning(Instant::now()) {
                    tracing::warn!(%proxy, %error, refused, "refused connections of trusted proxies; the last one");
                }
                None
            }
        }
    }

    async fn source(&self, stream: &mut (impl AsyncRead + Unpin)) -> Result<Source, ProxyError> {
        let _permit: OwnedSemaphorePermit =
            Arc::clone(&self.unread).try_acquire_owned().map_err(|_| ProxyError::TooMany)?;
        timeout(self.deadline, read(stream)).await.map_err(|_| ProxyError::Late)?
    }
}

/// Reads a header, and nothing of what follows it.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Source, ProxyError> {
    let mut buffer = [0; MAX_HEADER];
    let mut read = 0;
    loop {
        let needed = match parse(buffer.get(..read).unwrap_or_default())? {
            Parsed::Header(source, _) => return Ok(source),
            Parsed::Partial(needed) => needed,
        };
        // The first wrong byte ends it; the rest is not waited for.
        let next = buffer.get_mut(read..needed).ok_or(HeaderError::TooLong)?;
        match stream.read(next).await.map_err(ProxyError::Ended)? {
            0 => return Err(ProxyError::Ended(io::ErrorKind::UnexpectedEof.into())),
            some => read += some,
        }
    }
}

impl Refused {
    /// Counts one more. How many there were, if it is time for another warning.
    fn warning(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        let is_due =
            self.warned.is_none_or(|warned| now.saturating_duration_since(warned) >= limits::PROXY_WARNING_PERIOD);
        is_due.then(|| {
            self.warned = Some(now);
            std::mem::take(&mut self.count)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn proxies(trusted: &[&str]) -> Proxies {
        let trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Proxies::new(&Config { trusted_proxies, ..Config::default() })
    }

    #[test]
    fn only_listed_addresses_are_trusted() {
        let proxies = proxies(&["192.0.2.0/30", "2001:db8::7"]);
        for (address, trusted) in [
            ("192.0.2.3", true),
            ("192.0.2.4", false),
            ("::ffff:192.0.2.1", true),
            ("2001:db8::7", true),
            ("2001:db8::8", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(proxies.trust(address.parse().unwrap()), trusted, "{address}");
        }
    }

    #[test]
    fn refused_connections_are_counted_and_warned_of_once_a_period() {
        let (mut refused, now) = (Refused::default(), Instant::now());
        assert_eq!(refused.warning(now), Some(1));
        assert!((0..1000).all(|_| refused.warning(now).is_none()));
        assert_eq!(refused.warning(now + limits::PROXY_WARNING_PERIOD), Some(1001));
    }

    #[tokio::test]
    async fn header_is_read_in_any_pieces_and_what_follows_is_left() {
        let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
        for piece in [1, 7, header.len()] {
            let (mut client, mut server) = tokio::io::duplex(piece);
            let write = async {
                client.write_all(header).await.unwrap();
                client.write_all(b"hello").await.unwrap();
                drop(client);
            };
            let read = async {
                let source = read(&mut server).await.unwrap();
                let mut rest = String::new();
                server.read_to_string(&mut rest).await.unwrap();
                (source, rest)
            };
            let ((), (source, rest)) = tokio::join!(write, read);
            assert_eq!((source, rest.as_str()), (Source::Client("192.0.2.1:1".parse().unwrap()), "hello"));
        }
    }

    #[tokio::test]
    async fn header_that_does_not_come_is_waited_for_until_the_deadline() {
        let proxies = Proxies { deadline: Duration::from_millis(20), ..proxies(&["192.0.2.1"]) };
        let (mut client, mut server) = tokio::io::duplex(64);
        client.write_all(b"PROXY TCP4").await.unwrap();
        assert!(proxies.peer(&mut server, "192.0.2.1:1".parse().unwrap()).await.is_none());
        assert_eq!(proxies.unread.available_permits(), Config::default().limits.connections);
    }
}
