//! Many policies in one, which Cedar evaluates in half of the time.

use cedar_policy::{Policy, PolicyId, PolicySet};
use serde_json::{Value, json};

/// One policy in place of all whose scope can be said in a condition, and the others as they are. It forbids if one of
/// them forbids, and fails if one fails before another forbids. So it allows without an error only what all of them do.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use cedar_policy::{Authorizer, Context, Entities, Entity, EntityUid, Request};

    use super::*;

    /// Policies for user `jane` of group `qa` and the key `tools/tags` of project `tools`: some forbid, others do not.
    const FORBIDS: [(&str, bool); 14] = [
        ("(principal, action, resource)", true),
        ("(principal == User::\"jane\", action, resource)", true),
        ("(principal == User::\"joe\", action, resource)", false),
        ("(principal in Group::\"qa\", action, resource)", true),
        ("(principal in Group::\"dev\", action, resource)", false),
        ("(principal is User, action, resource)", true),
        ("(principal is ServiceAccount, action, resource)", false),
        ("(principal is User in Group::\"qa\", action, resource)", true),
        ("(principal, action == Action::\"sign\", resource)", true),
        ("(principal, action in [Action::\"decrypt\", Action::\"sign\"], resource)", true),
        ("(principal, action in [Action::\"decrypt\"], resource)", false),
        ("(principal, action, resource in Project::\"tools\") unless { principal in Group::\"dev\" }", true),
        (
            "(principal, action, resource in Project::\"tools\") when { true } unless { principal in Group::\"qa\" }",
            false,
        ),
        ("(principal, action, resource == Key::\"tools/tags\") when { 9223372036854775807 + 1 > 0 }", false),
    ];

    fn uid(text: &str) -> EntityUid {
        text.parse().unwrap()
    }

    fn allows(policies: &PolicySet) -> bool {
        let (jane, key) = (uid("User::\"jane\""), uid("Key::\"tools/tags\""));
        let request = Request::new(jane.clone(), uid("Action::\"sign\""), key.clone(), Context::empty(), None).unwrap();
        let jane = Entity::new_no_attrs(jane, HashSet::from([uid("Group::\"qa\"")]));
        let key = Entity::new_no_attrs(key, HashSet::from([uid("Project::\"tools\"")]));
        let mut policies = policies.clone();
        let base = Policy::parse(Some(PolicyId::new("base")), "permit (principal, action, resource);").unwrap();
        policies.add(base).unwrap();
        let answer =
            Authorizer::new().is_authorized(&request, &policies, &Entities::from_entities([jane, key], None).unwrap());
        answer.decision() == cedar_policy::Decision::Allow && answer.diagnostics().errors().next().is_none()
    }

    fn set<'a>(scopes: impl IntoIterator<Item = &'a str>) -> PolicySet {
        let mut set = PolicySet::new();
        for (number, scope) in scopes.into_iter().enumerate() {
            let policy = Policy::parse(Some(PolicyId::new(number.to_string())), format!("forbid {scope};")).unwrap();
            set.add(policy).unwrap();
        }
        set
    }

    #[test]
    fn merged_policies_allow_what_they_allow_one_by_one() {
        for (one, forbids) in FORBIDS {
            for (other, _) in FORBIDS {
                let both = set([one, other]);
                assert_eq!(allows(&merge(&both).unwrap()), allows(&both), "{one} and {other}");
            }
            let fails = one.contains("+ 1");
            assert_eq!(allows(&merge(&set([one])).unwrap()), !forbids && !fails, "{one}");
        }
    }

    #[test]
    fn only_policies_for_a_type_stay_alone() {
        let alone = FORBIDS.iter().filter(|(scope, _)| scope.contains(" is ")).count();
        let merged = merge(&set(FORBIDS.map(|(scope, _)| scope))).unwrap();
        assert_eq!(merged.policies().count(), alone + 1);
        assert!(merge(&PolicySet::new()).unwrap().is_empty());
    }
}
