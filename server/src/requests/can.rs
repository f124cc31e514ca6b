//! What would be decided about a use that nobody asks for yet.

use std::collections::BTreeSet;

use sealcard_api::{
    Timestamp,
    algorithm::{ComponentRole, HashAlgorithm},
    context::UseContext,
    ids::KeyId,
};
use sealcard_policy::{Decision, KeyOperation, RequestFacts};

use super::{RequestError, Requests, rules::quota_uses};
use crate::{
    authn::{Caller, policy_facts},
    storage::{FactsQuery, Target},
};

/// A use that nobody asks for yet.
#[derive(Debug, Clone)]
pub struct PossibleUse {
    /// The signing key.
    pub key: KeyId,
    /// What would be done.
    pub operation: KeyOperation,
    /// The algorithm of the digest.
    pub hash: Option<HashAlgorithm>,
    /// What the workstation would say.
    pub context: UseContext,
}

/// What would be decided, and what is left of quotas.
#[derive(Debug)]
pub struct Prospect {
    /// The decision.
    pub decision: Decision,
    /// What each quota allows, what is left of it, and when it begins anew.
    pub quotas: Vec<(String, u32, Timestamp)>,
}

impl Requests {
    /// Decides about a use without doing or recording anything.
    ///
    /// # Errors
    /// [`RequestError::UnknownGrant`], or a fault of the database.
    pub async fn can(&self, caller: &Caller, possible: &PossibleUse) -> Result<Prospect, RequestError> {
        let role = match possible.operation {
            KeyOperation::Sign => ComponentRole::Sign,
            KeyOperation::Decrypt => ComponentRole::Decrypt,
            KeyOperation::Authenticate => ComponentRole::Authenticate,
        };
        let query = FactsQuery { token: caller.token, target: Target::Key(possible.key, role) };
        let facts = self.store.facts(query).await?.ok_or(RequestError::UnknownGrant)?;
        let rules = self.rules.load(&self.store, &facts).await?;
        let now = caller.received;
        let (address, claims) = (Some(caller.peer.ip()), possible.context.clone());
        let request = RequestFacts { address, claims, hash: possible.hash, ..RequestFacts::default() };
        let judged = policy_facts(&facts, request, now);
        let quotas = rules.as_deref().map(|rules| quota_uses(rules, &facts, now)).unwrap_or_default();
        let uses: Vec<_> = quotas.iter().map(|(_, one)| one.clone()).collect();
        let left = self.store.left_of_quotas(&uses).await?;
        let names = quotas.iter().map(|(quota, _)| quota.name.as_str());
        let exhausted: BTreeSet<&str> =
            names.zip(&left).filter(|(_, left)| **left == 0).map(|(name, _)| name).collect();
        let decision = sealcard_policy::decide_use(&judged, possible.operation, rules.as_deref(), &exhausted);
        let quotas = quotas.iter().zip(left).map(|((quota, one), left)| (quota.to_string(), left, one.end)).collect();
        Ok(Prospect { decision, quotas })
    }
}
