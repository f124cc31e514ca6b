//! Reading the rows of each table.

use sealcard_api::{
    Fingerprint, Timestamp,
    admin::EnvironmentKind,
    approvals::{ApprovalKind, ApprovalState, Verdict},
    ids::{
        ApprovalId, ComponentId, EnvironmentId, GrantId, GroupId, KeyId, PrincipalId, ProjectId, RequestId,
        ServiceTokenId,
    },
    keys::RevocationReason,
    roles::ProjectRole,
};
use sealcard_record::{
    HashPrefix, Sha256,
    fold::{
        ApprovalDecisionRow, ApprovalRow, ComponentKeyRow, EnvironmentRow, GrantRow, GrantTokenRow, GroupMemberRow,
        GroupRow, LogKeyRow, PinAttemptRow, PinState, PrincipalRow, ProjectGroupRow, ProjectPrincipalRow, ProjectRow,
        RuleScope, RuleVersionRow, ServiceTokenRow, SigningKeyRow, TemplateVersionRow,
    },
};
use sealcard_signer_protocol::PublicKeyBytes;
use sealcard_transparency::{KeyName, KeyType, VerifierKey};
use uuid::Uuid;

use super::{Page, page};
use crate::{
    StorageError,
    identity::kind_from,
    keys::{algorithm, public_key, role},
    sql::{Conn, FromRow, Row},
};

/// How one table is read.
pub(super) struct Reader {
    pub(super) table: &'static str,
    pub(super) page: fn(&mut Conn, i64) -> Result<Page, StorageError>,
}

/// All tables, those first that others refer to.
pub(super) const READERS: &[Reader] = &[
    reader("principal", |conn, offset| page::<PrincipalRow>(conn, PRINCIPAL, offset)),
    reader("principal_group", |conn, offset| page::<GroupRow>(conn, GROUP, offset)),
    reader("group_member", |conn, offset| page::<GroupMemberRow>(conn, MEMBER, offset)),
    reader("project", |conn, offset| page::<ProjectRow>(conn, PROJECT, offset)),
    reader("project_principal", |conn, offset| page::<ProjectPrincipalRow>(conn, PROJECT_PRINCIPAL, offset)),
    reader("project_group", |conn, offset| page::<ProjectGroupRow>(conn, PROJECT_GROUP, offset)),
    reader("service_token", |conn, offset| page::<ServiceTokenRow>(conn, SERVICE_TOKEN, offset)),
    reader("access_grant", |conn, offset| page::<GrantRow>(conn, GRANT, offset)),
    reader("grant_token", |conn, offset| page::<GrantTokenRow>(conn, GRANT_TOKEN, offset)),
    reader("environment", |conn, offset| page::<EnvironmentRow>(conn, ENVIRONMENT, offset)),
    reader("pin_attempt", |conn, offset| page::<PinAttemptRow>(conn, PIN_ATTEMPT, offset)),
    reader("signing_key", |conn, offset| page::<SigningKeyRow>(conn, SIGNING_KEY, offset)),
    reader("component_key", |conn, offset| page::<ComponentKeyRow>(conn, COMPONENT_KEY, offset)),
    reader("rule_version", |conn, offset| page::<RuleVersionRow>(conn, RULE_VERSION, offset)),
    reader("template_version", |conn, offset| page::<TemplateVersionRow>(conn, TEMPLATE_VERSION, offset)),
    reader("log_key", |conn, offset| page::<LogKeyRow>(conn, LOG_KEY, offset)),
    reader("approval", |conn, offset| page::<ApprovalRow>(conn, APPROVAL, offset)),
    reader("approval_decision", |conn, offset| page::<ApprovalDecisionRow>(conn, APPROVAL_DECISION, offset)),
];

const fn reader(table: &'static str, page: fn(&mut Conn, i64) -> Result<Page, StorageError>) -> Reader {
    Reader { table, page }
}

const PRINCIPAL: &str =
    "SELECT id, kind, name, password, one_time_until, email, administrator, security_officer, auditor,
    disabled, owner_id, removed IS NOT NULL FROM principal ORDER BY id LIMIT $1 OFFSET $2";
const GROUP: &str = "SELECT id, name FROM principal_group ORDER BY id LIMIT $1 OFFSET $2";
const MEMBER: &str =
    "SELECT group_id, principal_id FROM group_member ORDER BY group_id, principal_id LIMIT $1 OFFSET $2";
const PROJECT: &str =
    "SELECT id, name, strict_separation, removed IS NOT NULL FROM project ORDER BY id LIMIT $1 OFFSET $2";
