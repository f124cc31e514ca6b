//! Rules for the uses of keys: `/v1/rules`, `/v1/projects/{project}/rules`, `/v1/keys/{key}/rules`,
//! `/v1/environments/{environment}/rules`.

use std::collections::BTreeMap;

use axum::extract::State;
use sealcard_api::{
    Timestamp,
    admin::Page,
    key_rules::{
        CheckedKind, Rules, RulesChange, RulesCheck, RulesChecked, RulesRevert, RulesSummary, RulesVersion, TEXTS_PAGE,
    },
    rule_trials::{MayUse, RulesReplay, RulesReplayed, RulesTest, RulesTested, WhatMay},
    rules::{EntryNumber, KeyDays, KeyPathName, Label, Name, PageLimit, RulesText},
};
use sealcard_policy::{Action, Roles};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, LargeJson, PageQuery, Path, Query, keys::KEY_PARAMETER};
use crate::{
    clock::DAY,
    rules::{self, Change, ReadExamples, Replay, Target},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(check))
        .routes(routes!(test))
        .routes(routes!(replay))
        .routes(routes!(what_may))
        .routes(routes!(show_of_project, apply_to_project))
        .routes(routes!(history_of_project))
        .routes(routes!(revert_project))
        .routes(routes!(show_of_key, apply_to_key))
        .routes(routes!(history_of_key))
        .routes(routes!(revert_key))
        .routes(routes!(show_of_environment, apply_to_environment))
        .routes(routes!(history_of_environment))
        .routes(routes!(revert_environment))
}

/// Whether the compiled form is wanted too.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowQuery {
    pub(super) cedar: Option<bool>,
}

/// Rules in force that the caller may see, without their texts.
#[utoipa::path(get, path = "/v1/rules", tag = "rules", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<Uuid>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<RulesSummary>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<RulesSummary>>> {
    Ok(Json(state.rules.list(&caller, query.after()?, query.limit()?).await?))
}

/// Says what is wrong with rules or templates, and what they are in Cedar. Nothing is changed. For those who may apply
/// them.
#[utoipa::path(post, path = "/v1/rules/check", tag = "rules", request_body = RulesCheck,
    responses((status = 200, body = RulesChecked)))]
async fn check(
    State(state): State<AppState>,
    caller: Caller,
    LargeJson(check): LargeJson<RulesCheck>,
) -> ApiResult<Json<RulesChecked>> {
    expect_text(&check.text)?;
    let target = match (check.kind, check.name.as_deref()) {
        (CheckedKind::Templates, None) => {
            caller.may_on_server(Action::ManageServerRules)?;
            return Ok(Json(state.rules.check_templates(&check.text).await?));
        }
        (CheckedKind::Templates, Some(_)) => {
            return Err(ApiError::invalid("Templates have their names in the text: leave \"name\" out."));
        }
        (_, None) => return Err(ApiError::invalid("The request needs a \"name\": whose rules they are.")),
        (kind, Some(name)) => managed(&state, &caller, kind, name).await?,
    };
    Ok(Json(state.rules.check(&caller, &target, &check.text).await?))
}

/// Judges examples by the rules in force or by others. Nothing is changed. For those who may apply the rules.
#[utoipa::path(post, path = "/v1/rules/test", tag = "rules", request_body = RulesTest,
    responses((status = 200, body = RulesTested)))]
async fn test(
    State(state): State<AppState>,
    caller: Caller,
    LargeJson(test): LargeJson<RulesTest>,
) -> ApiResult<Json<RulesTested>> {
    for text in test.text.iter().chain([&test.examples]) {
        expect_text(text)?;
    }
    let target = managed(&state, &caller, test.kind, &test.name).await?;
    let examples = match rules::Rules::examples(&test.examples) {
        ReadExamples::Good(examples) => examples,
        ReadExamples::Wrong(examples) => return Ok(Json(RulesTested { examples, ..RulesTested::default() })),
    };
    let mut keys = BTreeMap::new();
    for example in examples.iter() {
        if !keys.contains_key(&example.key) {
            let (key, _) = state.keys.find(&caller, &example.key).await?;
            if !target.covers(&key) {
                let message = format!("{} has no key {}: an example needs one of its keys.", test.name, example.key);
                return Err(ApiError::invalid(message));
            }
            keys.insert(example.key.clone(), key);
        }
    }
    Ok(Json(state.rules.test(&target, test.text.as_deref(), examples, &keys).await?))
}

