//! Approvals: what people are asked to approve, what they have decided, and what was used of it.
//!
//! Which decision is needed, and whether it is enough, the server says. Here stands who decided, and whether they still
//! may.

mod decide;
mod read;
mod spend;
mod wait;

use std::str::FromStr;

use sealcard_api::{
    Timestamp,
    approvals::{ApprovalKind, ApprovalState, AskedUse, Terms, Verdict},
    ids::{ApprovalId, GroupId, KeyId, PrincipalId, ProjectId, RequestId},
    roles::PrincipalKind,
};
use sealcard_record::{
    Sha256,
    event::{AskedFlow, AskedStage, Binding},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    StorageError, WriteTx,
    sql::{FromRow, Row, params},
};
pub use decide::{ApprovalChange, NewDecision};
pub use read::ApprovalQuery;
pub use spend::ApprovedUse;
pub use wait::{OverdueRequest, TooManyWaiting, WaitLimits};

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// The id.
    pub id: ApprovalId,
    /// What it is for.
    pub kind: ApprovalKind,
    /// How it stands.
    pub state: ApprovalState,
    /// Grows with each change.
    pub version: u32,
    /// When it was asked for.
    pub created: Timestamp,
    /// Until when it can be decided or, once approved, used.
    pub expires: Timestamp,
    /// For how many seconds it can be used once approved.
    pub use_seconds: i64,
    /// Who asked for it.
    pub asked_by: PrincipalId,
    /// The project. None: a change of the server.
    pub project: Option<ProjectId>,
    /// The key.
    pub key: Option<KeyId>,
    /// What is to be done with the key, as [`sealcard_record::event::Operation`] names it.
    pub operation: Option<String>,
    /// The request that waits, or waited, for it.
    pub request: Option<RequestId>,
    /// Who may use it.
    pub requester: Option<PrincipalId>,
    /// The group whose members may use it.
    pub group: Option<GroupId>,
    /// The name that the workstation must claim.
    pub host: Option<String>,
    /// How often it can be used. None: as often as they like.
    pub max_uses: Option<u32>,
    /// How often it was used.
    pub used: u32,
    /// From when on.
    pub not_before: Option<Timestamp>,
    /// When the review of break-glass was closed.
    pub reviewed: Option<Timestamp>,
    /// Who took it back after it was approved.
    pub revoked_by: Option<PrincipalId>,
    /// The rest.
    pub body: ApprovalBody,
}

/// What only people and the server's rules look at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApprovalBody {
    /// What the request says: for a use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<AskedUse>,
    /// Under which terms: for a pre-approval and break-glass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// What changes, one line each: for a change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub change: Vec<String>,
    /// SHA-256 of what changes: for a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_sha256: Option<Sha256>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The flows that it must pass.
    pub flows: Vec<FlowOf>,
}

/// A flow as it was when the approval was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowOf {
    /// The name, such as `project/tags`.
    pub name: String,
    /// Whose rule it is and its name, such as `the rule tags of project tools`.
    pub rule: String,
    /// The stages, in their order.
    pub stages: Vec<StageOf>,
    /// Groups whose members may also reject.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub veto: Vec<String>,
}

/// A stage of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOf {
    /// Who may approve: a group's name, or `role:` and a role's.
    pub by: String,
    /// How many of them must.
    pub count: u32,
}

impl FlowOf {
    fn asked(&self) -> AskedFlow {
        let stages = self.stages.iter().map(|StageOf { by, count }| AskedStage { by: by.clone(), count: *count });
        AskedFlow { name: self.name.clone(), stages: stages.collect(), veto: self.veto.clone() }
    }
}

/// What somebody decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRow {
    /// In which flow.
    pub flow: String,
    /// For which stage: [`StageOf::by`].
    pub stage: String,
    /// Who.
    pub approver: PrincipalId,
    /// The approver's name.
    pub name: String,
    /// What.
    pub verdict: Verdict,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub comment: Option<String>,
    /// Whether the approver is enabled and still among those who may approve in this stage.
    pub stands: bool,
}

/// A statement that reads approvals.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.kind, a.state, a.version, a.created, a.expires, a.use_seconds, a.asked_by, a.project_id,
                a.key_id, a.operation, a.request_id, a.requester_id, a.group_id, a.host, a.max_uses, a.used,
                a.not_before, a.reviewed, a.revoked_by, a.body FROM approval a ",
            $rest
        )
    };
}
pub(super) use select;

