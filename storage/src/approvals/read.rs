//! Reading approvals.

use sealcard_api::{
    Timestamp,
    ids::{ApprovalId, GroupId, KeyId, PrincipalId, ProjectId, RequestId},
};
use sealcard_record::Sha256;
use uuid::Uuid;

use super::{
    super::{
        StorageError, Store, WriteTx,
        sql::{params, principal_role},
    },
    ApprovalRow, DecisionRow, PrincipalNameRow, select,
};

/// Which approvals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApprovalQuery {
    /// Only those of this project.
    pub project: Option<ProjectId>,
    /// Also those of which nothing can come any more.
    pub all: bool,
    /// Those after this one.
    pub after: Option<ApprovalId>,
    /// So many at most.
    pub limit: u32,
}

/// What was decided, oldest first; whether each approver still may. The last condition is that of a stage.
const DECISIONS: &str = concat!(
    "SELECT d.flow, d.stage, d.approver_id, p.name, d.verdict, d.at, d.comment,
        NOT p.disabled AND p.removed IS NULL AND (
            EXISTS (SELECT 1 FROM group_member m JOIN principal_group g ON g.id = m.group_id
                WHERE m.principal_id = p.id AND g.name = d.stage)
            OR EXISTS (SELECT 1 FROM ",
    principal_role!(),
    " r WHERE r.principal_id = p.id AND r.project_id = a.project_id
                AND 'role:' || r.role = d.stage))
     FROM approval_decision d JOIN approval a ON a.id = d.approval_id JOIN principal p ON p.id = d.approver_id
     WHERE d.approval_id = $1 ORDER BY d.at, d.approver_id"
);

const ONE: &str = select!("WHERE a.id = $1");

impl Store {
    /// An approval.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn approval(&self, id: ApprovalId) -> Result<Option<ApprovalRow>, StorageError> {
        self.reader().optional(ONE, params![id.0]).await
    }

    /// Approvals, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn approvals(&self, query: ApprovalQuery) -> Result<Vec<ApprovalRow>, StorageError> {
        const OPEN: &str = select!(
            "WHERE a.id > $1 AND a.state IN ('pending', 'approved') AND (a.project_id = $2 OR $3) ORDER BY a.id LIMIT $4"
        );
        const ALL: &str = select!("WHERE a.id > $1 AND (a.project_id = $2 OR $3) ORDER BY a.id LIMIT $4");
        let ApprovalQuery { project, all, after, limit } = query;
        let after = after.map_or(Uuid::nil(), |id| id.0);
        let (project, any) = (project.map_or(Uuid::nil(), |id| id.0), project.is_none());
        let values = params![after, project, any, i64::from(limit)];
        self.reader().all(if all { ALL } else { OPEN }, values).await
    }

    /// What was decided about an approval, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn decisions(&self, id: ApprovalId) -> Result<Vec<DecisionRow>, StorageError> {
        self.reader().all(DECISIONS, params![id.0]).await
    }

    /// The people who are enabled and in the group of this name or, after `role:`, have this role in the project;
    /// sorted by name, at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn stage_members(
        &self,
        stage: &str,
        project: Option<ProjectId>,
        limit: u32,
    ) -> Result<Vec<PrincipalNameRow>, StorageError> {
        let project = project.map_or(Uuid::nil(), |id| id.0);
        self.reader().all(STAGE_MEMBERS, params![stage, project, i64::from(limit)]).await
    }

    /// Users and service accounts by their ids, removed ones too.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn principal_name(&self, id: PrincipalId) -> Result<Option<PrincipalNameRow>, StorageError> {
        self.reader().optional(NAME, params![id.0]).await
    }

    /// The owner of a service account.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn owner_of(&self, account: PrincipalId) -> Result<Option<PrincipalId>, StorageError> {
        const OWNER: &str = "SELECT owner_id FROM principal WHERE id = $1";
        let owner: Option<(Option<Uuid>,)> = self.reader().optional(OWNER, params![account.0]).await?;
        Ok(owner.and_then(|(owner,)| owner).map(PrincipalId))
    }

    /// The names of a key's project and of the key.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn key_names(&self, key: KeyId) -> Result<Option<(String, String)>, StorageError> {
        self.reader().optional(KEY_NAMES, params![key.0]).await
    }

    /// The newest change of approvals, and the requests that wait for an approval that has changed after `seen`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn changed_approvals(&self, seen: i64) -> Result<(i64, Vec<RequestId>), StorageError> {
        const NEWEST: &str = "SELECT approvals_version FROM server";
        const CHANGED: &str = "SELECT request_id FROM approval WHERE change > $1 AND request_id IS NOT NULL";
        let newest: Option<(i64,)> = self.reader().optional(NEWEST, params![]).await?;
        let newest = newest.map_or(0, |(newest,)| newest);
        if newest <= seen {
            return Ok((seen, Vec::new()));
        }
        let changed: Vec<(Uuid,)> = self.reader().all(CHANGED, params![seen]).await?;
        Ok((newest, changed.into_iter().map(|(id,)| RequestId(id)).collect()))
    }
}

