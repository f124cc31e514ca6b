//! Users and service accounts.

use sealcard_api::{
    Timestamp,
    admin::{ServiceAccount, User},
    ids::PrincipalId,
    roles::{PrincipalKind, SystemRole, SystemRoles},
};
use sealcard_record::Named;
use uuid::Uuid;

use super::{
    super::{
        StorageError, Store, WriteTx,
        sql::{FromRow, Row, params},
    },
    as_id, kind_from, system_roles_from,
};

/// A principal that has not been removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalRow {
    /// The id.
    pub id: PrincipalId,
    /// Person or program.
    pub kind: PrincipalKind,
    /// The name.
    pub name: String,
    /// What a user may do on the whole server.
    pub system_roles: SystemRoles,
    /// Whether its grants are refused.
    pub disabled: bool,
    /// Unix seconds.
    pub created: i64,
    /// Until when the user's one-time password is good, unix seconds; `None` if the user has chosen a password.
    pub one_time_until: Option<i64>,
    /// The user who answers for a service account, if there is one.
    pub owner: Option<Named<PrincipalId>>,
    /// Where a user gets notices.
    pub email: Option<String>,
}

impl PrincipalRow {
    /// As the record names it.
    #[must_use]
    pub fn named(&self) -> Named<PrincipalId> {
        Named::new(self.id, &self.name)
    }
}

impl FromRow for PrincipalRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let kind: String = row.get(1)?;
        Ok(Self {
            id: PrincipalId(row.get(0)?),
            kind: kind_from(&kind)?,
            name: row.get(2)?,
            system_roles: system_roles_from(row, 3)?,
            disabled: row.get(6)?,
            created: row.get(7)?,
            one_time_until: row.get(8)?,
            owner: match row.get::<Option<Uuid>>(9)? {
                None => None,
                Some(id) => Some(Named::new(PrincipalId(id), row.get::<String>(10)?)),
            },
            email: row.get(11)?,
        })
    }
}

/// What a login with a password needs.
pub struct PasswordRow {
    /// The user.
    pub id: PrincipalId,
    /// PHC string.
    pub password: String,
    /// Whether the user may log in.
    pub disabled: bool,
    /// As in [`PrincipalRow`].
    pub one_time_until: Option<i64>,
}

/// What changes of a principal; `None` stays.
#[derive(Default)]
pub struct PrincipalChange {
    /// A new PHC string.
    pub password: Option<String>,
    /// Until when the new password is good for one login, unix seconds. `None`: it is the user's own. Only with a
    /// password.
    pub one_time_until: Option<i64>,
    /// The system roles from now on.
    pub system_roles: Option<SystemRoles>,
    /// Whether its grants are refused.
    pub disabled: Option<bool>,
    /// A new name.
    pub name: Option<String>,
    /// Another owner of a service account.
    pub owner: Option<PrincipalId>,
    /// Another e-mail address, or none any more.
    pub email: Option<Option<String>>,
}

fn taken(name: &str) -> String {
    format!("a user or service account named {name} already exists")
}

macro_rules! columns {
    () => {
        "SELECT id, kind, name, administrator, security_officer, auditor, disabled, created, one_time_until, owner_id,
            (SELECT o.name FROM principal o WHERE o.id = principal.owner_id), email FROM principal"
    };
}

impl Store {
    /// One principal by name or id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn principal(&self, kind: PrincipalKind, name_or_id: &str) -> Result<Option<PrincipalRow>, StorageError> {
        let sql = concat!(columns!(), " WHERE (name = $1 OR id = $2) AND kind = $3 AND removed IS NULL");
        let row = self.reader().optional(sql, params![name_or_id, as_id(name_or_id), kind.name()]).await?;
        Ok(row)
    }

    /// The id of a user or service account by name or id, also of a removed one. Of several removed ones with this name
    /// the one that was removed last.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn principal_of_record(&self, name_or_id: &str) -> Result<Option<PrincipalId>, StorageError> {
        const ANY: &str = "SELECT id FROM principal WHERE name = $1 OR id = $2
             ORDER BY CASE WHEN removed IS NULL THEN 0 ELSE 1 END, removed DESC LIMIT 1";
        let row: Option<(Uuid,)> = self.reader().optional(ANY, params![name_or_id, as_id(name_or_id)]).await?;
        Ok(row.map(|(id,)| PrincipalId(id)))
    }

    /// Principals of one kind, oldest first, after the given one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn principals(
        &self,
        kind: PrincipalKind,
        after: Option<PrincipalId>,
        limit: u32,
    ) -> Result<Vec<PrincipalRow>, StorageError> {
        let sql = concat!(columns!(), " WHERE kind = $1 AND removed IS NULL AND id > $2 ORDER BY id LIMIT $3");
        let rows = self
            .reader()
            .all(sql, params![kind.name(), after.map_or(Uuid::nil(), |id| id.0), i64::from(limit)])
            .await?;
        Ok(rows)
    }

    /// What a login as the user `name` needs.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn password_of(&self, name: &str) -> Result<Option<PasswordRow>, StorageError> {
        const PASSWORD: &str = "SELECT id, password, disabled, one_time_until FROM principal
             WHERE name = $1 AND removed IS NULL AND password IS NOT NULL";
        let row: Option<(Uuid, String, bool, Option<i64>)> = self.reader().optional(PASSWORD, params![name]).await?;
        Ok(row.map(|(id, password, disabled, one_time_until)| PasswordRow {
            id: PrincipalId(id),
            password,
            disabled,
            one_time_until,
        }))
    }
}

