//! Signing keys: `/v1/keys`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    KeyRef, Timestamp,
    admin::Page,
    algorithm::ComponentRole,
    keys::{Key, KeyChange, KeyProfile, NewKey},
    problem::ProblemCode,
    rules::{KeyDays, KeyPathName, NewKeyName, PageLimit, UserId},
};
use sealcard_policy::{Action, Roles};
use sealcard_signer_protocol::SignerError;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, PageQuery, Path, Query, error::sentence, key_work::KeyTask, page_of,
};
use crate::{
    keys::{self, CertificateError, DEFAULT_DAYS, KeyError, KeyPlan, Maker},
    signers::UseError,
    storage::{ComponentRow, KeyFilter, KeyRow, MAX_CANDIDATES},
};

/// How a path names a key.
pub(super) const KEY_PARAMETER: &str =
    "id, fingerprint, its last 16 digits, NAME if only one project has it, or PROJECT/NAME with the slash as %2F";

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, change))
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
        let (row, _) = find(&state, &caller, key).await?;
        return Ok(Json(Page { items: vec![to_key(row, now)], next: None }));
    }
    let visible_to = (!caller.administers()).then_some(caller.principal);
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
    let (project, roles) = state.directory.project(&caller, &new.project, Action::ManageProject).await?;
    let maker = Maker::new(&caller, roles, &[Action::ManageProject])?;
    NewKeyName::check(&new.name).map_err(ApiError::invalid)?;
    UserId::check(&new.user_id).map_err(ApiError::invalid)?;
    let days = new.expires_days.unwrap_or(DEFAULT_DAYS);
    KeyDays::check("expires_days", days).map_err(ApiError::invalid)?;
    let environment = state.directory.environment(&caller, new.environment.as_deref()).await?;
    let plan = KeyPlan {
        project: project.named(),
        environment: environment.named(),
        name: new.name,
        algorithm: new.algorithm,
        user_id: new.user_id,
        days,
        profile: new.profile,
    };
    let task_state = state.clone();
    let made = async move { keys::create(&task_state.store, &task_state.signers, maker, plan).await };
    let id = state.key_work.carry_out((environment.id, KeyTask::Making, caller.principal), made).await?;
    let key = state.store.key(id).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok((StatusCode::CREATED, Json(to_key(key, caller.received))))
}

/// One key.
#[utoipa::path(get, path = "/v1/keys/{key}", tag = "keys",
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = Key)))]
async fn show(State(state): State<AppState>, caller: Caller, Path(key): Path<String>) -> ApiResult<Json<Key>> {
    let (row, _) = find(&state, &caller, &key).await?;
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
    let (row, roles) = find(&state, &caller, &key).await?;
    let maker = Maker::new(&caller, roles, &[Action::ManageProject])?;
    if let Some(name) = &change.name {
        NewKeyName::check(name).map_err(ApiError::invalid)?;
        state.store.expect_free_name(row.project_id, name).await?;
    }
    keys::change(&state.store, maker, &row, change).await?;
    let row = state.store.key(row.id).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok(Json(to_key(row, caller.received)))
}

/// The key that is meant by `key`, if the caller may see it, with the caller's roles in its project. Answers 404, not
/// 403, so that a key's existence is not revealed.
pub(super) async fn find(state: &AppState, caller: &Caller, key: &str) -> ApiResult<(KeyRow, Roles)> {
    let unknown = || ApiError::not_found(format!("There is no key {key}, or you have no role in its project."));
    let visible_to = (!caller.administers()).then_some(caller.principal);
    let mut rows = state.store.find_keys(&KeyRef::parse(key), visible_to).await?;
    let row = match (rows.pop(), rows.as_slice()) {
        (None, _) => return Err(unknown()),
        (Some(row), []) => row,
        (Some(row), others) => return Err(ambiguous(key, others.iter().chain([&row]))),
    };
    let roles = state.store.roles_in_project(caller.principal, row.project_id).await?;
    caller.may(roles, Action::SeeProject).map_err(|_| unknown())?;
    Ok((row, roles))
}

fn ambiguous<'a>(key: &str, rows: impl Iterator<Item = &'a KeyRow>) -> ApiError {
    let names: Vec<String> = rows.map(|row| row.full_name().to_string()).collect();
    let more = if names.len() >= MAX_CANDIDATES { ", …" } else { "" };
    ApiError::invalid(format!("Several keys are named {key}: {}{more}. Write PROJECT/NAME.", names.join(", ")))
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
            KeyError::Offline(why) | KeyError::Named(why) => Self::conflict(why),
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
