//! What surrounds every request: id, limits, panics, headers, and its line in the log.

use std::{
    any::Any,
    convert::Infallible,
    future::{Future, poll_fn},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{
        HeaderName, HeaderValue, Method, Request, Response, StatusCode,
        header::{CACHE_CONTROL, CONTENT_LENGTH, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS},
    },
    response::IntoResponse as _,
};
use hyper::body::Incoming;
use sealcard_api::{
    REGISTRY_VERSION_HEADER, REQUEST_ID_HEADER, REQUEST_SECONDS_HEADER,
    ids::RequestId,
    problem::{Problem, ProblemCode},
};
use tokio::time::timeout;
use tower::Service as _;

use super::{
    AppState, RequestContext,
    connections::Place,
    error::{PendingProblem, render},
    slots::Slots,
};

/// How long work on a key may take, its turn included, if that is more than other requests may.
pub(super) const KEY_WORK: Duration = Duration::from_secs(240);

/// Answers the requests of all connections.
#[derive(Clone)]
pub(super) struct Service {
    router: Router,
    state: AppState,
    slots: Slots,
    timeout: Duration,
    log_requests: bool,
}

impl Service {
    pub(super) fn new(router: Router, state: AppState) -> Self {
        let limits = &state.config.limits;
        Self {
            router,
            slots: Slots::new(limits.requests),
            timeout: limits.request_timeout(),
            log_requests: state.config.log.requests,
            state,
        }
    }

    /// Answers one request. There is an answer whatever happens.
    pub(super) async fn call(
        self,
        peer: SocketAddr,
        place: Place,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let started = Instant::now();
        let request_id = RequestId::new();
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(RequestContext { request_id, peer });
        parts.extensions.insert(place);
        let line = self.log_requests.then(|| (parts.method.clone(), parts.uri.path().to_owned()));
        let request = Request::from_parts(parts, Body::new(body));

        let response = self.answer(request).await;
        let response = self.finish(response, request_id);
        if let Some((method, path)) = line {
            log(&method, &path, response.status(), started.elapsed(), request_id, peer);
        }
        Ok(response)
    }

    async fn answer(&self, mut request: Request<Body>) -> Response<Body> {
        let slot = match self.slots.enter(request.uri().path()) {
            Ok(slot) => Arc::new(slot),
            Err(error) => return error.into_response(),
        };
        request.extensions_mut().insert(Arc::clone(&slot));
        let mut router = self.router.clone();
        // RSA primes need luck, and what has been made must not be lost for it.
        let works = request.method() == Method::POST && works_on_key(request.uri().path());
        let limit = if works { self.timeout.max(KEY_WORK) } else { self.timeout };
        match timeout(limit, unwinding(async move { router.call(request).await })).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Err(panic)) => {
                tracing::error!(panic = panic_text(&*panic), "a handler panicked");
                render_later(Problem::new(ProblemCode::Internal))
            }
            Err(_elapsed) => {
                let mut problem = Problem::new(ProblemCode::Timeout);
                problem.detail = Some("Try again. Whether a key was used is in the record.".to_owned());
                render_later(problem)
            }
        }
    }

    fn finish(&self, mut response: Response<Body>, request_id: RequestId) -> Response<Body> {
        if let Some(PendingProblem(mut problem)) = response.extensions_mut().remove() {
            problem.request_id = Some(request_id);
            // A handler's own headers stay.
            let rendered = render(&problem);
            // But not the length of the body that this one replaces.
            response.headers_mut().remove(CONTENT_LENGTH);
            let (parts, body) = rendered.into_parts();
            *response.status_mut() = parts.status;
            // The router has counted the empty body.
            response.headers_mut().remove(CONTENT_LENGTH);
            response.headers_mut().extend(parts.headers);
            *response.body_mut() = body;
        }
        let mut id = uuid::Uuid::encode_buffer();
        let id = HeaderValue::from_str(request_id.0.as_hyphenated().encode_lower(&mut id));
        let headers = response.headers_mut();
        if let Ok(id) = id {
            headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), id);
        }
        headers.insert(
            HeaderName::from_static(REGISTRY_VERSION_HEADER),
            HeaderValue::from(self.state.store.registry_version()),
        );
        let seconds = HeaderValue::from(self.state.config.limits.request_seconds);
        headers.insert(HeaderName::from_static(REQUEST_SECONDS_HEADER), seconds);
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        response
    }
}

/// Whether the path is that of a [`super::key_work::KeyTask`].
fn works_on_key(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/v1/keys") else { return false };
    matches!(rest, "" | "/import" | "/adopt") || rest.ends_with("/revoke") || rest.ends_with("/destroy")
}

fn render_later(problem: Problem) -> Response<Body> {
    let mut response = Response::default();
    response.extensions_mut().insert(PendingProblem(Box::new(problem)));
    response
}

/// A panic in the future becomes an error: one request fails, the server lives.
async fn unwinding<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

fn log(method: &Method, path: &str, status: StatusCode, took: Duration, id: RequestId, peer: SocketAddr) {
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(target: "sealcard_server::request", %method, path, status = status.as_u16(), micros = took, request_id = %id, %peer);
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_text() {
        let panicked = unwinding(async {
            tokio::task::yield_now().await;
            if true {
                panic!("the reason");
            }
        })
        .await;
        assert!(panicked.is_err_and(|panic| panic_text(&*panic) == "the reason"));
        assert_eq!(unwinding(async { 7 }).await.ok(), Some(7));
    }
}
