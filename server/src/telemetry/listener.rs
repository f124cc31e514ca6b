//! Where the metrics are read: plain HTTP at an address of its own, without a login. A few connections at once, each with
//! one request and a short time. Whatever happens here, the server goes on.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    http::{
        HeaderValue, Method, Request, Response, StatusCode,
        header::{ACCEPT, ALLOW, CONTENT_TYPE},
    },
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{Telemetry, exposition::Format};
use crate::limits;

const PATH: &str = "/metrics";

/// Buffers of one connection grow up to this.
const BUFFER: usize = 8 * 1024;

/// Serves the metrics until it is dropped. An address that can't be used is tried again and again.
pub(crate) async fn keep_serving(telemetry: Telemetry, listen: SocketAddr) {
    loop {
        let error = match bind(listen).await {
            Ok(listener) => serve(&telemetry, &listener).await,
            Err(error) => error,
        };
        tracing::error!(%listen, %error, "metrics: this address can't be used, is tried again");
        sleep(limits::METRICS_RETRY).await;
    }
}

async fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    if address.ip().is_loopback() {
        tracing::info!(listen = %address, "metrics: serving");
    } else {
        tracing::warn!(listen = %address, "metrics: serving to everyone who can reach this address, without a login");
    }
    Ok(listener)
}

/// Serves until connections can't be accepted any more.
async fn serve(telemetry: &Telemetry, listener: &TcpListener) -> io::Error {
    let places = Arc::new(Semaphore::new(limits::METRICS_CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return error,
        };
        // Beyond the limit a connection is closed at once: nobody waits here.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let telemetry = telemetry.clone();
        tokio::spawn(async move {
            // Whoever is slow or hangs up has no answer to lose.
            let _ = timeout(limits::METRICS_CONNECTION, connection(telemetry, stream)).await;
            drop(place);
        });
    }
}

async fn connection(telemetry: Telemetry, stream: TcpStream) -> hyper::Result<()> {
    let answer = service_fn(move |request| {
        let telemetry = telemetry.clone();
        async move { Ok::<_, Infallible>(answer(&telemetry, &request).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::METRICS_HEAD)
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

async fn answer(telemetry: &Telemetry, request: &Request<Incoming>) -> Response<Body> {
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, "The metrics are at /metrics.\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Use GET.\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    match telemetry.text(format).await {
        Ok(text) => {
            let mut response = Response::new(text.into());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
            response
        }
        Err(error) => {
            tracing::error!(%error, "metrics: they can't be written");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "The metrics can't be written.\n")
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{path::Path, time::Duration};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        task::JoinHandle,
    };

    use super::*;
    use crate::{
        authn::NameKey,
        config::Config,
        http::AppState,
        notices::Channels,
        signers::{Origin, Signers},
        sinks::{Sinks, Targets},
        storage::{Database, Store},
    };

    const DEADLINE: Duration = Duration::from_secs(20);

    /// A listener at a free port, for a server without environments.
    async fn start(data: &Path) -> (SocketAddr, JoinHandle<()>) {
        let store = Store::create(&Database::Sqlite(data.join("sealcard.db"))).await.unwrap();
        let signers = Signers::start(Origin::Apart, data, &[], &store, []);
        let names = NameKey::of(data).unwrap();
        let channels = Channels::load(data, &Config::default().notices).unwrap();
        let sinks = Sinks::new(store.clone(), Targets::none());
        let state = AppState::new(store, signers, Arc::new(Config::default()), names, channels, sinks, None);
        let telemetry = state.telemetry.clone();
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, tokio::spawn(async move { drop(serve(&telemetry, &listener).await) }))
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut answer = String::new();
        // A connection beyond the limit may be closed while the request is written.
        let _ = stream.write_all(format!("{request}\r\nhost: localhost\r\n\r\n").as_bytes()).await;
        let _ = timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_are_all_that_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let (address, _serving) = start(folder.path()).await;
        let plain = ask(address, "GET /metrics HTTP/1.1").await;
        assert!(plain.starts_with("HTTP/1.1 200 ") && plain.contains("\nsealcard_ready "), "{plain}");
        assert!(plain.contains("text/plain; version=0.0.4") && !plain.contains("# EOF"), "{plain}");
        let open = ask(address, "GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text;version=1.0.0").await;
        assert!(open.contains("openmetrics-text; version=1.0.0") && open.ends_with("# EOF\n"), "{open}");
        for (request, status) in
            [("GET /v1/status HTTP/1.1", "404"), ("POST /metrics HTTP/1.1", "405"), ("HEAD /metrics HTTP/1.1", "200")]
        {
            let answer = ask(address, request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        }
        assert!(ask(address, "nonsense").await.starts_with("HTTP/1.1 400 "));
    }

    #[tokio::test]
    async fn silent_connections_get_no_more_than_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let (address, _serving) = start(folder.path()).await;
        let mut silent = Vec::new();
        for _ in 0..limits::METRICS_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(ask(address, "GET /metrics HTTP/1.1").await, "", "there is no place left");
        silent.pop();
        let mut answer = String::new();
        while answer.is_empty() {
            answer = ask(address, "GET /metrics HTTP/1.1").await;
        }
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        // The others are not kept for ever.
        let mut rest = Vec::new();
        timeout(DEADLINE, silent.pop().unwrap().read_to_end(&mut rest)).await.unwrap().unwrap();
    }
}
