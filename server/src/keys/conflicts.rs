//! What a key that is to come in conflicts with. The storage does not know what the caller may see.

use sealcard_api::{Fingerprint, algorithm::ComponentRole, ids::KeyId};
use sealcard_openpgp::ForeignKey;
use sealcard_policy::Action;

use super::{
    KeyError,
    tasks::{Keys, Result},
};
use crate::{authn::Caller, storage::StorageError};

impl Keys {
    /// Refuses keys whose material is a part of a key already, before anybody is asked for a passphrase.
    ///
    /// # Errors
    /// A conflict that names the other key, if the caller may see it.
    pub(super) async fn expect_unknown(&self, caller: &Caller, keys: &[ForeignKey]) -> Result<()> {
        for key in keys {
            let unknown = self.store.expect_unknown(&key.public_key.clone().into()).await;
            self.named(caller, unknown.map_err(KeyError::from)).await?;
        }
        Ok(())
    }

    /// A result whose conflict with another key names that key, if the caller may see it.
    ///
    /// # Errors
    /// That of the result.
    pub(super) async fn named<T>(&self, caller: &Caller, result: Result<T>) -> Result<T> {
        match result {
            Err(KeyError::Storage(StorageError::KnownKey { key, fingerprint })) => {
                Err(self.conflict(caller, key, fingerprint).await?)
            }
            result => result,
        }
    }

    /// The conflict with a key that has this fingerprint, or a part with it.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn conflict(&self, caller: &Caller, key: KeyId, fingerprint: Fingerprint) -> Result<KeyError> {
        let Some(row) = self.store.key(key).await? else { return Ok(KeyError::State("The key is here already.")) };
        let is_key = row.fingerprint == fingerprint;
        let roles = self.store.roles_in_project(caller.principal, row.project_id).await?;
        if caller.may(roles, Action::SeeProject).is_err() {
            let what = if is_key { "key" } else { "subkey" };
            let detail = format!("The {what} {fingerprint} is here already, in a project that you may not see.");
            return Ok(KeyError::Conflict(detail));
        }
        let name = row.full_name();
        if is_key && (row.revoked.is_some() || row.destroyed.is_some()) {
            let state = row.state(caller.received).name();
            let detail =
                format!("The key {fingerprint} is here already: it is {name}, which is {state}. It can't come back.");
            return Ok(KeyError::Conflict(detail));
        }
        if is_key {
            return Ok(KeyError::Conflict(format!(
                "The key {fingerprint} is here already: it is {name}. Bring a newer certificate of it with: sealcard \
             admin key import {name}"
            )));
        }
        let role = row.components.iter().find(|component| component.fingerprint == fingerprint);
        let does = match role.map(|component| component.role) {
            Some(ComponentRole::Certify) => "certifies",
            Some(ComponentRole::Sign) => "signs",
            Some(ComponentRole::Decrypt) => "decrypts",
            Some(ComponentRole::Authenticate) => "authenticates",
            None => "is a part",
        };
        let key = row.fingerprint;
        Ok(KeyError::Conflict(format!(
            "The subkey {fingerprint} is here already: it {does} in {name} ({key}). A subkey can be part of one key only."
        )))
    }
}
