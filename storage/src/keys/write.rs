//! What is written of keys.

use sealcard_api::{
    Timestamp,
    ids::{ComponentId, KeyId},
    keys::Revoked,
    life::ComponentLife,
};
use sealcard_signer_protocol::PublicKeyBytes;

use super::{NewComponentRow, NewKeyRow, OWNER, Owner};
use crate::{StorageError, WriteTx, sql::params};

const INSERT_KEY: &str =
    "INSERT INTO signing_key (id, project_id, environment_id, name, algorithm, user_id, fingerprint,
        serial, certificate, disabled, created)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, FALSE, $10)";

/// Why a key can't be used any more, whatever is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEnd {
    /// Its certificate says that it is revoked.
    Revoked,
    /// Its private halves are destroyed, or were to be.
    Destroyed,
}

impl WriteTx {
    /// Stores a key with its component keys and its card.
    ///
    /// # Errors
    /// [`StorageError::Taken`] if the name is taken; [`StorageError::KnownKey`] if it, or a part of it, is here
    /// already.
    pub fn insert_key(&mut self, key: &NewKeyRow) -> Result<(), StorageError> {
        let project = "SELECT created FROM project WHERE id = $1 AND removed IS NULL";
        if self.conn().scalar::<i64>(project, params![key.project.0])?.is_none() {
            return Err(StorageError::NotFound("project"));
        }
        let known = "SELECT id FROM signing_key WHERE fingerprint = $1";
        if let Some(known) = self.conn().scalar(known, params![key.fingerprint.0.to_vec()])? {
            return Err(StorageError::KnownKey { key: KeyId(known), fingerprint: key.fingerprint });
        }
        let values = params![
            key.id.0,
            key.project.0,
            key.environment.0,
            &key.name,
            key.algorithm.name(),
            &key.user_id,
            key.fingerprint.0.to_vec(),
            key.serial.cast_signed(),
            &key.certificate,
            key.created.unix()
        ];
        self.conn()
            .execute(INSERT_KEY, values)
            .map_err(|error| error.taken(format!("a key named {} already exists in this project", key.name)))?;
        for component in &key.components {
            self.insert_component(key.id, component)?;
        }
        if let Some(certificate) = &key.revocation {
            let sql = "INSERT INTO key_revocation (key_id, certificate) VALUES ($1, $2)";
            self.conn().execute(sql, params![key.id.0, certificate])?;
        }
        self.conn().execute("INSERT INTO card_counter (key_id, signatures) VALUES ($1, 0)", params![key.id.0])?;
        self.bump_registry()?;
        Ok(())
    }

