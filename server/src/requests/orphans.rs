//! What ended in the middle: a use that nobody works on any more.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sealcard_api::{Timestamp, record::RequestState};
use sealcard_record::{
    Draft, Event,
    event::{Asked, Operation, SignerOperation, UseOutcome},
};

use super::{
    Requests,
    state::{self, Input},
};
use crate::{
    limits,
    storage::{StorageError, UnfinishedRequest},
};

impl Requests {
    /// Marks as unknown every use without an outcome that nobody works on: the server that did has ended, or it could
    /// not write the outcome. The record gets an outcome that says so. Returns how many there were.
    ///
    /// Call it at start, before the first request.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn recover(&self) -> Result<usize, StorageError> {
        let mut count = 0;
        // Asked once for each server, and outside the writer: a server that runs may have hundreds of uses in work.
        let mut ended = HashMap::new();
        for request in self.store.unfinished_requests().await? {
            let has_ended = if request.node == self.store.node() {
                !self.running.contains(request.id)
            } else if let Some(known) = ended.get(&request.node) {
                *known
            } else {
                let has_ended = self.store.node_has_ended(request.node).await?;
                ended.insert(request.node, has_ended);
                has_ended
            };
            count += usize::from(has_ended && self.settle(request).await?);
        }
        Ok(count)
    }

    /// Does the same now and then, for ever, records bursts of denials, and deletes requests that finished longer ago
    /// than `retention`.
    pub async fn keep_recovering(self, retention: Duration) {
        let mut pruned: Option<Instant> = None;
        let mut period = tokio::time::interval(limits::ORPHANS_PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            self.record_bursts(Some(Instant::now())).await;
            if let Err(error) = self.recover().await {
                tracing::warn!(%error, "signing: what was left unfinished can't be noted yet");
            }
            if pruned.is_none_or(|pruned| pruned.elapsed() >= limits::PRUNE_PERIOD) {
                pruned = Some(Instant::now());
                let end = Timestamp::now().unix().saturating_sub_unsigned(retention.as_secs());
                if let Err(error) = self.store.prune_requests(Timestamp::from_unix(end)).await {
                    tracing::warn!(%error, "signing: old requests can't be deleted yet");
                }
                if let Err(error) = self.store.prune_quotas(Timestamp::from_unix(end)).await {
                    tracing::warn!(%error, "signing: old counts of quotas can't be deleted yet");
                }
            }
        }
    }

    /// Gives a use that nobody works on its outcome, unless it has one by now.
    async fn settle(&self, request: UnfinishedRequest) -> Result<bool, StorageError> {
        let UnfinishedRequest { id, requester, signing_key, component, operation, .. } = request;
        let key = signing_key.key.id;
        let state = state::next(RequestState::Signing, Input::Lose).unwrap_or(RequestState::Unknown);
        let outcome = Event::UseOutcome(UseOutcome {
            signing_key,
            component,
            asked: Asked::new(policy_operation(operation), operation),
            host: None,
            state,
            error: Some("the server stopped before the outcome was noted".to_owned()),
            signature_sha256: None,
            journal: None,
        });
        let settled = self.store.finish_request(None, None, Draft::new(id, outcome).by(requester)).await;
        match settled {
            Ok(()) => {
                self.metrics.outcome_is_unknown();
                tracing::warn!(request_id = %id, %key, %operation,
                    "signing: it ended before its outcome was noted; it is unknown whether the key was used");
                Ok(true)
            }
            // Its outcome came meanwhile, or another server was faster.
            Err(StorageError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What policy was asked, as far as the signer's operation tells: an SSHSIG blob counts as a login here.
const fn policy_operation(operation: SignerOperation) -> Operation {
    match operation {
        SignerOperation::Sign => Operation::Sign,
        SignerOperation::Authenticate | SignerOperation::AuthenticateSsh => Operation::Authenticate,
        SignerOperation::Decrypt => Operation::Decrypt,
    }
}
