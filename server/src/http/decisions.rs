//! What policy would decide: `POST /v1/keys/{key}/can`.

use axum::extract::State;
use sealcard_api::{
    decisions::{CanAnswer, CanRequest, PolicyDecision, QuotaLeft, UseKind},
    ids::KeyId,
};
use sealcard_policy::{Denial, KeyOperation, RuleDenial, rules::Expectation};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path};
use crate::requests::{PossibleUse, Prospect};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(can))
}

/// Whether policy would allow a use now, and what is missing. Nothing is done or recorded.
#[utoipa::path(post, path = "/v1/keys/{key}/can", tag = "operations", request_body = CanRequest,
    params(("key" = KeyId, Path)), responses((status = 200, body = CanAnswer)))]
async fn can(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<KeyId>,
    Json(body): Json<CanRequest>,
) -> ApiResult<Json<CanAnswer>> {
    let operation = match body.operation {
        UseKind::Sign => KeyOperation::Sign,
        UseKind::Decrypt => KeyOperation::Decrypt,
        UseKind::Authenticate => KeyOperation::Authenticate,
    };
    let context = super::operations::checked(body.context)?;
    let tool_is_known = !context.processes.is_empty();
    let prospect = state.requests.can(&caller, &PossibleUse { key, operation, hash: body.hash, context }).await?;
    answer(prospect, tool_is_known).map(Json)
}

fn answer(Prospect { decision, quotas }: Prospect, tool_is_known: bool) -> ApiResult<CanAnswer> {
    // A key that the caller may not see, or a login that has ended.
    if matches!(decision.denials().first(), Some(Denial::NotAMember | Denial::UnknownKey)) {
        return Err(ApiError::from_decision(&decision).unwrap_or_else(ApiError::invisible_key));
    }
    let condition = |denial: &Denial| match denial {
        Denial::Rule(rule) if !tool_is_known && is_about_tools(rule) => {
            Some(format!("the rule {} of {} {}", rule.rule, rule.scope, rule.wants))
        }
        _ => None,
    };
    let conditions: Vec<String> = decision.denials().iter().filter_map(condition).collect();
    let denials: Vec<&Denial> = decision.denials().iter().filter(|denial| condition(denial).is_none()).collect();
    let decided = match (denials.as_slice(), Expectation::of(&decision)) {
        ([], Expectation::Deny) if !conditions.is_empty() && decision.demands().is_empty() => PolicyDecision::Allow,
        ([], Expectation::Deny) if !conditions.is_empty() => PolicyDecision::Wait,
        (_, Expectation::Allow) => PolicyDecision::Allow,
        (_, Expectation::Wait) => PolicyDecision::Wait,
        (_, Expectation::Deny) => PolicyDecision::Deny,
    };
    let mut reasons: Vec<String> = denials.iter().map(ToString::to_string).collect();
    reasons.extend(decision.demands().iter().map(ToString::to_string));
    let quotas = quotas.into_iter().map(|(quota, left, until)| QuotaLeft { quota, left, until });
    Ok(CanAnswer {
        decision: decided,
        reasons,
        conditions,
        advice: (decided != PolicyDecision::Allow).then(|| decision.whom_to_ask()).flatten(),
        quotas: quotas.collect(),
    })
}

fn is_about_tools(rule: &RuleDenial) -> bool {
    rule.id.rsplit('/').next() == Some("tools")
}
