//! Rules tried out: examples beside rules, recorded uses judged again, and what somebody may do.
//! `POST /v1/rules/test`, `/v1/rules/replay`, `/v1/rules/what-may`.

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    decisions::{PolicyDecision, UseKind},
    ids::RequestId,
    key_rules::{CheckedKind, Diagnostic},
};

/// The most recorded uses that one request judges again.
pub const MAX_REPLAYED: u32 = 500;

/// Body of `POST /v1/rules/test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RulesTest {
    /// What the rules belong to; not templates.
    pub kind: CheckedKind,
    /// Its name, as in an address.
    pub name: String,
    /// Rules to judge by in place of those in force, TOML.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::RulesText>))]
    pub text: Option<String>,
    /// The examples, TOML.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::RulesText))]
    pub examples: String,
}

/// Answer of `POST /v1/rules/test`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesTested {
    /// What is wrong with the rules; there are no results then.
    pub rules: Vec<Diagnostic>,
    /// What is wrong with the examples; there are no results then.
    pub examples: Vec<Diagnostic>,
    /// One for each example, in their order.
    pub results: Vec<ExampleResult>,
}

/// What came of an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExampleResult {
    /// The example's name.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// Whether the decision is the expected one, by all the rules that were expected.
    pub passed: bool,
    /// What was expected.
    pub expected: PolicyDecision,
    /// What was decided.
    pub decided: PolicyDecision,
    /// Rules that were expected to decide and did not.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub missing: Vec<String>,
    /// Why, each as a sentence without a full stop.
    pub reasons: Vec<String>,
    /// The ids of the rules that decided.
    pub rules: Vec<String>,
}

/// Body of `POST /v1/rules/replay`: recorded uses, judged by two texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RulesReplay {
    /// What the rules belong to; not templates.
    pub kind: CheckedKind,
    /// Its name, as in an address.
    pub name: String,
    /// The rules to compare with, TOML. Empty: none.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::RulesText))]
    pub old: String,
    /// The other rules, TOML. Empty: none.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::RulesText))]
    pub new: String,
    /// The uses of so many days.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::KeyDays))]
    pub days: u32,
    /// The previous answer's `next`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::EntryNumber>))]
    pub after: Option<String>,
}

/// Answer of `POST /v1/rules/replay`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesReplayed {
    /// What is wrong with the old rules.
    pub old: Vec<Diagnostic>,
    /// What is wrong with the new rules.
    pub new: Vec<Diagnostic>,
    /// How many uses were judged this time.
    pub judged: u32,
    /// The uses that the two decide differently.
    pub different: Vec<Different>,
    /// Where to go on. Absent: all are judged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
    /// The number of the newest entry of the record, for a progress bar.
    pub newest: u64,
    /// The number of the first entry of the time.
    pub oldest: u64,
}

/// A recorded use that two texts decide differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Different {
    /// The request.
    pub request_id: RequestId,
    /// When it was.
    pub time: Timestamp,
    /// The requester's name then.
    pub by: String,
    /// PROJECT/NAME of the key then.
    pub key: String,
    /// What was to be done.
    pub operation: UseKind,
    /// What the old rules decide.
    pub old: PolicyDecision,
    /// What the new rules decide.
    pub new: PolicyDecision,
    /// Why: the reasons of the rules that are stricter.
    pub reasons: Vec<String>,
}

/// Body of `POST /v1/rules/what-may`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WhatMay {
    /// The name of a user or service account.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Name))]
    pub name: String,
}

/// Answer of `POST /v1/rules/what-may`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MayUse {
    /// The keys of projects in which the account is a key user, and what it may do with them.
    pub uses: Vec<PossibleUse>,
}

/// Something that an account may do with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PossibleUse {
    /// PROJECT/NAME of the key.
    pub key: String,
    /// What.
    pub operation: UseKind,
    /// Whether it is denied whatever else is the case. Otherwise it is allowed if all conditions hold.
    pub denied: bool,
    /// Why it is denied, or what must be the case.
    pub conditions: Vec<String>,
}
