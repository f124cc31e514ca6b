//! What is counted of logins.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use sealcard_api::grants::LoginRequest;

use super::AuthenticationError;

/// What is counted of logins.
#[derive(Debug)]
pub(super) struct Metrics {
    logins: Family<LoginLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabels {
    method: &'static str,
    outcome: &'static str,
}

const METHODS: [&str; 2] = ["password", "service-token"];
const OUTCOMES: [&str; 6] = ["done", "invalid", "too-soon", "wrong", "password-change-required", "failed"];

impl Default for Metrics {
    fn default() -> Self {
        let logins = Family::<LoginLabels, Counter>::default();
        for (method, outcome) in METHODS.into_iter().flat_map(|method| OUTCOMES.map(|outcome| (method, outcome))) {
            drop(logins.get_or_create(&LoginLabels { method, outcome }));
        }
        Self { logins }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("logins", "Logins that were tried, by what came of them", self.logins.clone());
    }

    /// Counts a login that was tried.
    pub(super) fn count<T>(&self, method: &'static str, result: &Result<T, AuthenticationError>) {
        use AuthenticationError as Error;
        let outcome = match result {
            Ok(_) => "done",
            Err(Error::Invalid(_) | Error::NoPassword) => "invalid",
            Err(Error::TooSoon(_)) => "too-soon",
            Err(Error::WrongCredentials(_)) => "wrong",
            Err(Error::PasswordChangeRequired) => "password-change-required",
            Err(
                Error::NoSuchGrant | Error::Password(_) | Error::Issue(_) | Error::Authorization(_) | Error::Storage(_),
            ) => "failed",
        };
        self.logins.get_or_create(&LoginLabels { method, outcome }).inc();
    }
}

/// How somebody wants to log in.
pub(super) const fn method(request: &LoginRequest) -> &'static str {
    match request {
        LoginRequest::Password { .. } => "password",
        LoginRequest::ServiceToken { .. } => "service-token",
    }
}
