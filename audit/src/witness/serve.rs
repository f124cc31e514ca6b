//! The witness's HTTP: a few connections at once, each with one request and a short time.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use sealcard_transparency::{MAX_REQUEST, SIZE_CONTENT_TYPE};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use super::store::{AddError, Store};
use crate::output::warn;

/// Connections at once. More are closed.
const CONNECTIONS: usize = 64;
/// How long a connection may take, and the head of its request.
const CONNECTION_TIME: Duration = Duration::from_secs(30);
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Buffers of one connection grow up to this.
const BUFFER: usize = 16 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.with_context(|| listen.to_string())
}

/// Serves until connections can't be accepted any more.
pub(super) async fn serve(store: Arc<Store>, listener: &TcpListener) -> io::Error {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return error,
        };
        // Beyond the limit a connection is closed at once: nobody waits here.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            // Whoever is slow or hangs up has no answer to lose.
            let _ = timeout(CONNECTION_TIME, connection(store, stream)).await;
            drop(place);
        });
    }
}

async fn connection(store: Arc<Store>, stream: TcpStream) -> hyper::Result<()> {
    let answer = service_fn(move |request| {
        let store = Arc::clone(&store);
        async move { Ok::<_, Infallible>(answer(&store, request).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

async fn answer(store: &Store, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    match (request.method(), path.as_str()) {
        (&Method::POST, "add-checkpoint") => add(store, request).await,
        (_, "add-checkpoint") => only(Method::POST),
        (&Method::GET, path) => match store.newest(path) {
            Ok(Some(note)) => plain(StatusCode::OK, note),
            Ok(None) => plain(StatusCode::NOT_FOUND, "no log that is known here has this path\n"),
            Err(error) => failed(&error.to_string()),
        },
        _ => only(Method::GET),
    }
}

async fn add(store: &Store, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let Ok(body) = Limited::new(request.into_body(), MAX_REQUEST).collect().await else {
        return plain(StatusCode::BAD_REQUEST, "the body is too long or ends too early\n");
    };
    match store.add(&body.to_bytes()).await {
        Ok(signatures) => {
            let lines: String = signatures.iter().map(|signature| format!("{signature}\n")).collect();
            plain(StatusCode::OK, lines)
        }
        Err(AddError::Refused(refusal)) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            let mut response = plain(status, refusal.body());
            if refusal.known_size().is_some() {
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(SIZE_CONTENT_TYPE));
            }
            response
        }
        Err(AddError::Failed(error)) => failed(&format!("{error:#}")),
    }
}

fn failed(error: &str) -> Response<Full<Bytes>> {
    warn(format!("a request failed: {error}"));
    plain(StatusCode::INTERNAL_SERVER_ERROR, "the witness can't work at present\n")
}

fn only(method: Method) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, format!("use {method}\n"));
    if let Ok(allowed) = HeaderValue::from_str(method.as_str()) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}
