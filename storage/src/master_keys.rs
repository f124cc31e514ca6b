//! Under which master key a sealed store's components are stored, and their way from one to the next.

use std::collections::HashMap;

use sealcard_api::ids::{ComponentId, EnvironmentId, KeyId};
use sealcard_signer_protocol::{MasterKeyId, StoredKey};
use uuid::Uuid;

use super::{
    StorageError, Store, WriteTx,
    keys::StoredComponent,
    record::LogKeyRow,
    schema,
    sql::{FromRow, Row, params},
};

/// Which master key an environment uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MasterKeyState {
    /// New components are stored under it, and no others. None before a signer has named it.
    pub current: Option<MasterKeyId>,
    /// The one before, while components may be stored under it.
    pub earlier: Option<MasterKeyId>,
}

impl FromRow for MasterKeyState {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self { current: id(row.get(0)?)?, earlier: id(row.get(1)?)? })
    }
}

fn id(bytes: Option<Vec<u8>>) -> Result<Option<MasterKeyId>, StorageError> {
    let read = |bytes: Vec<u8>| bytes.as_slice().try_into().map(MasterKeyId);
    bytes.map(read).transpose().map_err(|_| StorageError::Damaged("the id of a master key".to_owned()))
}

const STATE: &str = "SELECT master_key, earlier_master_key FROM environment WHERE id = $1";

/// Components of an environment that are not stored under a master key: `substr` counts from 1.
const SEALED_OTHERWISE: &str = "SELECT c.id, c.role, c.algorithm, c.public_key, c.public_exponent, c.handle
    FROM component_key c JOIN signing_key k ON k.id = c.key_id
    WHERE k.environment_id = $1 AND substr(c.handle, 2, 8) <> $2 AND c.id > $3 ORDER BY c.id LIMIT $4";

/// Keys of the record's log that are not.
const LOG_KEYS_SEALED_OTHERWISE: &str =
    "SELECT component_id, environment_id, origin, ed25519, ml_dsa_44, handle, created
    FROM log_key WHERE environment_id = $1 AND substr(handle, 2, 8) <> $2 ORDER BY component_id";

/// Both together.
const COUNT: &str = "SELECT count(*), coalesce(sum(CASE WHEN substr(handle, 2, 8) <> $2 THEN 1 ELSE 0 END), 0)
    FROM (SELECT c.handle FROM component_key c JOIN signing_key k ON k.id = c.key_id WHERE k.environment_id = $1
        UNION ALL SELECT handle FROM log_key WHERE environment_id = $1) sealed";

impl Store {
    /// Which master key an environment uses.
    ///
    /// # Errors
    /// If the database fails, or has no such environment.
    pub async fn master_key(&self, environment: EnvironmentId) -> Result<MasterKeyState, StorageError> {
        let state = self.reader().optional(STATE, params![environment.0]).await?;
        state.ok_or(StorageError::NotFound("environment"))
    }

    /// Components of an environment that are stored under another master key, from the one after `after` on.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn sealed_otherwise(
        &self,
        environment: EnvironmentId,
        master_key: MasterKeyId,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<StoredKey>, StorageError> {
        let values = params![environment.0, master_key.0.as_slice(), after, i64::from(limit)];
        let rows: Vec<StoredComponent> = self.reader().all(SEALED_OTHERWISE, values).await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    /// Keys of the record's log that are stored under another master key. There is one for each name that the log had.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn log_keys_sealed_otherwise(
        &self,
        environment: EnvironmentId,
        master_key: MasterKeyId,
    ) -> Result<Vec<LogKeyRow>, StorageError> {
        self.reader().all(LOG_KEYS_SEALED_OTHERWISE, params![environment.0, master_key.0.as_slice()]).await
    }

    /// How many components and keys of the record's log an environment has, and how many of them are stored under
    /// another master key.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_sealed_otherwise(
        &self,
        environment: EnvironmentId,
        master_key: MasterKeyId,
    ) -> Result<(u64, u64), StorageError> {
        let values = params![environment.0, master_key.0.as_slice()];
        let counts: Option<(i64, i64)> = self.reader().optional(COUNT, values).await?;
        let (all, otherwise) = counts.unwrap_or_default();
        Ok((all.cast_unsigned(), otherwise.cast_unsigned()))
    }

    /// Tells the servers that share the database which master keys this one's signer has.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn announce_master_keys(
        &self,
        environment: EnvironmentId,
        ids: &[MasterKeyId],
    ) -> Result<(), StorageError> {
        let Some(node) = self.announced() else { return Ok(()) };
        let text = {
            let mut known = self.master_keys.lock();
            known.insert(environment, ids.to_vec());
            text(&known)
        };
        self.write(move |tx| schema::announce_master_keys(tx.conn_for_uses(), &node, &text)).await
    }

    /// The names of other servers that run and whose signers lack a master key of an environment.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn servers_without_master_key(
        &self,
        environment: EnvironmentId,
        id: MasterKeyId,
    ) -> Result<Vec<String>, StorageError> {
        let Some(node) = self.announced() else { return Ok(Vec::new()) };
        let word = word(environment, id);
        self.write(move |tx| {
            let others = schema::live_others(tx.conn_for_uses(), Some(&node))?;
            let lacking = others.into_iter().filter(|other| !other.master_keys.split(' ').any(|known| known == word));
            Ok(lacking.map(|other| other.name).collect())
        })
        .await
    }
}

