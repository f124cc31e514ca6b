//! Signing keys and their component keys.

mod life;
mod write;

use sealcard_api::{
    CardSerial, Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm},
    ids::{ComponentId, EnvironmentId, KeyId, PrincipalId, ProjectId},
    keys::{RevocationReason, Revoked},
    tokens::KeyEvidence,
};
use sealcard_record::{Named, event::SigningKey};
use sealcard_signer_protocol::{PublicKeyBytes, StoredKey};
use uuid::Uuid;

use super::{
    StorageError, Store,
    sql::{FromRow, Row, params, principal_role},
};

/// A signing key, with the names that belong to its ids.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// The id.
    pub id: KeyId,
    /// The project.
    pub project_id: ProjectId,
    /// Its name.
    pub project: String,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Its name.
    pub environment: String,
    /// The name, unique in the project.
    pub name: String,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// The first user id.
    pub user_id: String,
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// The card's serial number.
    pub serial: CardSerial,
    /// The certificate, armored.
    pub certificate: String,
    /// Whether its use is stopped.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// What its revocation says.
    pub revoked: Option<Revoked>,
    /// When its private halves were destroyed, or that was begun.
    pub destroyed: Option<Timestamp>,
    /// Signatures made so far.
    pub signatures: u64,
    /// The component keys, in the order of [`ComponentRole::ALL`].
    pub components: Vec<ComponentRow>,
}

impl KeyRow {
    /// As the record names it.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        SigningKey { project: Named::new(self.project_id, &self.project), key: Named::new(self.id, &self.name) }
    }
}

/// A component key, without its private half.
#[derive(Debug, Clone)]
pub struct ComponentRow {
    /// The id.
    pub id: ComponentId,
    /// The role.
    pub role: ComponentRole,
    /// The algorithm.
    pub algorithm: ComponentAlgorithm,
    /// The public half.
    pub public_key: PublicKeyBytes,
    /// The fingerprint.
    pub fingerprint: Fingerprint,
    /// Creation time, part of the fingerprint.
    pub created: Timestamp,
    /// When it expires, or its certificate if that is earlier.
    pub expires: Option<Timestamp>,
    /// Whether it was revoked alone.
    pub revoked: bool,
}

/// A signing key that is to be stored.
#[derive(Debug, Clone)]
pub struct NewKeyRow {
    /// The id.
    pub id: KeyId,
    /// The project.
    pub project: ProjectId,
    /// The environment.
    pub environment: EnvironmentId,
    /// The name.
    pub name: String,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// The first user id.
    pub user_id: String,
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// 40 bits, see [`CardSerial::from_number`].
    pub serial: u64,
    /// The certificate, armored.
    pub certificate: String,
    /// When it was made.
    pub created: Timestamp,
    /// The revocation certificate that was made together with it, armored; none if its primary key is not here.
    pub revocation: Option<String>,
    /// The component keys.
    pub components: Vec<NewComponentRow>,
}

/// A component key that is to be stored.
#[derive(Debug, Clone)]
pub struct NewComponentRow {
    /// As the signer sealed it.
    pub key: StoredKey,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its creation time, part of the fingerprint.
    pub created: Timestamp,
    /// When it expires, or its certificate if that is earlier.
    pub expires: Option<Timestamp>,
    /// What the token said of it; none for the sealed store.
    pub evidence: Option<KeyEvidence>,
}

/// Which key has key material.
const OWNER: &str = "SELECT key_id, fingerprint FROM component_key WHERE public_key = $1";

/// The key that has key material already, and the component's fingerprint.
struct Owner {
    key: KeyId,
    fingerprint: Fingerprint,
}

/// Which keys are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyFilter {
    /// Only keys after this one.
    pub after: Option<KeyId>,
    /// At most so many.
    pub limit: u32,
    /// Only keys of projects in which this principal has a role.
    pub visible_to: Option<PrincipalId>,
    /// Only keys of this project; with `usable_by` it does not count.
    pub project: Option<ProjectId>,
    /// Only keys of projects in which this principal has the role key-user, revoked ones last.
    pub usable_by: Option<PrincipalId>,
}

