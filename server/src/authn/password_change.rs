//! Checking a password, changing one's own, and passwords for others.

use std::{net::IpAddr, time::Instant};

use sealcard_api::{Timestamp, admin::OneTimePassword, grants::SecretText, rules::NewPassword};
use sealcard_policy::{Action, PrincipalKind};
use sealcard_record::{
    Event, HashPrefix,
    event::{PasswordChangeFailed, PasswordChanged},
};
use zeroize::Zeroizing;

use super::{
    Authentication, AuthenticationError, Caller, IssueError, PasswordPermit, Result, Subject, network_of,
    one_time_password,
};
use crate::{
    clock::DAY,
    storage::{PasswordRow, PrincipalChange},
};

const WRONG_OLD: AuthenticationError = AuthenticationError::WrongCredentials("The old password is wrong.");

impl Authentication {
    /// Expects a caller that has a password.
    ///
    /// # Errors
    /// [`AuthenticationError::NoPassword`] for service accounts.
    pub(crate) fn expect_password(caller: &Caller) -> Result<()> {
        if caller.kind == PrincipalKind::User { Ok(()) } else { Err(AuthenticationError::NoPassword) }
    }

    /// Changes the caller's own password and revokes the caller's other grants.
    pub(crate) async fn change_own_password(
        &self,
        caller: Caller,
        old: Zeroizing<String>,
        new: Zeroizing<String>,
    ) -> Result<()> {
        Self::expect_password(&caller)?;
        self.check_new(&new, &caller.name)?;
        let peer = caller.peer.ip();
        let subjects = [Subject::Account(caller.name.clone()), Subject::Network(network_of(peer))];
        let checked = self.check_password(peer, &subjects, &caller.name, old.clone()).await?;
        let Some(row) = checked.row.filter(|row| checked.right && row.id == caller.principal) else {
            self.slowdown.wrong(&subjects, Instant::now());
            drop(checked.permit);
            self.store.append_record(caller.draft(Event::PasswordChangeFailed(PasswordChangeFailed {}))).await?;
            return Err(WRONG_OLD);
        };
        drop(checked.permit);
        self.slowdown.right(&subjects);
        let hash = self.hash_new(peer, &old, new).await?;
        self.store
            .write(move |tx| {
                caller.authorization(&[Action::LookAfterOneself]).check(tx, None)?;
                if !tx.has_password(row.id, &row.password)? {
                    return Err(WRONG_OLD);
                }
                let password_sha256 = HashPrefix::of(hash.as_bytes());
                let change = PrincipalChange { password: Some(hash), ..PrincipalChange::default() };
                tx.change_principal(row.id, &change)?;
                tx.revoke_other_grants(row.id, caller.grant)?;
                let changed = PasswordChanged { one_time: false, password_sha256 };
                tx.append_record(caller.draft(Event::PasswordChanged(changed)));
                Ok(())
            })
            .await
    }

    /// A new one-time password and its PHC string.
    pub(crate) async fn one_time_password(&self, caller: &Caller) -> Result<(OneTimePassword, String)> {
        let password = one_time_password().map_err(|_| IssueError::NoRandomness)?;
        let hash = self.hash(caller.peer.ip(), password.clone()).await?;
        let days = i64::from(self.limits.one_time_password_days);
        let expires = Timestamp::from_unix(caller.received.unix() + days * DAY);
        Ok((OneTimePassword { password: SecretText(password.to_string()), expires }, hash))
    }

    /// The PHC string of the password that the caller has chosen for the user of this name.
    ///
    /// # Errors
    /// [`AuthenticationError::Invalid`] if it is too weak; see [`AuthenticationError`].
    pub(crate) async fn hash_for(&self, user: &str, password: Zeroizing<String>, caller: &Caller) -> Result<String> {
        self.check_new(&password, user)?;
        self.hash(caller.peer.ip(), password).await
    }

    /// The PHC string of a password that a user has chosen, and that [`NewPassword`] has let through.
    pub(super) async fn hash_new(&self, peer: IpAddr, old: &str, new: Zeroizing<String>) -> Result<String> {
        if *new == *old {
            return Err(AuthenticationError::Invalid("The new password must differ from the old one.".to_owned()));
        }
        self.hash(peer, new).await
    }

    pub(super) fn check_new(&self, new: &str, user: &str) -> Result<()> {
        NewPassword::check(new, user, self.limits.password_characters).map_err(AuthenticationError::Invalid)
    }

    async fn hash(&self, peer: IpAddr, password: Zeroizing<String>) -> Result<String> {
        Ok(self.passwords.hash(network_of(peer), password).await?)
    }

    /// Checks a password that came from `peer`. An unknown user's takes as long as any other.
    pub(super) async fn check_password(
        &self,
        peer: IpAddr,
        subjects: &[Subject],
        user: &str,
        password: Zeroizing<String>,
    ) -> Result<Checked> {
        self.not_too_soon(subjects)?;
        let permit = self.passwords.permit(network_of(peer)).await?;
        // Again, because attempts made at once wait for their permits together: what the ones before did wrong counts.
        self.not_too_soon(subjects)?;
        let row = self.store.password_of(user).await?;
        let stored = row.as_ref().map(|row| row.password.clone());
        let (right, permit) = self.passwords.verify(permit, password, stored).await?;
        Ok(Checked { row, right, permit })
    }

    pub(super) fn not_too_soon(&self, subjects: &[Subject]) -> Result<()> {
        let Some(wait) = self.slowdown.wait(subjects, Instant::now()) else { return Ok(()) };
        Err(AuthenticationError::TooSoon(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)))
    }
}

/// What came of looking at a name and a password.
pub(super) struct Checked {
    /// The user of this name.
    pub(super) row: Option<PasswordRow>,
    /// Whether the password is the user's.
    pub(super) right: bool,
    /// To be kept until a wrong attempt has been counted.
    pub(super) permit: PasswordPermit,
}