    /// Stores a component key of a key.
    ///
    /// # Errors
    /// [`StorageError::Taken`] if the key has one in its role; [`StorageError::KnownKey`] if a key has it.
    pub fn insert_component(&mut self, key: KeyId, new: &NewComponentRow) -> Result<(), StorageError> {
        let NewComponentRow { key: component, fingerprint, created, expires, evidence } = new;
        let (public_key, exponent) = match &component.public_key {
            PublicKeyBytes::Rsa { n, e } => (n, Some(e)),
            PublicKeyBytes::Ec { point } => (point, None),
        };
        // The fingerprint holds the time too: adopted twice, one key would have two. Key material is in one slot only.
        self.expect_master_key(key, &component.handle)?;
        let owner: Option<Owner> = self.conn().optional(OWNER, params![public_key.as_slice()])?;
        owner.map_or(Ok(()), Owner::conflict)?;
        self.conn()
            .execute(
                "INSERT INTO component_key (id, key_id, role, algorithm, public_key, public_exponent, handle,
                fingerprint, created, expires)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                params![
                    component.component,
                    key.0,
                    component.role.name(),
                    component.algorithm.name(),
                    public_key.as_slice(),
                    exponent.map(Vec::as_slice),
                    component.handle.as_slice(),
                    fingerprint.0.to_vec(),
                    created.unix(),
                    expires.map(Timestamp::unix)
                ],
            )
            .map_err(|error| error.taken(format!("the key already has a part that can {}", component.role.name())))?;
        if let Some(evidence) = evidence {
            self.insert_evidence(ComponentId(component.component), evidence)?;
        }
        Ok(())
    }

    /// Gives a key another name.
    ///
    /// # Errors
    /// [`StorageError::Taken`], or if the database fails.
    pub fn rename_key(&mut self, id: KeyId, name: &str) -> Result<(), StorageError> {
        self.conn()
            .execute("UPDATE signing_key SET name = $2 WHERE id = $1", params![id.0, name])
            .map_err(|error| error.taken(format!("a key named {name} already exists in this project")))?;
        self.bump_registry()?;
        Ok(())
    }

    /// Whether a card has this serial number already.
    ///
    /// # Errors
    /// If the database fails.
    pub fn serial_is_taken(&mut self, serial: u64) -> Result<bool, StorageError> {
        let found: Option<i64> =
            self.conn().scalar("SELECT serial FROM signing_key WHERE serial = $1", params![serial.cast_signed()])?;
        Ok(found.is_some())
    }

    /// Revokes a key for good: its certificate says so, and its use is stopped. Whether it was not revoked before and
    /// its certificate was still `earlier`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn revoke_key(
        &mut self,
        key: KeyId,
        (earlier, certificate): (&str, &str),
        revoked: &Revoked,
    ) -> Result<bool, StorageError> {
        let changed = self.conn().execute(
            "UPDATE signing_key SET certificate = $3, disabled = TRUE, revoked = $4, revocation_reason = $5,
                    revocation_message = $6
                 WHERE id = $1 AND certificate = $2 AND revoked IS NULL",
            params![key.0, earlier, certificate, revoked.time.unix(), revoked.reason.name(), &revoked.message],
        )? > 0;
        if changed {
            self.bump_registry()?;
        }
        Ok(changed)
    }

    /// Gives a key that is not revoked another certificate, and its components the ends in it; another user id, if one
    /// is given. Whether its certificate was still `earlier`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn replace_certificate(
        &mut self,
        key: KeyId,
        (earlier, certificate): (&str, &str),
        user_id: Option<&str>,
        lives: &[ComponentLife],
    ) -> Result<bool, StorageError> {
        const CERTIFICATE: &str = "UPDATE signing_key SET certificate = $3, user_id = coalesce($4, user_id)
             WHERE id = $1 AND certificate = $2 AND revoked IS NULL";
        const COMPONENT: &str =
            "UPDATE component_key SET expires = $3, revoked = $4 WHERE key_id = $1 AND fingerprint = $2";
        if self.conn().execute(CERTIFICATE, params![key.0, earlier, certificate, user_id])? == 0 {
            return Ok(false);
        }
        for life in lives {
            let (fingerprint, expires) = (life.fingerprint.0.to_vec(), life.expires.map(Timestamp::unix));
            self.conn().execute(COMPONENT, params![key.0, fingerprint, expires, life.revoked])?;
        }
        self.bump_registry()?;
        Ok(true)
    }

    /// Ends the use of a disabled or revoked key because its private halves are to be destroyed. Whether it was one.
    ///
    /// # Errors
    /// If the database fails.
    pub fn set_key_destroyed(&mut self, key: KeyId) -> Result<bool, StorageError> {
        let now = self.now().unix();
        let changed = self.conn().execute(
            "UPDATE signing_key SET destroyed = coalesce(destroyed, $2) WHERE id = $1 AND disabled",
            params![key.0, now],
        )? > 0;
        if changed {
            self.bump_registry()?;
        }
        Ok(changed)
    }

    /// Whether the key's use has ended for good, and how.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if there is no such key.
    pub fn key_end(&mut self, key: KeyId) -> Result<Option<KeyEnd>, StorageError> {
        const END: &str = "SELECT revoked IS NOT NULL, destroyed IS NOT NULL FROM signing_key WHERE id = $1";
        let (revoked, destroyed): (bool, bool) =
            self.conn().optional(END, params![key.0])?.ok_or(StorageError::NotFound("key"))?;
        Ok(match (revoked, destroyed) {
            (true, _) => Some(KeyEnd::Revoked),
            (false, true) => Some(KeyEnd::Destroyed),
            (false, false) => None,
        })
    }

    /// Stops or allows a key's use. Whether that changed anything.
    ///
    /// # Errors
    /// If the database fails.
    pub fn set_key_disabled(&mut self, key: KeyId, disabled: bool) -> Result<bool, StorageError> {
        let changed = self.conn().execute(
            "UPDATE signing_key SET disabled = $2
                 WHERE id = $1 AND disabled <> $2 AND revoked IS NULL AND destroyed IS NULL",
            params![key.0, disabled],
        )? > 0;
        if changed {
            self.bump_registry()?;
        }
        Ok(changed)
    }
}