/// Judges recorded uses by two texts and tells which they decide differently. Nothing is changed. For those who may
/// apply the rules and read the record of these uses.
#[utoipa::path(post, path = "/v1/rules/replay", tag = "rules", request_body = RulesReplay,
    responses((status = 200, body = RulesReplayed)))]
async fn replay(
    State(state): State<AppState>,
    caller: Caller,
    LargeJson(body): LargeJson<RulesReplay>,
) -> ApiResult<Json<RulesReplayed>> {
    for text in [&body.old, &body.new] {
        expect_text(text)?;
    }
    KeyDays::check("days", body.days).map_err(ApiError::invalid)?;
    let after = body.after.as_deref().map(|after| {
        after.parse::<u64>().map_err(|_| ApiError::invalid("\"after\" is the number of an entry of the record."))
    });
    let after = after.transpose()?;
    let target = managed(&state, &caller, body.kind, &body.name).await?;
    let since = Timestamp::from_unix(caller.received.unix() - i64::from(body.days) * DAY);
    let replay = Replay { old: body.old, new: body.new, since, after };
    Ok(Json(state.rules.replay(&target, replay).await?))
}

/// What an account may do with keys, as far as its name, groups and roles tell. For holders of a system
/// role.
#[utoipa::path(post, path = "/v1/rules/what-may", tag = "rules", request_body = WhatMay,
    responses((status = 200, body = MayUse)))]
async fn what_may(State(state): State<AppState>, caller: Caller, Json(body): Json<WhatMay>) -> ApiResult<Json<MayUse>> {
    Name::check(&body.name).map_err(ApiError::invalid)?;
    caller.may_on_server(Action::ReadEverything)?;
    let unknown = || ApiError::not_found(format!("There is no user or service account {}.", body.name));
    Ok(Json(state.rules.what_may(&body.name, caller.received).await?.ok_or_else(unknown)?))
}

/// What rules belong to, if the caller may apply them.
async fn managed(state: &AppState, caller: &Caller, kind: CheckedKind, name: &str) -> ApiResult<Target> {
    match kind {
        CheckedKind::Templates => Err(ApiError::invalid("This is about the rules of an environment, project or key.")),
        CheckedKind::Environment => managed_environment(state, caller, name).await,
        CheckedKind::Project => Ok(project(state, caller, name, Action::ManageRules).await?.0),
        CheckedKind::Key => {
            let (target, roles) = key(state, caller, name).await?;
            caller.may(roles, Action::ManageRules)?;
            Ok(target)
        }
    }
}

/// The rules of a project.
#[utoipa::path(get, path = "/v1/projects/{project}/rules", tag = "rules", params(
    ("project" = String, Path, description = "name or id"),
    ("cedar" = Option<bool>, Query, description = "also what they are in Cedar"),
), responses((status = 200, body = Rules)))]
async fn show_of_project(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<ShowQuery>,
) -> ApiResult<Json<Rules>> {
    let (target, _) = project(&state, &caller, &name, Action::SeeProject).await?;
    show(&state, &target, query).await
}

/// Applies rules to all keys of a project, in place of those that are in force.
#[utoipa::path(put, path = "/v1/projects/{project}/rules", tag = "rules", request_body = RulesChange,
    params(("project" = String, Path, description = "name or id")), responses((status = 200, body = Rules)))]
async fn apply_to_project(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    LargeJson(change): LargeJson<RulesChange>,
) -> ApiResult<Json<Rules>> {
    let (target, _) = project(&state, &caller, &name, Action::ManageRules).await?;
    apply(&state, caller, target, change).await
}

/// Versions of a project's rules, newest first: for its owners and auditors.
#[utoipa::path(get, path = "/v1/projects/{project}/rules/versions", tag = "rules", params(
    ("project" = String, Path, description = "name or id"),
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 50 if absent; a page has at most 50"),
    ("after" = Option<EntryNumber>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<RulesVersion>)))]