/// The query that a [`KeyRow`] is read from, with what follows FROM.
macro_rules! key_query {
    ($($rest:expr),+ $(,)?) => {
        concat!(
            "SELECT k.id, k.project_id, p.name, k.environment_id, e.name, k.name, k.algorithm, k.user_id, k.fingerprint,
                k.serial, k.certificate, k.disabled, k.created, coalesce(n.signatures, 0), k.destroyed,
                k.revoked, k.revocation_reason, k.revocation_message
             FROM signing_key k JOIN project p ON p.id = k.project_id JOIN environment e ON e.id = k.environment_id
             LEFT JOIN card_counter n ON n.key_id = k.id ",
            $($rest),+
        )
    };
}

mod find;

pub use find::MAX_CANDIDATES;
pub use write::KeyEnd;

impl FromRow for KeyRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: KeyId(row.get(0)?),
            project_id: ProjectId(row.get(1)?),
            project: row.get(2)?,
            environment_id: EnvironmentId(row.get(3)?),
            environment: row.get(4)?,
            name: row.get(5)?,
            algorithm: decoded(6, row.get::<String>(6)?.parse().ok())?,
            user_id: row.get(7)?,
            fingerprint: fingerprint(row, 8)?,
            serial: decoded(9, CardSerial::from_number(row.get::<i64>(9)?.cast_unsigned()))?,
            certificate: row.get(10)?,
            disabled: row.get(11)?,
            created: Timestamp::from_unix(row.get(12)?),
            signatures: row.get::<i64>(13)?.cast_unsigned(),
            destroyed: row.get::<Option<i64>>(14)?.map(Timestamp::from_unix),
            revoked: revoked(row, 15)?,
            components: Vec::new(),
        })
    }
}

/// A key of a list, or the id of one whose row is damaged.
struct Listed(Result<KeyRow, (KeyId, StorageError)>);

impl Listed {
    fn id(&self) -> KeyId {
        match &self.0 {
            Ok(key) => key.id,
            Err((id, _)) => *id,
        }
    }
}

impl FromRow for Listed {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        match KeyRow::from_row(row) {
            Err(error @ StorageError::Damaged(_)) => Ok(Self(Err((KeyId(row.get(0)?), error)))),
            key => Ok(Self(Ok(key?))),
        }
    }
}

impl FromRow for ComponentRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: ComponentId(row.get(0)?),
            role: role(1, &row.get::<String>(1)?)?,
            algorithm: algorithm(2, &row.get::<String>(2)?)?,
            public_key: public_key(row.get(3)?, row.get(4)?),
            fingerprint: fingerprint(row, 5)?,
            created: Timestamp::from_unix(row.get(6)?),
            expires: row.get::<Option<i64>>(7)?.map(Timestamp::from_unix),
            revoked: row.get(8)?,
        })
    }
}

impl FromRow for Owner {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self { key: KeyId(row.get(0)?), fingerprint: fingerprint(row, 1)? })
    }
}

impl Owner {
    /// Key material can't come in twice.
    const fn conflict<T>(self) -> Result<T, StorageError> {
        Err(StorageError::KnownKey { key: self.key, fingerprint: self.fingerprint })
    }
}

/// Time, reason and message of a revocation, in three columns.
fn revoked(row: &Row<'_>, index: usize) -> Result<Option<Revoked>, StorageError> {
    let Some(time) = row.get::<Option<i64>>(index)? else { return Ok(None) };
    let reason = row.get::<Option<String>>(index + 1)?;
    let reason = RevocationReason::ALL.into_iter().find(|known| reason.as_deref() == Some(known.name()));
    Ok(Some(Revoked {
        time: Timestamp::from_unix(time),
        reason: decoded(index + 1, reason)?,
        message: row.get::<Option<String>>(index + 2)?.unwrap_or_default(),
    }))
}

/// Read where nothing but the sealed key is wanted.
pub(super) struct StoredComponent(pub(super) StoredKey);

