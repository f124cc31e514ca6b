//! Users, and what they have in common with service accounts.

use sealcard_api::{Timestamp, ids::PrincipalId};
use sealcard_policy::{PrincipalKind, SystemRole, SystemRoles};
use sealcard_record::{
    Event, HashPrefix,
    event::{self, PasswordReset, PrincipalAct, UserAdded},
};

use super::{Author, Directory, DirectoryError, MANAGE_SERVER, Result, expect_unnamed};
use crate::{
    authn::Caller,
    storage::{MentionKind, PrincipalChange, PrincipalRow, WriteTx},
};

/// A user to be added.
#[derive(Clone)]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// What the user may do on the whole server.
    pub roles: SystemRoles,
    /// The password's PHC string.
    pub password: String,
    /// Until when the password may be used, if it is a one-time password.
    pub one_time_until: Option<Timestamp>,
    /// Where the user gets notices.
    pub email: Option<String>,
}

/// What is to be changed of a user.
#[derive(Clone, Default)]
pub struct UserChange {
    /// Another name.
    pub name: Option<String>,
    /// System roles that the user gets.
    pub add_roles: Vec<SystemRole>,
    /// System roles that the user loses.
    pub remove_roles: Vec<SystemRole>,
    /// Whether the user is disabled.
    pub disabled: Option<bool>,
    /// Another password's PHC string.
    pub password: Option<String>,
    /// Where the user gets notices from now on; empty: nowhere any more.
    pub email: Option<String>,
}

