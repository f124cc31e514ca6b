//! Environments: the configured key sources.

use sealcard_api::{Timestamp, ids::EnvironmentId};
use uuid::Uuid;

use super::{
    StorageError, Store,
    sql::{Conn, params},
};

/// One environment, without its live state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRow {
    /// The id.
    pub id: EnvironmentId,
    /// The name; also that of its folder below `signer/`.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
}

impl Store {
    /// All environments, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn environments(&self) -> Result<Vec<EnvironmentRow>, StorageError> {
        let rows: Vec<(Uuid, String, i64)> =
            self.reader().all("SELECT id, name, created FROM environment ORDER BY id", params![]).await?;
        Ok(rows
            .into_iter()
            .map(|(id, name, created)| EnvironmentRow {
                id: EnvironmentId(id),
                name,
                created: Timestamp::from_unix(created),
            })
            .collect())
    }
}

pub(super) async fn insert(conn: &mut Conn, id: EnvironmentId, name: &str) -> Result<(), StorageError> {
    conn.execute(
        "INSERT INTO environment (id, name, kind, created) VALUES ($1, $2, 'sealed', $3)",
        params![id.0, name, Timestamp::now().unix()],
    )
    .await
    .map_err(|error| error.taken("an environment of this name"))?;
    Ok(())
}
