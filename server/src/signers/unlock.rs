//! Logging in to tokens with the PIN that is configured for them: one attempt, over all servers and restarts, until the
//! token has taken it or a person has acted.
//!
//! A signer that has a PIN but has not logged in says that it is locked. The attempt is claimed in the database, where
//! the claim is durable before the signer is asked, and its outcome is noted there. A claim without an outcome (this
//! server or the module died in between) counts as a refusal: the token may have counted it as one.

use std::{sync::Arc, time::Duration};

use sealcard_api::ids::EnvironmentId;
use sealcard_record::{
    Draft, Event, Named,
    event::{EnvironmentAct, EnvironmentFailure},
};
use sealcard_signer_protocol::{RequestBody, ResponseBody, SignerError, StoreState};
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use super::{UseError, connection::Connection, stated};
use crate::{
    limits,
    storage::{PinClaim, PinOutcome, StorageError, Store},
};

/// Opens the token of one environment whenever its signer comes up locked.
pub(super) struct Unlocker {
    pub(super) store: Store,
    pub(super) environment: EnvironmentId,
    pub(super) name: String,
    pub(super) connection: watch::Receiver<Option<Arc<Connection>>>,
    /// Why the token stays closed, for people.
    pub(super) note: watch::Sender<Option<String>>,
    /// A person has acted on this server.
    pub(super) again: Arc<Notify>,
    /// This server could not log in. What another one could not is not concluded here: its PIN may be another.
    pub(super) blocked: bool,
}

enum Next {
    /// Nothing to do before the signer changes.
    Wait,
    /// Look again after a while.
    Look(Duration),
}

