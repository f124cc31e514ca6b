//! Issuing, refreshing and revoking grants.

use std::{fmt, net::IpAddr};

use sealcard_api::{
    Timestamp,
    grants::GrantIssued,
    ids::{GrantId, PrincipalId, ServiceTokenId},
};
use sealcard_policy::Action;
use sealcard_record::{
    Event, HashPrefix, Named,
    event::{GrantRefreshed, GrantRevoked, Login, LoginMethod},
};

use super::{Authentication, AuthenticationError, Caller, GRANT_PREFIX, Secret};
use crate::{
    clock::DAY,
    config::Limits,
    storage::{GrantRow, NewGrantRow, StorageError, WriteTx},
};

/// What somebody has shown to get a grant.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// The password with this PHC string.
    Password(String),
    /// A token, and when it stops to work, in unix seconds.
    ServiceToken(ServiceTokenId, i64),
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(_) => f.write_str("Password(…)"),
            Self::ServiceToken(id, expires) => f.debug_tuple("ServiceToken").field(id).field(expires).finish(),
        }
    }
}

/// Who gets a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IssuedTo {
    /// The principal.
    pub(super) principal: PrincipalId,
    /// What was shown for it; looked at again when the grant is stored.
    pub(super) shown: Shown,
    /// What the holder calls it.
    pub(super) label: String,
    /// From where.
    pub(super) address: IpAddr,
    /// Whether it is a machine's: then it is not refreshed, and valid for the whole time from the start.
    pub(super) machine: bool,
}

/// Why no grant was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The account, its password or its token was changed since it was checked. Retrying with what is valid now helps.
    #[error("the account, its password or its token was changed during the login")]
    Changed,
    /// The grant was revoked. Retrying can't help.
    #[error("the grant has been revoked")]
    Revoked,
    /// The system gave no random bytes.
    #[error("there are no random bytes")]
    NoRandomness,
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Authentication {
    /// A grant, with its last use.
    ///
    /// # Errors
    /// [`AuthenticationError::NoSuchGrant`] if there is none.
    pub(crate) async fn grant(&self, id: GrantId) -> Result<GrantRow, AuthenticationError> {
        let row = self.store.grant(id).await?.ok_or(AuthenticationError::NoSuchGrant)?;
        Ok(self.last_uses.apply(row))
    }

    /// Gives the caller's grant a further token and a later expiry.
    pub(crate) async fn refresh(&self, caller: Caller) -> Result<GrantIssued, AuthenticationError> {
        caller.may_on_server(Action::LookAfterOneself)?;
        let limits = self.limits;
        self.store
            .write(move |tx| {
                caller.authorization(&[Action::LookAfterOneself]).check(tx, None)?;
                let (issued, refreshed) = refresh(tx, &caller, &limits)?;
                tx.append_record(caller.draft(Event::GrantRefreshed(refreshed)));
                Ok(issued)
            })
            .await
    }

    /// Revokes the caller's own grant.
    pub(crate) async fn log_out(&self, caller: Caller) -> Result<(), AuthenticationError> {
        let grant = caller.grant;
        self.end(caller, &[Action::LookAfterOneself], grant, Event::Logout).await
    }

    /// Revokes a grant: one of the caller's, or anyone's for those who may end logins.
    pub(crate) async fn revoke(&self, caller: Caller, id: GrantId) -> Result<(), AuthenticationError> {
        let row = self.store.grant(id).await?;
        let own = row.as_ref().is_some_and(|row| row.principal == caller.principal);
        let needed: &'static [Action] = if own { &[Action::LookAfterOneself] } else { &[Action::EndLogins] };
        needed.iter().try_for_each(|action| caller.may_on_server(*action))?;
        row.ok_or(AuthenticationError::NoSuchGrant)?;
        self.end(caller, needed, id, Event::GrantRevoked).await
    }

    async fn end(
        &self,
        caller: Caller,
        needed: &'static [Action],
        grant: GrantId,
        event: fn(GrantRevoked) -> Event,
    ) -> Result<(), AuthenticationError> {
        self.store
            .write(move |tx| {
                caller.authorization(needed).check(tx, None)?;
                let row = tx.find_grant(grant)?.ok_or(AuthenticationError::NoSuchGrant)?;
                if tx.revoke_grant(grant)? {
                    let grant = Named::new(grant, row.label);
                    let revoked = GrantRevoked { grant, principal: Named::new(row.principal, row.principal_name) };
                    tx.append_record(caller.draft(event(revoked)));
                }
                Ok(())
            })
            .await
    }
}

