//! Component keys that are being made: known before the signer is asked, so that none can stay on a token unnoticed.

use sealcard_api::{
    algorithm::ComponentRole,
    ids::{ComponentId, EnvironmentId, KeyId, ProjectId, RequestId},
    record::RecordKind,
};
use serde_json::json;
use uuid::Uuid;

use super::{Draft, StorageError, Store, WriteTx, keys::role, sql::params};

/// A component key that came to nothing, and may lie on its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leftover {
    /// The component.
    pub component: ComponentId,
    /// Its role.
    pub role: ComponentRole,
    /// The key that was to have it.
    pub key: KeyId,
    /// The key's project.
    pub project: ProjectId,
    /// The request that was to make it.
    pub request: RequestId,
}

/// Where components are being made.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The key.
    pub key: KeyId,
    /// Its project.
    pub project: ProjectId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// The request.
    pub request: RequestId,
}

const INSERT: &str = "INSERT INTO component_attempt
    (component_id, key_id, project_id, environment_id, role, request_id, node_id, failed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, FALSE)";
const ABANDONED: &str = "SELECT component_id, node_id FROM component_attempt
    WHERE environment_id = $1 AND NOT failed AND node_id <> $2";
const TAKE: &str = "UPDATE component_attempt SET failed = TRUE, node_id = $3
    WHERE component_id = $1 AND node_id = $2 AND NOT failed";
const OF_FAILED: &str = "SELECT component_id, role, key_id, project_id, request_id, node_id FROM component_attempt
    WHERE environment_id = $1 AND failed ORDER BY component_id";

impl Store {
    /// What is to be removed from an environment's token: components of failed attempts, and of servers that have ended.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn leftovers(&self, environment: EnvironmentId) -> Result<Vec<Leftover>, StorageError> {
        let own = self.node();
        let abandoned: Vec<(Uuid, Uuid)> = self.reader().all(ABANDONED, params![environment.0, own]).await?;
        if !abandoned.is_empty() {
            self.write(move |tx| {
                for (component, node) in abandoned {
                    if tx.node_has_ended(node)? {
                        tx.conn().execute(TAKE, params![component, node, own])?;
                    }
                }
                Ok::<_, StorageError>(())
            })
            .await?;
        }
        let rows: Vec<(Uuid, String, Uuid, Uuid, Uuid, Uuid)> =
            self.reader().all(OF_FAILED, params![environment.0]).await?;
        rows.into_iter()
            .map(|(component, of, key, project, request, _)| {
                Ok(Leftover {
                    component: ComponentId(component),
                    role: role(1, &of)?,
                    key: KeyId(key),
                    project: ProjectId(project),
                    request: RequestId(request),
                })
            })
            .collect()
    }

    /// Notes that the components of a key came to nothing.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn fail_attempt(&self, key: KeyId) -> Result<(), StorageError> {
        self.write(move |tx| {
            let sql = "UPDATE component_attempt SET failed = TRUE WHERE key_id = $1";
            tx.conn().execute(sql, params![key.0]).map(drop)
        })
        .await
    }

    /// Records that a leftover is about to be removed from its token. The signer's journal tells of it too.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn begin_discard(&self, leftover: Leftover) -> Result<(), StorageError> {
        let details = json!({"event": "key-discard-begun", "components": [leftover.component], "role": leftover.role});
        self.append_record(entry(leftover, details)).await
    }

    /// Records that a leftover is gone from its token.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn finish_discard(&self, leftover: Leftover) -> Result<(), StorageError> {
        let details = json!({"event": "key-discarded", "component": leftover.component, "role": leftover.role});
        let entry = entry(leftover, details);
        self.write(move |tx| {
            let sql = "DELETE FROM component_attempt WHERE component_id = $1";
            tx.conn().execute(sql, params![leftover.component.0])?;
            tx.append_record(entry);
            Ok::<_, StorageError>(())
        })
        .await
    }
}

impl WriteTx {
    /// Notes components that the signer is about to make.
    ///
    /// # Errors
    /// If the database fails.
    pub fn insert_attempt(
        &mut self,
        node: Uuid,
        attempt: Attempt,
        components: &[(ComponentId, ComponentRole)],
    ) -> Result<(), StorageError> {
        let Attempt { key, project, environment, request } = attempt;
        for (component, role) in components {
            let params = params![component.0, key.0, project.0, environment.0, role.name(), request.0, node];
            self.conn().execute(INSERT, params)?;
        }
        Ok(())
    }

    /// Forgets the attempt: its components are stored.
    ///
    /// # Errors
    /// If the database fails.
    pub fn finish_attempt(&mut self, key: KeyId) -> Result<(), StorageError> {
        let sql = "DELETE FROM component_attempt WHERE key_id = $1";
        self.conn().execute(sql, params![key.0]).map(drop)
    }
}

fn entry(leftover: Leftover, details: serde_json::Value) -> Draft {
    Draft {
        kind: RecordKind::Administration,
        request_id: leftover.request,
        principal: None,
        project: Some(leftover.project),
        key: Some(leftover.key),
        state: None,
        details,
    }
}