impl Unlocker {
    /// Runs for ever.
    pub(super) async fn run(mut self) {
        loop {
            let current = self.connection.borrow_and_update().clone();
            let next = match current {
                None => Next::Wait,
                Some(connection) => match self.look(&connection).await {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::error!(environment = self.name, %error, "token: the attempt to log in can't be noted");
                        Next::Look(limits::ATTENDED_POLL)
                    }
                },
            };
            let patience = match next {
                Next::Wait => limits::ATTENDED_POLL * 5,
                Next::Look(patience) => patience,
            };
            tokio::select! {
                changed = self.connection.changed() => if changed.is_err() { return },
                () = self.again.notified() => {}
                () = sleep(patience) => {}
            }
        }
    }

    async fn look(&mut self, connection: &Connection) -> Result<Next, StorageError> {
        match connection.ask(RequestBody::Status, limits::STATUS_DEADLINE).await {
            Ok(ResponseBody::Status { state: StoreState::Locked, .. }) => self.unlock(connection).await,
            Ok(ResponseBody::Status { state: StoreState::Open, .. }) => {
                self.note.send_replace(None);
                if std::mem::take(&mut self.blocked) {
                    self.conclude().await?;
                }
                self.discard_leftovers(connection).await
            }
            Ok(ResponseBody::Status { state: StoreState::Absent(why), .. }) => {
                self.note.send_replace(Some(why));
                Ok(Next::Look(limits::UNLOCK_POLL))
            }
            Ok(ResponseBody::Status { state: StoreState::Sealed, .. }) => {
                self.blocked = true;
                Ok(Next::Look(limits::ATTENDED_POLL))
            }
            _ => Ok(Next::Look(limits::ATTENDED_POLL)),
        }
    }

    /// Removes from the token what was made for keys that came to nothing.
    async fn discard_leftovers(&self, connection: &Connection) -> Result<Next, StorageError> {
        for leftover in self.store.leftovers(self.environment).await? {
            self.store.begin_discard(leftover.clone()).await?;
            let (component, role) = (leftover.component.0, leftover.role);
            let stated = stated(leftover.request, None);
            match connection.ask(RequestBody::Discard { component, role, stated }, limits::USE_DEADLINE).await {
                Ok(ResponseBody::Destroyed) => self.store.finish_discard(leftover).await?,
                outcome => {
                    let why = outcome.map_or_else(|error| error.to_string(), |_| "an odd answer".to_owned());
                    tracing::error!(environment = self.name, %component, why,
                        "token: a key that was made for nothing can't be removed yet");
                    return Ok(Next::Look(limits::LEFTOVERS_POLL));
                }
            }
        }
        Ok(Next::Wait)
    }

    async fn unlock(&mut self, connection: &Connection) -> Result<Next, StorageError> {
        match self.claim().await? {
            PinClaim::Granted => {}
            PinClaim::Elsewhere => {
                self.note.send_replace(Some("another server is logging in with the same PIN".to_owned()));
                return Ok(Next::Look(limits::UNLOCK_POLL));
            }
            PinClaim::Spent => {
                let why = format!(
                    "an attempt with the configured PIN failed or ended without an outcome, and no other one is made \
                     before a person acts: put the PIN right, then run: sealcard admin environment unseal {}",
                    self.name
                );
                self.note.send_replace(Some(why));
                self.blocked = true;
                return Ok(Next::Look(limits::ATTENDED_POLL));
            }
        }
        let (outcome, note) = match connection.ask(RequestBody::Unlock, limits::USE_DEADLINE).await {
            Ok(ResponseBody::Unlocked) => (PinOutcome::Good, None),
            // Sealed: the token has refused the PIN meanwhile, when somebody else gave it.
            Err(UseError::Refused(
                error @ (SignerError::PinRefused { .. } | SignerError::PinNotTried(_) | SignerError::Sealed),
            )) => {
                let next = format!("put it right, then run: sealcard admin environment unseal {}", self.name);
                (PinOutcome::Refused, Some(format!("{error}; {next}")))
            }
            Err(UseError::Refused(error)) => (PinOutcome::NotJudged, Some(error.to_string())),
            Err(UseError::NotAsked | UseError::NotStarted(_)) => (PinOutcome::NotJudged, None),
            // The module may have been asked and may have counted it: the claim stays as it is.
            Ok(_) | Err(UseError::Unavailable | UseError::TooLong | UseError::DecryptionFailed { .. }) => {
                tracing::error!(environment = self.name, "token: the attempt to log in ended without an outcome");
                return Ok(Next::Look(limits::ATTENDED_POLL));
            }
        };
        self.blocked |= outcome == PinOutcome::Refused;
        tracing::info!(environment = self.name, ?outcome, note, "token: tried the configured PIN");
        self.settle(outcome, note.as_deref()).await?;
        self.note.send_replace(note);
        Ok(match outcome {
            PinOutcome::Good | PinOutcome::Refused => Next::Wait,
            PinOutcome::NotJudged => Next::Look(limits::UNLOCK_POLL),
        })
    }

    /// The token is open. If the attempt before failed, a person has mended what was wrong: the next start may log in
    /// by itself again, and so may other servers.
    async fn conclude(&self) -> Result<(), StorageError> {
        let (environment, node) = (self.environment, self.store.node());
        if !self.store.pin_attempt_is_spent(environment).await? {
            return Ok(());
        }
        let entry = Draft::of_server(Event::PinMended(self.act()));
        self.store
            .write(move |tx| {
                if tx.forget_spent_pin_attempt(environment, node)? {
                    tx.append_record(entry);
                }
                Ok(())
            })
            .await
    }

    fn act(&self) -> EnvironmentAct {
        EnvironmentAct { environment: Named::new(self.environment, &self.name) }
    }

    async fn claim(&self) -> Result<PinClaim, StorageError> {
        let (environment, node) = (self.environment, self.store.node());
        let entry = Draft::of_server(Event::PinAttempt(self.act()));
        self.store
            .write(move |tx| {
                let claim = tx.claim_pin(environment, node)?;
                if claim == PinClaim::Granted {
                    tx.append_record(entry);
                }
                Ok(claim)
            })
            .await
    }

    async fn settle(&self, outcome: PinOutcome, note: Option<&str>) -> Result<(), StorageError> {
        let (environment, node) = (self.environment, self.store.node());
        let failure = || EnvironmentFailure { environment: self.act().environment, error: note.map(ToOwned::to_owned) };
        let entry = Draft::of_server(match outcome {
            PinOutcome::Good => Event::PinGood(self.act()),
            PinOutcome::Refused => Event::PinRefused(failure()),
            PinOutcome::NotJudged => Event::PinNotJudged(failure()),
        });
        self.store
            .write(move |tx| {
                tx.settle_pin(environment, node, outcome)?;
                tx.append_record(entry);
                Ok(())
            })
            .await
    }
}