pub(super) const STAGE_MEMBERS: &str = concat!(
    "SELECT p.id, p.name, p.kind FROM principal p
     WHERE NOT p.disabled AND p.removed IS NULL AND p.kind = 'user' AND (
        EXISTS (SELECT 1 FROM group_member m JOIN principal_group g ON g.id = m.group_id
            WHERE m.principal_id = p.id AND g.name = $1)
        OR EXISTS (SELECT 1 FROM ",
    principal_role!(),
    " r WHERE r.principal_id = p.id AND r.project_id = $2
            AND 'role:' || r.role = $1))
     ORDER BY p.name LIMIT $3"
);

const NAME: &str = "SELECT id, name, kind FROM principal WHERE id = $1";
const KEY_NAMES: &str =
    "SELECT j.name, k.name FROM signing_key k JOIN project j ON j.id = k.project_id WHERE k.id = $1";

impl WriteTx {
    /// As [`Store::principal_name`].
    ///
    /// # Errors
    /// If the database fails.
    pub fn principal_name(&mut self, id: PrincipalId) -> Result<Option<PrincipalNameRow>, StorageError> {
        self.conn_for_uses().optional(NAME, params![id.0])
    }

    /// As [`Store::key_names`].
    ///
    /// # Errors
    /// If the database fails.
    pub fn key_names(&mut self, key: KeyId) -> Result<Option<(String, String)>, StorageError> {
        self.conn_for_uses().optional(KEY_NAMES, params![key.0])
    }

    /// The owner of a service account.
    ///
    /// # Errors
    /// If the database fails.
    pub fn owner_of(&mut self, account: PrincipalId) -> Result<Option<PrincipalId>, StorageError> {
        const OWNER: &str = "SELECT owner_id FROM principal WHERE id = $1";
        let owner: Option<(Option<Uuid>,)> = self.conn_for_uses().optional(OWNER, params![account.0])?;
        Ok(owner.and_then(|(owner,)| owner).map(PrincipalId))
    }

    /// The name of a group.
    ///
    /// # Errors
    /// If the database fails.
    pub fn group_name(&mut self, group: GroupId) -> Result<Option<String>, StorageError> {
        self.conn_for_uses().scalar("SELECT name FROM principal_group WHERE id = $1", params![group.0])
    }

    /// The user or service account of this name that is not removed.
    ///
    /// # Errors
    /// If the database fails.
    pub fn principal_named(&mut self, name: &str) -> Result<Option<PrincipalNameRow>, StorageError> {
        const NAMED: &str = "SELECT id, name, kind FROM principal WHERE name = $1 AND removed IS NULL";
        self.conn_for_uses().optional(NAMED, params![name])
    }

    /// The group of this name.
    ///
    /// # Errors
    /// If the database fails.
    pub fn group_named(&mut self, name: &str) -> Result<Option<GroupId>, StorageError> {
        let id: Option<Uuid> =
            self.conn_for_uses().scalar("SELECT id FROM principal_group WHERE name = $1", params![name])?;
        Ok(id.map(GroupId))
    }

    /// As [`Store::approval`].
    ///
    /// # Errors
    /// If the database fails.
    pub fn approval(&mut self, id: ApprovalId) -> Result<Option<ApprovalRow>, StorageError> {
        self.conn_for_uses().optional(ONE, params![id.0])
    }

