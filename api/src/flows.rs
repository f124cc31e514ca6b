//! Flows: `GET /v1/keys/{key}/flows` and `GET /v1/projects/{project}/flows`.

use serde::{Deserialize, Serialize};

/// Who approves the uses of a key, or the changes of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Flows {
    /// The key, as `PROJECT/NAME`, or the project.
    pub place: String,
    /// The flows. All of those that a use meets must be passed.
    pub flows: Vec<Flow>,
}

/// Who approves, and under which terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Flow {
    /// What asks for it, such as `the rule release of project tools`.
    pub asked_by: String,
    /// Its stages, in their order. Empty for a change that only has to wait.
    pub stages: Vec<FlowStage>,
    /// Groups whose members can reject at any stage.
    pub veto: Vec<String>,
    /// A change is made so many seconds after it was asked for, at the earliest. None for uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<i64>,
    /// How uses go by it. None for changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<FlowOfUses>,
}

/// A stage, and who could pass it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FlowStage {
    /// Whose approval it is: `members of approvers` or `people with the role owner`.
    pub by: String,
    /// So many of them.
    pub count: u32,
    /// The names of those who are enabled, sorted, at most 100.
    pub people: Vec<String>,
    /// Whether they are fewer than must approve, so that nothing can pass.
    pub too_few: bool,
}

/// How uses of a key go by a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FlowOfUses {
    /// How long the requester's program waits, in seconds.
    pub wait_seconds: i64,
    /// After how many seconds a request expires that nobody decides.
    pub expires_seconds: i64,
    /// Within how many seconds an approval must be used.
    pub use_within_seconds: i64,
    /// The most uses of an approval in advance. 0: there is none.
    pub pre_approval_uses: u32,
    /// The longest time of an approval in advance, in seconds.
    pub pre_approval_seconds: i64,
    /// Whether an approval in advance can be for any number of uses.
    pub pre_approval_unlimited: bool,
    /// The way for emergencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<FlowOfBreakGlass>,
}

/// The way for emergencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FlowOfBreakGlass {
    /// Its stages, in their order.
    pub stages: Vec<FlowStage>,
    /// For how many seconds the key may be used then.
    pub seconds: i64,
    /// How often.
    pub uses: u32,
}
