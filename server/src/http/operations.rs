//! Uses of private keys: `POST /v1/keys/{key}/sign`, `/authenticate`, `/decrypt`.

use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use sealcard_api::{
    Bytes, IDEMPOTENCY_KEY_HEADER,
    approvals::WaitingUse,
    context::UseContext,
    ids::KeyId,
    operations::{AuthenticateRequest, DecryptRequest, DecryptResponse, SignRequest, SignatureResponse},
    problem::ProblemCode,
};
use sealcard_signer_protocol::Operation;
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{ApiError, ApiResult, AppState, Json, Path, error::sentence, extract::Requester};
use crate::{
    authn::AuthorizationError,
    requests::{RequestError, UseAnswer, UseRequest, UseResponse},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(sign)).routes(routes!(authenticate)).routes(routes!(decrypt))
}

/// A signature over a digest, with the key's signing subkey.
#[utoipa::path(post, path = "/v1/keys/{key}/sign", tag = "operations", request_body = SignRequest,
    params(("key" = KeyId, Path), ("idempotency-key" = Uuid, Header, description = "one value for one use")),
    responses((status = 200, body = SignatureResponse),
        (status = 202, body = WaitingUse, description = "It waits for people")))]
async fn sign(
    State(state): State<AppState>,
    Requester(caller): Requester,
    Path(key): Path<KeyId>,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Json(body): Json<SignRequest>,
) -> ApiResult<Response> {
    let operation = Operation::Sign { hash: body.hash, digest: body.digest.0 };
    let request = UseRequest { key, idempotency_key, operation, context: checked(body.context)? };
    Ok(answer(state.requests.submit(&caller, request).await?, signature))
}

/// A login or an SSHSIG blob, with the key's authentication subkey.
#[utoipa::path(post, path = "/v1/keys/{key}/authenticate", tag = "operations", request_body = AuthenticateRequest,
    params(("key" = KeyId, Path), ("idempotency-key" = Uuid, Header, description = "one value for one use")),
    responses((status = 200, body = SignatureResponse),
        (status = 202, body = WaitingUse, description = "It waits for people")))]
async fn authenticate(
    State(state): State<AppState>,
    Requester(caller): Requester,
    Path(key): Path<KeyId>,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Json(body): Json<AuthenticateRequest>,
) -> ApiResult<Response> {
    let (operation, context) = match body {
        AuthenticateRequest::Digest { hash, digest, context } => {
            (Operation::Authenticate { hash, digest: digest.0 }, context)
        }
        AuthenticateRequest::Ssh { message, context } => (Operation::AuthenticateSsh { message: message.0 }, context),
    };
    let request = UseRequest { key, idempotency_key, operation, context: checked(context)? };
    Ok(answer(state.requests.submit(&caller, request).await?, signature))
}

/// A decryption, with the key's encryption subkey. What is decrypted is never stored.
#[utoipa::path(post, path = "/v1/keys/{key}/decrypt", tag = "operations", request_body = DecryptRequest,
    params(("key" = KeyId, Path), ("idempotency-key" = Uuid, Header, description = "one value for one use")),
    responses((status = 200, body = DecryptResponse),
        (status = 202, body = WaitingUse, description = "It waits for people")))]
async fn decrypt(
    State(state): State<AppState>,
    Requester(caller): Requester,
    Path(key): Path<KeyId>,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Json(body): Json<DecryptRequest>,
) -> ApiResult<Response> {
    let operation = Operation::Decrypt { ciphertext: body.ciphertext.0 };
    let request = UseRequest { key, idempotency_key, operation, context: checked(body.context)? };
    Ok(answer(state.requests.submit(&caller, request).await?, plaintext))
}

/// What the key made, or status 202 if the use waits.
fn answer<T: Serialize>(answer: UseAnswer, done: impl FnOnce(UseResponse) -> T) -> Response {
    match answer {
        UseAnswer::Done(response) => Json(done(response)).into_response(),
        UseAnswer::Waits(waiting) => (StatusCode::ACCEPTED, Json(*waiting)).into_response(),
    }
}

pub(super) fn signature(response: UseResponse) -> SignatureResponse {
    let request_id = response.request_id;
    SignatureResponse { signature: Bytes(response.into_bytes()), request_id }
}

