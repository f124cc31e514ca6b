//! Signing keys: `/v1/keys`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    Timestamp,
    admin::Page,
    algorithm::ComponentRole,
    keys::{Key, KeyChange, KeyExtension, KeyProfile, KeyRevocation, NewKey, RevocationCertificate},
    problem::ProblemCode,
    rules::{KeyPathName, PageLimit},
    tokens::{AdoptKeys, ComponentEvidence, DestroyKey},
};
use sealcard_policy::Action;
use sealcard_signer_protocol::SignerError;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, PageQuery, Path, Query, error::sentence, page_of};
use crate::{
    keys::{CertificateError, KeyError},
    signers::UseError,
    storage::{ComponentRow, KeyFilter, KeyRow},
};

/// How a path names a key.
pub(super) const KEY_PARAMETER: &str =
    "id, fingerprint, its last 16 digits, NAME if only one project has it, or PROJECT/NAME with the slash as %2F";

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change))
        .routes(routes!(extend))
        .routes(routes!(read))
        .routes(routes!(revoke))
        .routes(routes!(adopt))
        .routes(routes!(evidence))
        .routes(routes!(destroy))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyQuery {
    after: Option<String>,
    limit: Option<u32>,
    project: Option<String>,
    key: Option<String>,
}

/// Keys of all projects that the caller has a role in, oldest first; for administrators all keys.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<Uuid>, Query, description = "the previous page's `next`"),
    ("project" = Option<String>, Query, description = "only those of this project: name or id"),
    ("key" = Option<String>, Query, description = "only this one: NAME, PROJECT/NAME, fingerprint, its last 16 \
        digits, or id; a problem if it names none or several"),
), responses((status = 200, body = Page<Key>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<KeyQuery>,
) -> ApiResult<Json<Page<Key>>> {
    let now = caller.received;
    let page = PageQuery { limit: query.limit, after: query.after };
    let (limit, after) = (page.limit()?, page.after()?);
    if let Some(key) = &query.key {
        let (row, _) = state.keys.find(&caller, key).await?;
        return Ok(Json(Page { items: vec![to_key(row, now)], next: None }));
    }
    let visible_to = (!caller.reads_everything()).then_some(caller.principal);
    let mut filter = KeyFilter { after, limit: limit.saturating_add(1), visible_to, ..KeyFilter::default() };
    if let Some(project) = &query.project {
        filter.project = Some(state.directory.project(&caller, project, Action::SeeProject).await?.0.id);
    }
    let keys = state.store.keys(filter).await?.into_iter().map(|row| to_key(row, now)).collect();
    Ok(Json(page_of(keys, limit, |key: &Key| key.id)))
}

/// Makes a key: four component keys in the environment's signer, a certificate, and a card of its own.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = NewKey, responses((status = 201, body = Key)))]
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(new): Json<NewKey>,
) -> ApiResult<(StatusCode, Json<Key>)> {
    let key = state.keys.create(&caller, new).await?;
    Ok((StatusCode::CREATED, Json(to_key(key, caller.received))))
}

/// One key.
#[utoipa::path(get, path = "/v1/keys/{key}", tag = "keys",
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = Key)))]
async fn show(State(state): State<AppState>, caller: Caller, Path(key): Path<String>) -> ApiResult<Json<Key>> {
    let (row, _) = state.keys.find(&caller, &key).await?;
    Ok(Json(to_key(row, caller.received)))
}

/// Renames, disables or enables a key; seen by the very next request.
#[utoipa::path(patch, path = "/v1/keys/{key}", tag = "keys", request_body = KeyChange,
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = Key)))]
async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Json(change): Json<KeyChange>,
) -> ApiResult<Json<Key>> {
    let row = state.keys.change(&caller, &key, change).await?;
    Ok(Json(to_key(row, caller.received)))
}

/// Lets a key live longer, an expired one too. Its fingerprint stays; the answer's certificate has the new end.
#[utoipa::path(post, path = "/v1/keys/{key}/extend", tag = "keys", request_body = KeyExtension,
    params(("key" = KeyPathName, Path, description = "id or fingerprint")), responses((status = 200, body = Key)))]
async fn extend(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Json(extension): Json<KeyExtension>,
) -> ApiResult<Json<Key>> {
    let row = state.keys.extend(&caller, &key, extension).await?;
    Ok(Json(to_key(row, caller.received)))
}

/// The revocation certificate that was made together with the key. Each reading is recorded.
#[utoipa::path(get, path = "/v1/keys/{key}/revocation", tag = "keys",
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)),
    responses((status = 200, body = RevocationCertificate)))]
async fn read(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> ApiResult<Json<RevocationCertificate>> {
    let (row, certificate) = state.keys.revocation(&caller, &key).await?;
    Ok(Json(RevocationCertificate { fingerprint: row.fingerprint, certificate }))
}

/// Revokes a key for good. The answer's certificate says so to everyone who gets it.
#[utoipa::path(post, path = "/v1/keys/{key}/revoke", tag = "keys", request_body = KeyRevocation,
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = Key)))]
async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Json(revocation): Json<KeyRevocation>,
) -> ApiResult<Json<Key>> {
    let row = state.keys.revoke(&caller, &key, revocation).await?;
    Ok(Json(to_key(row, caller.received)))
}

