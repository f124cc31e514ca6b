//! What ended in the middle: a use that nobody works on any more.

use std::{collections::HashMap, time::Duration};

use sealcard_api::{ids::ComponentId, record::RequestState};
use sealcard_record::{
    Actor, Draft, Event,
    event::{self, Asked, SignerOperation, UseIntent},
};

use super::Signing;
use crate::storage::{StorageError, UnfinishedRequest};

/// How often a running server looks for uses that nobody works on.
const PERIOD: Duration = Duration::from_secs(2);

impl Signing {
    /// Marks as unknown every use without an outcome that nobody works on: the server that did has ended, or it could not
    /// write the outcome. The record gets an outcome that says so. Returns how many there were.
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

    /// Does the same now and then, for ever.
    pub async fn keep_recovering(self) {
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            if let Err(error) = self.recover().await {
                tracing::warn!(%error, "signing: what was left unfinished can't be noted yet");
            }
        }
    }

    /// Gives a use that nobody works on its outcome, unless it has one by now.
    async fn settle(&self, request: UnfinishedRequest) -> Result<bool, StorageError> {
        let (name, signing_key) = self.store.use_names(request.principal, request.key).await?;
        let actor = Actor { id: request.principal, name, grant: None };
        let signer_operation = request.operation.parse().unwrap_or(SignerOperation::Sign);
        let operation = match signer_operation {
            SignerOperation::Sign => event::Operation::Sign,
            SignerOperation::Decrypt => event::Operation::Decrypt,
            SignerOperation::Authenticate | SignerOperation::AuthenticateSsh => event::Operation::Authenticate,
        };
        let intent = UseIntent {
            signing_key,
            component: ComponentId(request.component),
            asked: Asked::new(operation, signer_operation),
            host: None,
        };
        let error = Some("the server stopped before the outcome was noted".to_owned());
        let outcome = event::UseOutcome { error, ..intent.outcome(RequestState::Unknown) };
        let outcome = Draft::new(request.id, Event::UseOutcome(outcome)).by(actor);
        let settled = self.store.write(move |tx| tx.finish_request(None, None, outcome)).await;
        match settled {
            Ok(()) => {
                tracing::warn!(request_id = %request.id, key = %request.key, operation = request.operation,
                    "signing: it ended before its outcome was noted; it is unknown whether the key was used");
                Ok(true)
            }
            // Its outcome came meanwhile, or another server was faster.
            Err(StorageError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
