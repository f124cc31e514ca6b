//! Service accounts and their tokens.

use sealcard_api::{
    Timestamp,
    admin::ServiceAccountChange,
    ids::{PrincipalId, ServiceTokenId},
};
use sealcard_policy::{PrincipalKind, SystemRoles};
use sealcard_record::{
    Event, HashPrefix, Named,
    event::{ServiceAccountAdded, ServiceAccountChanged, TokenAdded, TokenRevoked},
};

use super::{Author, Directory, DirectoryError, MANAGE_SERVER, Result, expect_unnamed, users};
use crate::storage::{MentionKind, PrincipalChange, PrincipalRow, ServiceTokenRow, WriteTx};

/// A token to be added.
#[derive(Clone)]
pub struct NewToken {
    /// What it is for.
    pub label: String,
    /// When it expires.
    pub expires: Timestamp,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
}

impl Directory {
    /// Adds a service account. The user named as its owner answers for it, or else the author.
    pub async fn add_service_account(
        &self,
        author: Author,
        name: String,
        owner: Option<String>,
    ) -> Result<PrincipalRow> {
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let owner = match owner {
                Some(owner) => Some(users::find_user(tx, &owner)?.named()),
                None => author.person(),
            };
            let row = PrincipalRow {
                id: PrincipalId::new(),
                kind: PrincipalKind::ServiceAccount,
                name,
                system_roles: SystemRoles::NONE,
                disabled: false,
                created: tx.now().unix(),
                one_time_until: None,
                owner,
                email: None,
            };
            tx.add_principal(&row, None)?;
            let added = ServiceAccountAdded { principal: row.named(), owner: row.owner.clone() };
            tx.append_record(author.draft(Event::ServiceAccountAdded(added)));
            Ok(row)
        })
        .await
    }

    /// Renames, disables or enables a service account, or gives it another owner. Disabling revokes its grants.
    pub async fn change_service_account(
        &self,
        author: Author,
        account: String,
        wanted: ServiceAccountChange,
    ) -> Result<PrincipalRow> {
        let ServiceAccountChange { name: new_name, disabled, owner } = wanted;
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let before = find(tx, &account)?;
            if new_name.as_ref().is_some_and(|name| *name != before.name) {
                expect_unnamed(tx, MentionKind::ServiceAccount, &before.name)?;
            }
            let owner = owner.map(|owner| users::find_user(tx, &owner)).transpose()?.map(|owner| owner.named());
            let owner_id = owner.as_ref().map(|owner| owner.id);
            let change = PrincipalChange { disabled, name: new_name, owner: owner_id, ..PrincipalChange::default() };
            tx.change_principal(before.id, &change)?;
            if disabled == Some(true) {
                tx.revoke_grants_of(before.id)?;
            }
            tx.bump_registry()?;
            let (principal, new_name) = (before.named(), change.name);
            let changed = ServiceAccountChanged { principal, new_name, disabled, owner };
            tx.append_record(author.draft(Event::ServiceAccountChanged(changed)));
            find(tx, &before.id.to_string())
        })
        .await
    }

    /// Adds a token to a service account.
    pub async fn add_token(&self, author: Author, account: String, new: NewToken) -> Result<ServiceTokenRow> {
        let NewToken { label, expires, hash } = new;
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let row = ServiceTokenRow {
                id: ServiceTokenId::new(),
                label,
                created: tx.now().unix(),
                expires: expires.unix(),
                revoked: None,
            };
            let account = find(tx, &account)?;
            tx.add_service_token(account.id, &row, &hash)?;
            let (principal, token) = (account.named(), Named::new(row.id, &row.label));
            let added = TokenAdded { principal, token, expires, token_sha256: HashPrefix::of_hash(&hash) };
            tx.append_record(author.draft(Event::ServiceTokenAdded(added)));
            Ok(row)
        })
        .await
    }

    /// Revokes a token and the grants that came of it.
    pub async fn revoke_token(&self, author: Author, account: String, token: ServiceTokenId) -> Result<()> {
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let account = find(tx, &account)?;
            let token = tx.revoke_service_token(account.id, token)?;
            let revoked = TokenRevoked { principal: account.named(), token };
            tx.append_record(author.draft(Event::ServiceTokenRevoked(revoked)));
            Ok(())
        })
        .await
    }

    /// A service account by name or id.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`] if there is none.
    pub async fn service_account(&self, name: &str) -> Result<PrincipalRow> {
        let row = self.store.principal(PrincipalKind::ServiceAccount, name).await?;
        row.ok_or_else(|| unknown(name))
    }
}

fn find(tx: &mut WriteTx, name: &str) -> Result<PrincipalRow> {
    let row = tx.find_principal(name)?.filter(|row| row.kind == PrincipalKind::ServiceAccount);
    row.ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> DirectoryError {
    DirectoryError::NotFound(format!("There is no service account {name}."))
}
