//! The accept loop: TCP, TLS, HTTP/1.1.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::{
    AppState,
    connections::{Connections, Place},
    io::{PhaseLimits, Timed},
    layers,
    proxies::Proxies,
    router,
};
use crate::{config::Limits, limits, tls::ServerTls};

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    tls: Arc<ServerTls>,
    router: Router,
    limits: Limits,
    proxies: Arc<Proxies>,
}

/// Buffers of one connection grow up to this.
const BUFFER: usize = 16 * 1024;

/// How long to wait before accepting again when the system has run out of descriptors.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(100);

impl Server {
    /// Listens on `address`.
    ///
    /// # Errors
    /// If the address is taken or not this machine's.
    pub async fn bind(address: SocketAddr, tls: Arc<ServerTls>, state: AppState) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let limits = state.config.limits;
        let proxies = Arc::new(Proxies::new(&state.config));
        let router = layers::around(router(state.clone()).0, &state);
        Ok(Self { listener, tls, router, limits, proxies })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is done, then lets running requests end within their time. Whether all did.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let graceful = GracefulShutdown::new();
        let connections = Connections::new(&self.limits);
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.accept() => accepted,
            };
            let (mut stream, peer) = accepted;
            let serving = Serving {
                tls: TlsAcceptor::from(self.tls.current()),
                router: self.router.clone(),
                limits: self.limits,
            };
            let watcher = graceful.watcher();
            if self.proxies.trust(peer.ip()) {
                // The limits are those of the client, which only the proxy knows.
                let (proxies, connections) = (Arc::clone(&self.proxies), Arc::clone(&connections));
                tokio::spawn(async move {
                    let Some(peer) = proxies.peer(&mut stream, peer).await else { return };
                    let Some(place) = admit(&connections, peer) else { return };
                    serving.run_until_evicted(stream, peer, place, watcher).await;
                });
            } else if let Some(place) = admit(&connections, peer) {
                tokio::spawn(serving.run_until_evicted(stream, peer, place, watcher));
            }
        }
        // From here on new connections are refused, not left waiting.
        drop(self.listener);
        timeout(Duration::from_secs(self.limits.shutdown_seconds), graceful.shutdown()).await.is_ok()
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                // An IPv4 client of a socket that takes both kinds has an address of IPv6 (RFC 4291 section 2.5.5.2).
                Ok((stream, peer)) => return (stream, SocketAddr::new(peer.ip().to_canonical(), peer.port())),
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(OUT_OF_RESOURCES).await;
                }
            }
        }
    }
}

fn admit(connections: &Arc<Connections>, peer: SocketAddr) -> Option<Place> {
    let place = connections.admit(peer.ip());
    if place.is_none() {
        tracing::debug!(%peer, "too many connections");
    }
    place
}

/// What serves one connection.
struct Serving {
    tls: TlsAcceptor,
    router: Router,
    limits: Limits,
}

impl Serving {
    async fn run_until_evicted(self, stream: TcpStream, peer: SocketAddr, place: Place, watcher: Watcher) {
        let evicted = Arc::clone(place.connection());
        tokio::select! {
            () = self.run(stream, peer, place, watcher) => {}
            () = evicted.closed() => tracing::debug!(%peer, "closed an idle connection to make room"),
        }
    }

    async fn run(self, stream: TcpStream, peer: SocketAddr, place: Place, watcher: Watcher) {
        // Answers are small: without this they could wait for the other side's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "set TCP_NODELAY");
        }
        let handshake = timeout(Duration::from_secs(self.limits.handshake_seconds), self.tls.accept(stream)).await;
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake"),
            Err(_elapsed) => return tracing::debug!(%peer, "TLS handshake took too long"),
        };
        let limits = PhaseLimits {
            idle: Duration::from_secs(self.limits.idle_seconds),
            head: Duration::from_secs(self.limits.head_seconds),
            // Beyond the request's own timeout, so that its answer can still leave.
            request: self.limits.request_timeout().max(limits::KEY_WORK_TIMEOUT)
                + Duration::from_secs(self.limits.head_seconds),
        };
        let stream = TokioIo::new(Timed::new(stream, Arc::clone(place.connection()), limits));
        let router = self.router;
        let answer = service_fn(move |request: Request<Incoming>| {
            place.connection().begin_request();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(place.clone());
            let (mut router, place) = (router.clone(), place.clone());
            async move {
                let response = router.call(request).await;
                place.connection().end_request();
                response
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(BUFFER)
            .max_headers(64)
            .serve_connection(stream, answer);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%peer, %error, "connection");
        }
    }
}
