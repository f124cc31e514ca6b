//! Signing keys and their component keys.

use sealcard_api::{
    CardSerial, Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm},
    ids::{ComponentId, EnvironmentId, KeyId, PrincipalId, ProjectId},
};
use sealcard_policy::{Role, Roles};
use sealcard_signer::protocol::{PublicKeyBytes, SealedKey};
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::{StorageError, Store, WriteTx};

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
    /// When the certificate expires.
    pub expires: Option<Timestamp>,
    /// Signatures made so far.
    pub signatures: u64,
    /// The component keys, in the order of [`ComponentRole::ALL`].
    pub components: Vec<ComponentRow>,
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
    /// When the certificate expires.
    pub expires: Option<Timestamp>,
    /// The component keys with their fingerprints.
    pub components: Vec<(SealedKey, Fingerprint)>,
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
    /// Only keys in use, of projects in which this principal has the role key-user, at this moment.
    pub usable_by: Option<(PrincipalId, Timestamp)>,
}

/// All that one use of a key is judged by, and the component that it needs.
#[derive(Debug, Clone)]
pub struct KeyUse {
    /// The project.
    pub project: ProjectId,
    /// The environment.
    pub environment: EnvironmentId,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// Whether its use is stopped.
    pub disabled: bool,
    /// When the certificate expires.
    pub expires: Option<Timestamp>,
    /// The principal's roles in the project, its groups' roles included.
    pub roles: Roles,
    /// The component in the role asked for.
    pub component: Option<UsableComponent>,
}

/// A component key with its sealed private half.
#[derive(Debug, Clone)]
pub struct UsableComponent {
    /// The key as the signer wants it.
    pub key: SealedKey,
}

/// The query that a [`KeyRow`] is read from, with what follows FROM.
macro_rules! key_query {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, k.project_id, p.name, k.environment_id, e.name, k.name, k.algorithm, k.user_id, k.fingerprint,
                k.serial, k.certificate, k.disabled, k.created, k.expires, coalesce(n.signatures, 0)
             FROM signing_key k JOIN project p ON p.id = k.project_id JOIN environment e ON e.id = k.environment_id
             LEFT JOIN card_counter n ON n.key_id = k.id ",
            $rest
        )
    };
}

impl FromRow<'_, SqliteRow> for KeyRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: KeyId(row.try_get(0)?),
            project_id: ProjectId(row.try_get(1)?),
            project: row.try_get(2)?,
            environment_id: EnvironmentId(row.try_get(3)?),
            environment: row.try_get(4)?,
            name: row.try_get(5)?,
            algorithm: decoded(6, row.try_get::<&str, _>(6)?.parse().ok())?,
            user_id: row.try_get(7)?,
            fingerprint: fingerprint(row, 8)?,
            serial: decoded(9, CardSerial::from_number(row.try_get::<i64, _>(9)?.cast_unsigned()))?,
            certificate: row.try_get(10)?,
            disabled: row.try_get(11)?,
            created: Timestamp::from_unix(row.try_get(12)?),
            expires: row.try_get::<Option<i64>, _>(13)?.map(Timestamp::from_unix),
            signatures: row.try_get::<i64, _>(14)?.cast_unsigned(),
            components: Vec::new(),
        })
    }
}

impl FromRow<'_, SqliteRow> for ComponentRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: ComponentId(row.try_get(0)?),
            role: role(1, row.try_get(1)?)?,
            algorithm: algorithm(2, row.try_get(2)?)?,
            public_key: public_key(row.try_get(3)?, row.try_get(4)?),
            fingerprint: fingerprint(row, 5)?,
            created: Timestamp::from_unix(row.try_get(6)?),
        })
    }
}

