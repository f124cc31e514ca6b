//! People: `/v1/users`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sealcard_api::{
    Timestamp,
    admin::{NewUser, Page, User, UserAdded, UserChange},
    ids::{PrincipalId, ProjectId},
    record::RecordKind,
    rules::{Name, NewPassword, PageLimit},
};
use sealcard_policy::{Action, PrincipalKind};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{
    ApiError, ApiResult, AppState, Caller, Json, Path, Query,
    login::{close_after, closing},
    page_of, passwords,
};
use crate::{
    http::PageQuery,
    storage::{Draft, PrincipalChange, PrincipalRow, WriteTx},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, change, remove))
}

/// All users, oldest first.
#[utoipa::path(get, path = "/v1/users", tag = "users", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<Uuid>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<User>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<User>>> {
    caller.may_on_server(Action::ManageServer)?;
    let limit = query.limit()?;
    let rows = state.store.principals(PrincipalKind::User, query.after()?, limit + 1).await?;
    let page = page_of(rows, limit, |row| row.id);
    Ok(Json(Page { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

/// Adds a user. Without a password in the request, the answer has a one-time password. The connection is closed after the answer.
#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = NewUser,
    responses((status = 201, body = UserAdded)))]
async fn create(State(state): State<AppState>, caller: Caller, body: Result<Json<NewUser>, ApiError>) -> Response {
    closing(StatusCode::CREATED, create_user(&state, caller, body).await)
}

async fn create_user(
    state: &AppState,
    caller: Caller,
    body: Result<Json<NewUser>, ApiError>,
) -> ApiResult<Json<UserAdded>> {
    caller.may_on_server(Action::ManageServer)?;
    let Json(new) = body?;
    let password = new.password.map(|password| Zeroizing::new(password.0));
    Name::check(&new.name).map_err(ApiError::invalid)?;
    let (one_time_password, hash) = match password {
        Some(password) => {
            let min_characters = state.config.limits.password_characters;
            NewPassword::check(&password, &new.name, min_characters).map_err(ApiError::invalid)?;
            (None, passwords::hash(state, caller.peer.ip(), password).await?)
        }
        None => passwords::one_time(state, caller.peer.ip()).await.map(|(issued, hash)| (Some(issued), hash))?,
    };
    let row = PrincipalRow {
        id: PrincipalId::new(),
        kind: PrincipalKind::User,
        name: new.name,
        administrator: new.administrator,
        disabled: false,
        created: Timestamp::now().unix(),
        one_time_until: one_time_password.as_ref().map(|issued| issued.expires.unix()),
    };
    let user = User::from(row.clone());
    state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            tx.add_principal(&row, Some(&hash))?;
            let details = json!({
                "event": "user-added", "user": row.id, "name": row.name, "administrator": row.administrator,
                "one_time_password": row.one_time_until.is_some(),
            });
            note(tx, &caller, None, details)
        })
        .await?;
    Ok(Json(UserAdded { user, one_time_password }))
}

/// One user.
#[utoipa::path(get, path = "/v1/users/{user}", tag = "users", params(("user" = String, Path, description = "name or id")),
    responses((status = 200, body = User)))]
async fn show(State(state): State<AppState>, caller: Caller, Path(user): Path<String>) -> ApiResult<Json<User>> {
    let own = user == caller.name || user == caller.principal.to_string();
    caller.may_on_server(if own { Action::LookAfterOneself } else { Action::ManageServer })?;
    let row = state.store.principal(PrincipalKind::User, &user).await?;
    Ok(Json(row.ok_or_else(|| ApiError::not_found(format!("There is no user {user}.")))?.into()))
}

/// Changes a user: name, password, right to administer, disabled. A new password and disabling revoke the user's grants. The
/// connection is closed after the answer.
#[utoipa::path(patch, path = "/v1/users/{user}", tag = "users", params(("user" = String, Path, description = "name or id")),
    request_body = UserChange, responses((status = 200, body = User)))]
async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<String>,
    body: Result<Json<UserChange>, ApiError>,
) -> Response {
    closing(StatusCode::OK, change_user(&state, caller, user, body).await)
}

