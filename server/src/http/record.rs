//! The record: `GET /v1/record` and `GET /v1/record/verify`.

use axum::extract::State;
use data_encoding::HEXLOWER;
use sealcard_api::{
    admin::Page,
    record::{RecordEntry, RecordKind, RecordVerification, RequestState},
    rules::{EntryNumber, PageLimit},
};
use sealcard_policy::{Action, Roles};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiResult, AppState, Caller, Json, PageQuery, Query, keys, page_of, projects};
use crate::{
    audit,
    storage::{RecordFilter, RecordRow, StorageError},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordQuery {
    after: Option<String>,
    limit: Option<u32>,
    project: Option<String>,
    key: Option<String>,
    #[serde(default)]
    order: Order,
}

/// Which entries come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    #[default]
    Oldest,
    Newest,
}

/// Entries of the record: for administrators all, for auditors those of their project.
#[utoipa::path(get, path = "/v1/record", tag = "record", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<EntryNumber>, Query, description = "only those after this number; before it, newest first"),
    ("order" = Option<Order>, Query, description = "which come first: oldest, if absent, or newest"),
    ("project" = Option<String>, Query, description = "only those of this project, by name or id"),
    ("key" = Option<String>, Query, description = "only those of this key: NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id"),
), responses((status = 200, body = Page<RecordEntry>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<RecordQuery>,
) -> ApiResult<Json<Page<RecordEntry>>> {
    let page = PageQuery { limit: query.limit, after: query.after };
    let limit = page.limit()?;
    let after = match &page.after {
        Some(text) => Some(EntryNumber::parse(text).ok_or_else(PageQuery::foreign_after)?),
        None => None,
    };
    let mut filter = RecordFilter {
        after,
        descending: query.order == Order::Newest,
        limit: limit.saturating_add(1),
        ..RecordFilter::default()
    };
    if let Some(name) = &query.project {
        let (project, _) = projects::find(&state, &caller, name, Action::ReadProjectRecord).await?;
        filter.project = Some(project.id);
    }
    // Only keys of projects that the caller may see can be named.
    let mut project = filter.project;
    if let Some(key) = &query.key {
        let (key, _) = keys::find(&state, &caller, key).await?;
        filter.key = Some(key.id);
        project = project.or(Some(key.project_id));
    }
    match project {
        Some(project) => {
            let roles = state.store.roles_in_project(caller.principal, project).await?;
            caller.may(roles, Action::ReadProjectRecord)?;
            filter.project = Some(project);
        }
        None => caller.may(Roles::NONE, Action::ReadWholeRecord)?,
    }
    let rows = state.store.record(filter).await?;
    let entries = rows.into_iter().map(to_entry).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(page_of(entries, limit, |entry: &RecordEntry| entry.sequence)))
}

/// Checks the chain of the whole record, and every key use in it against the signers' journals.
#[utoipa::path(get, path = "/v1/record/verify", tag = "record", responses((status = 200, body = RecordVerification)))]
async fn verify(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<RecordVerification>> {
    caller.may_on_server(Action::ReadWholeRecord)?;
    Ok(Json(audit::verify(&state.requests).await?))
}

fn to_entry(row: RecordRow) -> Result<RecordEntry, StorageError> {
    let damaged = || StorageError::Damaged(format!("record entry {}", row.sequence));
    let kind = RecordKind::ALL.into_iter().find(|kind| kind.name() == row.kind).ok_or_else(damaged)?;
    let state = match &row.state {
        None => None,
        Some(name) => Some(RequestState::ALL.into_iter().find(|state| state.name() == name).ok_or_else(damaged)?),
    };
    Ok(RecordEntry {
        sequence: row.sequence,
        time: row.time,
        kind,
        request_id: row.request_id,
        principal: row.principal,
        project: row.project,
        key: row.key,
        state,
        hash: HEXLOWER.encode(&row.hash),
        body: row.body,
    })
}