impl FromRow for StoredComponent {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self(StoredKey {
            component: row.get(0)?,
            role: role(1, &row.get::<String>(1)?)?,
            algorithm: algorithm(2, &row.get::<String>(2)?)?,
            public_key: public_key(row.get(3)?, row.get(4)?),
            handle: row.get(5)?,
        }))
    }
}

impl Store {
    /// A component key with its sealed private half.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn stored_component(&self, component: ComponentId) -> Result<Option<StoredKey>, StorageError> {
        let row: Option<StoredComponent> = self
            .reader()
            .optional(
                "SELECT id, role, algorithm, public_key, public_exponent, handle FROM component_key WHERE id = $1",
                params![component.0],
            )
            .await?;
        Ok(row.map(|row| row.0))
    }

    /// The revocation certificate that was made together with a key, armored.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn revocation(&self, key: KeyId) -> Result<Option<String>, StorageError> {
        let row: Option<(String,)> =
            self.reader().optional("SELECT certificate FROM key_revocation WHERE key_id = $1", params![key.0]).await?;
        Ok(row.map(|(certificate,)| certificate))
    }

    /// Fails early where [`crate::WriteTx::insert_key`] would fail late: on a token keys have been made by then.
    ///
    /// # Errors
    /// [`StorageError::Taken`] if the project has a key of this name.
    pub async fn expect_free_name(&self, project: ProjectId, name: &str) -> Result<(), StorageError> {
        const TAKEN: &str = "SELECT p.name FROM signing_key k JOIN project p ON p.id = k.project_id
             WHERE k.project_id = $1 AND k.name = $2";
        let known: Option<(String,)> = self.reader().optional(TAKEN, params![project.0, name]).await?;
        match known {
            Some((project,)) => Err(StorageError::Taken(format!("a key named {name} already exists in {project}"))),
            None => Ok(()),
        }
    }

    /// As [`Store::expect_free_name`], for key material.
    ///
    /// # Errors
    /// [`StorageError::KnownKey`] if a key has it.
    pub async fn expect_unknown(&self, public_key: &PublicKeyBytes) -> Result<(), StorageError> {
        let (PublicKeyBytes::Rsa { n: bytes, .. } | PublicKeyBytes::Ec { point: bytes }) = public_key;
        let owner: Option<Owner> = self.reader().optional(OWNER, params![bytes.as_slice()]).await?;
        owner.map_or(Ok(()), Owner::conflict)
    }

    /// One key by id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn key(&self, id: KeyId) -> Result<Option<KeyRow>, StorageError> {
        let key = self.reader().optional(key_query!("WHERE k.id = $1"), params![id.0]).await?;
        self.with_components(key).await
    }

    /// One key by its certificate's fingerprint.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn key_by_fingerprint(&self, fingerprint: Fingerprint) -> Result<Option<KeyRow>, StorageError> {
        let key =
            self.reader().optional(key_query!("WHERE k.fingerprint = $1"), params![fingerprint.0.to_vec()]).await?;
        self.with_components(key).await
    }

    /// Keys in the order of their creation. One that this release can't read is left out and logged, so that the others
    /// can be listed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keys(&self, mut filter: KeyFilter) -> Result<Vec<KeyRow>, StorageError> {
        let mut keys = Vec::new();
        loop {
            let page = self.page_of_keys(filter).await?;
            let (read, last) = (page.len(), page.last().map(Listed::id));
            let before = keys.len();
            for listed in page {
                match self.complete(listed).await {
                    Ok(key) => keys.push(key),
                    Err((key, error @ StorageError::Damaged(_))) => {
                        self.note_damage(key, &error);
                    }
                    Err((_, error)) => return Err(error),
                }
            }
            let missing = read.saturating_sub(keys.len().saturating_sub(before));
            // What comes next takes the place of the damaged ones, or a list would seem to end here.
            if missing == 0 || u32::try_from(read).unwrap_or(u32::MAX) < filter.limit || filter.usable_by.is_some() {
                return Ok(keys);
            }
            filter = KeyFilter { after: last, limit: u32::try_from(missing).unwrap_or(u32::MAX), ..filter };
        }
    }

    /// Once for each key: workstations ask for the list again and again.
    fn note_damage(&self, key: KeyId, error: &StorageError) {
        if self.damaged.lock().insert(key) {
            tracing::error!(%key, %error, "a key is left out of every list: its row in the database is damaged");
        }
    }

    async fn complete(&self, listed: Listed) -> Result<KeyRow, (KeyId, StorageError)> {
        let (id, key) = (listed.id(), listed.0);
        let mut key = key?;
        key.components = self.components(id).await.map_err(|error| (id, error))?;
        Ok(key)
    }

    async fn page_of_keys(&self, filter: KeyFilter) -> Result<Vec<Listed>, StorageError> {
        let after = filter.after.map_or(Uuid::nil(), |id| id.0);
        let project = filter.project.map(|id| id.0);
        match (filter.usable_by, filter.visible_to) {
            (Some(principal), _) => {
                self.reader()
                    .all(
                        key_query!(
                            "WHERE k.id > $1 AND k.project_id IN
                        (SELECT r.project_id FROM ",
                            principal_role!(),
                            " r WHERE r.principal_id = $3 AND r.role = 'key-user')
                     ORDER BY k.revoked IS NOT NULL, k.id LIMIT $2"
                        ),
                        params![after, i64::from(filter.limit), principal.0],
                    )
                    .await
            }
            (None, Some(principal)) => {
                self.reader()
                    .all(
                        key_query!(
                            "WHERE k.id > $1 AND p.removed IS NULL AND (k.project_id = $4 OR $4 IS NULL)
                             AND k.project_id IN
                        (SELECT r.project_id FROM ",
                            principal_role!(),
                            " r WHERE r.principal_id = $3)
                     ORDER BY k.id LIMIT $2"
                        ),
                        params![after, i64::from(filter.limit), principal.0, project],
                    )
                    .await
            }
            (None, None) => {
                self.reader()
                    .all(
                        key_query!(
                            "WHERE k.id > $1 AND p.removed IS NULL AND (k.project_id = $3 OR $3 IS NULL)
                     ORDER BY k.id LIMIT $2"
                        ),
                        params![after, i64::from(filter.limit), project],
                    )
                    .await
            }
        }
    }

    async fn with_components(&self, key: Option<KeyRow>) -> Result<Option<KeyRow>, StorageError> {
        let Some(mut key) = key else { return Ok(None) };
        key.components = self.components(key.id).await?;
        Ok(Some(key))
    }

    async fn components(&self, key: KeyId) -> Result<Vec<ComponentRow>, StorageError> {
        let mut components: Vec<ComponentRow> = self
            .reader()
            .all(
                "SELECT id, role, algorithm, public_key, public_exponent, fingerprint, created, expires, revoked
             FROM component_key WHERE key_id = $1",
                params![key.0],
            )
            .await?;
        components.sort_by_key(|component| component.role);
        Ok(components)
    }
}

pub(super) fn role(index: usize, name: &str) -> Result<ComponentRole, StorageError> {
    decoded(index, ComponentRole::ALL.into_iter().find(|role| role.name() == name))
}

pub(super) fn algorithm(index: usize, name: &str) -> Result<ComponentAlgorithm, StorageError> {
    decoded(index, ComponentAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name))
}

pub(super) fn public_key(key: Vec<u8>, exponent: Option<Vec<u8>>) -> PublicKeyBytes {
    match exponent {
        Some(e) => PublicKeyBytes::Rsa { n: key, e },
        None => PublicKeyBytes::Ec { point: key },
    }
}

fn fingerprint(row: &Row<'_>, index: usize) -> Result<Fingerprint, StorageError> {
    decoded(index, row.get::<Vec<u8>>(index)?.try_into().ok().map(Fingerprint))
}

/// A column's value in its own type, or the error that names the column.
pub(super) fn decoded<T>(index: usize, value: Option<T>) -> Result<T, StorageError> {
    value.ok_or_else(|| StorageError::Damaged(format!("column {index} of a key holds what this release does not know")))
}
