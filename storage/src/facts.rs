//! All that a request is judged by, read by one query.

use sealcard_api::{
    Timestamp,
    algorithm::{ComponentRole, KeyAlgorithm},
    ids::{EnvironmentId, GrantId, KeyId, PrincipalId, ProjectId},
    roles::{PrincipalKind, Roles, SystemRoles},
};
use sealcard_signer_protocol::StoredKey;
use uuid::Uuid;

use super::{
    StorageError, Store, WriteTx,
    clock::Clock,
    identity::{kind_from, roles_from, system_roles_from},
    keys::{algorithm, decoded, public_key, role},
    rules::RuleVersions,
    sql::{FromRow, Row, params, principal_role},
};

/// How often the database had changed when facts were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Version {
    /// Which connection of the writer this is. Counts of different connections are not comparable: the database may
    /// have been restored, or another one may have taken over.
    pub(super) connection: u32,
    /// What the database counts.
    pub(super) changes: u64,
}

/// Whose facts, and about what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FactsQuery {
    /// SHA-256 of the token that was shown of a grant.
    pub token: [u8; 32],
    /// What it is about.
    pub target: Target,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Nothing that belongs to a project.
    Server,
    /// A project.
    Project(ProjectId),
    /// A key and its component in a role.
    Key(KeyId, ComponentRole),
}

/// All that a request is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The grant that the token belongs to.
    pub grant: Grant,
    /// Its holder.
    pub principal: Principal,
    /// The project that the request is about, or its key's.
    pub project: Option<Project>,
    /// The holder's roles in it, its groups' roles included.
    pub roles: Roles,
    /// The key, if the request is about one that exists.
    pub key: Option<Key>,
    /// The rules of the key, its project and its environment.
    pub rules: RuleVersions,
    /// Whether a server's clock has jumped and nobody has confirmed the time since: what depends on the time of day must
    /// be denied.
    pub clock_doubted: bool,
    /// When all this was so.
    pub version: Version,
    /// The version of what clients may see.
    registry_version: u64,
}

/// A grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The id.
    pub id: GrantId,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it ends, or the token of it that was shown.
    pub expires: Timestamp,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Whether it was issued for a service account's token instead of a password.
    pub by_service_token: bool,
}

/// The holder of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The id.
    pub id: PrincipalId,
    /// The name.
    pub name: String,
    /// Person or program.
    pub kind: PrincipalKind,
    /// What a user may do on the whole server.
    pub system_roles: SystemRoles,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Whether it was removed.
    pub removed: bool,
    /// The user who answers for a service account, if there is one.
    pub owner: Option<PrincipalId>,
    /// The names of its groups.
    pub groups: Vec<String>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The id.
    pub id: ProjectId,
    /// The name.
    pub name: String,
    /// Whether a key user may have no other role.
    pub strict_separation: bool,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The id.
    pub id: KeyId,
    /// The name.
    pub name: String,
    /// The environment.
    pub environment: EnvironmentId,
    /// The environment's name.
    pub environment_name: String,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// Whether its use is stopped.
    pub disabled: bool,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Whether its private halves were destroyed.
    pub destroyed: bool,
    /// The component in the role asked for.
    pub component: Option<Component>,
}

/// A component key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The key as the signer wants it.
    pub key: StoredKey,
    /// When it expires, or its certificate if that is earlier.
    pub expires: Option<Timestamp>,
    /// Whether it was revoked alone.
    pub revoked: bool,
}

/// The newest version of the rules of something; none if they were removed.
macro_rules! rules_of {
    ($scope:literal, $subject:literal) => {
        concat!(
            "(SELECT CASE WHEN v.text IS NULL THEN NULL ELSE v.version END FROM rule_version v WHERE v.scope = '",
            $scope,
            "' AND v.subject = ",
            $subject,
            " ORDER BY v.version DESC LIMIT 1)"
        )
    };
}

const FACTS: &str = concat!(
    "SELECT (SELECT changes FROM record_head), (SELECT registry_version FROM server),
        g.id, g.created, g.expires, t.retired, g.revoked IS NOT NULL, g.service_token_id IS NOT NULL,
        p.id, p.name, p.kind, p.administrator, p.security_officer, p.auditor, p.disabled, p.removed IS NOT NULL,
        (SELECT string_agg(n.name, ',') FROM group_member m JOIN principal_group n ON n.id = m.group_id
            WHERE m.principal_id = p.id),
        j.id, j.name,
        (SELECT string_agg(r.role, ',') FROM ",
    principal_role!(),
    " r WHERE r.project_id = j.id AND r.principal_id = p.id),
        k.id, k.name, k.environment_id, k.algorithm, k.disabled, k.revoked IS NOT NULL, k.destroyed IS NOT NULL,
        c.id, c.role, c.algorithm, c.public_key, c.public_exponent, c.handle, c.expires, c.revoked,
        e.name, (SELECT templates_version FROM server),
        (SELECT clock_doubt IS NOT NULL FROM server), p.owner_id, j.strict_separation, ",
    rules_of!("environment", "k.environment_id"),
    ", ",
    rules_of!("project", "j.id"),
    ", ",
    rules_of!("key", "k.id"),
    " FROM grant_token t JOIN access_grant g ON g.id = t.grant_id JOIN principal p ON p.id = g.principal_id
     LEFT JOIN signing_key k ON k.id = $2 LEFT JOIN component_key c ON c.key_id = k.id AND c.role = $3
     LEFT JOIN environment e ON e.id = k.environment_id
     LEFT JOIN project j ON j.id = coalesce(k.project_id, $4)
     WHERE t.hash = $1"
);

impl FromRow for Facts {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let project = match row.get::<Option<Uuid>>(17)? {
            None => None,
            Some(id) => Some(Project { id: ProjectId(id), name: row.get(18)?, strict_separation: row.get(39)? }),
        };
        let expires: i64 = row.get(4)?;
        let retired: Option<i64> = row.get(5)?;
        Ok(Self {
            version: Version { connection: 0, changes: row.get::<i64>(0)?.cast_unsigned() },
            registry_version: row.get::<i64>(1)?.cast_unsigned(),
            grant: Grant {
                id: GrantId(row.get(2)?),
                issued: Timestamp::from_unix(row.get(3)?),
                expires: Timestamp::from_unix(retired.map_or(expires, |retired| retired.min(expires))),
                revoked: row.get(6)?,
                by_service_token: row.get(7)?,
            },
            principal: Principal {
                id: PrincipalId(row.get(8)?),
                name: row.get(9)?,
                kind: kind_from(&row.get::<String>(10)?)?,
                system_roles: system_roles_from(row, 11)?,
                disabled: row.get(14)?,
                removed: row.get(15)?,
                owner: row.get::<Option<Uuid>>(38)?.map(PrincipalId),
                groups: row.get::<Option<String>>(16)?.map(names).unwrap_or_default(),
            },
            project,
            roles: row.get::<Option<String>>(19)?.as_deref().map(roles_from).unwrap_or_default(),
            key: key(row)?,
            rules: RuleVersions {
                templates: row.get(36)?,
                environment: row.get(40)?,
                project: row.get(41)?,
                key: row.get(42)?,
            },
            clock_doubted: row.get(37)?,
        })
    }
}

