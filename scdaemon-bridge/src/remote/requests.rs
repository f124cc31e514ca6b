//! Requests that use no key, and requests without a grant.

use std::{sync::Arc, time::Duration};

use reqwest::{Method, header::HeaderValue};
use sealcard_api::{
    Timestamp,
    admin::Readiness,
    approvals::Approval,
    cards::CardList,
    grants::{GrantInfo, GrantIssued, LoginRequest, SecretText, ServerInfo},
    ids::ApprovalId,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    Remote, RemoteError, Route,
    client::{Answer, Body, Http, Request},
    session::Session,
};
use crate::{config::Trust, grant::GrantError};

impl Remote {
    /// The cards that the holder of the grant may use.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn cards(&self) -> Result<CardList, RemoteError> {
        self.get("/v1/cards").await
    }

    /// The grant in use, as the server sees it.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn whoami(&self) -> Result<GrantInfo, RemoteError> {
        self.get("/v1/grants/current").await
    }

    /// Whether the server can use keys, and what needs a look.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn readiness(&self) -> Result<Readiness, RemoteError> {
        self.get("/readyz").await
    }

    /// Asks for something. `path` begins with `/v1/`.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RemoteError> {
        self.request::<(), T>(Method::GET, path, None).await
    }

    /// Asks for something that is not JSON.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, RemoteError> {
        let session = self.session().await?;
        let call = Call { method: Method::GET, path: path.to_owned(), idempotency: None, body: None };
        let answer = within(session.http.time_limit(), &session.http, self.call(&session, &call)).await?;
        answer.outcome.map_err(RemoteError::Problem)
    }

    /// Makes something. Not repeated if the connection breaks.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, RemoteError> {
        self.request(Method::POST, path, Some(body)).await
    }

    /// Makes something that takes the server long, such as RSA keys: waits for five minutes. Not repeated.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn post_patiently<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, RemoteError> {
        self.request_within(Some(PATIENCE), Method::POST, path, Some(body)).await
    }

    /// Changes something.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn patch<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, RemoteError> {
        self.request(Method::PATCH, path, Some(body)).await
    }

    /// Puts something in its place; the answer's body is not looked at.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn put<B: Serialize + Sync>(&self, path: &str, body: Option<&B>) -> Result<(), RemoteError> {
        self.request::<B, serde::de::IgnoredAny>(Method::PUT, path, body).await.map(drop)
    }

    /// Removes something; the answer's body is not looked at.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn delete<B: Serialize + Sync>(&self, path: &str, body: Option<&B>) -> Result<(), RemoteError> {
        self.request::<B, serde::de::IgnoredAny>(Method::DELETE, path, body).await.map(drop)
    }

    /// Ends an approval, and gives it as it is then.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn end_approval(&self, id: ApprovalId) -> Result<Approval, RemoteError> {
        self.request::<(), _>(Method::DELETE, &super::path(&["approvals", &id.to_string()]), None).await
    }

    async fn request<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, RemoteError> {
        self.request_within(None, method, path, body).await
    }

    async fn request_within<B: Serialize, T: DeserializeOwned>(
        &self,
        limit: Option<Duration>,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, RemoteError> {
        let body = body.map(Body::json).transpose()?;
        let session = self.session().await?;
        let call = Call { method, path: path.to_owned(), idempotency: None, body };
        let limit = limit.unwrap_or_else(|| session.http.time_limit());
        let answer = within(limit, &session.http, self.call(&session, &call)).await?;
        session.http.parse(&answer.outcome.map_err(RemoteError::Problem)?)
    }

    /// One exchange with the grant, two if another process has renewed it meanwhile. The answer may be a problem, but
    /// not one about the grant.
    pub(super) async fn call(&self, session: &Arc<Session>, call: &Call) -> Result<Answer, RemoteError> {
        let mut grant = session.grant().await?;
        loop {
            let request = Request {
                method: call.method.clone(),
                path: call.path.clone(),
                authorization: Some(grant.authorization()),
                idempotency: call.idempotency,
                body: call.body.clone(),
            };
            let answer = session.http.exchange(&request).await?;
            if let Some(version) = answer.registry_version {
                self.shared.registry_version.fetch_max(version, std::sync::atomic::Ordering::Relaxed);
            }
            if let Some(time) = answer.time() {
                let ahead = time.unix().saturating_sub(Timestamp::now().unix());
                self.shared.clock_ahead.store(ahead, std::sync::atomic::Ordering::Relaxed);
            }
            if !super::grants::is_refusal(answer.code()) {
                session.refresh_when_due(&grant);
                return Ok(answer);
            }
            match session.newer_grant(&grant).await? {
                Some(newer) => grant = newer,
                None => return Err(RemoteError::NotLoggedIn { reason: answer.outcome.err() }),
            }
        }
    }
}