/// Stores a new grant.
///
/// # Errors
/// If the principal has been disabled or removed in between, its password changed or its token revoked, or the database
/// fails.
pub(super) fn issue(tx: &mut WriteTx, to: IssuedTo, limits: &Limits) -> Result<(GrantIssued, Login), IssueError> {
    let now = tx.now().unix();
    // A password takes its time to be checked. What it was checked against may have been changed meanwhile, which has
    // revoked the grants that there were.
    let still = tx.find_principal(&to.principal.to_string())?.is_some_and(|row| !row.disabled)
        && match &to.shown {
            Shown::Password(hash) => tx.has_password(to.principal, hash)?,
            Shown::ServiceToken(id, _) => tx.is_service_token_good(*id)?,
        };
    if !still {
        return Err(IssueError::Changed);
    }
    let mut refreshable_until = now + i64::from(limits.grant_refreshable_days) * DAY;
    let service_token = match to.shown {
        Shown::Password(_) => None,
        Shown::ServiceToken(id, expires) => Some((id, expires)),
    };
    if let Some((_, token_expires)) = service_token {
        refreshable_until = refreshable_until.min(token_expires);
    }
    let days = if to.machine { limits.grant_refreshable_days } else { limits.grant_days };
    let row = NewGrantRow {
        id: GrantId::new(),
        principal: to.principal,
        service_token: service_token.map(|(id, _)| id),
        label: to.label,
        created: now,
        expires: refreshable_until.min(now + i64::from(days) * DAY),
        refreshable_until,
        address: Some(to.address.to_canonical().to_string()),
    };
    let secret = Secret::new(GRANT_PREFIX).map_err(|_| IssueError::NoRandomness)?;
    let hash = secret.hash();
    let forgotten = tx.add_grant(&row, hash.as_ref())?;
    let login = Login {
        by: if row.service_token.is_some() { LoginMethod::ServiceToken } else { LoginMethod::Password },
        grant: Named::new(row.id, row.label),
        machine: to.machine,
        service_token: row.service_token,
        created: Timestamp::from_unix(row.created),
        expires: Timestamp::from_unix(row.expires),
        refreshable_until: Timestamp::from_unix(row.refreshable_until),
        token_sha256: HashPrefix::of_hash(&hash),
        forgotten,
    };
    Ok((issued(tx, row.id, secret)?, login))
}

fn refresh(tx: &mut WriteTx, caller: &Caller, limits: &Limits) -> Result<(GrantIssued, GrantRefreshed), IssueError> {
    let id = caller.grant;
    let now = tx.now().unix();
    let grant = tx.find_grant(id)?.filter(|grant| grant.revoked.is_none());
    let grant = grant.ok_or(IssueError::Revoked)?;
    let expires = grant.refreshable_until.min(now + i64::from(limits.grant_days) * DAY);
    let retire_at = now + i64::from(limits.grant_overlap_seconds);
    let secret = Secret::new(GRANT_PREFIX).map_err(|_| IssueError::NoRandomness)?;
    let hash = secret.hash();
    let done = tx.refresh_grant(id, expires, (caller.token.as_ref(), retire_at), hash.as_ref())?;
    let issued = issued(tx, id, secret)?;
    let refreshed = GrantRefreshed {
        grant: Named::new(id, &issued.grant.label),
        expires: issued.grant.expires,
        earlier_token: HashPrefix::of_hash(&caller.token),
        retires: Timestamp::from_unix(done.retires),
        token_sha256: HashPrefix::of_hash(&hash),
        forgotten: done.forgotten,
    };
    Ok((issued, refreshed))
}

