//! The record: `GET /v1/record` and `/v1/record/verification`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    Timestamp,
    admin::Page,
    ids::{ProjectId, RequestId},
    problem::ProblemCode,
    record::{RecordKind, RecordVerification},
    rules::{EntryNumber, PageLimit},
};
use sealcard_policy::Action;
use sealcard_record::Sha256;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, PageQuery, Query, page_of};
use crate::storage::{RecordFilter, RecordRow, StorageError};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(start_verification, verification))
}

/// One entry. Entries are the leaves of a Merkle tree.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RecordEntry {
    /// The hash of the entry's leaf, lower-case hexadecimal.
    hash: String,
    /// The salt of the leaf's commitment to the entry, lower-case hexadecimal.
    salt: String,
    /// The entry: exactly the bytes that the leaf commits to.
    #[schema(value_type = Object)]
    entry: Box<RawValue>,
    #[serde(skip)]
    sequence: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordQuery {
    after: Option<String>,
    limit: Option<u32>,
    #[serde(default)]
    order: Order,
    project: Option<String>,
    key: Option<String>,
    user: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    kind: Option<String>,
    event: Option<String>,
    #[serde(default)]
    denied: bool,
    #[serde(default)]
    folded: bool,
    request: Option<RequestId>,
    signature: Option<Sha256>,
}

/// Which entries come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    #[default]
    Oldest,
    Newest,
}

/// Entries of the record: for holders of a system role all, for auditors those of their project.
#[utoipa::path(get, path = "/v1/record", tag = "record", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<EntryNumber>, Query, description = "only those after this number; before it, newest first"),
    ("order" = Option<Order>, Query, description = "which come first: oldest, if absent, or newest"),
    ("project" = Option<String>, Query, description = "only those of this project, by name or id"),
    ("key" = Option<String>, Query, description = "only those of this key: NAME, PROJECT/NAME, fingerprint, its last \
        16 digits, or id"),
    ("user" = Option<String>, Query, description = "only what this user or service account did or tried, by name or \
        id"),
    ("since" = Option<Timestamp>, Query, description = "only those of this time or later"),
    ("until" = Option<Timestamp>, Query, description = "only those of this time or earlier"),
    ("kind" = Option<String>, Query,
        description = "only those of these kinds, separated by commas: intent, outcome, denied, authentication, \
            administration"),
    ("event" = Option<String>, Query, description = "only those of this event"),
    ("denied" = Option<bool>, Query, description = "only what was refused: uses, logins, changes of passwords and other requests"),
    ("folded" = Option<bool>, Query, description = "no intent that has an outcome: one entry for each use"),
    ("request" = Option<RequestId>, Query, description = "those of this request, and no other filter but project"),
    ("signature" = Option<String>, Query,
        description = "the outcomes of the signature with this SHA-256, and no other filter but project"),
), responses((status = 200, body = Page<RecordEntry>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<RecordQuery>,
) -> ApiResult<Json<Page<RecordEntry>>> {
    let page = PageQuery { limit: query.limit, after: query.after.clone() };
    let limit = page.limit()?;
    let mut filter = filter(&page, &query)?;
    if let Some(name) = &query.project {
        let (project, _) = state.directory.project(&caller, name, Action::ReadProjectRecord).await?;
        filter.project = Some(project.id);
    }
    // Only keys of projects that the caller may see can be named.
    if let Some(key) = &query.key {
        let (key, _) = state.keys.find(&caller, key).await?;
        filter.key = Some(key.id);
        filter.project = filter.project.or(Some(key.project_id));
    }
    may_read(&state, &caller, filter.project).await?;
    if let Some(user) = &query.user {
        // Also a removed one: the record keeps what it did. An auditor does not learn from the answer whether there is
        // one.
        match state.store.principal_of_record(user).await? {
            Some(id) => filter.principal = Some(id),
            None if filter.project.is_some() => return Ok(Json(Page { items: Vec::new(), next: None })),
            None => return Err(ApiError::not_found(format!("There is no user or service account {user}."))),
        }
    }
    let rows = match (query.request, query.signature) {
        (Some(request), _) => of_project(filter.project, state.store.record_of_request(request).await?),
        (_, Some(signature)) => of_project(filter.project, state.store.record_of_signature(signature).await?),
        (None, None) => {
            filter.limit = limit.saturating_add(1);
            let rows = state.store.record(filter).await?;
            let entries = rows.into_iter().map(to_entry).collect::<Result<Vec<_>, _>>()?;
            return Ok(Json(page_of(entries, limit, |entry: &RecordEntry| entry.sequence)));
        }
    };
    Ok(Json(Page { items: rows.into_iter().map(to_entry).collect::<Result<_, _>>()?, next: None }))
}

fn filter(page: &PageQuery, query: &RecordQuery) -> ApiResult<RecordFilter> {
    let after = match &page.after {
        Some(text) => Some(EntryNumber::parse(text).ok_or_else(PageQuery::foreign_after)?),
        None => None,
    };
    let kind = |name: &str| {
        let known = RecordKind::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| ApiError::invalid(format!("There is no kind {name:?}.")))
    };
    Ok(RecordFilter {
        after,
        descending: query.order == Order::Newest,
        since: query.since,
        until: query.until,
        kinds: query.kind.iter().flat_map(|kinds| kinds.split(',')).map(kind).collect::<ApiResult<_>>()?,
        event: query.event.clone(),
        denied: query.denied,
        folded: query.folded,
        ..RecordFilter::default()
    })
}

/// The whole record is for holders of a system role, and a project's part for its auditors.
async fn may_read(state: &AppState, caller: &Caller, project: Option<ProjectId>) -> ApiResult<()> {
    match project {
        Some(project) => {
            let roles = state.store.roles_in_project(caller.principal, project).await?;
            Ok(caller.may(roles, Action::ReadProjectRecord)?)
        }
        None => Ok(caller.may_on_server(Action::ReadWholeRecord)?),
    }
}

fn of_project(project: Option<ProjectId>, mut rows: Vec<RecordRow>) -> Vec<RecordRow> {
    rows.retain(|row| project.is_none_or(|project| row.project == Some(project)));
    rows
}

fn to_entry(row: RecordRow) -> Result<RecordEntry, StorageError> {
    let RecordRow { sequence, body, salt, hash, .. } = row;
    let entry = RawValue::from_string(body);
    let entry = entry.map_err(|_| StorageError::Damaged(format!("record entry {sequence}")))?;
    Ok(RecordEntry { hash: hash.to_string(), salt: salt.to_string(), entry, sequence })
}

/// Starts to check the log of the whole record, and every key use in it against the signers' journals. If a
/// verification runs already, no other is started.
#[utoipa::path(post, path = "/v1/record/verification", tag = "record",
    responses((status = 202, body = RecordVerification)))]
async fn start_verification(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<(StatusCode, Json<RecordVerification>)> {
    caller.may_on_server(Action::ReadWholeRecord)?;
    Ok((StatusCode::ACCEPTED, Json(state.audit.start().await?)))
}

/// How the verification of the record that runs stands, or what the last one came to. Each server has its own.
#[utoipa::path(get, path = "/v1/record/verification", tag = "record",
    responses((status = 200, body = RecordVerification)))]
async fn verification(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<RecordVerification>> {
    caller.may_on_server(Action::ReadWholeRecord)?;
    let none = || ApiError::new(ProblemCode::NotFound).detail("No verification was started since the server started.");
    Ok(Json(state.audit.last().ok_or_else(none)?))
}