/// A request that is ready to be sent, more than once if need be.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) idempotency: Option<Uuid>,
    pub(super) body: Option<Body>,
}

/// A server before a login: only what needs no grant.
#[derive(Debug, Clone)]
pub struct Anonymous {
    http: Http,
}

impl Anonymous {
    /// A client for the server at the end of this way, and this way of trust. `ca_pem` are the certificates of
    /// [`Trust::CaFile`]. Nothing is sent.
    ///
    /// # Errors
    ///
    /// When TLS can't be set up.
    pub fn new(route: Route, trust: &Trust, ca_pem: Option<&[u8]>) -> Result<Self, RemoteError> {
        Ok(Self { http: Http::new(route, trust, ca_pem)? })
    }

    /// What the server says of itself, and its clock: the header `Date`, if it sends one.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`].
    pub async fn server(&self) -> Result<(ServerInfo, Option<String>), RemoteError> {
        let request = Request {
            method: Method::GET,
            path: "/v1/server".into(),
            authorization: None,
            idempotency: None,
            body: None,
        };
        let answer = within(self.http.time_limit(), &self.http, self.http.exchange(&request)).await?;
        let info = self.http.parse(&answer.outcome.map_err(RemoteError::Problem)?)?;
        Ok((info, answer.date))
    }

    /// Logs in.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`]; a wrong password is [`RemoteError::Problem`].
    pub async fn login(&self, login: &LoginRequest) -> Result<GrantIssued, RemoteError> {
        let request = Request {
            method: Method::POST,
            path: "/v1/login".into(),
            authorization: None,
            idempotency: None,
            body: Some(Body::json(login)?),
        };
        let answer = within(self.http.time_limit(), &self.http, self.http.exchange(&request)).await?;
        self.http.parse(&answer.outcome.map_err(RemoteError::Problem)?)
    }
}

impl Anonymous {
    /// What the server knows of a grant that came here by another way than a login.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`]; a grant that is not valid is [`RemoteError::Problem`].
    pub async fn adopt(&self, token: SecretText) -> Result<GrantIssued, RemoteError> {
        let header = zeroize::Zeroizing::new(format!("Bearer {}", token.0));
        let mut authorization = HeaderValue::from_str(&header)
            .map_err(|_| GrantError::Invalid("it holds characters that no token has".to_owned()))?;
        authorization.set_sensitive(true);
        let request = Request {
            method: Method::GET,
            path: "/v1/grants/current".into(),
            authorization: Some(&authorization),
            idempotency: None,
            body: None,
        };
        let answer = within(self.http.time_limit(), &self.http, self.http.exchange(&request)).await?;
        let grant = self.http.parse(&answer.outcome.map_err(RemoteError::Problem)?)?;
        Ok(GrantIssued { token, grant })
    }

    /// Revokes a grant of this server.
    ///
    /// # Errors
    ///
    /// See [`RemoteError`]; a grant that was not valid any more is [`RemoteError::Problem`].
    pub async fn revoke(&self, grant: &crate::grant::Grant) -> Result<(), RemoteError> {
        let request = Request {
            method: Method::DELETE,
            path: "/v1/grants/current".into(),
            authorization: Some(grant.authorization()),
            idempotency: None,
            body: None,
        };
        let answer = within(self.http.time_limit(), &self.http, self.http.exchange(&request)).await?;
        answer.outcome.map(drop).map_err(RemoteError::Problem)
    }
}

/// How long the server may take to make a key.
const PATIENCE: Duration = Duration::from_secs(300);

async fn within<T>(
    limit: Duration,
    http: &Http,
    request: impl Future<Output = Result<T, RemoteError>>,
) -> Result<T, RemoteError> {
    timeout(limit, request)
        .await
        .unwrap_or_else(|_| Err(RemoteError::TimedOut { server: http.name().to_owned(), seconds: limit.as_secs() }))
}
