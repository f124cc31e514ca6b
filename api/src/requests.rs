//! Signing requests: `GET` and `DELETE /v1/requests/{request}`.

use serde::{Deserialize, Serialize};

use crate::{
    Bytes,
    ids::{ApprovalId, KeyId, PrincipalId, ProjectId, RequestId},
    record::RequestState,
};

/// A signing request as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SigningRequest {
    /// The request.
    pub id: RequestId,
    /// Its state.
    pub state: RequestState,
    /// The requester.
    pub principal: PrincipalId,
    /// The project; absent if there is no such key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project: Option<ProjectId>,
    /// The signing key.
    pub key: KeyId,
    /// What the signer was, or is to be, asked for.
    pub operation: String,
    /// The approval that it waits, or waited, for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approval: Option<ApprovalId>,
    /// Who rejected it and why, as a sentence; only of a request that was rejected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rejection: Option<String>,
    /// The signature, for its requester. A decrypted text is never kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<Bytes>,
}
