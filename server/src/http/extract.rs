//! What handlers take out of a request. Every refusal is a problem that says what to change.

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Request, rejection::PathRejection},
    http::{
        HeaderMap, HeaderValue,
        header::{AUTHORIZATION, CONTENT_TYPE},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use sealcard_api::{import::MAX_IMPORT_BODY, problem::ProblemCode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{
    ApiError, ApiResult, AppState,
    connections::Place,
    refusals::{Shown, weak_hash},
    slots::Slot,
};
use crate::authn::{self, AuthorizationError, Caller, Freshness, RequestContext};

impl<S: Sync> FromRequestParts<S> for RequestContext {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().copied().ok_or_else(|| ApiError::new(ProblemCode::Internal))
    }
}

/// The caller, judged by the facts of this moment.
impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        authenticate(parts, state, Freshness::Now).await
    }
}

/// Nobody, where a grant is not needed: none was shown, or it is not valid.
impl OptionalFromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Option<Self>> {
        Ok(<Self as FromRequestParts<AppState>>::from_request_parts(parts, state).await.ok())
    }
}

/// The caller of a request to use a key, judged by the facts that this server knows: the transaction judges again.
pub(super) struct Requester(pub(super) Caller);

impl FromRequestParts<AppState> for Requester {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        authenticate(parts, state, Freshness::Cached).await.map(Self)
    }
}

async fn authenticate(parts: &Parts, state: &AppState, freshness: Freshness) -> ApiResult<Caller> {
    let context = parts.extensions.get::<RequestContext>().copied();
    let context = context.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    let RequestContext { request_id, peer, received } = context;
    let token = token(&parts.headers)?;
    let shown = parts.extensions.get::<Shown>();
    let caller = match state.authentication.authenticate(token, (request_id, peer, received), freshness).await {
        Ok(caller) => caller,
        Err(error) => {
            if let (AuthorizationError::Denied(_), Some(shown)) = (&error, shown)
                && let Some(holder) = state.authentication.holder_of(token).await
            {
                shown.ended_grant_of(holder);
            }
            return Err(error.into());
        }
    };
    if let Some(shown) = shown {
        shown.authenticated(caller.actor());
    }
    if let Some(place) = parts.extensions.get::<Place>() {
        place.authenticated();
    }
    Ok(caller)
}

/// What the grant that is shown is stored as.
fn token(headers: &HeaderMap) -> Result<[u8; 32], ApiError> {
    let unknown = || AuthorizationError::UnknownGrant.into();
    authn::hash_of_grant(bearer(headers.get(AUTHORIZATION))?).ok_or_else(unknown)
}

fn bearer(header: Option<&HeaderValue>) -> Result<&str, ApiError> {
    let missing = || {
        ApiError::new(ProblemCode::Unauthenticated)
            .detail("The request needs the header \"Authorization: Bearer …\" with a grant from /v1/login.")
    };
    let (scheme, token) = header.and_then(|h| h.to_str().ok()?.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}

/// A JSON body, in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        json_body(request, state, state.config.limits.body_bytes).await.map(Self)
    }
}

/// A JSON body that may be as long as an import needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for LargeJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let limit = state.config.limits.body_bytes.max(MAX_IMPORT_BODY);
        json_body(request, state, limit).await.map(Self)
    }
}

async fn json_body<T: DeserializeOwned>(request: Request, state: &AppState, limit: usize) -> Result<T, ApiError> {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::new(ProblemCode::UnsupportedMediaType)
            .detail("The request needs a body with the header \"Content-Type: application/json\"."));
    }
    let slot = parts.extensions.get::<Arc<Slot>>().map(|slot| &**slot);
    let anonymous = parts.extensions.get::<Place>().is_some_and(|place| place.connection().is_anonymous());
    // Others may take as long as their whole request.
    let seconds = if anonymous { state.config.limits.head_seconds } else { state.config.limits.request_seconds };
    let bytes = timeout(Duration::from_secs(seconds), read_body(body, limit, slot)).await;
    let bytes = bytes.unwrap_or_else(|_| Err(ApiError::new(ProblemCode::Timeout)))?;
    parse_json(&bytes).map_err(|error| match weak_hash(&bytes) {
        None => ApiError::invalid(error),
        Some(name) => {
            if let Some(shown) = parts.extensions.get::<Shown>() {
                shown.weak_hash();
            }
            ApiError::invalid(format!("The hash {name} is too weak. Use SHA-256, SHA-384 or SHA-512."))
        }
    })
}

/// The whole body. While it is on its way, the request's slot is free for others.
async fn read_body(body: Body, limit: usize, slot: Option<&Slot>) -> Result<Vec<u8>, ApiError> {
    let too_large =
        || ApiError::new(ProblemCode::TooLarge).detail(format!("The body must have at most {limit} bytes."));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    // Each frame keeps the whole buffer that it was read into: 8 KiB for a body that comes byte by byte. So its bytes
    // are copied and the buffer is given back.
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    let mut next = async || {
        poll_fn(|cx| {
            let frame = body.as_mut().poll_frame(cx);
            if let (true, Some(slot)) = (frame.is_pending(), slot) {
                slot.leave();
            }
            frame
        })
        .await
    };
    while let Some(frame) = next().await {
        let frame = frame.map_err(|_| ApiError::invalid("The body ended before its announced length."))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    slot.map_or(Ok(()), Slot::body_read)?;
    Ok(bytes)
}

/// Reads a JSON body. The error names the field, never its value.
///
/// # Errors
/// If the bytes are not JSON or do not have the shape of `T`.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    // serde takes an array for a struct too, its fields in order; the API does not promise that.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err("The body must be a JSON object.".to_owned());
    }
    // The path is only worth its cost when something is wrong.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let error = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => error,
        Ok(_) => return Err("The body has more after its JSON value.".to_owned()),
    };
    let path = error.path().to_string();
    let inner = error.into_inner();
    let place = format!("line {} column {}", inner.line(), inner.column());
    // serde quotes what it found, which may be a misplaced password: only the part about the expected shape is kept.
    let reason = match inner.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => "it is not JSON".to_owned(),
        _ => without_values(&inner.to_string()),
    };
    Err(if path == "." {
        format!("The body can't be understood ({place}): {reason}.")
    } else {
        format!("The field \"{path}\" of the body can't be understood ({place}): {reason}.")
    })
}

