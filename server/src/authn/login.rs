//! Logging in, with a password or a service token.

use std::time::Instant;

use sealcard_api::{
    grants::{GrantIssued, LoginRequest},
    ids::PrincipalId,
    rules::Label,
};
use sealcard_record::{
    Actor, Event, HashPrefix, Named,
    event::{LoginFailed, LoginFailure, LoginMethod, PasswordChangeRequired, PasswordChanged},
};
use zeroize::Zeroizing;

use super::{
    Authentication, AuthenticationError, IssueError, RequestContext, Result, SERVICE_TOKEN_PREFIX, Subject,
    grants::{self, IssuedTo, Shown},
    metrics, network_of,
    password_change::Checked,
    secret,
};
use crate::storage::PrincipalChange;

impl Authentication {
    /// Issues a grant for a password or token that is right. Right or wrong, the record has it.
    pub(crate) async fn log_in(&self, context: RequestContext, request: LoginRequest) -> Result<GrantIssued> {
        let method = metrics::method(&request);
        let result = self.try_to_log_in(context, request).await;
        self.metrics.count(method, &result);
        result
    }

    async fn try_to_log_in(&self, context: RequestContext, request: LoginRequest) -> Result<GrantIssued> {
        let account = match &request {
            LoginRequest::Password { user, .. } => Some(Subject::Account(user.clone())),
            // A token has nothing that could be guessed bit by bit, so only its network is slowed down.
            LoginRequest::ServiceToken { .. } => None,
        };
        let network = Subject::Network(network_of(context.peer.ip()));
        let subjects = account.into_iter().chain([network]).collect();
        let attempt = Attempt { authentication: self, context, subjects };
        self.not_too_soon(&attempt.subjects)?;
        let identified = match request {
            LoginRequest::Password { user, password, new_password, label } => {
                let password = Zeroizing::new(password.0);
                let new_password = new_password.map(|new| Zeroizing::new(new.0));
                attempt.by_password(user, (password, new_password), label).await?
            }
            LoginRequest::ServiceToken { token, label, machine } => {
                attempt.by_token(Zeroizing::new(token.0), label, machine).await?
            }
        };
        attempt.issue(identified).await
    }
}

/// One attempt to log in.
struct Attempt<'a> {
    authentication: &'a Authentication,
    context: RequestContext,
    /// Those that have to wait if it is wrong.
    subjects: Vec<Subject>,
}

/// Who has shown a secret that is good for a grant.
struct Identified {
    to: IssuedTo,
    /// By what.
    by: LoginMethod,
    /// The principal's name.
    name: String,
    /// The PHC string that takes the place of the one-time password's.
    new_password: Option<String>,
}

