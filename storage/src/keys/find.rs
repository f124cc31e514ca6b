//! Keys by the names that people give them.

use sealcard_api::{KeyRef, ids::PrincipalId};

use super::KeyRow;
use crate::{
    StorageError, Store,
    identity::as_id,
    sql::{params, principal_role},
};

/// Keys that are meant by one name, of those that the principal `$2` may see, or of all.
macro_rules! find_query {
    ($which:literal) => {
        concat!(
            key_query!("WHERE "),
            $which,
            " AND (k.project_id IN (SELECT r.project_id FROM ",
            principal_role!(),
            " r WHERE r.principal_id = $2)
                OR $2 IS NULL)
             ORDER BY p.name, k.name LIMIT 20"
        )
    };
}

/// How many keys are named at most when a name is that of several.
pub const MAX_CANDIDATES: usize = 20;

impl Store {
    /// The keys that are meant by `wanted`, ordered by project, at most [`MAX_CANDIDATES`]: more than one only for a
    /// name that several projects have, or a short id. With `visible_to` only those of projects in which it has a role.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_keys(
        &self,
        wanted: &KeyRef,
        visible_to: Option<PrincipalId>,
    ) -> Result<Vec<KeyRow>, StorageError> {
        let seer = visible_to.map(|principal| principal.0);
        let mut keys: Vec<KeyRow> = match wanted {
            KeyRef::Id(id) => self.reader().all(find_query!("k.id = $1"), params![id.0, seer]).await?,
            KeyRef::Fingerprint(fingerprint) => {
                self.reader().all(find_query!("k.fingerprint = $1"), params![fingerprint.0.to_vec(), seer]).await?
            }
            KeyRef::ShortId(digits) => {
                let sql = find_query!("substr(k.fingerprint, 13) = $1");
                self.reader().all(sql, params![digits.to_vec(), seer]).await?
            }
            KeyRef::Name { project: None, name } => {
                self.reader().all(find_query!("k.name = $1 AND p.removed IS NULL"), params![name, seer]).await?
            }
            KeyRef::Name { project: Some(project), name } => {
                let sql = find_query!("k.name = $1 AND p.removed IS NULL AND (p.name = $3 OR p.id = $4)");
                self.reader().all(sql, params![name, seer, project, as_id(project)]).await?
            }
        };
        for key in &mut keys {
            key.components = self.components(key.id).await?;
        }
        Ok(keys)
    }
}