impl WriteTx {
    /// Adds a principal. A user has a password (a PHC string), a service account none.
    ///
    /// # Errors
    /// [`StorageError::Taken`], or if the database fails.
    pub fn add_principal(&mut self, row: &PrincipalRow, password: Option<&str>) -> Result<(), StorageError> {
        self.conn()
            .execute(
                "INSERT INTO principal (id, kind, name, password, administrator, security_officer, auditor,
                    disabled, created, one_time_until, owner_id, email)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                params![
                    row.id.0,
                    row.kind.name(),
                    &row.name,
                    password,
                    row.system_roles.contains(SystemRole::Administrator),
                    row.system_roles.contains(SystemRole::SecurityOfficer),
                    row.system_roles.contains(SystemRole::Auditor),
                    row.disabled,
                    row.created,
                    row.one_time_until,
                    row.owner.as_ref().map(|owner| owner.id.0),
                    row.email.as_deref()
                ],
            )
            .map_err(|error| error.taken(taken(&row.name)))?;
        Ok(())
    }

    /// One principal of either kind by name or id, as this transaction sees it.
    ///
    /// # Errors
    /// If the database fails.
    pub fn find_principal(&mut self, name_or_id: &str) -> Result<Option<PrincipalRow>, StorageError> {
        let sql = concat!(columns!(), " WHERE (name = $1 OR id = $2) AND removed IS NULL");
        let row = self.conn().optional(sql, params![name_or_id, as_id(name_or_id)])?;
        Ok(row)
    }

    /// Whether the user's password is the one with this PHC string.
    ///
    /// # Errors
    /// If the database fails.
    pub fn has_password(&mut self, id: PrincipalId, password: &str) -> Result<bool, StorageError> {
        let stored: Option<Option<String>> =
            self.conn().scalar("SELECT password FROM principal WHERE id = $1", params![id.0])?;
        Ok(stored.flatten().is_some_and(|stored| stored == password))
    }

    /// Changes a principal.
    ///
    /// # Errors
    /// [`StorageError::Taken`], or if the database fails.
    pub fn change_principal(&mut self, id: PrincipalId, change: &PrincipalChange) -> Result<(), StorageError> {
        let role = |role| change.system_roles.map(|roles| roles.contains(role));
        self.conn()
            .execute(
                "UPDATE principal SET password = COALESCE($2, password), administrator = COALESCE($3, administrator),
             security_officer = COALESCE($4, security_officer), auditor = COALESCE($5, auditor),
             disabled = COALESCE($6, disabled), one_time_until = CASE WHEN $7 THEN $8 ELSE one_time_until END,
             name = COALESCE($9, name), owner_id = COALESCE($10, owner_id),
             email = CASE WHEN $11 THEN $12 ELSE email END WHERE id = $1",
                params![
                    id.0,
                    change.password.as_deref(),
                    role(SystemRole::Administrator),
                    role(SystemRole::SecurityOfficer),
                    role(SystemRole::Auditor),
                    change.disabled,
                    change.password.is_some(),
                    change.one_time_until,
                    change.name.as_deref(),
                    change.owner.map(|owner| owner.0),
                    change.email.is_some(),
                    change.email.as_ref().and_then(Option::as_deref)
                ],
            )
            .map_err(|error| error.taken(taken(change.name.as_deref().unwrap_or_default())))?;
        Ok(())
    }

    /// Removes a principal: its memberships go, its grants and tokens are revoked, its password is forgotten, and the
    /// service accounts that it owned have no owner any more. The row stays for the record.
    ///
    /// # Errors
    /// If the database fails.
    pub fn remove_principal(&mut self, id: PrincipalId) -> Result<(), StorageError> {
        let now = self.now().unix();
        self.conn().execute(
            "UPDATE principal SET removed = $2, password = NULL, one_time_until = NULL, administrator = FALSE,
                    security_officer = FALSE, auditor = FALSE, owner_id = NULL, email = NULL WHERE id = $1",
            params![id.0, now],
        )?;
        for sql in [
            "DELETE FROM group_member WHERE principal_id = $1",
            "DELETE FROM project_principal WHERE principal_id = $1",
            "UPDATE principal SET owner_id = NULL WHERE owner_id = $1",
        ] {
            self.conn().execute(sql, params![id.0])?;
        }
        self.conn().execute(
            "UPDATE service_token SET revoked = $2 WHERE principal_id = $1 AND revoked IS NULL",
            params![id.0, now],
        )?;
        self.revoke_grants_of(id)?;
        Ok(())
    }

    /// How many users could administer the server now. One that has not logged in with its one-time password yet may
    /// never.
    ///
    /// # Errors
    /// If the database fails.
    pub fn administrators(&mut self) -> Result<i64, StorageError> {
        let count = self.conn().scalar::<i64>(
            "SELECT count(*) FROM principal WHERE administrator AND NOT disabled AND removed IS NULL
                    AND one_time_until IS NULL",
            params![],
        )?;
        Ok(count.unwrap_or_default())
    }
}

impl From<PrincipalRow> for User {
    fn from(row: PrincipalRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            roles: row.system_roles.iter().collect(),
            disabled: row.disabled,
            created: Timestamp::from_unix(row.created),
            one_time_password_expires: row.one_time_until.map(Timestamp::from_unix),
            email: row.email,
        }
    }
}

impl From<PrincipalRow> for ServiceAccount {
    fn from(row: PrincipalRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            owner: row.owner.map(|owner| owner.name),
            disabled: row.disabled,
            created: Timestamp::from_unix(row.created),
        }
    }
}
