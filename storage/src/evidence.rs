//! What tokens said of keys.

use sealcard_api::{
    Timestamp,
    ids::{ComponentId, KeyId},
    tokens::{ComponentEvidence, KeyEvidence},
};
use uuid::Uuid;

use super::{StorageError, Store, WriteTx, keys::role, sql::params};

impl Store {
    /// The evidence of a key's components; none for keys of a sealed store.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn evidence(&self, key: KeyId) -> Result<Vec<ComponentEvidence>, StorageError> {
        let rows: Vec<(Uuid, String, String, i64)> = self
            .reader()
            .all(
                "SELECT c.id, c.role, e.evidence, e.read FROM key_evidence e
                 JOIN component_key c ON c.id = e.component_id WHERE c.key_id = $1",
                params![key.0],
            )
            .await?;
        let mut evidence = rows
            .into_iter()
            .map(|(component, of, json, read)| {
                Ok(ComponentEvidence {
                    component: ComponentId(component),
                    role: role(1, &of)?,
                    read: Timestamp::from_unix(read),
                    evidence: serde_json::from_str(&json)
                        .map_err(|error| StorageError::Damaged(format!("evidence of {component}: {error}")))?,
                })
            })
            .collect::<Result<Vec<_>, StorageError>>()?;
        evidence.sort_by_key(|one| one.role);
        Ok(evidence)
    }
}

impl WriteTx {
    /// Keeps what a token said of a component key that is stored.
    ///
    /// # Errors
    /// If the database fails.
    pub fn insert_evidence(&mut self, component: ComponentId, evidence: &KeyEvidence) -> Result<(), StorageError> {
        let json = serde_json::to_string(evidence).map_err(|error| StorageError::Damaged(error.to_string()))?;
        let now = self.now().unix();
        self.conn()
            .execute(
                "INSERT INTO key_evidence (component_id, evidence, read) VALUES ($1, $2, $3)",
                params![component.0, json, now],
            )
            .map(drop)
    }
}