    /// As [`Store::decisions`].
    ///
    /// # Errors
    /// If the database fails.
    pub fn decisions(&mut self, id: ApprovalId) -> Result<Vec<DecisionRow>, StorageError> {
        self.conn_for_uses().all(DECISIONS, params![id.0])
    }

    /// As [`Store::stage_members`].
    ///
    /// # Errors
    /// If the database fails.
    pub fn stage_members(
        &mut self,
        stage: &str,
        project: Option<ProjectId>,
        limit: u32,
    ) -> Result<Vec<PrincipalNameRow>, StorageError> {
        let project = project.map_or(Uuid::nil(), |id| id.0);
        self.conn_for_uses().all(STAGE_MEMBERS, params![stage, project, i64::from(limit)])
    }

    /// The approval of a change that somebody has asked for and that can still be decided or used.
    ///
    /// # Errors
    /// If the database fails.
    pub fn change_asked_for(
        &mut self,
        actor: PrincipalId,
        sha256: Sha256,
    ) -> Result<Option<ApprovalRow>, StorageError> {
        const ASKED: &str = select!(
            "WHERE a.kind = 'change' AND a.asked_by = $1 AND a.state IN ('pending', 'approved') AND a.expires > $2
             ORDER BY a.id DESC"
        );
        let now = self.now().unix();
        let rows: Vec<ApprovalRow> = self.conn_for_uses().all(ASKED, params![actor.0, now])?;
        Ok(rows.into_iter().find(|row| row.body.change_sha256 == Some(sha256)))
    }

    /// The projects in which a group has a role, or whose rules name it.
    ///
    /// # Errors
    /// If the database fails.
    pub fn projects_of_group(&mut self, group: GroupId, name: &str) -> Result<Vec<ProjectId>, StorageError> {
        const PROJECTS: &str = "SELECT project_id FROM project_group WHERE group_id = $1
             UNION SELECT subject FROM rule_mention WHERE scope = 'project' AND kind = 'group' AND name = $2
             UNION SELECT k.project_id FROM rule_mention m JOIN signing_key k ON k.id = m.subject
                WHERE m.scope = 'key' AND m.kind = 'group' AND m.name = $2";
        let projects: Vec<(Uuid,)> = self.conn_for_uses().all(PROJECTS, params![group.0, name])?;
        Ok(projects.into_iter().map(|(id,)| ProjectId(id)).collect())
    }

    /// The name of a project.
    ///
    /// # Errors
    /// If the database fails.
    pub fn project_name(&mut self, project: ProjectId) -> Result<Option<String>, StorageError> {
        self.conn_for_uses().scalar("SELECT name FROM project WHERE id = $1", params![project.0])
    }

    /// Pending approvals that nobody was reminded of and that are older than `seconds`, at most `limit`; from now on they
    /// count as reminded of.
    ///
    /// # Errors
    /// If the database fails.
    pub fn unreminded_approvals(
        &mut self,
        now: Timestamp,
        seconds: i64,
        limit: u32,
    ) -> Result<Vec<ApprovalRow>, StorageError> {
        const UNREMINDED: &str =
            select!("WHERE a.state = 'pending' AND a.reminded IS NULL AND a.created <= $1 ORDER BY a.id LIMIT $2");
        const REMINDED: &str = "UPDATE approval SET reminded = $2 WHERE id = $1 AND reminded IS NULL";
        let rows: Vec<ApprovalRow> =
            self.conn_for_uses().all(UNREMINDED, params![now.unix().saturating_sub(seconds), i64::from(limit)])?;
        let mut first = Vec::with_capacity(rows.len());
        for row in rows {
            // Another server may have been faster.
            if self.conn_for_uses().execute(REMINDED, params![row.id.0, now.unix()])? == 1 {
                first.push(row);
            }
        }
        Ok(first)
    }

    /// Approvals that have expired by now and are not marked yet, at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn expired_approvals(&mut self, now: Timestamp, limit: u32) -> Result<Vec<ApprovalRow>, StorageError> {
        const EXPIRED: &str =
            select!("WHERE a.state IN ('pending', 'approved') AND a.expires <= $1 ORDER BY a.id LIMIT $2");
        self.conn_for_uses().all(EXPIRED, params![now.unix(), i64::from(limit)])
    }
}