const PROJECT_PRINCIPAL: &str = "SELECT project_id, principal_id, role FROM project_principal
    ORDER BY project_id, principal_id, role LIMIT $1 OFFSET $2";
const PROJECT_GROUP: &str = "SELECT project_id, group_id, role FROM project_group
    ORDER BY project_id, group_id, role LIMIT $1 OFFSET $2";
const SERVICE_TOKEN: &str = "SELECT id, principal_id, label, hash, expires, revoked IS NOT NULL FROM service_token
    ORDER BY id LIMIT $1 OFFSET $2";
const GRANT: &str = "SELECT id, principal_id, service_token_id, label, created, expires, refreshable_until,
    revoked IS NOT NULL FROM access_grant ORDER BY id LIMIT $1 OFFSET $2";
const GRANT_TOKEN: &str = "SELECT hash, grant_id, retired FROM grant_token ORDER BY hash LIMIT $1 OFFSET $2";
const ENVIRONMENT: &str = "SELECT id, name, kind FROM environment ORDER BY id LIMIT $1 OFFSET $2";
const PIN_ATTEMPT: &str = "SELECT environment_id, state FROM pin_attempt ORDER BY environment_id LIMIT $1 OFFSET $2";
const SIGNING_KEY: &str = "SELECT id, project_id, environment_id, name, algorithm, user_id, fingerprint, serial,
    certificate, disabled, destroyed IS NOT NULL, revoked IS NOT NULL, revocation_reason, revocation_message
    FROM signing_key ORDER BY id LIMIT $1 OFFSET $2";
const COMPONENT_KEY: &str =
    "SELECT id, key_id, role, algorithm, public_key, public_exponent, fingerprint, created, expires,
    revoked FROM component_key ORDER BY id LIMIT $1 OFFSET $2";
const RULE_VERSION: &str = "SELECT scope, subject, version, text, author_id FROM rule_version
    ORDER BY scope, subject, version LIMIT $1 OFFSET $2";
/// The version that counts is found as `rules::texts` finds it.
const TEMPLATE_VERSION: &str = "SELECT t.name, t.version, t.text, t.withdrawn, t.author_id,
        coalesce(t.change = (SELECT max(n.change) FROM template_version n WHERE n.name = t.name
            AND n.change <= (SELECT templates_version FROM server)), FALSE)
    FROM template_version t ORDER BY t.name, t.version LIMIT $1 OFFSET $2";
const LOG_KEY: &str = "SELECT component_id, environment_id, origin, ed25519, ml_dsa_44 FROM log_key
    ORDER BY component_id LIMIT $1 OFFSET $2";
const APPROVAL: &str =
    "SELECT id, kind, state, created, expires, use_seconds, asked_by, project_id, key_id, operation, request_id,
    requester_id, group_id, host, max_uses, used, not_before, reviewed, revoked_by,
    body FROM approval ORDER BY id LIMIT $1 OFFSET $2";
const APPROVAL_DECISION: &str = "SELECT approval_id, flow, approver_id, stage, verdict FROM approval_decision
    ORDER BY approval_id, flow, approver_id LIMIT $1 OFFSET $2";

/// A row, or why it can't be read: a value that was changed by hand must not hide all others.
pub(super) struct Read<T>(pub(super) Result<T, String>);

/// A row of a table from its columns.
trait FromColumns: Sized {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError>;
}

impl<T: FromColumns> FromRow for Read<T> {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self(T::from_columns(row).map_err(|error| error.to_string())))
    }
}

impl FromColumns for PrincipalRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: PrincipalId(row.get(0)?),
            kind: kind_from(&row.get::<String>(1)?)?,
            name: row.get(2)?,
            password_sha256: row.get::<Option<String>>(3)?.map(|password| HashPrefix::of(password.as_bytes())),
            one_time_until: time_if_any(row, 4)?,
            email: row.get(5)?,
            administrator: row.get(6)?,
            security_officer: row.get(7)?,
            auditor: row.get(8)?,
            disabled: row.get(9)?,
            owner_id: row.get::<Option<_>>(10)?.map(PrincipalId),
            removed: row.get(11)?,
        })
    }
}

impl FromColumns for GroupRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self { id: GroupId(row.get(0)?), name: row.get(1)? })
    }
}

impl FromColumns for GroupMemberRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self { group_id: GroupId(row.get(0)?), principal_id: PrincipalId(row.get(1)?) })
    }
}

impl FromColumns for ProjectRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self { id: ProjectId(row.get(0)?), name: row.get(1)?, strict_separation: row.get(2)?, removed: row.get(3)? })
    }
}