/// Cuts serde's quotation of the offending value out of its message.
fn without_values(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(before, _)| before);
    for kind in ["invalid type", "invalid value", "invalid length", "unknown variant"] {
        if message.starts_with(kind) {
            return match message.rsplit_once(", expected ") {
                Some((_, expected)) => format!("{kind}, expected {expected}"),
                None => kind.to_owned(),
            };
        }
    }
    message.to_owned()
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
            Err(error) => ApiError::internal(&error).into_response(),
        }
    }
}

/// Query parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|error| ApiError::invalid(format!("The query can't be understood: {}.", error.body_text())))
    }
}

/// Parts of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match <axum::extract::Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(path) => Ok(Self(path.0)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                Err(ApiError::invalid(format!("The address can't be understood: {}.", error.body_text())))
            }
            Err(_) => Err(ApiError::new(ProblemCode::Internal)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Poll},
    };

    use axum::body::Bytes;
    use proptest::prelude::*;
    use sealcard_api::{admin::NewUser, grants::LoginRequest, operations::SignRequest};

    use super::*;

    #[test]
    fn an_error_names_the_field_and_not_the_value() {
        let error = parse_json::<NewUser>(br#"{"name": "a", "password": 123456789}"#).unwrap_err();
        assert!(error.contains("\"password\"") && !error.contains("123456789"), "{error}");
        let error = parse_json::<NewUser>(br#"{"name": "a", "password": "x", "adminstrator": true}"#).unwrap_err();
        assert!(error.contains("adminstrator") && error.contains("line 1"), "{error}");
        let error = parse_json::<NewUser>(br#"{"password": "x"}"#).unwrap_err();
        assert!(error.contains("missing field `name`"), "{error}");
        let error = parse_json::<SignRequest>(br#"{"hash": "sha256", "digest": "!!"}"#).unwrap_err();
        assert!(error.contains("\"digest\"") && error.contains("not base64"), "{error}");
    }

    /// A buffer as a connection reads into; counts how many of its kind exist.
    struct Buffer(Arc<AtomicUsize>);

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            b"{"
        }
    }

    impl Drop for Buffer {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A body whose frames are one byte each, in a buffer of its own; notes how many buffers existed at once.
    struct ByteByByte {
        left: usize,
        buffers: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }

    impl axum::body::HttpBody for ByteByByte {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            self.left -= 1;
            let exist = self.buffers.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(exist, Ordering::Relaxed);
            let bytes = Bytes::from_owner(Buffer(Arc::clone(&self.buffers)));
            Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes))))
        }
    }

    async fn read_byte_by_byte(length: usize, limit: usize) -> (Result<Vec<u8>, ApiError>, usize) {
        let most = Arc::new(AtomicUsize::new(0));
        let body = ByteByByte { left: length, buffers: Arc::default(), most: Arc::clone(&most) };
        let read = read_body(Body::new(body), limit, None).await;
        (read, most.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn body_in_single_bytes_keeps_one_buffer_at_a_time() {
        let (read, most) = read_byte_by_byte(5000, 5000).await;
        assert_eq!(read.unwrap(), vec![b'{'; 5000]);
        assert_eq!(most, 1);
    }

    #[tokio::test]
    async fn body_without_announced_length_is_refused_at_the_limit() {
        let (read, _) = read_byte_by_byte(5001, 5000).await;
        let answer = read.unwrap_err().into_response();
        assert_eq!(answer.status(), axum::http::StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn array_in_place_of_an_object_is_refused() {
        let error = parse_json::<NewUser>(br#" ["a", "long password", false]"#).unwrap_err();
        assert_eq!(error, "The body must be a JSON object.");
    }

    #[test]
    fn what_follows_the_value_is_refused() {
        let error = parse_json::<NewUser>(br#"{"name": "a", "password": "x"} {}"#).unwrap_err();
        assert!(error.contains("more after"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_as_a_body_are_an_error_or_a_value(bytes: Vec<u8>) {
            let _ = parse_json::<LoginRequest>(&bytes);
            let _ = parse_json::<NewUser>(&bytes);
        }

        #[test]
        fn a_misplaced_secret_is_not_repeated(secret in "[a-zA-Z0-9]{12,40}") {
            for roles in [format!(r#""{secret}""#), format!(r#"["{secret}"]"#)] {
                let body = format!(r#"{{"name": "a", "password": "x", "roles": {roles}}}"#);
                let error = parse_json::<NewUser>(body.as_bytes()).unwrap_err();
                prop_assert!(!error.contains(&secret), "{}", error);
            }
        }
    }
}
