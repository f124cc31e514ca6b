//! The server's clock: `/v1/clock`.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What the server knows of its clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClockState {
    /// What the clock of the node that answers shows.
    pub time: Timestamp,
    /// The jump that nobody has confirmed yet, if there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub doubt: Option<ClockDoubt>,
}

/// A jump of a clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClockDoubt {
    /// When it was found, by the clock after the jump.
    pub since: Timestamp,
    /// By how many seconds the clock went ahead, or back if negative.
    pub seconds: i64,
    /// Whether it is the clock of the node that answers, which has run since.
    pub here: bool,
}

/// Body of `POST /v1/clock/confirm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClockConfirmation {
    /// [`ClockDoubt::since`] of the doubt that ends. A later one does not.
    pub since: Timestamp,
}
