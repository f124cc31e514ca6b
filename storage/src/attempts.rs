//! Component keys that are being made: known before the signer is asked, so that none can stay on a token unnoticed.

use sealcard_api::{
    algorithm::ComponentRole,
    ids::{ComponentId, EnvironmentId, KeyId, ProjectId, RequestId},
};
use sealcard_record::{
    Draft, Event, Named,
    event::{KeyComponentAct, KeyComponentsAct, SigningKey},
};
use uuid::Uuid;

use super::{
    StorageError, Store, WriteTx,
    keys::role,
    sql::{FromRow, Row, params},
};

/// A component key that came to nothing, and may lie on its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The component.
    pub component: ComponentId,
    /// Its role.
    pub role: ComponentRole,
    /// The key that was to have it.
    pub key: SigningKey,
    /// The request that was to make it.
    pub request: RequestId,
}

/// Where components are being made.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The key.
    pub key: SigningKey,
    /// Its environment.
    pub environment: EnvironmentId,
    /// The request.
    pub request: RequestId,
}

const INSERT: &str = "INSERT INTO component_attempt
    (component_id, key_id, key_name, project_id, environment_id, role, request_id, node_id, failed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, FALSE)";
const ABANDONED: &str = "SELECT component_id, node_id FROM component_attempt
    WHERE environment_id = $1 AND NOT failed AND node_id <> $2";
const TAKE: &str = "UPDATE component_attempt SET failed = TRUE, node_id = $3
    WHERE component_id = $1 AND node_id = $2 AND NOT failed";
const OF_FAILED: &str = "SELECT a.component_id, a.role, a.key_id, a.key_name, a.project_id, p.name, a.request_id
    FROM component_attempt a JOIN project p ON p.id = a.project_id
    WHERE a.environment_id = $1 AND a.failed ORDER BY a.component_id";

impl FromRow for Leftover {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            component: ComponentId(row.get(0)?),
            role: role(1, &row.get::<String>(1)?)?,
            key: SigningKey {
                project: Named::new(ProjectId(row.get(4)?), row.get::<String>(5)?),
                key: Named::new(KeyId(row.get(2)?), row.get::<String>(3)?),
            },
            request: RequestId(row.get(6)?),
        })
    }
}

impl Store {
    /// What is to be removed from an environment's token: components of failed attempts, and of servers that have
    /// ended.
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
        self.reader().all(OF_FAILED, params![environment.0]).await
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
        let begun =
            KeyComponentsAct { signing_key: leftover.key, components: vec![leftover.component], fingerprint: None };
        self.append_record(Draft::new(leftover.request, Event::KeyDiscardBegun(begun))).await
    }

    /// Records that a leftover is gone from its token.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn finish_discard(&self, leftover: Leftover) -> Result<(), StorageError> {
        let Leftover { component, role, key: signing_key, request } = leftover;
        let entry = Draft::new(request, Event::KeyDiscarded(KeyComponentAct { signing_key, component, role }));
        self.write(move |tx| {
            let sql = "DELETE FROM component_attempt WHERE component_id = $1";
            tx.conn().execute(sql, params![component.0])?;
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
        attempt: &Attempt,
        components: &[(ComponentId, ComponentRole)],
    ) -> Result<(), StorageError> {
        let Attempt { key: SigningKey { project, key }, environment, request } = attempt;
        for (component, role) in components {
            let (key_id, project_id, role) = (key.id.0, project.id.0, role.name());
            let params = params![component.0, key_id, key.name, project_id, environment.0, role, request.0, node];
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
