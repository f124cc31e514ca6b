//! What surrounds every request, as layers: id, log line, headers, panics, slots and time limits.

use std::{
    any::Any,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{
        HeaderName, HeaderValue, Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_LENGTH, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use sealcard_api::{
    REGISTRY_VERSION_HEADER, RELEASE_HEADER, REQUEST_ID_HEADER, REQUEST_SECONDS_HEADER, Timestamp,
    ids::RequestId,
    problem::{Problem, ProblemCode},
};
use tokio::time::{sleep, timeout};
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};

use super::{
    ApiError, AppState, RequestContext,
    connections::Place,
    error::{PendingProblem, render},
    metrics::Metrics,
    refusals::Shown,
    slots::Slots,
};
use crate::{limits, requests::Requests};

/// Puts the layers around the routes. Requests carry their peer's address as an extension.
pub(super) fn around(router: Router, state: &AppState) -> Router {
    let limits = &state.config.limits;
    let admission = Admission { slots: Slots::new(limits.requests), timeout: limits.request_timeout() };
    let store = state.store.clone();
    let version = move |_: &Response| Some(HeaderValue::from(store.registry_version()));
    let fixed = |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    let identification = Identify {
        log: state.config.log.requests,
        metrics: state.http.clone(),
        requests: Some(state.requests.clone()),
    };
    // The last layer is the outermost.
    router
        .layer(from_fn_with_state(admission, admit))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panicked(&*panic)))
        .layer(SetResponseHeaderLayer::overriding(HeaderName::from_static(REGISTRY_VERSION_HEADER), version))
        .layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static(REQUEST_SECONDS_HEADER),
            HeaderValue::from(limits.request_seconds),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static(RELEASE_HEADER),
            HeaderValue::from_static(env!("CARGO_PKG_VERSION")),
        ))
        .layer(fixed(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(STRICT_TRANSPORT_SECURITY, "max-age=31536000"))
        .layer(from_fn_with_state(identification, identify))
}

/// What [`identify`] needs to know.
#[derive(Clone)]
struct Identify {
    /// Whether each request gets a line.
    log: bool,
    metrics: Metrics,
    /// What records refused requests.
    requests: Option<Requests>,
}

/// Gives the request its id and time, writes the problem that is its answer, counts and logs it.
async fn identify(
    State(Identify { log: logs, metrics, requests }): State<Identify>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let Some(peer) = request.extensions().get::<SocketAddr>().copied() else {
        return render(&Problem::new(ProblemCode::Internal));
    };
    let request_id = RequestId::new();
    let (context, shown) = (RequestContext { request_id, peer, received: Timestamp::now() }, Shown::default());
    request.extensions_mut().insert(context);
    request.extensions_mut().insert(shown.clone());
    let method = request.method().clone();
    let line = logs.then(|| (request.method().clone(), request.uri().path().to_owned()));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    if let Some(requests) = requests
        && let Some(refused) = shown.refused(context, (&method, route.as_ref()), &response)
    {
        requests.record_refusal(refused).await;
    }
    let mut response = with_problem(response, request_id);
    if let Ok(id) = HeaderValue::try_from(request_id.to_string()) {
        response.headers_mut().insert(HeaderName::from_static(REQUEST_ID_HEADER), id);
    }
    metrics.count(route.as_ref().map(MatchedPath::as_str), response.status());
    if let Some((method, path)) = line {
        log(&method, &path, response.status(), started.elapsed(), request_id, peer);
    }
    response
}

/// Renders the problem that the response stands for, now that the request's id is known. Other headers of the response
/// stay.
fn with_problem(mut response: Response, request_id: RequestId) -> Response {
    let Some(PendingProblem(mut problem)) = response.extensions_mut().remove() else { return response };
    problem.request_id = Some(request_id);
    let (parts, body) = render(&problem).into_parts();
    *response.status_mut() = parts.status;
    // The length of the body that is replaced.
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().extend(parts.headers);
    *response.body_mut() = body;
    response
}

/// Admits requests: a slot and a time limit for each, and answers without a login at their rate.
#[derive(Clone)]
struct Admission {
    slots: Slots,
    timeout: Duration,
}

async fn admit(State(admission): State<Admission>, mut request: Request, next: Next) -> Response {
    let place = request.extensions().get::<Place>().cloned();
    let slot = match admission.slots.enter(request.uri().path()) {
        Ok(slot) => Arc::new(slot),
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(Arc::clone(&slot));
    // Making an RSA key can take minutes, and a key that was made must not be lost to a time limit.
    let works = request.method() == Method::POST && works_on_key(request.uri().path());
    let limit = if works { admission.timeout.max(limits::KEY_WORK_TIMEOUT) } else { admission.timeout };
    let response = timeout(limit, next.run(request)).await.unwrap_or_else(|_elapsed| {
        let detail = "Try again. Whether a key was used is in the record.";
        ApiError::new(ProblemCode::Timeout).detail(detail).into_response()
    });
    drop(slot);
    // Only now it is known whether the request has shown a valid grant.
    if let Some(place) = place {
        let delay = place.delay();
        if !delay.is_zero() {
            // It may make room for another connection meanwhile.
            place.connection().end_request();
            sleep(delay).await;
        }
    }
    response
}

/// Whether the path is that of work on a key, which takes its turn.
fn works_on_key(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/v1/keys") else { return false };
    let of_one = ["/certificate", "/destroy", "/extend", "/revoke"];
    matches!(rest, "" | "/import" | "/adopt") || of_one.iter().any(|end| rest.ends_with(end))
}

/// One request fails, the server goes on.
fn panicked(panic: &(dyn Any + Send)) -> Response<Body> {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a handler panicked");
    ApiError::new(ProblemCode::Internal).into_response()
}

fn log(method: &Method, path: &str, status: StatusCode, took: Duration, id: RequestId, peer: SocketAddr) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(
        target: "sealcard_server::request",
        %method, path, status = status.as_u16(), micros, request_id = %id, %peer,
    );
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn work_on_keys_is_known_by_its_path() {
        for path in ["", "/import", "/adopt", "/a/certificate", "/a/destroy", "/a/extend", "/a/revoke"] {
            assert!(works_on_key(&format!("/v1/keys{path}")), "{path}");
        }
        for path in ["/v1/keys/a", "/v1/keys/a/sign", "/v1/keys/import/plan", "/v1/keys/a/certificate/plan", "/v1/x"] {
            assert!(!works_on_key(path), "{path}");
        }
    }

    #[tokio::test]
    async fn panic_of_a_handler_becomes_an_internal_problem() {
        async fn handler() {
            tokio::task::yield_now().await;
            panic!("the reason");
        }
        let router = Router::new()
            .route("/", get(handler))
            .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panicked(&*panic)))
            .layer(from_fn_with_state(Identify { log: true, metrics: Metrics::default(), requests: None }, identify));
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(SocketAddr::from(([127, 0, 0, 1], 1)));
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let id = response.headers().get(REQUEST_ID_HEADER).unwrap().to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.code, ProblemCode::Internal);
        assert_eq!(problem.request_id.unwrap().to_string(), id);
    }
}