impl FromColumns for ProjectPrincipalRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        let (project_id, principal_id) = (ProjectId(row.get(0)?), PrincipalId(row.get(1)?));
        Ok(Self { project_id, principal_id, role: role_from(&row.get::<String>(2)?)? })
    }
}

impl FromColumns for ProjectGroupRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        let (project_id, group_id) = (ProjectId(row.get(0)?), GroupId(row.get(1)?));
        Ok(Self { project_id, group_id, role: role_from(&row.get::<String>(2)?)? })
    }
}

impl FromColumns for ServiceTokenRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: ServiceTokenId(row.get(0)?),
            principal_id: PrincipalId(row.get(1)?),
            label: row.get(2)?,
            token_sha256: HashPrefix::of_hash(&row.get::<Vec<u8>>(3)?),
            expires: time(row, 4)?,
            revoked: row.get(5)?,
        })
    }
}

impl FromColumns for GrantRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: GrantId(row.get(0)?),
            principal_id: PrincipalId(row.get(1)?),
            service_token_id: row.get::<Option<_>>(2)?.map(ServiceTokenId),
            label: row.get(3)?,
            created: time(row, 4)?,
            expires: time(row, 5)?,
            refreshable_until: time(row, 6)?,
            revoked: row.get(7)?,
        })
    }
}

impl FromColumns for GrantTokenRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            token_sha256: HashPrefix::of_hash(&row.get::<Vec<u8>>(0)?),
            grant_id: GrantId(row.get(1)?),
            retired: time_if_any(row, 2)?,
        })
    }
}

impl FromColumns for EnvironmentRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        let kind: String = row.get(2)?;
        let kind = [EnvironmentKind::Sealed, EnvironmentKind::Pkcs11].into_iter().find(|one| one.name() == kind);
        let kind = kind.ok_or_else(|| damaged("kind"))?;
        Ok(Self { id: EnvironmentId(row.get(0)?), name: row.get(1)?, kind })
    }
}

impl FromColumns for PinAttemptRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        let state = match row.get::<String>(1)?.as_str() {
            "trying" => PinState::Trying,
            "good" => PinState::Good,
            "refused" => PinState::Refused,
            _ => return Err(damaged("state")),
        };
        Ok(Self { environment_id: EnvironmentId(row.get(0)?), state })
    }
}

impl FromColumns for SigningKeyRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        let reason = row.get::<Option<String>>(12)?.map(|reason| {
            let known = RevocationReason::ALL.into_iter().find(|known| known.name() == reason);
            known.ok_or_else(|| damaged("revocation_reason"))
        });
        Ok(Self {
            id: KeyId(row.get(0)?),
            project_id: ProjectId(row.get(1)?),
            environment_id: EnvironmentId(row.get(2)?),
            name: row.get(3)?,
            algorithm: row.get::<String>(4)?.parse().map_err(|_| damaged("algorithm"))?,
            user_id: row.get(5)?,
            fingerprint: fingerprint(row, 6)?,
            serial: row.get::<i64>(7)?.cast_unsigned(),
            certificate_sha256: Sha256::of(row.get::<String>(8)?.as_bytes()),
            disabled: row.get(9)?,
            destroyed: row.get(10)?,
            revoked: row.get(11)?,
            revocation_reason: reason.transpose()?,
            revocation_message: row.get(13)?,
        })
    }
}

impl FromColumns for ComponentKeyRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        let (key, exponent): (Vec<u8>, Option<Vec<u8>>) = (row.get(4)?, row.get(5)?);
        Ok(Self {
            id: ComponentId(row.get(0)?),
            key_id: KeyId(row.get(1)?),
            role: role(2, &row.get::<String>(2)?)?,
            algorithm: algorithm(3, &row.get::<String>(3)?)?,
            public_key_sha256: public_key_sha256(&public_key(key, exponent)),
            fingerprint: fingerprint(row, 6)?,
            created: time(row, 7)?,
            expires: time_if_any(row, 8)?,
            revoked: row.get(9)?,
        })
    }
}

impl FromColumns for RuleVersionRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        let scope = match row.get::<String>(0)?.as_str() {
            "environment" => RuleScope::Environment,
            "project" => RuleScope::Project,
            "key" => RuleScope::Key,
            _ => return Err(damaged("scope")),
        };
        Ok(Self {
            scope,
            subject: row.get(1)?,
            version: row.get::<i64>(2)?.cast_unsigned(),
            text_sha256: Sha256::of(row.get::<Option<String>>(3)?.unwrap_or_default().as_bytes()),
            author_id: PrincipalId(row.get(4)?),
        })
    }
}

