//! Groups of users and service accounts.

use sealcard_api::ids::GroupId;
use sealcard_record::{
    Event, Named,
    event::{GroupAct, GroupChanged, GroupMemberAct},
};

use super::{Author, Directory, DirectoryError, MANAGE_SERVER, Result, expect_unnamed, users};
use crate::storage::{GroupRow, MentionKind, StorageError, WriteTx};

impl Directory {
    /// Adds a group without members.
    pub async fn add_group(&self, author: Author, name: String) -> Result<GroupRow> {
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let row = GroupRow { id: GroupId::new(), name, members: Vec::new(), created: tx.now().unix() };
            tx.add_group(row.id, &row.name, row.created)?;
            let group = Named::new(row.id, &row.name);
            tx.append_record(author.draft(Event::GroupAdded(GroupAct { group })));
            Ok(row)
        })
        .await
    }

    /// Renames a group.
    pub async fn rename_group(&self, author: Author, group: String, new_name: String) -> Result<GroupRow> {
        let id = self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let group = find_group(tx, &group)?;
            let id = group.id;
            if group.name != new_name {
                expect_unnamed(tx, MentionKind::Group, &group.name)?;
            }
            tx.rename_group(id, &new_name)?;
            tx.append_record(author.draft(Event::GroupChanged(GroupChanged { group, new_name })));
            Ok(id)
        });
        let id = id.await?.to_string();
        self.group(&id).await
    }

    /// Removes a group; its members lose the roles that it gave them.
    pub async fn remove_group(&self, author: Author, group: String) -> Result<()> {
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let group = find_group(tx, &group)?;
            expect_unnamed(tx, MentionKind::Group, &group.name)?;
            tx.remove_group(group.id)?;
            tx.bump_registry()?;
            tx.append_record(author.draft(Event::GroupRemoved(GroupAct { group })));
            Ok(())
        })
        .await
    }

    /// Makes a principal a member of a group, or no member. What is so already is not recorded.
    ///
    /// # Errors
    /// [`DirectoryError::Denied`] if its author would get the use of keys by it.
    pub async fn set_group_member(&self, author: Author, group: String, principal: String, member: bool) -> Result<()> {
        let allowed = self.allow_self_grants;
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let before = author.usable_projects(tx)?;
            let group = find_group(tx, &group)?;
            let row = tx.find_principal(&principal)?.ok_or_else(|| users::unknown(&principal))?;
            let changed =
                if member { tx.add_group_member(group.id, row.id)? } else { tx.remove_group_member(group.id, row.id)? };
            if changed {
                author.expect_no_self_grant(tx, before, allowed)?;
                tx.bump_registry()?;
                let act = GroupMemberAct { group, principal: row.named() };
                let event = if member { Event::GroupMemberAdded(act) } else { Event::GroupMemberRemoved(act) };
                tx.append_record(author.draft(event));
            }
            Ok(())
        })
        .await
    }

    /// A group by name or id.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`] if there is none.
    pub async fn group(&self, name: &str) -> Result<GroupRow> {
        self.store.group(name).await?.ok_or_else(|| unknown(name))
    }
}

/// The group of this name or id.
pub(super) fn find_group(tx: &mut WriteTx, name: &str) -> Result<Named<GroupId>> {
    match tx.find_group(name) {
        Err(StorageError::NotFound(_)) => Err(unknown(name)),
        found => Ok(found?),
    }
}

fn unknown(name: &str) -> DirectoryError {
    DirectoryError::NotFound(format!("There is no group {name}."))
}
