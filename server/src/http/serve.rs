//! The accept loop: TCP, TLS, HTTP/1.1.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
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
    layers, router,
};
use crate::{config::Limits, limits, tls::ServerTls};

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    tls: Arc<ServerTls>,
    router: Router,
    limits: Limits,
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
        let router = layers::around(router(state.clone()).0, &state);
        Ok(Self { listener, tls, router, limits })
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
            let (stream, peer) = accepted;
            let Some(place) = connections.admit(peer.ip()) else {
                tracing::debug!(%peer, "too many connections");
                continue;
            };
            let connection = Serving {
                tls: TlsAcceptor::from(self.tls.current()),
                router: self.router.clone(),
                limits: self.limits,
                peer,
                place,
            };
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let evicted = Arc::clone(connection.place.connection());
                tokio::select! {
                    () = connection.run(stream, watcher) => {}
                    () = evicted.closed() => tracing::debug!(%peer, "closed an idle connection to make room"),
                }
            });
        }
        // From here on new connections are refused, not left waiting.
        drop(self.listener);
        timeout(Duration::from_secs(self.limits.shutdown_seconds), graceful.shutdown()).await.is_ok()
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(OUT_OF_RESOURCES).await;
                }
            }
        }
    }
}

/// One connection that is being served.
struct Serving {
    tls: TlsAcceptor,
    router: Router,
    limits: Limits,
    peer: SocketAddr,
    place: Place,
}

impl Serving {
    async fn run(self, stream: TcpStream, watcher: hyper_util::server::graceful::Watcher) {
        // An IPv4 client of a socket that takes both kinds has an address of IPv6 (RFC 4291 section 2.5.5.2).
        let peer = SocketAddr::new(self.peer.ip().to_canonical(), self.peer.port());
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
        let stream = TokioIo::new(Timed::new(stream, Arc::clone(self.place.connection()), limits));
        let (router, place) = (self.router, self.place);
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
