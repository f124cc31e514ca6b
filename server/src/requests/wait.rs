//! Waiting for a request that is in work, here or at another server.

use std::{collections::HashMap, sync::Arc, time::Instant};

use parking_lot::Mutex;
use sealcard_api::{
    approvals::{ApprovalState, WaitingUse},
    ids::{ProjectId, RequestId},
    record::RequestState,
};
use sealcard_policy::Action;
use sealcard_record::{
    Event, Named,
    event::{SigningKey, UseCancelled},
};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    RequestError, Requests,
    state::{self, Input},
    waiting::Waits,
};
use crate::{
    authn::{AuthorizationError, Caller},
    limits,
    storage::{ApprovalChange, RequestRow, StorageError},
};

impl Requests {
    /// Waits until the request `id`, which has begun, may have ended.
    pub(super) async fn wait_for(&self, id: RequestId, deadline: Instant) -> Result<(), RequestError> {
        let here = tokio::time::timeout_at(deadline.into(), self.running.ended(id)).await;
        if here.map_err(|_| RequestError::InProgress)? {
            return Ok(());
        }
        // Another server works on it, or nobody does.
        if Instant::now() >= deadline {
            return Err(RequestError::InProgress);
        }
        if self.recover().await? == 0 {
            tokio::time::sleep(limits::STATE_POLL).await;
        }
        Ok(())
    }

    /// The request once it has ended, or as it is at the deadline. None if there is no such request.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn watch(&self, id: RequestId, deadline: Instant) -> Result<Option<RequestRow>, StorageError> {
        let mut waiting = self.approvals.wake.register(id);
        loop {
            let row = self.store.request(id).await?;
            let open = row.as_ref().is_some_and(|row| !row.state.is_final());
            if !open || Instant::now() >= deadline {
                return Ok(row);
            }
            if matches!(&row, Some(RequestRow { state: RequestState::Approved, .. })) {
                // It is the requester's turn.
                return Ok(row);
            }
            if matches!(&row, Some(RequestRow { state: RequestState::Waiting, .. })) {
                // Looked at now and then also if nobody says that it has changed.
                waiting.changed(deadline.min(Instant::now() + limits::WAITING_POLL)).await;
                continue;
            }
            let signs = matches!(row, Some(RequestRow { state: RequestState::Signing, .. }));
            let runs_here =
                signs && tokio::time::timeout_at(deadline.into(), self.running.ended(id)).await.unwrap_or(true);
            if !runs_here {
                let poll = if signs { limits::STATE_POLL } else { limits::WAITING_POLL };
                let pause = poll.min(deadline.saturating_duration_since(Instant::now()));
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Why a request was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// It is in this state and does not wait. Retrying can't help.
    #[error("the request is {}", .0.name())]
    TooLate(RequestState),
    /// The caller may not do it any more.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Requests {
    /// Gives up a request that waits, or that was approved and was not sent again, and with it what it waits for.
    ///
    /// # Errors
    /// See [`CancelError`].
    pub async fn cancel(&self, caller: &Caller, row: &RequestRow) -> Result<(), CancelError> {
        let Some(next) = state::next(row.state, Input::Cancel) else { return Err(CancelError::TooLate(row.state)) };
        let key = self.store.key(row.key).await?;
        let signing_key = SigningKey {
            project: Named::new(
                row.project.unwrap_or(ProjectId(Uuid::nil())),
                key.as_ref().map_or("", |key| &key.project),
            ),
            key: Named::new(row.key, key.as_ref().map_or("", |key| &key.name)),
        };
        let (id, approval, by) = (row.id, row.approval, caller.in_request(row.id));
        let authorization = caller.authorization(&[Action::LookAfterOneself]);
        let ended = self.store.write(move |tx| -> Result<bool, CancelError> {
            authorization.check(tx, None)?;
            let own = match approval {
                Some(approval) => tx.approval(approval)?,
                None => None,
            };
            let own = own.filter(|own| own.request == Some(id) && own.state.is_open());
            let cancelled = UseCancelled { signing_key, approval: own.as_ref().map(|own| own.id) };
            let ended = tx.end_waiting(id, next, by.draft(Event::UseCancelled(cancelled)))?;
            if let (true, Some(own)) = (ended, own) {
                let change = ApprovalChange { state: ApprovalState::Cancelled, expires: own.expires };
                if !tx.change_approval(own.id, own.version, change)? {
                    return Err(StorageError::Busy.into());
                }
            }
            Ok(ended)
        });
        if ended.await? {
            self.approvals.wake.look_now();
            return Ok(());
        }
        let now = self.store.request(row.id).await?;
        Err(CancelError::TooLate(now.map_or(RequestState::Unknown, |row| row.state)))
    }

    /// What a requester is told that waits.
    pub(super) async fn waiting_use(&self, caller: &Caller, waits: Waits) -> Result<WaitingUse, StorageError> {
        let Waits { request, approval, wants, stages, project, deadline, expires } = waits;
        let owner = self.store.owner_of(caller.principal).await?;
        let approvers = self.approvals.names_of(&stages, project, (Some(caller.principal), owner)).await?;
        Ok(WaitingUse { request_id: request, approval, wants, approvers, deadline, expires })
    }
}

/// The requests that this process works on. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<Mutex<HashMap<RequestId, watch::Receiver<()>>>>);

impl Running {
    /// Notes a request for as long as the guard lives.
    pub(super) fn begin(&self, id: RequestId) -> RunningGuard {
        let (sender, receiver) = watch::channel(());
        self.0.lock().insert(id, receiver);
        RunningGuard { running: self.clone(), id, _sender: sender }
    }

    /// Whether this process works on the request.
    pub(crate) fn contains(&self, id: RequestId) -> bool {
        self.0.lock().contains_key(&id)
    }

    /// Waits until the request has ended. `false` at once if this process does not work on it.
    pub(super) async fn ended(&self, id: RequestId) -> bool {
        let Some(mut receiver) = self.0.lock().get(&id).cloned() else { return false };
        // Nothing is ever sent: the error says that the guard has gone.
        while receiver.changed().await.is_ok() {}
        true
    }
}

/// A request in work.
pub(super) struct RunningGuard {
    running: Running,
    id: RequestId,
    _sender: watch::Sender<()>,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.running.0.lock().remove(&self.id);
    }
}
