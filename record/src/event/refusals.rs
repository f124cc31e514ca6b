//! Requests that were refused before anything was done.

use sealcard_api::{Timestamp, ids::PrincipalId};
use serde::{Deserialize, Serialize};

use super::{Subject, authentication::is_false};
use crate::Named;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// It showed no grant, or one that the server does not know.
    UnknownGrant,
    /// The grant has expired or was revoked, or its holder is disabled or removed.
    EndedGrant,
    /// The actor may not do it.
    Forbidden,
    /// There were wrong attempts to log in just before.
    TooManyAttempts,
    /// A signature over a hash was asked for that is too weak.
    WeakHash,
}

/// A request was refused, or several of one kind within a minute that have no entries of their own. Its request and
/// address are those of the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRefused {
    /// Why.
    pub refusal: Refusal,
    /// The method and route of the last one, such as `POST /v1/users`.
    pub route: String,
    /// The holder of a grant that has ended. It is not proved that the holder sent the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub principal: Option<Named<PrincipalId>>,
    /// Why the last one was refused, as a sentence for a person.
    pub reason: String,
    /// How many there were.
    pub count: u64,
    /// When the first one arrived.
    pub from: Timestamp,
    /// When the last one arrived.
    pub until: Timestamp,
    /// Whether they are of several principals or networks, because too many asked within a minute.
    #[serde(skip_serializing_if = "is_false", default)]
    pub several_networks: bool,
}

impl Subject for RequestRefused {
    fn principal(&self) -> Option<&Named<PrincipalId>> {
        self.principal.as_ref()
    }
}
