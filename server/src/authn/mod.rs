//! Who asks: passwords, service tokens and grants.

use crate::{
    config::Limits,
    http::{ApiError, AppState, Caller, RequestContext},
};

/// The parts of authentication that live in memory.
pub struct Authentication {}

impl Authentication {
    /// With nothing remembered.
    #[must_use]
    pub fn new(_limits: &Limits) -> Self {
        Self {}
    }
}

/// The caller that holds the grant `token`. Asks the database each time, so that a revocation is seen by the next request.
///
/// # Errors
/// [`sealcard_api::problem::ProblemCode::Unauthenticated`], `GrantExpired` or `GrantRevoked`.
pub async fn authenticate(_state: &AppState, _token: &str, _context: RequestContext) -> Result<Caller, ApiError> {
    Err(ApiError::new(sealcard_api::problem::ProblemCode::Unauthenticated))
}