/// Adopts keys that are on a token: each is found by label or id, and the certificate and the card are made for
/// them.
#[utoipa::path(post, path = "/v1/keys/adopt", tag = "keys", request_body = AdoptKeys,
    responses((status = 201, body = Key)))]
async fn adopt(
    State(state): State<AppState>,
    caller: Caller,
    Json(wanted): Json<AdoptKeys>,
) -> ApiResult<(StatusCode, Json<Key>)> {
    let received = caller.received;
    let key = state.keys.adopt(caller, wanted).await?;
    Ok((StatusCode::CREATED, Json(to_key(key, received))))
}

/// What the token said of the key's components when they were made or adopted. Empty for keys of a sealed store.
#[utoipa::path(get, path = "/v1/keys/{key}/evidence", tag = "keys",
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)),
    responses((status = 200, body = Vec<ComponentEvidence>)))]
async fn evidence(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> ApiResult<Json<Vec<ComponentEvidence>>> {
    let (row, _) = state.keys.find(&caller, &key).await?;
    Ok(Json(state.store.evidence(row.id).await?))
}

/// Destroys the private halves of a disabled or revoked key on its token, for good.
#[utoipa::path(post, path = "/v1/keys/{key}/destroy", tag = "keys", request_body = DestroyKey,
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = Key)))]
async fn destroy(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Json(sure): Json<DestroyKey>,
) -> ApiResult<Json<Key>> {
    let row = state.keys.destroy(&caller, &key, sure).await?;
    Ok(Json(to_key(row, caller.received)))
}

pub(super) fn to_key(row: KeyRow, now: Timestamp) -> Key {
    let (state, expires, components) = (row.state(now), row.expires(), row.public_components());
    // Adopted and imported keys have whatever parts they have.
    let primary_signs = |part: &ComponentRow| part.fingerprint == row.fingerprint && part.role == ComponentRole::Sign;
    let profile = if row.components.iter().any(primary_signs) {
        KeyProfile::Packages
    } else if row.components.iter().all(|part| KeyProfile::Signing.roles().contains(&part.role)) {
        KeyProfile::Signing
    } else {
        KeyProfile::Standard
    };
    Key {
        id: row.id,
        name: row.name,
        project_id: row.project_id,
        project: row.project,
        environment_id: row.environment_id,
        environment: row.environment,
        algorithm: row.algorithm,
        profile,
        state,
        revoked: row.revoked,
        user_id: row.user_id,
        fingerprint: row.fingerprint,
        serial: row.serial,
        components,
        created: row.created,
        expires,
        certificate: row.certificate,
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Certificate(CertificateError::UserId(why)) => Self::invalid(why),
            KeyError::Certificate(CertificateError::Signer(error)) | KeyError::Signer(error) => error.into(),
            KeyError::Storage(error) | KeyError::Certificate(CertificateError::Record(error)) => error.into(),
            error @ (KeyError::Import(_) | KeyError::Foreign(_)) => Self::invalid(error.to_string()),
            KeyError::Authorization(lost) => lost.into(),
            KeyError::State(why) => Self::conflict(why),
            KeyError::Offline(why) | KeyError::Conflict(why) => Self::conflict(why),
            KeyError::NotFound(why) => Self::not_found(why),
            KeyError::Invalid(why) => Self::invalid(why),
            KeyError::Busy => Self::new(ProblemCode::Overloaded)
                .detail("The key store is busy with other keys, so nothing was done. Try again in a moment.")
                .retry_after(10),
            KeyError::Directory(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<UseError> for ApiError {
    fn from(error: UseError) -> Self {
        match error {
            UseError::Refused(
                SignerError::Sealed
                | SignerError::Locked
                | SignerError::PinRefused { .. }
                | SignerError::PinNotTried(_),
            ) => Self::sealed(),
            UseError::Refused(error @ (SignerError::Token { .. } | SignerError::TokenAbsent(_))) => {
                Self::new(ProblemCode::SignerUnavailable).detail(sentence(&error.to_string()))
            }
            UseError::Refused(
                error @ (SignerError::NotOnToken(_) | SignerError::Unsupported(_) | SignerError::Invalid(_)),
            ) => Self::invalid(sentence(&error.to_string())),
            UseError::Refused(error @ (SignerError::Envelope | SignerError::Mismatch)) => {
                Self::invalid(format!("The signer refused the secret: {error}."))
            }
            UseError::Refused(SignerError::JournalFull(why)) => {
                tracing::error!(why, "the disk of the signer is full");
                Self::disk_full()
            }
            // Those who ask this manage keys.
            error @ UseError::NotStarted(_) => {
                Self::new(ProblemCode::SignerUnavailable).detail(sentence(&error.to_string()))
            }
            UseError::NotAsked | UseError::Unavailable => Self::signer_unavailable(),
            error => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_without_a_permit_is_told_when_to_try_again() {
        let refused = ApiError::from(KeyError::Busy).into_problem();
        assert_eq!((refused.code, refused.retry_after), (ProblemCode::Overloaded, Some(10)));
    }
}
