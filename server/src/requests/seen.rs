//! What step 1 of a request sees: facts, and what policy says by them.

use super::{
    Requests, UseRequest,
    facts::policy_operation,
    judgement::{Denial, Judgement},
};
use crate::{
    authn::Caller,
    storage::{Facts, StorageError},
};

/// What step 1 sees.
pub(super) struct Seen {
    /// None: the grant is unknown.
    pub(super) facts: Option<Facts>,
    pub(super) judgement: Option<Judgement>,
}

impl Seen {
    /// Whether the use is allowed, as far as is known.
    pub(super) fn allowed(&self) -> bool {
        self.judgement.as_ref().is_some_and(Judgement::allowed)
    }

    pub(super) fn denial(&self) -> Option<Denial> {
        self.judgement.as_ref().map_or_else(|| Some(Denial::of_unknown_grant()), Judgement::denial)
    }
}

impl Requests {
    /// Cached facts if policy allows the request by them, else those of this moment.
    pub(super) async fn see(&self, caller: &Caller, request: &UseRequest) -> Result<Seen, StorageError> {
        let query = request.query(caller);
        let cached = self.judge(caller, request, self.store.cached_facts(query).await?).await?;
        match cached.denial() {
            None => Ok(cached),
            Some(_) => self.judge(caller, request, self.store.facts(query).await?).await,
        }
    }

    async fn judge(&self, caller: &Caller, request: &UseRequest, facts: Option<Facts>) -> Result<Seen, StorageError> {
        let Some(facts) = facts else { return Ok(Seen { facts: None, judgement: None }) };
        let rules = self.rules.load(&self.store, &facts).await?;
        let mut judgement = Judgement::new(caller, request, &facts, rules);
        if judgement.awaits() {
            let operation = policy_operation(&request.operation).name();
            let offers = self.store.approved_uses(caller.principal, (request.key, operation), caller.received).await?;
            judgement.try_approvals(caller, request, &facts, offers);
        }
        Ok(Seen { facts: Some(facts), judgement: Some(judgement) })
    }
}