impl Store {
    /// What a use of `key` by `principal` is judged by, or nothing if there is no such key.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn key_use(
        &self,
        key: KeyId,
        principal: PrincipalId,
        wanted: ComponentRole,
    ) -> Result<Option<KeyUse>, StorageError> {
        let row = sqlx::query(
            "SELECT k.project_id, k.environment_id, k.algorithm, k.disabled, k.expires,
                (SELECT group_concat(DISTINCT r.role) FROM principal_role r
                    WHERE r.project_id = k.project_id AND r.principal_id = ?2),
                c.id, c.algorithm, c.public_key, c.public_exponent, c.sealed
             FROM signing_key k LEFT JOIN component_key c ON c.key_id = k.id AND c.role = ?3 WHERE k.id = ?1",
        )
        .bind(key.0)
        .bind(principal.0)
        .bind(wanted.name())
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let component = match row.try_get::<Option<Uuid>, _>(6)? {
            None => None,
            Some(component) => Some(UsableComponent {
                key: SealedKey {
                    component,
                    algorithm: algorithm(7, row.try_get(7)?)?,
                    role: wanted,
                    public_key: public_key(row.try_get(8)?, row.try_get(9)?),
                    ciphertext: row.try_get(10)?,
                },
            }),
        };
        Ok(Some(KeyUse {
            project: ProjectId(row.try_get(0)?),
            environment: EnvironmentId(row.try_get(1)?),
            algorithm: decoded(2, row.try_get::<&str, _>(2)?.parse().ok())?,
            disabled: row.try_get(3)?,
            expires: row.try_get::<Option<i64>, _>(4)?.map(Timestamp::from_unix),
            roles: row.try_get::<Option<&str>, _>(5)?.map(roles).unwrap_or_default(),
            component,
        }))
    }

    /// One key by id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn key(&self, id: KeyId) -> Result<Option<KeyRow>, StorageError> {
        let key = sqlx::query_as(key_query!("WHERE k.id = ?1")).bind(id.0).fetch_optional(self.reader()).await?;
        self.with_components(key).await
    }

    /// One key by its certificate's fingerprint.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn key_by_fingerprint(&self, fingerprint: Fingerprint) -> Result<Option<KeyRow>, StorageError> {
        let key = sqlx::query_as(key_query!("WHERE k.fingerprint = ?1"))
            .bind(fingerprint.0.to_vec())
            .fetch_optional(self.reader())
            .await?;
        self.with_components(key).await
    }

    /// Keys in the order of their creation.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn keys(&self, filter: KeyFilter) -> Result<Vec<KeyRow>, StorageError> {
        let after = filter.after.map_or(Uuid::nil(), |id| id.0);
        let mut keys: Vec<KeyRow> = match (filter.usable_by, filter.visible_to) {
            (Some((principal, now)), _) => {
                sqlx::query_as(key_query!(
                    "WHERE k.id > ?1 AND k.disabled = 0 AND (k.expires IS NULL OR k.expires > ?4) AND k.project_id IN
                        (SELECT r.project_id FROM principal_role r WHERE r.principal_id = ?3 AND r.role = 'key-user')
                     ORDER BY k.id LIMIT ?2"
                ))
                .bind(after)
                .bind(filter.limit)
                .bind(principal.0)
                .bind(now.unix())
                .fetch_all(self.reader())
                .await?
            }
            (None, Some(principal)) => {
                sqlx::query_as(key_query!(
                    "WHERE k.id > ?1 AND k.project_id IN
                        (SELECT r.project_id FROM principal_role r WHERE r.principal_id = ?3)
                     ORDER BY k.id LIMIT ?2"
                ))
                .bind(after)
                .bind(filter.limit)
                .bind(principal.0)
                .fetch_all(self.reader())
                .await?
            }
            (None, None) => {
                sqlx::query_as(key_query!("WHERE k.id > ?1 ORDER BY k.id LIMIT ?2"))
                    .bind(after)
                    .bind(filter.limit)
                    .fetch_all(self.reader())
                    .await?
            }
        };
        for key in &mut keys {
            key.components = self.components(key.id).await?;
        }
        Ok(keys)
    }

    async fn with_components(&self, key: Option<KeyRow>) -> Result<Option<KeyRow>, StorageError> {
        let Some(mut key) = key else { return Ok(None) };
        key.components = self.components(key.id).await?;
        Ok(Some(key))
    }

    async fn components(&self, key: KeyId) -> Result<Vec<ComponentRow>, StorageError> {
        let mut components: Vec<ComponentRow> = sqlx::query_as(
            "SELECT id, role, algorithm, public_key, public_exponent, fingerprint, created
             FROM component_key WHERE key_id = ?1",
        )
        .bind(key.0)
        .fetch_all(self.reader())
        .await?;
        components.sort_by_key(|component| component.role);
        Ok(components)
    }
}