async fn history_of_project(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<RulesVersion>>> {
    let (target, roles) = project(&state, &caller, &name, Action::SeeProject).await?;
    may_read_history(&caller, roles)?;
    history(&state, &target, &query).await
}

/// Gives a project's rules the text of an older version.
#[utoipa::path(post, path = "/v1/projects/{project}/rules/revert", tag = "rules", request_body = RulesRevert,
    params(("project" = String, Path, description = "name or id")), responses((status = 200, body = Rules)))]
async fn revert_project(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Json(wanted): Json<RulesRevert>,
) -> ApiResult<Json<Rules>> {
    let (target, _) = project(&state, &caller, &name, Action::ManageRules).await?;
    revert(&state, caller, target, wanted).await
}

/// The rules of one key.
#[utoipa::path(get, path = "/v1/keys/{key}/rules", tag = "rules", params(
    ("key" = KeyPathName, Path, description = KEY_PARAMETER),
    ("cedar" = Option<bool>, Query, description = "also what all rules that hold for the key are in Cedar"),
), responses((status = 200, body = Rules)))]
async fn show_of_key(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<ShowQuery>,
) -> ApiResult<Json<Rules>> {
    let (target, _) = key(&state, &caller, &name).await?;
    show(&state, &target, query).await
}

/// Applies rules to one key, in place of its own ones that are in force.
#[utoipa::path(put, path = "/v1/keys/{key}/rules", tag = "rules", request_body = RulesChange,
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = Rules)))]
async fn apply_to_key(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    LargeJson(change): LargeJson<RulesChange>,
) -> ApiResult<Json<Rules>> {
    let (target, roles) = key(&state, &caller, &name).await?;
    caller.may(roles, Action::ManageRules)?;
    apply(&state, caller, target, change).await
}

/// Versions of a key's rules, newest first: for owners and auditors of its project.
#[utoipa::path(get, path = "/v1/keys/{key}/rules/versions", tag = "rules", params(
    ("key" = KeyPathName, Path, description = KEY_PARAMETER),
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 50 if absent; a page has at most 50"),
    ("after" = Option<EntryNumber>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<RulesVersion>)))]
async fn history_of_key(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<RulesVersion>>> {
    let (target, roles) = key(&state, &caller, &name).await?;
    may_read_history(&caller, roles)?;
    history(&state, &target, &query).await
}

/// Gives a key's rules the text of an older version.
#[utoipa::path(post, path = "/v1/keys/{key}/rules/revert", tag = "rules", request_body = RulesRevert,
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = Rules)))]
async fn revert_key(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Json(wanted): Json<RulesRevert>,
) -> ApiResult<Json<Rules>> {
    let (target, roles) = key(&state, &caller, &name).await?;
    caller.may(roles, Action::ManageRules)?;
    revert(&state, caller, target, wanted).await
}

/// The rules of an environment: for those who may see it.
#[utoipa::path(get, path = "/v1/environments/{environment}/rules", tag = "rules", params(
    ("environment" = String, Path, description = "name or id"),
    ("cedar" = Option<bool>, Query, description = "also what they are in Cedar"),
), responses((status = 200, body = Rules)))]
async fn show_of_environment(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<ShowQuery>,
) -> ApiResult<Json<Rules>> {
    show(&state, &environment(&state, &caller, &name).await?, query).await
}

/// Applies rules to all keys of an environment, in place of those that are in force.
#[utoipa::path(put, path = "/v1/environments/{environment}/rules", tag = "rules", request_body = RulesChange,
    params(("environment" = String, Path, description = "name or id")), responses((status = 200, body = Rules)))]
async fn apply_to_environment(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    LargeJson(change): LargeJson<RulesChange>,
) -> ApiResult<Json<Rules>> {
    let target = managed_environment(&state, &caller, &name).await?;
    apply(&state, caller, target, change).await
}

/// Versions of an environment's rules, newest first.
#[utoipa::path(get, path = "/v1/environments/{environment}/rules/versions", tag = "rules", params(
    ("environment" = String, Path, description = "name or id"),
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 50 if absent; a page has at most 50"),
    ("after" = Option<EntryNumber>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<RulesVersion>)))]
