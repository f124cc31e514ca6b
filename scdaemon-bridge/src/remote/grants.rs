//! The grant in use: read when first needed, renewed in time, read again when the server refuses it.

use std::sync::Arc;

use reqwest::Method;
use sealcard_api::{Timestamp, grants::GrantIssued, problem::ProblemCode};
use tokio::task::spawn_blocking;

use super::{Remote, RemoteError, client::Request, session::Session};
use crate::{
    config::files::FileLock,
    grant::{self, Grant, GrantError},
};

/// Whether the server refuses the grant, not the request.
pub(super) const fn is_refusal(code: Option<ProblemCode>) -> bool {
    matches!(code, Some(ProblemCode::Unauthenticated | ProblemCode::GrantExpired | ProblemCode::GrantRevoked))
}

impl Remote {
    /// Waits for a renewal of the grant and for requests that are being given up. For programs that end: one that runs on
    /// need not.
    pub async fn settle(&self) {
        let given_up = std::mem::take(&mut *self.shared.given_up.lock());
        for task in given_up {
            let _ = task.await;
        }
        let Some(session) = self.shared.session.lock().await.clone() else { return };
        let task = session.refresh.lock().take();
        if let Some(task) = task {
            // A renewal that fails is tried again by the next request, long before the grant ends.
            let _ = task.await;
        }
    }
}

impl Session {
    /// The grant in use, or the stored one.
    pub(super) async fn grant(&self) -> Result<Arc<Grant>, RemoteError> {
        if let Some(grant) = self.cached_grant() {
            return Ok(grant);
        }
        let _reading = self.reading.lock().await;
        if let Some(grant) = self.cached_grant() {
            return Ok(grant);
        }
        let grant = Arc::new(self.stored_grant().await?.ok_or(RemoteError::NotLoggedIn { reason: None })?);
        self.set_grant(Some(grant.clone()));
        Ok(grant)
    }

    /// After `refused` was refused: another one, if the store has one by now.
    pub(super) async fn newer_grant(&self, refused: &Grant) -> Result<Option<Arc<Grant>>, RemoteError> {
        let _reading = self.reading.lock().await;
        // Another request may have noticed first.
        if let Some(grant) = self.cached_grant().filter(|grant| !grant.same_token(refused)) {
            return Ok(Some(grant));
        }
        self.set_grant(None);
        match self.stored_grant().await? {
            Some(grant) if !grant.same_token(refused) => {
                let grant = Arc::new(grant);
                self.set_grant(Some(grant.clone()));
                Ok(Some(grant))
            }
            _ => Ok(None),
        }
    }

    async fn stored_grant(&self) -> Result<Option<Grant>, RemoteError> {
        let (paths, store, server) = (self.paths.clone(), self.config.grant_store, self.config.server.clone());
        let grant = blocking(move || grant::load(&paths, store)).await?;
        // A grant is shown to the server that gave it and to no other.
        Ok(grant.filter(|grant| grant.server() == server))
    }

    /// Begins to renew the grant in the background when less than half of its time is left.
    pub(super) fn refresh_when_due(self: &Arc<Self>, grant: &Arc<Grant>) {
        if !grant.is_due(Timestamp::now()) {
            return;
        }
        let mut task = self.refresh.lock();
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let session = self.clone();
        *task = Some(tokio::spawn(async move {
            // Tried again by the next request; if it never succeeds, the grant ends and the person is told to log in.
            let _ = session.refresh().await;
        }));
    }

    /// Renews the grant, unless another process does so or has done so.
    async fn refresh(&self) -> Result<(), RemoteError> {
        let lock_file = self.paths.grant_lock_file();
        let Some(_lock) = blocking(move || Ok(FileLock::take(&lock_file, false)?)).await? else { return Ok(()) };
        let Some(current) = self.stored_grant().await? else { return Ok(()) };
        if !current.is_due(Timestamp::now()) {
            self.set_grant(Some(Arc::new(current)));
            return Ok(());
        }
        let request = Request {
            method: Method::POST,
            path: "/v1/grants/refresh".into(),
            authorization: Some(current.authorization()),
            idempotency: None,
            body: None,
        };
        let answer = self.http.exchange(&request).await?;
        let issued: GrantIssued = self.http.parse(&answer.outcome.map_err(RemoteError::Problem)?)?;
        let renewed = Grant::new(self.config.server.clone(), issued)?;
        let (paths, store) = (self.paths.clone(), self.config.grant_store);
        let renewed = blocking(move || grant::save(&paths, store, &renewed).map(|()| renewed)).await?;
        self.set_grant(Some(Arc::new(renewed)));
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GrantError> + Send + 'static,
) -> Result<T, RemoteError> {
    match spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(RemoteError::Grant(GrantError::Stopped)),
    }
}
