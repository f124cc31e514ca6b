//! Who makes, changes or ends a key.

use std::net::IpAddr;

use sealcard_api::ids::{ProjectId, RequestId};
use sealcard_policy::{Action, Roles};
use sealcard_record::{Actor, Draft, Event};
use sealcard_signer_protocol::Stated;

use crate::{
    authn::{Authorization, AuthorizationError, Caller},
    signers::stated,
    storage::WriteTx,
};

/// Who makes it.
#[derive(Debug, Clone)]
pub struct Maker {
    /// Who asks for it.
    pub by: By,
    /// The request.
    pub request_id: RequestId,
}

/// Who asks for a key to be made.
#[derive(Debug, Clone)]
pub enum By {
    /// Somebody with a grant.
    Caller {
        /// The principal.
        actor: Actor,
        /// What it needs to be allowed at the moment when the work begins.
        authorization: Authorization,
        /// The other end of the connection.
        peer: IpAddr,
    },
    /// The setup of a server, before it serves anybody.
    Init,
}

/// What is judged in the transaction that makes a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permission(Option<Authorization>);

impl Permission {
    pub(super) fn check(self, tx: &mut WriteTx, project: ProjectId) -> Result<(), AuthorizationError> {
        self.0.map_or(Ok(()), |authorization| authorization.check(tx, Some(project)))
    }
}

impl Maker {
    /// The caller, who needs all of these `actions`, now and when the work begins.
    ///
    /// # Errors
    /// The first denial.
    pub(super) fn new(caller: &Caller, roles: Roles, actions: &'static [Action]) -> Result<Self, AuthorizationError> {
        actions.iter().try_for_each(|action| caller.may(roles, *action))?;
        let authorization = caller.authorization(actions);
        let by = By::Caller { actor: caller.actor(), authorization, peer: caller.peer.ip() };
        Ok(Self { by, request_id: caller.request_id })
    }

    /// The setup of a server.
    pub(crate) fn init() -> Self {
        Self { by: By::Init, request_id: RequestId::new() }
    }

    /// What the signer's journal says of what the maker does.
    pub(super) fn stated(&self) -> Stated {
        match &self.by {
            By::Caller { actor, .. } => stated(self.request_id, Some(actor)),
            By::Init => stated(self.request_id, None),
        }
    }

    pub(super) const fn permission(&self) -> Permission {
        match self.by {
            By::Caller { authorization, .. } => Permission(Some(authorization)),
            By::Init => Permission(None),
        }
    }

    /// An event that the maker's request causes.
    pub(super) fn draft(&self, event: Event) -> Draft {
        let draft = Draft::new(self.request_id, event);
        match &self.by {
            By::Caller { actor, peer, .. } => draft.by(actor.clone()).from_peer(*peer),
            By::Init => draft,
        }
    }
}
