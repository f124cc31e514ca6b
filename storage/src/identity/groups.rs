//! Groups.

use sealcard_api::{
    Timestamp,
    admin::{Group, GroupMember},
    ids::{GroupId, PrincipalId},
    roles::PrincipalKind,
};
use sealcard_record::Named;
use uuid::Uuid;

use super::{
    super::{
        StorageError, Store, WriteTx,
        sql::{FromRow, Row, params},
    },
    as_id,
};

/// A group with the names of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// The id.
    pub id: GroupId,
    /// The name.
    pub name: String,
    /// Unix seconds.
    pub created: i64,
    /// Whether it is a service account, and the name; sorted by name.
    pub members: Vec<(bool, String)>,
}

impl FromRow for GroupRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        // Names hold no line feed.
        let members: Option<String> = row.get(3)?;
        Ok(Self {
            id: GroupId(row.get(0)?),
            name: row.get(1)?,
            created: row.get(2)?,
            members: members.iter().flat_map(|names| names.split('\n')).map(member).collect(),
        })
    }
}

/// The kind before a blank, which no name holds.
fn member(text: &str) -> (bool, String) {
    let (kind, name) = text.split_once(' ').unwrap_or_default();
    (kind == "service-account", name.to_owned())
}

macro_rules! columns {
    () => {
        "SELECT g.id, g.name, g.created,
    (SELECT string_agg(p.kind || ' ' || p.name, '
' ORDER BY p.name) FROM group_member m
     JOIN principal p ON p.id = m.principal_id WHERE m.group_id = g.id) AS members FROM principal_group g"
    };
}

impl Store {
    /// One group by name or id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn group(&self, name_or_id: &str) -> Result<Option<GroupRow>, StorageError> {
        let sql = concat!(columns!(), " WHERE g.name = $1 OR g.id = $2");
        self.reader().optional(sql, params![name_or_id, as_id(name_or_id)]).await
    }

    /// Groups, oldest first, after the given one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn groups(&self, after: Option<GroupId>, limit: u32) -> Result<Vec<GroupRow>, StorageError> {
        let sql = concat!(columns!(), " WHERE g.id > $1 ORDER BY g.id LIMIT $2");
        let after = after.map_or(Uuid::nil(), |id| id.0);
        self.reader().all(sql, params![after, i64::from(limit)]).await
    }
}

impl WriteTx {
    /// Adds a group without members.
    ///
    /// # Errors
    /// [`StorageError::Taken`], or if the database fails.
    pub fn add_group(&mut self, id: GroupId, name: &str, created: i64) -> Result<(), StorageError> {
        self.conn()
            .execute(
                "INSERT INTO principal_group (id, name, created) VALUES ($1, $2, $3)",
                params![id.0, name, created],
            )
            .map_err(|error| error.taken(format!("a group named {name} already exists")))?;
        Ok(())
    }

    /// A group by its name or id.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], or if the database fails.
    pub fn find_group(&mut self, name_or_id: &str) -> Result<Named<GroupId>, StorageError> {
        let row: Option<(Uuid, String)> = self.conn().optional(
            "SELECT id, name FROM principal_group WHERE name = $1 OR id = $2",
            params![name_or_id, as_id(name_or_id)],
        )?;
        row.map(|(id, name)| Named::new(GroupId(id), name)).ok_or(StorageError::NotFound("group"))
    }

    /// Gives a group another name.
    ///
    /// # Errors
    /// [`StorageError::Taken`], or if the database fails.
    pub fn rename_group(&mut self, id: GroupId, name: &str) -> Result<(), StorageError> {
        self.conn()
            .execute("UPDATE principal_group SET name = $2 WHERE id = $1", params![id.0, name])
            .map_err(|error| error.taken(format!("a group named {name} already exists")))?;
        Ok(())
    }

    /// Removes a group with its memberships and roles.
    ///
    /// # Errors
    /// If the database fails.
    pub fn remove_group(&mut self, id: GroupId) -> Result<(), StorageError> {
        self.conn().execute("DELETE FROM principal_group WHERE id = $1", params![id.0])?;
        Ok(())
    }

    /// Adds a member. Whether it was none before.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_group_member(&mut self, group: GroupId, principal: PrincipalId) -> Result<bool, StorageError> {
        let done = self.conn().execute(
            "INSERT INTO group_member (group_id, principal_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            params![group.0, principal.0],
        )?;
        Ok(done == 1)
    }

    /// Removes a member. Whether it was one before.
    ///
    /// # Errors
    /// If the database fails.
    pub fn remove_group_member(&mut self, group: GroupId, principal: PrincipalId) -> Result<bool, StorageError> {
        let done = self.conn().execute(
            "DELETE FROM group_member WHERE group_id = $1 AND principal_id = $2",
            params![group.0, principal.0],
        )?;
        Ok(done == 1)
    }
}

impl From<GroupRow> for Group {
    fn from(row: GroupRow) -> Self {
        let members = row.members.into_iter().map(|(is_account, name)| {
            let kind = if is_account { PrincipalKind::ServiceAccount } else { PrincipalKind::User };
            GroupMember { kind, name }
        });
        Self { id: row.id, name: row.name, members: members.collect(), created: Timestamp::from_unix(row.created) }
    }
}
