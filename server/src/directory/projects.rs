//! Projects and their members.

use sealcard_api::{admin::ProjectMember, ids::ProjectId, roles::MemberKind};
use sealcard_policy::{Action, PrincipalKind, Roles};
use sealcard_record::{
    Event,
    event::{Member, ProjectAct, ProjectAdded, ProjectChanged, ProjectMemberAct},
};

use super::{
    Author, Directory, DirectoryError, MANAGE_PROJECT, MANAGE_SERVER, Result, groups, refuse_if_named,
    separation::Separation,
};
use crate::{
    authn::Caller,
    storage::{ProjectChange, ProjectRow, WriteTx},
};

/// A project to be added.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// The name.
    pub name: String,
    /// What it is for.
    pub description: String,
}

impl Directory {
    /// The project of this name or id, if the caller may do `action` with it, with the caller's roles in it.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`], not a denial, if the caller may not even see it, so that its existence is not
    /// revealed.
    pub async fn project(&self, caller: &Caller, name: &str, action: Action) -> Result<(ProjectRow, Roles)> {
        let unknown = || DirectoryError::NotFound(format!("There is no project {name}, or you have no role in it."));
        let row = self.store.project(name).await?.ok_or_else(unknown)?;
        let roles = self.store.roles_in_project(caller.principal, row.id).await?;
        caller.may(roles, Action::SeeProject).map_err(|_| unknown())?;
        caller.may(roles, action)?;
        Ok((row, roles))
    }

    /// Adds a project without members.
    pub async fn add_project(&self, author: Author, new: NewProject) -> Result<ProjectRow> {
        let NewProject { name, description } = new;
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let (id, created) = (ProjectId::new(), tx.now().unix());
            let row = ProjectRow { id, name, description, strict_separation: false, created };
            tx.add_project(&row)?;
            let added = ProjectAdded { project: row.named(), via: author.via() };
            tx.append_record(author.draft(Event::ProjectAdded(added)));
            Ok(row)
        })
        .await
    }

    /// Renames a project, describes it anew, or makes its separation of duties strict or not.
    pub async fn change_project(
        &self,
        author: Author,
        before: ProjectRow,
        change: ProjectChange,
    ) -> Result<ProjectRow> {
        self.change(author, MANAGE_PROJECT, Some(before.id), move |tx, author| {
            if change.name.as_ref().is_some_and(|name| *name != before.name) {
                expect_unnamed_project(tx, &before.name)?;
            }
            tx.change_project(before.id, &change)?;
            tx.bump_registry()?;
            tx.append_record(author.draft(Event::ProjectChanged(ProjectChanged {
                project: before.named(),
                new_name: change.name.clone(),
                description: change.description.is_some(),
                strict_separation: change.strict_separation,
            })));
            let ProjectChange { name, description, strict_separation } = change;
            Ok(ProjectRow {
                name: name.unwrap_or(before.name),
                description: description.unwrap_or(before.description),
                strict_separation: strict_separation.unwrap_or(before.strict_separation),
                ..before
            })
        })
        .await
    }

    /// Removes a project whose keys are all revoked or destroyed.
    ///
    /// # Errors
    /// [`DirectoryError::Conflict`] if it has other keys.
    pub async fn remove_project(&self, author: Author, project: ProjectRow) -> Result<()> {
        self.change(author, MANAGE_SERVER, None, move |tx, author| {
            let living = tx.living_keys(project.id)?;
            if !living.is_empty() {
                let (name, keys) = (&project.name, living.join(", "));
                let conflict = format!("{name} still has keys: {keys}. Revoke or destroy them first.");
                return Err(DirectoryError::Conflict(conflict));
            }
            tx.remove_project(project.id)?;
            // Its own rules have gone with it.
            expect_unnamed_project(tx, &project.name)?;
            tx.bump_registry()?;
            tx.append_record(author.draft(Event::ProjectRemoved(ProjectAct { project: project.named() })));
            Ok(())
        })
        .await
    }

    /// Gives a role in a project, or takes it away. What is so already is not recorded.
    ///
    /// # Errors
    /// [`DirectoryError::Denied`] if its author would get the use of keys by it; [`DirectoryError::Conflict`] if the
    /// project separates duties strictly and somebody would hold two of its roles.
    pub async fn set_project_member(
        &self,
        author: Author,
        project: ProjectRow,
        member: ProjectMember,
        has_role: bool,
    ) -> Result<()> {
        let allowed = self.allow_self_grants;
        self.change(author, MANAGE_PROJECT, Some(project.id), move |tx, author| {
            let before = author.usable_projects(tx)?;
            let separation = Separation::before(tx, &project)?;
            let (role, member) = (member.role, find_member(tx, &member)?);
            let changed = if has_role {
                tx.add_project_member(project.id, (&member).into(), role)?
            } else {
                tx.remove_project_member(project.id, (&member).into(), role)?
            };
            if changed {
                author.expect_no_self_grant(tx, before, allowed)?;
                separation.expect_no_worse(tx, role)?;
                tx.bump_registry()?;
                let act = ProjectMemberAct { project: project.named(), member, role };
                let event = if has_role { Event::ProjectMemberAdded(act) } else { Event::ProjectMemberRemoved(act) };
                tx.append_record(author.draft(event));
            }
            Ok(())
        })
        .await
    }
}

/// Refuses to rename or remove a project that rules name, or of which they name a key.
fn expect_unnamed_project(tx: &mut WriteTx, name: &str) -> Result<()> {
    let naming = tx.rules_naming_project(name)?;
    refuse_if_named(&format!("The project {name}, or a key of it,"), &naming).map_err(DirectoryError::Conflict)
}

fn find_member(tx: &mut WriteTx, member: &ProjectMember) -> Result<Member> {
    let (kind, what) = match member.kind {
        MemberKind::Group => return groups::find_group(tx, &member.name).map(Member::Group),
        MemberKind::User => (PrincipalKind::User, "user"),
        MemberKind::ServiceAccount => (PrincipalKind::ServiceAccount, "service account"),
    };
    let row = tx.find_principal(&member.name)?.filter(|row| row.kind == kind);
    let unknown = || DirectoryError::NotFound(format!("There is no {what} {}.", member.name));
    row.map(|row| Member::Principal(row.named())).ok_or_else(unknown)
}
