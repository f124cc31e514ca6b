//! Which answers are refusals, and what the record says of them. The outermost layer asks here once for each request,
//! so no route can forget it.

use std::sync::Arc;

use axum::{extract::MatchedPath, http::Method, response::Response};
use parking_lot::Mutex;
use sealcard_api::{
    ids::PrincipalId,
    problem::{Problem, ProblemCode},
};
use sealcard_record::{Actor, Named, event::Refusal};

use super::{RequestContext, error::PendingProblem};
use crate::requests::Refused;

/// What a request has shown so far. The layers put it into the request, and extractors fill it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown(Arc<Mutex<Parts>>);

#[derive(Debug, Clone, Default)]
struct Parts {
    actor: Option<Actor>,
    holder: Option<Named<PrincipalId>>,
    weak_hash: bool,
}

impl Shown {
    /// The request has shown a valid grant.
    pub(super) fn authenticated(&self, actor: Actor) {
        self.0.lock().actor = Some(actor);
    }

    /// The request has shown a grant that has ended.
    pub(super) fn ended_grant_of(&self, holder: Named<PrincipalId>) {
        self.0.lock().holder = Some(holder);
    }

    /// The request asks for a signature over a weak hash.
    pub(super) fn weak_hash(&self) {
        self.0.lock().weak_hash = true;
    }

    /// What is to be recorded of the answer, if it is a refusal that nothing else records.
    pub(super) fn refused(
        &self,
        context: RequestContext,
        (method, route): (&Method, Option<&MatchedPath>),
        response: &Response,
    ) -> Option<Refused> {
        let PendingProblem(problem) = response.extensions().get()?;
        let Parts { actor, holder, weak_hash } = self.0.lock().clone();
        let route = route.map_or("an unknown address", MatchedPath::as_str);
        let refusal = refusal(problem.code, weak_hash)?;
        // Uses of keys have entries of their own, with the key and what was asked for.
        let is_recorded = actor.is_some() && is_use(route) && refusal != Refusal::WeakHash;
        (!is_recorded).then(|| Refused {
            request: context.request_id,
            peer: context.peer.ip(),
            received: context.received,
            actor,
            principal: holder,
            refusal,
            route: format!("{method} {route}"),
            reason: reason(problem),
        })
    }
}

fn reason(problem: &Problem) -> String {
    problem.detail.clone().unwrap_or_else(|| problem.title.clone())
}

/// Which refusal an answer is. Each code that there will be must be named here.
fn refusal(code: ProblemCode, weak_hash: bool) -> Option<Refusal> {
    use ProblemCode as Code;
    match code {
        Code::Unauthenticated => Some(Refusal::UnknownGrant),
        Code::GrantExpired | Code::GrantRevoked => Some(Refusal::EndedGrant),
        Code::Forbidden => Some(Refusal::Forbidden),
        Code::TooManyAttempts => Some(Refusal::TooManyAttempts),
        Code::Invalid if weak_hash => Some(Refusal::WeakHash),
        // Logins and passwords, uses of keys, approvals: where they are refused, they are recorded.
        Code::WrongCredentials
        | Code::PasswordChangeRequired
        | Code::IdempotencyMismatch
        | Code::KeyDisabled
        | Code::KeyExpired
        | Code::KeyRevoked
        | Code::KeyDestroyed
        | Code::UnsupportedOperation
        | Code::DecryptionFailed
        | Code::TooManyUses
        | Code::TooManyWaiting
        | Code::Rejected
        | Code::ApprovalNeeded
        | Code::OutcomeUnknown => None,
        // Nobody was refused: the request can't be done, or not now.
        Code::Invalid
        | Code::UnsupportedMediaType
        | Code::TooLarge
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::Conflict
        | Code::Changed
        | Code::RulesInvalid
        | Code::InProgress
        | Code::Sealed
        | Code::SignerUnavailable
        | Code::DiskFull
        | Code::SinkBehind
        | Code::Overloaded
        | Code::Timeout
        | Code::Internal
        | Code::Unknown => None,
    }
}

/// Whether the route uses a key.
fn is_use(route: &str) -> bool {
    let of_key = route.strip_prefix("/v1/keys/{key}/");
    of_key.is_some_and(|end| matches!(end, "sign" | "sign-batch" | "authenticate" | "decrypt"))
}

/// The name of a weak hash that a body asks a signature over, if it does: they are refused by name, not as a name that
/// nobody knows.
pub(super) fn weak_hash(body: &[u8]) -> Option<&'static str> {
    const WEAK: [(&str, &str); 8] = [
        ("md2", "MD2"),
        ("md4", "MD4"),
        ("md5", "MD5"),
        ("sha1", "SHA-1"),
        ("ripemd160", "RIPEMD-160"),
        ("rmd160", "RIPEMD-160"),
        ("sha224", "SHA-224"),
        ("sha0", "SHA-0"),
    ];
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let items = body.get("items").and_then(serde_json::Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut hashes = std::iter::once(&body).chain(items).filter_map(|value| value.get("hash")?.as_str());
    hashes.find_map(|hash| {
        let hash: String = hash.chars().filter(char::is_ascii_alphanumeric).collect();
        WEAK.iter().find(|(weak, _)| hash.eq_ignore_ascii_case(weak)).map(|(_, name)| *name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_hashes_are_known_by_name() {
        assert_eq!(weak_hash(br#"{"hash": "SHA-1", "digest": ""}"#), Some("SHA-1"));
        assert_eq!(weak_hash(br#"{"items": [{"hash": "sha256"}, {"hash": "md5"}]}"#), Some("MD5"));
        for other in [&br#"{"hash": "sha256"}"#[..], br#"{"hash": "sha-9"}"#, br#"{"hash": 1}"#, b"[]", b"no JSON"] {
            assert_eq!(weak_hash(other), None);
        }
    }

    #[test]
    fn only_uses_of_keys_record_their_refusals_themselves() {
        for route in ["/v1/keys/{key}/sign", "/v1/keys/{key}/decrypt"] {
            assert!(is_use(route), "{route}");
        }
        for route in ["/v1/keys/{key}", "/v1/keys/{key}/revoke", "/v1/users"] {
            assert!(!is_use(route), "{route}");
        }
    }
}
