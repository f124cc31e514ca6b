//! Who asks, as the grant tells.

use std::net::SocketAddr;

use sealcard_api::{
    Timestamp,
    ids::{GrantId, PrincipalId, ProjectId, RequestId},
    roles::{PrincipalKind, Roles},
};
use sealcard_policy::{Action, Decision, RequestFacts};
use sealcard_record::{Actor, Draft, Event};

use super::policy_facts;
use crate::storage::{Facts, FactsQuery, StorageError, Target, WriteTx};

/// One request: its id and where it comes from. Known for every request, logged in or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestContext {
    /// The id in logs, record and answer.
    pub request_id: RequestId,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// When its head was read: the time of everything that it does.
    pub received: Timestamp,
}

impl RequestContext {
    /// An event of this request, which nobody has authenticated yet.
    pub(super) fn draft(self, event: Event) -> Draft {
        Draft::new(self.request_id, event).from_peer(self.peer.ip())
    }
}

/// The principal that sent a request, with a valid grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The principal's id.
    pub principal: PrincipalId,
    /// The principal's name.
    pub name: String,
    /// Person or program.
    pub kind: PrincipalKind,
    /// The grant.
    pub grant: GrantId,
    /// SHA-256 of the token that was shown of it.
    pub token: [u8; 32],
    /// The request that is being answered.
    pub request_id: RequestId,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// When the request arrived.
    pub received: Timestamp,
    /// What the caller is judged by where no project is concerned.
    facts: sealcard_policy::Facts,
}

impl Caller {
    /// The caller with these facts, if its grant is valid.
    ///
    /// # Errors
    /// The denial.
    pub fn new(
        facts: &Facts,
        token: [u8; 32],
        (request_id, peer, received): (RequestId, SocketAddr, Timestamp),
    ) -> Result<Self, Decision> {
        let request = RequestFacts { address: Some(peer.ip()), ..RequestFacts::default() };
        let policy = policy_facts(facts, request, received);
        let decision = sealcard_policy::decide(&policy, Action::LookAfterOneself);
        if !decision.allowed() {
            return Err(decision);
        }
        Ok(Self {
            principal: facts.principal.id,
            name: facts.principal.name.clone(),
            kind: facts.principal.kind,
            grant: facts.grant.id,
            token,
            request_id,
            peer,
            received,
            facts: policy,
        })
    }

    /// The same caller in a request of its own.
    #[must_use]
    pub fn in_request(&self, request_id: RequestId) -> Self {
        Self { request_id, ..self.clone() }
    }

    /// Whether the caller, with these roles in the project concerned, may do `action`, as far as is known now.
    #[must_use]
    pub fn decide(&self, roles: Roles, action: Action) -> Decision {
        sealcard_policy::decide(&sealcard_policy::Facts { roles, ..self.facts.clone() }, action)
    }

    /// Expects that the caller, with these roles in the project concerned, may do `action`, as far as is known now.
    ///
    /// # Errors
    /// The denial.
    pub fn may(&self, roles: Roles, action: Action) -> Result<(), AuthorizationError> {
        let decision = self.decide(roles, action);
        if decision.allowed() { Ok(()) } else { Err(AuthorizationError::Denied(decision)) }
    }

    /// As [`Self::may`], where no project is concerned.
    ///
    /// # Errors
    /// The denial.
    pub fn may_on_server(&self, action: Action) -> Result<(), AuthorizationError> {
        self.may(Roles::NONE, action)
    }

    /// Whether the caller may read everything, and not only what belongs to its own projects.
    #[must_use]
    pub fn reads_everything(&self) -> bool {
        self.may_on_server(Action::ReadEverything).is_ok()
    }

    /// The names of the caller's groups.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.facts.principal.groups
    }

    /// The caller as the record names it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::new(self.principal, self.name.clone(), self.grant)
    }

    /// An event that this request causes.
    #[must_use]
    pub fn draft(&self, event: Event) -> Draft {
        Draft::new(self.request_id, event).by(self.actor()).from_peer(self.peer.ip())
    }

    /// What the caller needs to be allowed at the moment when a change is made: all of these `actions`.
    #[must_use]
    pub const fn authorization(&self, actions: &'static [Action]) -> Authorization {
        Authorization { token: self.token, actions }
    }
}

/// What somebody needs to be allowed. It is judged in the transaction that makes the change: the request may have
/// waited, and what was allowed when it arrived may not be any more.
#[derive(Debug, Clone, Copy)]
pub struct Authorization {
    /// SHA-256 of the token that was shown.
    pub token: [u8; 32],
    /// All of these.
    pub actions: &'static [Action],
}

/// Why something is not allowed, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationError {
    /// The grant is not known any more. Retrying can't help.
    #[error("the grant is not known any more")]
    UnknownGrant,
    /// Policy denies it. Retrying can't help.
    #[error("denied: {}", .0.reasons().join("; "))]
    Denied(Decision),
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Authorization {
    /// Asks policy with what this transaction sees.
    ///
    /// # Errors
    /// See [`AuthorizationError`].
    pub fn check(self, tx: &mut WriteTx, project: Option<ProjectId>) -> Result<(), AuthorizationError> {
        let target = project.map_or(Target::Server, Target::Project);
        let facts = tx.facts(&FactsQuery { token: self.token, target }, None)?;
        let facts = facts.ok_or(AuthorizationError::UnknownGrant)?;
        let facts = policy_facts(&facts, RequestFacts::default(), tx.now());
        // The login must be valid, whatever else is needed.
        for action in [Action::LookAfterOneself].iter().chain(self.actions) {
            let decision = sealcard_policy::decide(&facts, *action);
            if !decision.allowed() {
                return Err(AuthorizationError::Denied(decision));
            }
        }
        Ok(())
    }
}