impl Attempt<'_> {
    async fn by_password(
        &self,
        user: String,
        (password, new_password): (Zeroizing<String>, Option<Zeroizing<String>>),
        label: String,
    ) -> Result<Identified> {
        let Self { authentication, context, subjects } = self;
        Label::check(&label).map_err(AuthenticationError::Invalid)?;
        if let Some(new) = &new_password {
            authentication.check_new(new, &user)?;
        }
        let peer = context.peer.ip();
        let Checked { row, right, permit } =
            authentication.check_password(peer, subjects, &user, password.clone()).await?;
        let row = match row {
            Some(row) if right && !row.disabled => row,
            other => {
                authentication.slowdown.wrong(subjects, Instant::now());
                drop(permit);
                let failed = match other {
                    Some(row) => {
                        let reason = if right { LoginFailure::Disabled } else { LoginFailure::WrongPassword };
                        failure(LoginMethod::Password, reason, Some(Named::new(row.id, user)))
                    }
                    // It may be a password typed into the wrong field.
                    None => LoginFailed {
                        unknown_user: Some(authentication.names.hash(&user)),
                        ..failure(LoginMethod::Password, LoginFailure::UnknownUser, None)
                    },
                };
                return self.refuse(failed, "The name or the password is wrong.").await;
            }
        };
        drop(permit);
        let new_password = match (row.one_time_until, new_password) {
            (None, None) => None,
            (None, Some(_)) => {
                let text = "A login changes one-time passwords only. Log in without a new one, then change yours: \
                            sealcard passwd";
                return Err(AuthenticationError::Invalid(text.to_owned()));
            }
            (Some(until), _) if until <= context.received.unix() => {
                let principal = Some(Named::new(row.id, user));
                let failed = failure(LoginMethod::Password, LoginFailure::OneTimePasswordExpired, principal);
                let text = "The one-time password has expired. Ask an administrator for a new one: sealcard admin user \
                            reset-password";
                return self.refuse(failed, text).await;
            }
            (Some(_), None) => {
                let required = PasswordChangeRequired { principal: Named::new(row.id, user) };
                self.record(Event::PasswordChangeRequired(required)).await?;
                return Err(AuthenticationError::PasswordChangeRequired);
            }
            (Some(_), Some(new)) => Some(authentication.hash_new(peer, &password, new).await?),
        };
        let shown = Shown::Password(row.password);
        let to = IssuedTo { principal: row.id, shown, label, address: peer, machine: false };
        Ok(Identified { to, by: LoginMethod::Password, name: user, new_password })
    }

    async fn by_token(&self, token: Zeroizing<String>, label: String, machine: bool) -> Result<Identified> {
        let Self { authentication, context, subjects } = self;
        Label::check(&label).map_err(AuthenticationError::Invalid)?;
        let hash = secret::hash(token.trim());
        let known = if token.trim().starts_with(SERVICE_TOKEN_PREFIX) {
            authentication.store.login_token(hash.as_ref()).await?
        } else {
            None
        };
        match known {
            Some(token) if token.usable && token.expires > context.received.unix() => {
                let shown = Shown::ServiceToken(token.token.id, token.expires);
                let Named { id: principal, name } = token.principal;
                let to = IssuedTo { principal, shown, label, address: context.peer.ip(), machine };
                Ok(Identified { to, by: LoginMethod::ServiceToken, name, new_password: None })
            }
            other => {
                authentication.slowdown.wrong(subjects, Instant::now());
                let (principal, token) = other.map(|token| (token.principal, token.token)).unzip();
                let failed = failure(LoginMethod::ServiceToken, LoginFailure::UnusableToken, principal);
                self.refuse(LoginFailed { token, ..failed }, "The token is wrong, revoked or expired.").await
            }
        }
    }

    async fn issue(self, identified: Identified) -> Result<GrantIssued> {
        let Identified { to, by, name, new_password } = identified;
        let (context, limits) = (self.context, self.authentication.limits);
        let principal = Named::new(to.principal, name);
        let actor = Actor { id: principal.id, name: principal.name.clone(), grant: None };
        let issued = self.authentication.store.write(move |tx| {
            let (issued, login) = grants::issue(tx, to, &limits)?;
            if let Some(hash) = new_password {
                let password_sha256 = HashPrefix::of(hash.as_bytes());
                let change = PrincipalChange { password: Some(hash), ..PrincipalChange::default() };
                tx.change_principal(actor.id, &change)?;
                tx.revoke_other_grants(actor.id, issued.grant.id)?;
                let event = Event::PasswordChanged(PasswordChanged { one_time: true, password_sha256 });
                tx.append_record(context.draft(event).by(actor.clone()));
            }
            tx.append_record(context.draft(Event::Login(login)).by(actor));
            Ok(issued)
        });
        let issued = issued.await;
        match &issued {
            Ok(_) => self.authentication.slowdown.right(&self.subjects),
            Err(IssueError::Changed) => {
                let failed = failure(by, LoginFailure::ChangedMeanwhile, Some(principal));
                self.record(Event::LoginFailed(failed)).await?;
            }
            Err(_) => {}
        }
        Ok(issued?)
    }

    async fn refuse<T>(&self, failed: LoginFailed, text: &'static str) -> Result<T> {
        self.record(Event::LoginFailed(failed)).await?;
        Err(AuthenticationError::WrongCredentials(text))
    }

    async fn record(&self, event: Event) -> Result<()> {
        Ok(self.authentication.store.append_record(self.context.draft(event)).await?)
    }
}

fn failure(by: LoginMethod, reason: LoginFailure, principal: Option<Named<PrincipalId>>) -> LoginFailed {
    LoginFailed { by, reason, principal, token: None, unknown_user: None }
}
