//! What is counted of HTTP requests.

use axum::http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// What is counted of HTTP requests. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Requests that were answered, by the class of their route and the status";
        registry.register("http_requests", help, self.requests.clone());
    }

    /// Counts a request to this route, if there is such a route, that is answered.
    pub(super) fn count(&self, route: Option<&str>, status: StatusCode) {
        let labels = RequestLabels { route: route.map_or("none", class), status: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
    }
}

/// The class of a route. Paths have names and ids in them, which are no labels.
fn class(route: &str) -> &'static str {
    const USES: [&str; 4] = ["/sign", "/sign-batch", "/authenticate", "/decrypt"];
    let Some(resource) = route.strip_prefix("/v1/") else { return "health" };
    let first = resource.split('/').next().unwrap_or_default();
    match first {
        "keys" if USES.iter().any(|end| resource.ends_with(end)) => "uses",
        _ if first == "rules" || first == "templates" || resource.split('/').any(|part| part == "rules") => "rules",
        "keys" | "cards" => "keys",
        "login" | "password" | "grants" => "logins",
        "record" | "requests" => "record",
        "users" | "service-accounts" | "groups" | "projects" => "directory",
        _ => "server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_have_classes() {
        for (route, expected) in [
            ("/v1/keys/{key}/sign", "uses"),
            ("/v1/keys/{key}/sign-batch", "uses"),
            ("/v1/keys/{key}/rules/revert", "rules"),
            ("/v1/keys/{key}", "keys"),
            ("/v1/cards", "keys"),
            ("/v1/templates/{template}", "rules"),
            ("/v1/service-accounts/{account}/tokens", "directory"),
            ("/v1/environments/{environment}", "server"),
            ("/v1/login", "logins"),
            ("/v1/record/verification", "record"),
            ("/readyz", "health"),
        ] {
            assert_eq!(class(route), expected, "{route}");
        }
    }
}