impl Directory {
    /// Adds a user.
    pub async fn add_user(&self, author: Author, new: NewUser) -> Result<PrincipalRow> {
        let NewUser { name, roles, password, one_time_until, email } = new;
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let row = PrincipalRow {
                id: PrincipalId::new(),
                kind: PrincipalKind::User,
                name,
                system_roles: roles,
                disabled: false,
                created: tx.now().unix(),
                one_time_until: one_time_until.map(Timestamp::unix),
                owner: None,
                email,
            };
            tx.add_principal(&row, Some(&password))?;
            tx.append_record(author.draft(Event::UserAdded(UserAdded {
                principal: row.named(),
                roles: roles.iter().collect(),
                one_time_password: one_time_until.is_some(),
                password_expires: one_time_until,
                password_sha256: HashPrefix::of(password.as_bytes()),
                email: row.email.clone(),
                via: author.via(),
            })));
            Ok(row)
        })
        .await
    }

    /// Changes a user. A new password, and disabling, revoke the user's grants.
    ///
    /// # Errors
    /// [`DirectoryError::Conflict`] if nobody would be left to administer the server.
    pub async fn change_user(&self, author: Author, user: String, change: UserChange) -> Result<PrincipalRow> {
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let UserChange { name, add_roles, remove_roles, disabled, password, email } = change;
            let before = find_user(tx, &user)?;
            if name.as_ref().is_some_and(|name| *name != before.name) {
                expect_unnamed(tx, MentionKind::User, &before.name)?;
            }
            let roles =
                before.system_roles.iter().chain(add_roles).filter(|role| !remove_roles.contains(role)).collect();
            let roles = Some(roles).filter(|roles| *roles != before.system_roles);
            let address = email.clone().map(|email| Some(email).filter(|email| !email.is_empty()));
            let row = PrincipalChange {
                name,
                system_roles: roles,
                disabled,
                password,
                email: address,
                ..PrincipalChange::default()
            };
            tx.change_principal(before.id, &row)?;
            must_keep_an_administrator(tx)?;
            if row.password.is_some() || disabled == Some(true) {
                tx.revoke_grants_of(before.id)?;
            }
            if disabled.is_some() {
                tx.bump_registry()?;
            }
            tx.append_record(author.draft(Event::UserChanged(event::UserChanged {
                principal: before.named(),
                new_name: row.name,
                roles: roles.map(|roles| roles.iter().collect()),
                disabled,
                password: row.password.is_some(),
                password_sha256: row.password.as_ref().map(|password| HashPrefix::of(password.as_bytes())),
                email,
            })));
            find_user(tx, &before.id.to_string())
        })
        .await
    }

    /// Gives a user a one-time password in place of the present one, and revokes the user's grants.
    ///
    /// # Errors
    /// [`DirectoryError::Conflict`] if it is the author's own.
    pub async fn reset_password(&self, caller: Caller, user: String, hash: String, until: Timestamp) -> Result<()> {
        let own = caller.principal;
        self.change(caller.into(), MANAGE_SERVER, None, move |tx, author| {
            let user = find_user(tx, &user)?;
            // A one-time password that is not used in time would lock the last administrator out for ever.
            if user.id == own {
                let conflict = "This is your own password. Change it with: sealcard passwd";
                return Err(DirectoryError::Conflict(conflict.to_owned()));
            }
            let (one_time_until, password_sha256) = (Some(until.unix()), HashPrefix::of(hash.as_bytes()));
            let change = PrincipalChange { password: Some(hash), one_time_until, ..PrincipalChange::default() };
            tx.change_principal(user.id, &change)?;
            tx.revoke_grants_of(user.id)?;
            let reset = PasswordReset { principal: user.named(), expires: until, password_sha256 };
            tx.append_record(author.draft(Event::PasswordReset(reset)));
            Ok(())
        })
        .await
    }

    /// Removes a user or service account with memberships, tokens and grants.
    ///
    /// # Errors
    /// [`DirectoryError::Conflict`] if nobody would be left to administer the server.
    pub async fn remove_principal(&self, author: Author, kind: PrincipalKind, name: String) -> Result<()> {
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let row = tx.find_principal(&name)?.filter(|row| row.kind == kind);
            let row = row.ok_or_else(|| unknown(&name))?;
            // Another one of this name would be taken for it. It can be disabled at once.
            expect_unnamed(tx, mention(kind), &row.name)?;
            tx.remove_principal(row.id)?;
            must_keep_an_administrator(tx)?;
            tx.bump_registry()?;
            let act = PrincipalAct { principal: row.named() };
            tx.append_record(author.draft(match kind {
                PrincipalKind::User => Event::UserRemoved(act),
                PrincipalKind::ServiceAccount => Event::ServiceAccountRemoved(act),
            }));
            Ok(())
        })
        .await
    }

    /// A user or service account by name or id.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`] if there is none.
    pub async fn principal(&self, name: &str) -> Result<PrincipalRow> {
        for kind in [PrincipalKind::User, PrincipalKind::ServiceAccount] {
            if let Some(row) = self.store.principal(kind, name).await? {
                return Ok(row);
            }
        }
        Err(unknown(name))
    }

    /// A user by name or id.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`] if there is none.
    pub async fn user(&self, name: &str) -> Result<PrincipalRow> {
        let row = self.store.principal(PrincipalKind::User, name).await?;
        row.ok_or_else(|| DirectoryError::NotFound(format!("There is no user {name}.")))
    }
}

/// The user of this name or id.
pub(super) fn find_user(tx: &mut WriteTx, name: &str) -> Result<PrincipalRow> {
    let row = tx.find_principal(name)?.filter(|row| row.kind == PrincipalKind::User);
    row.ok_or_else(|| DirectoryError::NotFound(format!("There is no user {name}.")))
}

/// Undoes the transaction that would leave nobody to administer the server.
fn must_keep_an_administrator(tx: &mut WriteTx) -> Result<()> {
    if tx.administrators()? > 0 {
        return Ok(());
    }
    let last = "This is the last administrator with a password of their own. Make another user administrator first.";
    Err(DirectoryError::Conflict(last.to_owned()))
}

const fn mention(kind: PrincipalKind) -> MentionKind {
    match kind {
        PrincipalKind::User => MentionKind::User,
        PrincipalKind::ServiceAccount => MentionKind::ServiceAccount,
    }
}

pub(super) fn unknown(name: &str) -> DirectoryError {
    DirectoryError::NotFound(format!("There is no user or service account {name}."))
}