async fn change_user(
    state: &AppState,
    caller: Caller,
    user: String,
    body: Result<Json<UserChange>, ApiError>,
) -> ApiResult<Json<User>> {
    caller.may_on_server(Action::ManageServer)?;
    let Json(change) = body?;
    let (administrator, disabled) = (change.administrator, change.disabled);
    change.name.as_deref().map_or(Ok(()), Name::check).map_err(ApiError::invalid)?;
    let mut change_row = PrincipalChange { administrator, disabled, name: change.name, ..PrincipalChange::default() };
    let new_password = change.password.map(|password| Zeroizing::new(password.0));
    if let Some(password) = new_password {
        let row = state.store.principal(PrincipalKind::User, &user).await?.ok_or_else(|| unknown(&user))?;
        NewPassword::check(&password, &row.name, state.config.limits.password_characters).map_err(ApiError::invalid)?;
        change_row.password = Some(passwords::hash(state, caller.peer.ip(), password).await?);
    }
    let user = state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            let before = find_user(tx, &user)?;
            tx.change_principal(before.id, &change_row)?;
            must_keep_an_administrator(tx)?;
            if change_row.password.is_some() || disabled == Some(true) {
                tx.revoke_grants_of(before.id, Timestamp::now().unix())?;
            }
            if disabled.is_some() {
                tx.bump_registry()?;
            }
            let details = json!({
                "event": "user-changed", "user": before.id, "name": before.name, "administrator": administrator,
                "disabled": disabled, "password": change_row.password.is_some(), "new_name": change_row.name,
            });
            note(tx, &caller, None, details)?;
            find_user(tx, &before.id.to_string())
        })
        .await?;
    Ok(Json(user.into()))
}

/// Removes a user and every grant of the user. The record keeps the id.
#[utoipa::path(delete, path = "/v1/users/{user}", tag = "users", params(("user" = String, Path, description = "name or id")),
    responses((status = 204, description = "Removed")))]
async fn remove(State(state): State<AppState>, caller: Caller, Path(user): Path<String>) -> Response {
    let result = remove_principal(&state, caller, PrincipalKind::User, user).await;
    close_after(result.into_response())
}

/// Removes a principal with its memberships, grants and tokens.
pub(super) async fn remove_principal(
    state: &AppState,
    caller: Caller,
    kind: PrincipalKind,
    name: String,
) -> ApiResult<StatusCode> {
    caller.may_on_server(Action::ManageServer)?;
    state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            let row = tx.find_principal(&name)?.filter(|row| row.kind == kind);
            let row = row.ok_or_else(|| unknown(&name))?;
            tx.remove_principal(row.id, Timestamp::now().unix())?;
            must_keep_an_administrator(tx)?;
            tx.bump_registry()?;
            let event = match kind {
                PrincipalKind::User => "user-removed",
                PrincipalKind::ServiceAccount => "service-account-removed",
            };
            note(tx, &caller, None, json!({"event": event, "principal": row.id, "name": row.name}))?;
            Ok(StatusCode::NO_CONTENT)
        })
        .await
}

/// A user or service account by name or id.
pub(super) async fn any_principal(state: &AppState, name: &str) -> ApiResult<PrincipalRow> {
    for kind in [PrincipalKind::User, PrincipalKind::ServiceAccount] {
        if let Some(row) = state.store.principal(kind, name).await? {
            return Ok(row);
        }
    }
    Err(unknown(name))
}

/// Appends who changed what to the record, in the same transaction as the change.
pub(super) fn note(tx: &mut WriteTx, caller: &Caller, project: Option<ProjectId>, details: Value) -> ApiResult<()> {
    let draft = Draft {
        kind: RecordKind::Administration,
        request_id: caller.request_id,
        principal: Some(caller.principal),
        project,
        key: None,
        state: None,
        details,
    };
    tx.append_record(draft);
    Ok(())
}

pub(super) fn find_user(tx: &mut WriteTx, name: &str) -> ApiResult<PrincipalRow> {
    let row = tx.find_principal(name)?.filter(|row| row.kind == PrincipalKind::User);
    row.ok_or_else(|| unknown(name))
}

/// Undoes the transaction that would leave nobody to administer the server.
fn must_keep_an_administrator(tx: &mut WriteTx) -> ApiResult<()> {
    if tx.administrators()? > 0 {
        return Ok(());
    }
    Err(ApiError::conflict(
        "This is the last administrator with a password of their own. Make another user administrator first.",
    ))
}

fn unknown(name: &str) -> ApiError {
    ApiError::not_found(format!("There is no user or service account {name}."))
}

impl From<PrincipalRow> for User {
    fn from(row: PrincipalRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            administrator: row.administrator,
            disabled: row.disabled,
            created: Timestamp::from_unix(row.created),
            one_time_password_expires: row.one_time_until.map(Timestamp::from_unix),
        }
    }
}