impl Facts {
    /// With the doubt of this server's clock that the database does not know yet.
    fn with_clock(mut self, clock: &Clock) -> Self {
        self.clock_doubted |= clock.jumped();
        self
    }
}

/// The names in a list with commas, sorted. No name has a comma.
fn names(list: String) -> Vec<String> {
    let mut names: Vec<String> = list.split(',').map(str::to_owned).collect();
    names.sort_unstable();
    names
}

fn key(row: &Row<'_>) -> Result<Option<Key>, StorageError> {
    let Some(id) = row.get::<Option<Uuid>>(20)? else { return Ok(None) };
    let component = match row.get::<Option<Uuid>>(27)? {
        None => None,
        Some(component) => Some(Component {
            key: StoredKey {
                component,
                role: role(28, &row.get::<String>(28)?)?,
                algorithm: algorithm(29, &row.get::<String>(29)?)?,
                public_key: public_key(row.get(30)?, row.get(31)?),
                handle: row.get(32)?,
            },
            expires: row.get::<Option<i64>>(33)?.map(Timestamp::from_unix),
            revoked: row.get(34)?,
        }),
    };
    Ok(Some(Key {
        id: KeyId(id),
        name: row.get(21)?,
        environment: EnvironmentId(row.get(22)?),
        environment_name: row.get(35)?,
        algorithm: decoded(23, row.get::<String>(23)?.parse().ok())?,
        disabled: row.get(24)?,
        revoked: row.get(25)?,
        destroyed: row.get(26)?,
        component,
    }))
}

impl FactsQuery {
    /// The ids of key and project, and the name of the component's role.
    const fn values(&self) -> (Option<Uuid>, Option<&'static str>, Option<Uuid>) {
        match self.target {
            Target::Server => (None, None, None),
            Target::Project(project) => (None, None, Some(project.0)),
            Target::Key(key, role) => (Some(key.0), Some(role.name()), None),
        }
    }
}

impl Store {
    /// The facts of this moment. None if the token belongs to no grant.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn facts(&self, query: FactsQuery) -> Result<Option<Facts>, StorageError> {
        // Facts of a file that this process writes alone are true until it writes again.
        if self.writes_alone
            && let Some(cached) = self.cache.get(&query)
        {
            return Ok(Some(cached.with_clock(&self.clock)));
        }
        let connection = self.cache.connection();
        let ((key, role, project), token) = (query.values(), query.token.as_slice());
        let mut facts: Option<Facts> = self.reader().optional(FACTS, params![token, key, role, project]).await?;
        if let Some(facts) = &mut facts {
            facts.version.connection = connection;
            self.saw_registry_version(facts.registry_version);
            self.cache.insert(query, facts);
        }
        Ok(facts.map(|facts| facts.with_clock(&self.clock)))
    }

    /// The facts as this server knows them without asking the database, or else those of this moment. Good enough to
    /// begin what is judged again in a transaction, and not to refuse it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn cached_facts(&self, query: FactsQuery) -> Result<Option<Facts>, StorageError> {
        match self.cache.get(&query) {
            Some(cached) => Ok(Some(cached.with_clock(&self.clock))),
            None => self.facts(query).await,
        }
    }
}

impl WriteTx {
    /// The facts as this transaction sees them: those that are cached, if nothing has changed since. None if the token
    /// belongs to no grant.
    ///
    /// # Errors
    /// If the database fails.
    pub fn facts(&mut self, query: &FactsQuery, cached: Option<Facts>) -> Result<Option<Facts>, StorageError> {
        let version = self.version();
        if let (Some(cached), Some(version)) = (cached, version)
            && cached.version == version
        {
            return Ok(Some(cached.with_clock(self.clock())));
        }
        let ((key, role, project), token) = (query.values(), query.token.as_slice());
        let mut facts: Option<Facts> = self.conn_for_uses().optional(FACTS, params![token, key, role, project])?;
        if let Some(facts) = &mut facts {
            // Facts of a transaction that is not committed have no version that they could be compared by.
            facts.version = version.unwrap_or_default();
            self.saw_registry_version(facts.registry_version);
        }
        let clock = self.clock();
        Ok(facts.map(|facts| facts.with_clock(clock)))
    }
}
