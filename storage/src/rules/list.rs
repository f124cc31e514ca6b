//! The rules in force, over all scopes.

use sealcard_api::ids::{EnvironmentId, KeyId, PrincipalId, ProjectId};
use uuid::Uuid;

use super::{Authorship, RuleOwner, RuleScope};
use crate::{
    StorageError, Store,
    sql::{FromRow, Row, params, principal_role},
};

/// Rules in force, with the name of what they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentRules {
    /// What they belong to.
    pub scope: RuleScope,
    /// Its name.
    pub owner: RuleOwner,
    /// The version.
    pub version: i64,
    /// The rules as they were written.
    pub text: String,
    /// Who wrote them.
    pub by: Authorship,
    /// The templates that they link to, sorted.
    pub templates: Vec<String>,
}

impl FromRow for CurrentRules {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let scope: String = row.get(0)?;
        let templates: Option<String> = row.get(9)?;
        let mut templates: Vec<String> =
            templates.iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
        templates.sort_unstable();
        Ok(Self {
            owner: RuleOwner::from_columns(&scope, row.get(2)?)?,
            scope: RuleScope::from_columns(&scope, row.get(1)?)?,
            version: row.get(3)?,
            text: row.get(4)?,
            by: Authorship::from_columns(row, 5)?,
            templates,
        })
    }
}

/// Rules in force of what was not removed, in the order of the ids. No name of a template has a comma.
macro_rules! select {
    ($($rest:expr),+ $(,)?) => {
        concat!(
            "SELECT v.scope, v.subject, coalesce(e.name, p.name || '/' || k.name, p.name) AS owner, v.version, v.text,
                v.author_id, v.author, v.applied, v.note,
                (SELECT string_agg(m.name, ',') FROM rule_mention m
                    WHERE m.scope = v.scope AND m.subject = v.subject AND m.kind = 'template') AS templates
             FROM rule_current v
             LEFT JOIN environment e ON v.scope = 'environment' AND e.id = v.subject
             LEFT JOIN signing_key k ON v.scope = 'key' AND k.id = v.subject
             LEFT JOIN project p ON p.id = CASE v.scope WHEN 'project' THEN v.subject ELSE k.project_id END
                AND p.removed IS NULL
             WHERE (e.id IS NOT NULL OR p.id IS NOT NULL) AND ",
            $($rest),+
        )
    };
}

/// The rules that hold for the same keys as those of `$1`, which may have none yet: a row for each combination.
const SETS: &str = "SELECT DISTINCT e.subject AS environment, p.subject AS project, k.subject AS key
     FROM signing_key s
     LEFT JOIN rule_current e ON e.scope = 'environment' AND e.subject = s.environment_id
     LEFT JOIN rule_current p ON p.scope = 'project' AND p.subject = s.project_id
     LEFT JOIN rule_current k ON k.scope = 'key' AND k.subject = s.id
     WHERE (s.environment_id = $1 OR s.project_id = $1 OR s.id = $1) AND s.destroyed IS NULL";

impl Store {
    /// Rules in force after this id: all, or those of projects in which `visible_to` has a role and of the environments
    /// of their keys.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn current_rules(
        &self,
        visible_to: Option<PrincipalId>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<CurrentRules>, StorageError> {
        const ALL: &str = select!(
            "v.subject > $1 AND (p.id IN (SELECT r.project_id FROM ",
            principal_role!(),
            " r WHERE r.principal_id = $2)
                OR e.id IN (SELECT s.environment_id FROM signing_key s
                    JOIN ",
            principal_role!(),
            " r ON r.project_id = s.project_id WHERE r.principal_id = $2)
                OR $2 IS NULL)
             ORDER BY v.subject LIMIT $3"
        );
        let after = after.unwrap_or(Uuid::nil());
        self.reader().all(ALL, params![after, visible_to.map(|id| id.0), i64::from(limit)]).await
    }

    /// The rules in force of a scope.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn current_rules_of(&self, scope: RuleScope) -> Result<Option<CurrentRules>, StorageError> {
        const ONE: &str = select!("v.scope = $1 AND v.subject = $2");
        self.reader().optional(ONE, params![scope.kind(), scope.subject()]).await
    }

    /// The rules in force that link to a template.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rules_linking(&self, template: &str) -> Result<Vec<CurrentRules>, StorageError> {
        const LINKING: &str = select!(
            "EXISTS (SELECT 1 FROM rule_mention l WHERE l.scope = v.scope AND l.subject = v.subject
                AND l.kind = 'template' AND l.name = $1) ORDER BY v.scope, owner"
        );
        self.reader().all(LINKING, params![template]).await
    }

    /// What has rules in force for the same keys as `scope`, which may have none yet: one list for each combination,
    /// environment before project before key.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rule_sets(&self, scope: RuleScope) -> Result<Vec<Vec<RuleScope>>, StorageError> {
        let rows: Vec<(Option<Uuid>, Option<Uuid>, Option<Uuid>)> =
            self.reader().all(SETS, params![scope.subject()]).await?;
        let sets = rows.into_iter().map(|(environment, project, key)| {
            let environment = environment.map(|id| RuleScope::Environment(EnvironmentId(id)));
            let project = project.map(|id| RuleScope::Project(ProjectId(id)));
            [environment, project, key.map(|id| RuleScope::Key(KeyId(id)))].into_iter().flatten().collect()
        });
        Ok(sets.collect())
    }
}
