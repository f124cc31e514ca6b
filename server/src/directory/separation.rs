//! Strict separation of duties: a key user has no other role. Policy checks it at each use; here a role that would break
//! it is not given in the first place.

use sealcard_policy::Role;

use super::{DirectoryError, Result};
use crate::storage::{NotSeparatedRow, ProjectRow, WriteTx};

/// The key users with other roles before a change, where they matter.
pub(super) struct Separation {
    project: ProjectRow,
    /// None if the project does not separate duties strictly.
    before: Option<Vec<NotSeparatedRow>>,
}

impl Separation {
    /// What is the case before the change.
    pub(super) fn before(tx: &mut WriteTx, project: &ProjectRow) -> Result<Self> {
        let before = if tx.strictly_separated(project.id)? { Some(tx.not_separated(project.id)?) } else { None };
        Ok(Self { project: project.clone(), before })
    }

    /// Refuses the change if somebody holds two roles because `given` was given.
    ///
    /// # Errors
    /// [`DirectoryError::Conflict`], with what to do first.
    pub(super) fn expect_no_worse(&self, tx: &mut WriteTx, given: Role) -> Result<()> {
        let Some(before) = &self.before else { return Ok(()) };
        let known =
            |after: &NotSeparatedRow| before.iter().any(|row| row.id == after.id && row.role_set().contains(given));
        let gets_it = |after: &NotSeparatedRow| after.role_set().contains(given) && !known(after);
        match tx.not_separated(self.project.id)?.iter().find(|row| gets_it(row)) {
            Some(row) => Err(DirectoryError::Conflict(self.explain(row, given))),
            None => Ok(()),
        }
    }

    fn explain(&self, row: &NotSeparatedRow, given: Role) -> String {
        let (project, name) = (&self.project.name, &row.name);
        let (other, way_out) = self.other_role(row, given);
        format!(
            "The project {project} separates duties strictly: {name} can't have the role {given} and also the {other}. \
             Take that role away first: sealcard admin {way_out}"
        )
    }

    /// The role that stands against `given`, and the command that takes it away.
    fn other_role(&self, row: &NotSeparatedRow, given: Role) -> (String, String) {
        let (project, name) = (&self.project.name, &row.name);
        let against = |role: Role| if given == Role::KeyUser { role != Role::KeyUser } else { role == Role::KeyUser };
        match row.roles.iter().find(|(role, _)| against(*role)) {
            Some((role, None)) => {
                let kind = row.kind.name();
                let command = format!("project remove-member {project} --{kind} {name} --role {role}");
                (format!("role {role}"), command)
            }
            Some((role, Some(group))) => {
                (format!("role {role} through the group {group}"), format!("group remove-member {group} {name}"))
            }
            None => {
                let role = row.system_roles.iter().map(|role| role.name()).next().unwrap_or_default();
                (format!("system role {role}"), format!("user change {name} --no-system-role {role}"))
            }
        }
    }
}