impl FromRow for ApprovalRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let damaged = |what: &str| StorageError::Damaged(format!("an approval's {what} can't be read"));
        let (kind, state): (String, String) = (row.get(1)?, row.get(2)?);
        let kind = ApprovalKind::ALL.into_iter().find(|one| one.name() == kind);
        let state = ApprovalState::ALL.into_iter().find(|one| one.name() == state);
        let time = |index| Ok::<_, StorageError>(row.get::<Option<i64>>(index)?.map(Timestamp::from_unix));
        let number = |index| Ok::<_, StorageError>(u32::try_from(row.get::<i64>(index)?).unwrap_or(u32::MAX));
        let body: String = row.get(20)?;
        Ok(Self {
            id: ApprovalId(row.get(0)?),
            kind: kind.ok_or_else(|| damaged("kind"))?,
            state: state.ok_or_else(|| damaged("state"))?,
            version: number(3)?,
            created: Timestamp::from_unix(row.get(4)?),
            expires: Timestamp::from_unix(row.get(5)?),
            use_seconds: row.get(6)?,
            asked_by: PrincipalId(row.get(7)?),
            project: row.get::<Option<Uuid>>(8)?.map(ProjectId),
            key: row.get::<Option<Uuid>>(9)?.map(KeyId),
            operation: row.get(10)?,
            request: row.get::<Option<Uuid>>(11)?.map(RequestId),
            requester: row.get::<Option<Uuid>>(12)?.map(PrincipalId),
            group: row.get::<Option<Uuid>>(13)?.map(GroupId),
            host: row.get(14)?,
            max_uses: row.get::<Option<i64>>(15)?.map(|uses| u32::try_from(uses).unwrap_or(u32::MAX)),
            used: number(16)?,
            not_before: time(17)?,
            reviewed: time(18)?,
            revoked_by: row.get::<Option<Uuid>>(19)?.map(PrincipalId),
            body: serde_json::from_str(&body).map_err(|_| damaged("body"))?,
        })
    }
}

impl FromRow for DecisionRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let verdict: String = row.get(4)?;
        Ok(Self {
            flow: row.get(0)?,
            stage: row.get(1)?,
            approver: PrincipalId(row.get(2)?),
            name: row.get(3)?,
            verdict: if verdict == Verdict::Approve.name() { Verdict::Approve } else { Verdict::Reject },
            at: Timestamp::from_unix(row.get(5)?),
            comment: row.get(6)?,
            stands: row.get(7)?,
        })
    }
}

/// A person, program or group that an approval names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalNameRow {
    /// The id.
    pub id: PrincipalId,
    /// The name.
    pub name: String,
    /// Person or program.
    pub kind: PrincipalKind,
}

impl FromRow for PrincipalNameRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let kind: String = row.get(2)?;
        let kind = if kind == PrincipalKind::User.name() { PrincipalKind::User } else { PrincipalKind::ServiceAccount };
        Ok(Self { id: PrincipalId(row.get(0)?), name: row.get(1)?, kind })
    }
}

impl ApprovalRow {
    fn body_json(&self) -> Result<String, StorageError> {
        serde_json::to_string(&self.body).map_err(|error| StorageError::Damaged(error.to_string()))
    }

    /// What the record says of it.
    ///
    /// # Errors
    /// If its columns hold what no server writes.
    pub fn binding(&self) -> Result<Binding, StorageError> {
        let damaged = |what: &str| StorageError::Damaged(format!("an approval's {what} can't be read"));
        let operation = self.operation.as_deref().map(|name| name.parse().map_err(|_| damaged("operation")));
        let terms = self.body.terms.as_ref();
        Ok(Binding {
            created: self.created,
            use_seconds: self.use_seconds,
            operation: operation.transpose()?,
            requester: self.requester,
            group: self.group,
            host: self.host.clone(),
            max_uses: self.max_uses,
            not_before: self.not_before,
            networks: terms.map(|terms| terms.networks.clone()).unwrap_or_default(),
            tool: terms.and_then(|terms| terms.tool.clone()),
            change_sha256: self.body.change_sha256,
            flows: self.body.flows.iter().map(FlowOf::asked).collect(),
            body_sha256: Sha256::of(self.body_json()?.as_bytes()),
        })
    }

    /// The operation that it is for.
    #[must_use]
    pub fn operation_as<T: FromStr>(&self) -> Option<T> {
        self.operation.as_deref()?.parse().ok()
    }
}

impl WriteTx {
    /// The next number of a change of approvals. Holding it, a transaction is the only one that changes approvals.
    pub(super) fn next_approvals_version(&mut self) -> Result<i64, StorageError> {
        const NEXT: &str = "UPDATE server SET approvals_version = approvals_version + 1 RETURNING approvals_version";
        let version: Option<i64> = self.conn_for_uses().scalar(NEXT, params![])?;
        version.ok_or_else(|| StorageError::Damaged("the table server is empty".to_owned()))
    }

    /// Adds an approval.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_approval(&mut self, row: &ApprovalRow) -> Result<(), StorageError> {
        const ADD: &str =
            "INSERT INTO approval (id, kind, state, version, change, created, expires, use_seconds, asked_by,
                project_id, key_id, operation, request_id, requester_id, group_id, host, max_uses, used, not_before,
                reviewed, revoked_by, body)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                $22)";
        let change = self.next_approvals_version()?;
        let body = row.body_json()?;
        let uuid = |id: Option<Uuid>| id;
        let values = params![
            row.id.0,
            row.kind.name(),
            row.state.name(),
            i64::from(row.version),
            change,
            row.created.unix(),
            row.expires.unix(),
            row.use_seconds,
            row.asked_by.0,
            uuid(row.project.map(|id| id.0)),
            uuid(row.key.map(|id| id.0)),
            row.operation,
            uuid(row.request.map(|id| id.0)),
            uuid(row.requester.map(|id| id.0)),
            uuid(row.group.map(|id| id.0)),
            row.host,
            row.max_uses.map(i64::from),
            i64::from(row.used),
            row.not_before.map(Timestamp::unix),
            row.reviewed.map(Timestamp::unix),
            uuid(row.revoked_by.map(|id| id.0)),
            body,
        ];
        self.conn_for_uses().execute(ADD, values)?;
        Ok(())
    }
}
