//! What policy would decide: `POST /v1/keys/{key_id}/can`.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, algorithm::HashAlgorithm, context::UseContext};

/// A use of a private key, as policy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UseKind {
    /// A signature over data.
    Sign,
    /// A decryption.
    Decrypt,
    /// A login.
    Authenticate,
}

/// Body of `/can`: a use that is not asked for yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CanRequest {
    /// What is to be done.
    pub operation: UseKind,
    /// The algorithm of the digest that is to be signed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash: Option<HashAlgorithm>,
    /// What the workstation would say of the use. Without processes, rules about tools become conditions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub context: Option<UseContext>,
}

/// What policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PolicyDecision {
    /// It is allowed.
    Allow,
    /// It is denied.
    Deny,
    /// It waits for demands to be met.
    Wait,
}

/// Answer of `/can`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CanAnswer {
    /// What would be decided now.
    pub decision: PolicyDecision,
    /// Why, each as a sentence without a full stop. Empty if it is allowed.
    pub reasons: Vec<String>,
    /// What was not asked about and is needed too, such as a tool.
    pub conditions: Vec<String>,
    /// What to do, as a sentence without a full stop.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advice: Option<String>,
    /// The quotas that the use would count for.
    pub quotas: Vec<QuotaLeft>,
}

/// How much of a quota is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaLeft {
    /// What it allows, such as `60 uses per user in 1h`.
    pub quota: String,
    /// Uses that are left.
    pub left: u32,
    /// When there are as many as ever again.
    pub until: Timestamp,
}