/// One word for each master key of each environment.
fn text(known: &HashMap<EnvironmentId, Vec<MasterKeyId>>) -> String {
    let words = known.iter().flat_map(|(environment, ids)| ids.iter().map(|id| word(*environment, *id)));
    words.collect::<Vec<_>>().join(" ")
}

fn word(environment: EnvironmentId, id: MasterKeyId) -> String {
    format!("{environment}:{id}")
}

impl WriteTx {
    /// Takes the first master key that a signer names as the one in use. Whether none was.
    ///
    /// # Errors
    /// If the database fails.
    pub fn adopt_master_key(&mut self, environment: EnvironmentId, id: MasterKeyId) -> Result<bool, StorageError> {
        let sql = "UPDATE environment SET master_key = $2 WHERE id = $1 AND master_key IS NULL";
        Ok(self.conn().execute(sql, params![environment.0, id.0.as_slice()])? == 1)
    }

    /// From now on components are stored under `new` alone; those that are stored under `before` are to be sealed
    /// again. Whether that was so until now.
    ///
    /// # Errors
    /// If the database fails.
    pub fn change_master_key(
        &mut self,
        environment: EnvironmentId,
        before: MasterKeyId,
        new: MasterKeyId,
    ) -> Result<bool, StorageError> {
        let sql = "UPDATE environment SET master_key = $3, earlier_master_key = $2 WHERE id = $1 AND master_key = $2
            AND earlier_master_key IS NULL";
        let values = params![environment.0, before.0.as_slice(), new.0.as_slice()];
        Ok(self.conn().execute(sql, values)? == 1)
    }

    /// Stores a component that was sealed again, if it is still as it was.
    ///
    /// # Errors
    /// If the database fails.
    pub fn replace_handle(&mut self, component: ComponentId, before: &[u8], new: &[u8]) -> Result<bool, StorageError> {
        let sql = "UPDATE component_key SET handle = $3 WHERE id = $1 AND handle = $2";
        Ok(self.conn().execute(sql, params![component.0, before, new])? == 1)
    }

    /// The same for a key of the record's log.
    ///
    /// # Errors
    /// If the database fails.
    pub fn replace_log_key(&mut self, key: Uuid, before: &[u8], new: &[u8]) -> Result<bool, StorageError> {
        let sql = "UPDATE log_key SET handle = $3 WHERE component_id = $1 AND handle = $2";
        Ok(self.conn().execute(sql, params![key, before, new])? == 1)
    }

    /// Notes that all components are stored under the master key in use, if it is so and was not noted. Their number
    /// then.
    ///
    /// # Errors
    /// If the database fails.
    pub fn finish_master_key(
        &mut self,
        environment: EnvironmentId,
        current: MasterKeyId,
    ) -> Result<Option<u64>, StorageError> {
        let counts: Option<(i64, i64)> = self.conn().optional(COUNT, params![environment.0, current.0.as_slice()])?;
        let Some((all, 0)) = counts else { return Ok(None) };
        let sql = "UPDATE environment SET earlier_master_key = NULL WHERE id = $1 AND master_key = $2
            AND earlier_master_key IS NOT NULL";
        let changed = self.conn().execute(sql, params![environment.0, current.0.as_slice()])?;
        Ok((changed == 1).then_some(all.cast_unsigned()))
    }

    /// Refuses a component that is stored under another master key than the one that its environment uses: once all
    /// have been sealed again, none may come that needs the earlier one.
    pub(super) fn expect_master_key(&mut self, key: KeyId, handle: &[u8]) -> Result<(), StorageError> {
        let sql = "SELECT e.master_key FROM signing_key k JOIN environment e ON e.id = k.environment_id
            WHERE k.id = $1";
        let wanted: Option<(Option<Vec<u8>>,)> = self.conn().optional(sql, params![key.0])?;
        expect(wanted, handle)
    }

    /// The same for a key of the record's log.
    pub(super) fn expect_master_key_of(
        &mut self,
        environment: EnvironmentId,
        handle: &[u8],
    ) -> Result<(), StorageError> {
        let sql = "SELECT master_key FROM environment WHERE id = $1";
        let wanted: Option<(Option<Vec<u8>>,)> = self.conn().optional(sql, params![environment.0])?;
        expect(wanted, handle)
    }
}

fn expect(wanted: Option<(Option<Vec<u8>>,)>, handle: &[u8]) -> Result<(), StorageError> {
    match id(wanted.and_then(|(wanted,)| wanted))? {
        Some(wanted) if MasterKeyId::of_handle(handle) != Some(wanted) => Err(StorageError::OtherMasterKey),
        _ => Ok(()),
    }
}