impl WriteTx {
    /// Stores a key with its component keys and its card.
    ///
    /// # Errors
    /// [`StorageError::Taken`] if there is one.
    pub async fn insert_key(&mut self, key: &NewKeyRow) -> Result<(), StorageError> {
        sqlx::query(
            "INSERT INTO signing_key (id, project_id, environment_id, name, algorithm, user_id, fingerprint, serial,
                certificate, disabled, created, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10, ?11)",
        )
        .bind(key.id.0)
        .bind(key.project.0)
        .bind(key.environment.0)
        .bind(&key.name)
        .bind(key.algorithm.name())
        .bind(&key.user_id)
        .bind(key.fingerprint.0.to_vec())
        .bind(key.serial.cast_signed())
        .bind(&key.certificate)
        .bind(key.created.unix())
        .bind(key.expires.map(Timestamp::unix))
        .execute(self.conn())
        .await
        .map_err(|error| StorageError::from(error).taken("a key of this name"))?;
        for (component, fingerprint) in &key.components {
            let (public_key, exponent) = match &component.public_key {
                PublicKeyBytes::Rsa { n, e } => (n, Some(e)),
                PublicKeyBytes::Ec { point } => (point, None),
            };
            sqlx::query(
                "INSERT INTO component_key (id, key_id, role, algorithm, public_key, public_exponent, sealed,
                    fingerprint, created)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )
            .bind(component.component)
            .bind(key.id.0)
            .bind(component.role.name())
            .bind(component.algorithm.name())
            .bind(public_key.as_slice())
            .bind(exponent.map(Vec::as_slice))
            .bind(component.ciphertext.as_slice())
            .bind(fingerprint.0.to_vec())
            .bind(key.created.unix())
            .execute(self.conn())
            .await?;
        }
        sqlx::query("INSERT INTO card_counter (key_id, signatures) VALUES (?1, 0)")
            .bind(key.id.0)
            .execute(self.conn())
            .await?;
        self.bump_registry().await?;
        Ok(())
    }

    /// Whether a card has this serial number already.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn serial_is_taken(&mut self, serial: u64) -> Result<bool, StorageError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM signing_key WHERE serial = ?1")
            .bind(serial.cast_signed())
            .fetch_optional(self.conn())
            .await?;
        Ok(found.is_some())
    }

    /// Stops or allows a key's use. Whether that changed anything.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_key_disabled(&mut self, key: KeyId, disabled: bool) -> Result<bool, StorageError> {
        let changed = sqlx::query("UPDATE signing_key SET disabled = ?2 WHERE id = ?1 AND disabled <> ?2")
            .bind(key.0)
            .bind(disabled)
            .execute(self.conn())
            .await?
            .rows_affected()
            > 0;
        if changed {
            self.bump_registry().await?;
        }
        Ok(changed)
    }
}

/// The roles in a list with commas.
fn roles(list: &str) -> Roles {
    list.split(',').filter_map(|name| Role::ALL.into_iter().find(|role| role.to_string() == name)).collect()
}

fn role(index: usize, name: &str) -> Result<ComponentRole, sqlx::Error> {
    decoded(index, ComponentRole::ALL.into_iter().find(|role| role.name() == name))
}

fn algorithm(index: usize, name: &str) -> Result<ComponentAlgorithm, sqlx::Error> {
    decoded(index, ComponentAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name))
}

fn public_key(key: Vec<u8>, exponent: Option<Vec<u8>>) -> PublicKeyBytes {
    match exponent {
        Some(e) => PublicKeyBytes::Rsa { n: key, e },
        None => PublicKeyBytes::Ec { point: key },
    }
}

fn fingerprint(row: &SqliteRow, index: usize) -> Result<Fingerprint, sqlx::Error> {
    decoded(index, row.try_get::<&[u8], _>(index)?.try_into().ok().map(Fingerprint))
}

/// A column's value in its own type, or the error that names the column.
fn decoded<T>(index: usize, value: Option<T>) -> Result<T, sqlx::Error> {
    value.ok_or_else(|| sqlx::Error::ColumnDecode {
        index: index.to_string(),
        source: "not a value that this release knows".into(),
    })
}