fn plaintext(response: UseResponse) -> DecryptResponse {
    let request_id = response.request_id;
    // The one copy goes into the answer.
    DecryptResponse { plaintext: Bytes(response.into_bytes()), request_id }
}

/// What the workstation says of a use, within its limits.
pub(super) fn checked(context: Option<UseContext>) -> ApiResult<UseContext> {
    let context = context.unwrap_or_default();
    context.check().map_err(ApiError::invalid)?;
    Ok(context)
}

/// The header that makes a repeated request the same request.
struct IdempotencyKey(Uuid);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY_HEADER).iter();
        let value = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok().and_then(|text| Uuid::try_parse(text).ok()),
            _ => None,
        };
        value.map(Self).ok_or_else(|| {
            ApiError::invalid(format!("The request needs one header \"{IDEMPOTENCY_KEY_HEADER}\" with a UUID."))
        })
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        use ProblemCode as Code;
        match error {
            RequestError::Denied { decision, detail } => {
                let error = Self::from_decision(&decision).unwrap_or_else(|| Self::new(Code::Forbidden));
                match detail {
                    // It begins with a name, which must not be changed into a sentence's first word.
                    Some(detail) => error.detail(format!("{detail}.")),
                    None => error,
                }
            }
            RequestError::UnknownGrant => AuthorizationError::UnknownGrant.into(),
            RequestError::Unfit(why) => Self::new(Code::UnsupportedOperation).detail(why),
            RequestError::Mismatch => {
                Self::new(Code::IdempotencyMismatch).detail("Use a new idempotency key for a new request.")
            }
            RequestError::InProgress => Self::new(Code::InProgress).retry_after(1),
            RequestError::Busy => Self::new(Code::Overloaded)
                .detail("The key store is busy, so the key was not used. Try again in a moment.")
                .retry_after(2),
            RequestError::SinkBehind { behind, caller_may_know } => {
                let why = behind.error.as_ref().filter(|_| caller_may_know);
                let why = why.map_or_else(String::new, |why| format!(" ({why})"));
                Self::new(Code::SinkBehind).detail(format!(
                    "The key was not used: {behind}{why}. An administrator mends it: sealcard admin sinks show {}.",
                    behind.sink
                ))
            }
            error @ RequestError::TooManyWaiting { .. } => Self::new(Code::TooManyWaiting).detail(sentence(&error.to_string())),
            RequestError::Rejected(why) => Self::new(Code::Rejected).detail(why),
            RequestError::TooManyDenials { retry_after } => Self::new(Code::TooManyAttempts)
                .detail(format!(
                    "Too many of your uses of keys were denied within a minute. Denied uses are not judged again for \
                     {retry_after} seconds; uses that you are allowed go on. The record has the reason."
                ))
                .retry_after(retry_after),
            RequestError::TooManyUses { retry_after } => Self::new(Code::TooManyUses)
                .detail(format!(
                    "You have used keys as often as the server allows in a minute (limits.uses-per-minute). The key was \
                     not used. Try again in {retry_after} seconds."
                ))
                .retry_after(retry_after),
            RequestError::OutcomeUnknown => Self::new(Code::OutcomeUnknown).detail(
                "The key may have been used: the record has this request as unknown. Use the key with a new request.",
            ),
            RequestError::Sealed => Self::sealed(),
            RequestError::DecryptionFailed { .. } => Self::new(Code::DecryptionFailed),
            RequestError::SignerUnavailable => Self::signer_unavailable(),
            RequestError::Token(why) => Self::new(Code::SignerUnavailable).detail(sentence(&why)),
            RequestError::NotStarted { why, caller_may_know: true } => {
                Self::new(Code::SignerUnavailable).detail(sentence(&format!("the signer does not start: {why}")))
            }
            RequestError::NotStarted { .. } => Self::new(Code::SignerUnavailable)
                .detail("The signer does not start. Ask an administrator: sealcard status tells them why."),
            RequestError::DiskFull(why) => {
                tracing::error!(why, "the disk of the signer is full");
                Self::disk_full()
            }
            RequestError::Storage(error) => (&*error).into(),
            error @ RequestError::Fault(_) => Self::internal(&error),
        }
    }
}
