//! Uses of a private key. Each may be repeated with its idempotency key, so a broken connection costs nobody a
//! signature.

use std::time::Duration;

use sealcard_api::{
    approvals::WaitingUse,
    ids::KeyId,
    operations::{
        AuthenticateRequest, DecryptRequest, DecryptResponse, SignBatchRequest, SignBatchResponse, SignBatchResult,
        SignRequest, SignatureResponse,
    },
    problem::ProblemCode,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::{
    Remote, RemoteError, UnreachableKind,
    client::{Answer, Body},
    requests::Call,
};

impl Remote {
    /// Signs a digest with the key's signature slot. `idempotency` is new for each use of the key. Takes at most
    /// twice the server's request limit, and as long as it waits for people: see [`super::WaitObserver`]. Sends the
    /// request once more if the connection broke, and again while the server is busy. A use that waits is given up if the
    /// future is dropped.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn sign(
        &self,
        key: KeyId,
        idempotency: Uuid,
        request: &SignRequest,
    ) -> Result<SignatureResponse, RemoteError> {
        self.operate(key, "sign", Some(idempotency), request).await
    }

    /// Signs with the key's authentication slot; as [`Self::sign`].
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn authenticate(
        &self,
        key: KeyId,
        idempotency: Uuid,
        request: &AuthenticateRequest,
    ) -> Result<SignatureResponse, RemoteError> {
        self.operate(key, "authenticate", Some(idempotency), request).await
    }

    /// Decrypts with the key's decryption slot; as [`Self::sign`].
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn decrypt(
        &self,
        key: KeyId,
        idempotency: Uuid,
        request: &DecryptRequest,
    ) -> Result<DecryptResponse, RemoteError> {
        self.operate(key, "decrypt", Some(idempotency), request).await
    }

    /// Signs several digests with the key's signature slot, at most [`MAX_BATCH`]; as [`Self::sign`]. Gives one result
    /// for each item, in their order. An item that waits for people goes on with [`Self::sign_waiting`].
    ///
    /// [`MAX_BATCH`]: sealcard_api::operations::MAX_BATCH
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn sign_batch(
        &self,
        key: KeyId,
        request: &SignBatchRequest,
    ) -> Result<Vec<SignBatchResult>, RemoteError> {
        let answer: SignBatchResponse = self.operate(key, "sign-batch", None, request).await?;
        if answer.results.len() == request.items.len() {
            return Ok(answer.results);
        }
        let session = self.session().await?;
        Err(RemoteError::BadAnswer {
            server: session.http.name().to_owned(),
            detail: format!("{} results for {} digests", answer.results.len(), request.items.len()),
        })
    }

    /// Goes on with an item of a batch that waits for people, as [`Self::sign`] does.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn sign_waiting(
        &self,
        key: KeyId,
        idempotency: Uuid,
        request: &SignRequest,
        waiting: WaitingUse,
    ) -> Result<SignatureResponse, RemoteError> {
        let call = use_of(key, "sign", Some(idempotency), request)?;
        let answer = self.await_people(&call, waiting).await?;
        self.read(answer).await
    }

    async fn operate<B: Serialize, T: DeserializeOwned>(
        &self,
        key: KeyId,
        operation: &str,
        idempotency: Option<Uuid>,
        body: &B,
    ) -> Result<T, RemoteError> {
        let call = use_of(key, operation, idempotency, body)?;
        let mut answer = self.send_use(&call).await?;
        if let Some(waiting) = self.waiting_use(&answer).await? {
            answer = self.await_people(&call, waiting).await?;
        }
        self.read(answer).await
    }

    async fn read<T: DeserializeOwned>(&self, answer: Answer) -> Result<T, RemoteError> {
        self.session().await?.http.parse(&answer.outcome.map_err(RemoteError::Problem)?)
    }

    /// Sends a use, within its time limit.
    pub(super) async fn send_use(&self, call: &Call) -> Result<Answer, RemoteError> {
        let begin = Instant::now();
        let session = self.session().await?;
        let limit = session.http.time_limit();
        match timeout_at(begin + limit, self.repeat(&session, call)).await {
            Ok(answer) => answer,
            Err(_) => Err(RemoteError::TimedOut { server: session.http.name().to_owned(), seconds: limit.as_secs() }),
        }
    }

    /// Once more after a broken connection; again and again while the server is busy, unless that lasts. The caller
    /// sets the end.
    async fn repeat(
        &self,
        session: &std::sync::Arc<super::session::Session>,
        call: &Call,
    ) -> Result<Answer, RemoteError> {
        let patience = Instant::now() + BUSY;
        let mut broken = false;
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = match self.call(session, call).await {
                Err(RemoteError::Unreachable { kind: UnreachableKind::Broken, .. }) if !broken => {
                    broken = true;
                    continue;
                }
                other => other?,
            };
            let busy = match answer.code() {
                Some(ProblemCode::Overloaded) => true,
                // The first try may have reached the server before its connection broke; its result comes soon.
                Some(ProblemCode::InProgress) => broken,
                _ => false,
            };
            if !busy || Instant::now() + pause > patience {
                return Ok(answer);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn use_of(key: KeyId, operation: &str, idempotency: Option<Uuid>, body: &impl Serialize) -> Result<Call, RemoteError> {
    let path = format!("/v1/keys/{key}/{operation}");
    Ok(Call { method: reqwest::Method::POST, path, idempotency, body: Some(Body::json(body)?) })
}

/// How long a busy server is asked again. What it says then is better than no answer in time: that
/// nothing was begun.
const BUSY: Duration = Duration::from_secs(20);

/// The pause before the first repetition to a busy server; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

const LONGEST_PAUSE: Duration = Duration::from_secs(2);
