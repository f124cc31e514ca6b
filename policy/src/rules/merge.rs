//! Many policies in one, which Cedar evaluates in a third of the time.

use cedar_policy::{Policy, PolicyId, PolicySet};
use serde_json::{Value, json};

/// One policy in place of all whose scope can be said in a condition, and the others as they are. It forbids if one of them does,
/// and fails if one fails before another forbids: so nothing is allowed without an error that they would not allow.
pub(super) fn merge(policies: &PolicySet) -> Result<PolicySet, String> {
    let mut merged = PolicySet::new();
    let mut forbidding = Vec::new();
    for policy in policies.policies() {
        let json = policy.to_json().map_err(|error| error.to_string())?;
        match condition(&json) {
            Some(condition) => forbidding.push(condition),
            None => merged.add(policy.clone()).map_err(|error| error.to_string())?,
        }
    }
    if let Some(any) = join("||", forbidding) {
        let all = json!({ "op": "All" });
        let json = json!({
            "effect": "forbid", "principal": all, "action": all, "resource": all,
            "conditions": [{ "kind": "when", "body": any }],
        });
        let policy = Policy::from_json(Some(PolicyId::new("merged")), json).map_err(|error| error.to_string())?;
        merged.add(policy).map_err(|error| error.to_string())?;
    }
    Ok(merged)
}

/// When the policy forbids. None if that can't be said in a condition, as of a policy for a type.
fn condition(policy: &Value) -> Option<Value> {
    (policy.get("effect")? == "forbid").then_some(())?;
    let mut all = Vec::new();
    for part in ["principal", "action", "resource"] {
        all.extend(scope(part, policy.get(part)?)?);
    }
    for condition in policy.get("conditions")?.as_array()? {
        let body = condition.get("body")?.clone();
        all.push(match condition.get("kind")?.as_str()? {
            "when" => body,
            "unless" => json!({ "!": { "arg": body } }),
            _ => return None,
        });
    }
    // Without a condition it always forbids.
    Some(join("&&", all).unwrap_or_else(|| json!({ "Value": true })))
}

/// What the scope asks of principal, action or resource: nothing, or a condition. None if it is neither `==` nor `in`.
fn scope(part: &str, constraint: &Value) -> Option<Option<Value>> {
    let entity = |entity: &Value| json!({ "Value": { "__entity": entity } });
    let operator = constraint.get("op")?.as_str()?;
    let right = match (operator, constraint.get("entity"), constraint.get("entities")) {
        ("All", ..) => return Some(None),
        ("==" | "in", Some(one), _) => entity(one),
        ("in", None, Some(many)) => json!({ "Set": many.as_array()?.iter().map(entity).collect::<Vec<_>>() }),
        _ => return None,
    };
    Some(Some(json!({ operator: { "left": { "Var": part }, "right": right } })))
}

/// The parts with an operator between them, in their order, nested as little as can be.
fn join(operator: &str, mut parts: Vec<Value>) -> Option<Value> {
    match parts.len() {
        0 | 1 => parts.pop(),
        many => {
            let right = parts.split_off(many / 2);
            Some(json!({ operator: { "left": join(operator, parts)?, "right": join(operator, right)? } }))
        }
    }
}