impl FromColumns for TemplateVersionRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            name: row.get(0)?,
            version: row.get::<i64>(1)?.cast_unsigned(),
            text_sha256: Sha256::of(row.get::<String>(2)?.as_bytes()),
            withdrawn: row.get(3)?,
            in_force: row.get(5)?,
            author_id: PrincipalId(row.get(4)?),
        })
    }
}

impl FromColumns for LogKeyRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        let origin: String = row.get(2)?;
        let name: KeyName = origin.parse().map_err(|_| damaged("origin"))?;
        let key = |kind, bytes: Vec<u8>| {
            VerifierKey::new(name.clone(), kind, &bytes).map(|key| key.to_string()).map_err(|_| damaged("key"))
        };
        let keys = vec![key(KeyType::Ed25519, row.get(3)?)?, key(KeyType::MlDsa44, row.get(4)?)?];
        Ok(Self { component_id: ComponentId(row.get(0)?), environment_id: EnvironmentId(row.get(1)?), origin, keys })
    }
}

impl FromColumns for ApprovalRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        let (kind, state): (String, String) = (row.get(1)?, row.get(2)?);
        let kind = ApprovalKind::ALL.into_iter().find(|known| known.name() == kind);
        let state = ApprovalState::ALL.into_iter().find(|known| known.name() == state);
        let operation = row.get::<Option<String>>(9)?.map(|name| name.parse().map_err(|_| damaged("operation")));
        let number = |value: i64, column| u32::try_from(value).map_err(|_| damaged(column));
        let id = |index| row.get::<Option<Uuid>>(index);
        Ok(Self {
            id: ApprovalId(row.get(0)?),
            kind: kind.ok_or_else(|| damaged("kind"))?,
            state: state.ok_or_else(|| damaged("state"))?,
            created: time(row, 3)?,
            expires: time(row, 4)?,
            use_seconds: row.get(5)?,
            asked_by: PrincipalId(row.get(6)?),
            project_id: id(7)?.map(ProjectId),
            key_id: id(8)?.map(KeyId),
            operation: operation.transpose()?,
            request_id: id(10)?.map(RequestId),
            requester_id: id(11)?.map(PrincipalId),
            group_id: id(12)?.map(GroupId),
            host: row.get(13)?,
            max_uses: row.get::<Option<i64>>(14)?.map(|uses| number(uses, "max_uses")).transpose()?,
            used: number(row.get(15)?, "used")?,
            not_before: time_if_any(row, 16)?,
            reviewed: time_if_any(row, 17)?,
            revoked_by: id(18)?.map(PrincipalId),
            body_sha256: Sha256::of(row.get::<String>(19)?.as_bytes()),
        })
    }
}

impl FromColumns for ApprovalDecisionRow {
    fn from_columns(row: &Row<'_>) -> Result<Self, StorageError> {
        let verdict: String = row.get(4)?;
        let verdict = [Verdict::Approve, Verdict::Reject].into_iter().find(|known| known.name() == verdict);
        Ok(Self {
            approval_id: ApprovalId(row.get(0)?),
            flow: row.get(1)?,
            approver_id: PrincipalId(row.get(2)?),
            stage: row.get(3)?,
            verdict: verdict.ok_or_else(|| damaged("verdict"))?,
        })
    }
}

/// What the record has of a component's public half.
#[must_use]
pub fn public_key_sha256(key: &PublicKeyBytes) -> Sha256 {
    match key {
        PublicKeyBytes::Ec { point } => Sha256::of(point),
        PublicKeyBytes::Rsa { n, e } => Sha256::of(&[n.as_slice(), e.as_slice()].concat()),
    }
}

fn time(row: &Row<'_>, index: usize) -> Result<Timestamp, StorageError> {
    Ok(Timestamp::from_unix(row.get(index)?))
}

fn time_if_any(row: &Row<'_>, index: usize) -> Result<Option<Timestamp>, StorageError> {
    Ok(row.get::<Option<i64>>(index)?.map(Timestamp::from_unix))
}

fn fingerprint(row: &Row<'_>, index: usize) -> Result<Fingerprint, StorageError> {
    row.get::<Vec<u8>>(index)?.try_into().map(Fingerprint).map_err(|_| damaged("fingerprint"))
}

fn role_from(name: &str) -> Result<ProjectRole, StorageError> {
    ProjectRole::ALL.into_iter().find(|role| role.name() == name).ok_or_else(|| damaged("role"))
}

fn damaged(column: &str) -> StorageError {
    StorageError::Damaged(format!("the column {column} holds what this release does not know"))
}