async fn history_of_environment(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<RulesVersion>>> {
    let target = environment(&state, &caller, &name).await?;
    caller.may_on_server(Action::ReadEverything)?;
    history(&state, &target, &query).await
}

/// Gives an environment's rules the text of an older version.
#[utoipa::path(post, path = "/v1/environments/{environment}/rules/revert", tag = "rules",
    request_body = RulesRevert, params(("environment" = String, Path, description = "name or id")),
    responses((status = 200, body = Rules)))]
async fn revert_environment(
    State(state): State<AppState>,
    caller: Caller,
    Path(name): Path<String>,
    Json(wanted): Json<RulesRevert>,
) -> ApiResult<Json<Rules>> {
    let target = managed_environment(&state, &caller, &name).await?;
    revert(&state, caller, target, wanted).await
}

async fn show(state: &AppState, target: &Target, query: ShowQuery) -> ApiResult<Json<Rules>> {
    Ok(Json(state.rules.show(target, query.cedar.unwrap_or(false)).await?))
}

async fn apply(state: &AppState, caller: Caller, target: Target, change: RulesChange) -> ApiResult<Json<Rules>> {
    let RulesChange { text, base, note } = change;
    expect_text(&text)?;
    expect_note(note.as_deref())?;
    state.rules.apply(caller, target.clone(), Change { text, base, note }).await?;
    Ok(Json(state.rules.show(&target, false).await?))
}

async fn revert(state: &AppState, caller: Caller, target: Target, wanted: RulesRevert) -> ApiResult<Json<Rules>> {
    let RulesRevert { version, base, note } = wanted;
    expect_note(note.as_deref())?;
    state.rules.revert(caller, target.clone(), version, (base, note)).await?;
    Ok(Json(state.rules.show(&target, false).await?))
}

async fn history(state: &AppState, target: &Target, query: &PageQuery) -> ApiResult<Json<Page<RulesVersion>>> {
    let (before, limit) = page(query)?;
    Ok(Json(state.rules.history(target, before, limit).await?))
}

/// The version that a page of versions ends before, and the most items of it.
pub(super) fn page(query: &PageQuery) -> ApiResult<(Option<u64>, u32)> {
    let before = query.after.as_deref().map(|after| EntryNumber::parse(after).ok_or_else(PageQuery::foreign_after));
    Ok((before.transpose()?, query.limit()?.min(TEXTS_PAGE)))
}

/// The longest text fits in the characters that the document allows; more bytes are a mistake in the text.
pub(super) fn expect_text(text: &str) -> ApiResult<()> {
    if text.chars().count() > RulesText::MAX {
        return Err(ApiError::invalid(format!("\"text\" must have at most {} characters.", RulesText::MAX)));
    }
    Ok(())
}

pub(super) fn expect_note(note: Option<&str>) -> ApiResult<()> {
    note.map_or(Ok(()), Label::check).map_err(ApiError::invalid)
}

/// Owners, auditors and holders of a system role.
fn may_read_history(caller: &Caller, roles: Roles) -> ApiResult<()> {
    Ok(caller.may(roles, Action::ReadProjectRecord).or_else(|_| caller.may(roles, Action::ManageRules))?)
}

async fn project(state: &AppState, caller: &Caller, name: &str, action: Action) -> ApiResult<(Target, Roles)> {
    let (row, roles) = state.directory.project(caller, name, action).await?;
    Ok(((&row).into(), roles))
}

async fn key(state: &AppState, caller: &Caller, name: &str) -> ApiResult<(Target, Roles)> {
    let (row, roles) = state.keys.find(caller, name).await?;
    Ok(((&row).into(), roles))
}

async fn environment(state: &AppState, caller: &Caller, name: &str) -> ApiResult<Target> {
    Ok((&state.directory.environment(caller, Some(name)).await?).into())
}

async fn managed_environment(state: &AppState, caller: &Caller, name: &str) -> ApiResult<Target> {
    let target = environment(state, caller, name).await?;
    caller.may_on_server(Action::ManageServerRules)?;
    Ok(target)
}
