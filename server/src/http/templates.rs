//! Templates that rules link to: `/v1/templates`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    admin::Page,
    key_rules::{
        RulesChange, RulesRevert, TEXTS_PAGE, Template, TemplateAct, TemplateBase, TemplateVersion, TemplatesChange,
    },
    rules::{EntryNumber, Name, PageLimit},
};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, LargeJson, PageQuery, Path, Query,
    rules::{ShowQuery, expect_note, expect_text, page},
};
use crate::rules::{Act, Change, TemplatesPlan};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, apply_all))
        .routes(routes!(show, apply))
        .routes(routes!(history))
        .routes(routes!(revert))
        .routes(routes!(withdraw))
        .routes(routes!(restore))
}

/// The most bases of one change.
const MAX_BASES: usize = 50;

/// Templates that the caller may see, sorted by name.
#[utoipa::path(get, path = "/v1/templates", tag = "templates", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 50 if absent; a page has at most 50"),
    ("after" = Option<Name>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<Template>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<Template>>> {
    query.after.as_deref().map_or(Ok(()), Name::check).map_err(|_| PageQuery::foreign_after())?;
    let after = query.after.as_deref().unwrap_or_default();
    let limit = query.limit()?.min(TEXTS_PAGE);
    Ok(Json(state.rules.templates(&caller, after, limit).await?))
}

/// Applies all templates of a text, or none.
#[utoipa::path(post, path = "/v1/templates", tag = "templates", request_body = TemplatesChange,
    responses((status = 204, description = "Applied")))]
async fn apply_all(
    State(state): State<AppState>,
    caller: Caller,
    LargeJson(change): LargeJson<TemplatesChange>,
) -> ApiResult<StatusCode> {
    caller.may_on_server(Action::ManageServerRules)?;
    let TemplatesChange { text, bases, note } = change;
    expect_text(&text)?;
    expect_note(note.as_deref())?;
    bases.iter().try_for_each(TemplateBase::check).map_err(ApiError::invalid)?;
    if bases.len() > MAX_BASES {
        return Err(ApiError::invalid(format!("\"bases\" must have at most {MAX_BASES} items.")));
    }
    state.rules.apply_templates(caller, TemplatesPlan { text, bases, note }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One template.
#[utoipa::path(get, path = "/v1/templates/{template}", tag = "templates", params(
    ("template" = String, Path, description = "name"),
    ("cedar" = Option<bool>, Query, description = "also what a link to it is in Cedar"),
), responses((status = 200, body = Template)))]
async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<ShowQuery>,
) -> ApiResult<Json<Template>> {
    Ok(Json(state.rules.template(&caller, &name, query.cedar.unwrap_or(false)).await?))
}

/// Adds or changes one template.
#[utoipa::path(put, path = "/v1/templates/{template}", tag = "templates", request_body = RulesChange,
    params(("template" = String, Path, description = "name")), responses((status = 200, body = Template)))]
async fn apply(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    LargeJson(change): LargeJson<RulesChange>,
) -> ApiResult<Json<Template>> {
    caller.may_on_server(Action::ManageServerRules)?;
    let RulesChange { text, base, note } = change;
    expect_text(&text)?;
    expect_note(note.as_deref())?;
    state.rules.apply_template(caller.clone(), &name, Change { text, base, note }).await?;
    Ok(Json(state.rules.template(&caller, &name, false).await?))
}

/// Versions of a template, newest first.
#[utoipa::path(get, path = "/v1/templates/{template}/versions", tag = "templates", params(
    ("template" = String, Path, description = "name"),
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 50 if absent; a page has at most 50"),
    ("after" = Option<EntryNumber>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<TemplateVersion>)))]
async fn history(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<TemplateVersion>>> {
    caller.may_on_server(Action::ReadEverything)?;
    let (before, limit) = page(&query)?;
    Ok(Json(state.rules.template_history(&name, before, limit).await?))
}

/// Gives a template the text of an older version.
#[utoipa::path(post, path = "/v1/templates/{template}/revert", tag = "templates", request_body = RulesRevert,
    params(("template" = String, Path, description = "name")), responses((status = 200, body = Template)))]
async fn revert(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Json(wanted): Json<RulesRevert>,
) -> ApiResult<Json<Template>> {
    caller.may_on_server(Action::ManageServerRules)?;
    let RulesRevert { version, base, note } = wanted;
    expect_note(note.as_deref())?;
    state.rules.revert_template(caller.clone(), &name, version, (base, note)).await?;
    Ok(Json(state.rules.template(&caller, &name, false).await?))
}

/// Withdraws a template: rules that link to it deny every use, until it is restored or the link is removed.
#[utoipa::path(post, path = "/v1/templates/{template}/withdraw", tag = "templates", request_body = TemplateAct,
    params(("template" = String, Path, description = "name")), responses((status = 200, body = Template)))]
async fn withdraw(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Json(wanted): Json<TemplateAct>,
) -> ApiResult<Json<Template>> {
    act(&state, caller, name, Act::Withdraw, wanted).await
}

/// Restores a template that was withdrawn.
#[utoipa::path(post, path = "/v1/templates/{template}/restore", tag = "templates", request_body = TemplateAct,
    params(("template" = String, Path, description = "name")), responses((status = 200, body = Template)))]
async fn restore(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Json(wanted): Json<TemplateAct>,
) -> ApiResult<Json<Template>> {
    act(&state, caller, name, Act::Restore, wanted).await
}

async fn act(
    state: &AppState,
    caller: Caller,
    name: String,
    act: Act,
    wanted: TemplateAct,
) -> ApiResult<Json<Template>> {
    caller.may_on_server(Action::ManageServerRules)?;
    let TemplateAct { base, note } = wanted;
    expect_note(note.as_deref())?;
    state.rules.act(caller.clone(), &name, act, (base, note)).await?;
    Ok(Json(state.rules.template(&caller, &name, false).await?))
}