fn issued(tx: &mut WriteTx, id: GrantId, secret: Secret) -> Result<GrantIssued, IssueError> {
    let row = tx.find_grant(id)?.ok_or(IssueError::Revoked)?;
    Ok(GrantIssued { token: secret.into_text(), grant: row.into() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealcard_policy::{Action, PrincipalKind, SystemRoles};

    use super::*;
    use crate::{
        authn::{Authorization, AuthorizationError, secret},
        storage::{Database, PrincipalChange, PrincipalRow, ServiceTokenRow, Store},
    };

    async fn store_with_user(folder: &std::path::Path) -> (Store, PrincipalId) {
        let store = Store::create(&Database::Sqlite(folder.join("sealcard.db"))).await.unwrap();
        let row = PrincipalRow {
            id: PrincipalId::new(),
            kind: PrincipalKind::User,
            name: "user".to_owned(),
            system_roles: SystemRoles::ADMINISTRATOR,
            disabled: false,
            created: 0,
            one_time_until: None,
            owner: None,
            email: None,
        };
        let id = row.id;
        let added: Result<(), StorageError> = store.write(move |tx| tx.add_principal(&row, Some("first"))).await;
        added.unwrap();
        (store, id)
    }

    async fn log_in(store: &Store, principal: PrincipalId, shown: Shown) -> Result<GrantIssued, IssueError> {
        let address = IpAddr::from([127, 0, 0, 1]);
        let to = IssuedTo { principal, shown, label: String::new(), address, machine: false };
        store.write(move |tx| issue(tx, to, &Limits::default()).map(|(issued, _)| issued)).await
    }

    async fn change(store: &Store, id: PrincipalId, change: PrincipalChange) {
        let changed: Result<(), StorageError> = store.write(move |tx| tx.change_principal(id, &change)).await;
        changed.unwrap();
    }

    /// What was right when it was checked gives nothing once it has been changed.
    #[tokio::test]
    async fn a_password_or_token_that_was_changed_during_the_login_gives_no_grant() {
        let folder = tempfile::tempdir().unwrap();
        let (store, user) = store_with_user(folder.path()).await;
        let password = |text: &str| Shown::Password(text.to_owned());
        log_in(&store, user, password("first")).await.unwrap();
        change(&store, user, PrincipalChange { password: Some("second".to_owned()), ..Default::default() }).await;
        let late = log_in(&store, user, password("first")).await.unwrap_err();
        assert!(matches!(late, IssueError::Changed), "{late:?}");
        log_in(&store, user, password("second")).await.unwrap();

        let now = Timestamp::now().unix();
        let id = ServiceTokenId::new();
        let token = ServiceTokenRow { id, label: String::new(), created: now, expires: now + DAY, revoked: None };
        let shown = Shown::ServiceToken(id, token.expires);
        let added: Result<(), StorageError> = store.write(move |tx| tx.add_service_token(user, &token, &[1; 32])).await;
        added.unwrap();
        log_in(&store, user, shown.clone()).await.unwrap();
        let revoked: Result<(), StorageError> =
            store.write(move |tx| tx.revoke_service_token(user, id).map(drop)).await;
        revoked.unwrap();
        assert!(log_in(&store, user, shown).await.is_err());
    }

    #[tokio::test]
    async fn an_administrator_is_one_until_dismissed_disabled_or_without_the_grant() {
        let folder = tempfile::tempdir().unwrap();
        let (store, user) = store_with_user(folder.path()).await;
        let issued = log_in(&store, user, Shown::Password("first".to_owned())).await.unwrap();
        let (grant, token) = (issued.grant.id, secret::hash(&issued.token.0));
        let still = async || {
            let authorization = Authorization { token, actions: &[Action::ManageServer] };
            let still: Result<(), AuthorizationError> = store.write(move |tx| authorization.check(tx, None)).await;
            still.is_ok()
        };
        assert!(still().await);
        for change_of in [
            |now| {
                let roles = if now { SystemRoles::ADMINISTRATOR } else { SystemRoles::NONE };
                PrincipalChange { system_roles: Some(roles), ..Default::default() }
            },
            |now: bool| PrincipalChange { disabled: Some(!now), ..Default::default() },
        ] {
            change(&store, user, change_of(false)).await;
            assert!(!still().await);
            change(&store, user, change_of(true)).await;
            assert!(still().await);
        }
        let revoked: Result<bool, StorageError> = store.write(move |tx| tx.revoke_grant(grant)).await;
        assert!(revoked.unwrap() && !still().await);
    }
}
