//! What rules and templates name: it must exist when they are applied, and is neither renamed nor removed while they
//! name it.

use std::fmt;

use sealcard_api::ids::ProjectId;

use super::RuleScope;
use crate::{
    StorageError, Store, WriteTx,
    sql::{FromRow, Row, params},
};

/// What a name in rules is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MentionKind {
    /// A user.
    User,
    /// A service account.
    ServiceAccount,
    /// A group.
    Group,
    /// A project.
    Project,
    /// A key: PROJECT/NAME.
    Key,
    /// An environment.
    Environment,
    /// A template that rules link to.
    Template,
}

impl MentionKind {
    /// The name in the database.
    const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service-account",
            Self::Group => "group",
            Self::Project => "project",
            Self::Key => "key",
            Self::Environment => "environment",
            Self::Template => "template",
        }
    }

    /// Counts the things of this kind with a name.
    const fn count(self) -> &'static str {
        match self {
            Self::User => "SELECT count(*) FROM principal WHERE kind = 'user' AND name = $1 AND removed IS NULL",
            Self::ServiceAccount => {
                "SELECT count(*) FROM principal WHERE kind = 'service-account' AND name = $1 AND removed IS NULL"
            }
            Self::Group => "SELECT count(*) FROM principal_group WHERE name = $1",
            Self::Project => "SELECT count(*) FROM project WHERE name = $1 AND removed IS NULL",
            Self::Key => {
                "SELECT count(*) FROM signing_key k JOIN project p ON p.id = k.project_id
                 WHERE p.name || '/' || k.name = $1 AND p.removed IS NULL"
            }
            Self::Environment => "SELECT count(*) FROM environment WHERE name = $1",
            Self::Template => "SELECT count(*) FROM template_version WHERE name = $1",
        }
    }
}

impl fmt::Display for MentionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceAccount => "service account",
            other => other.name(),
        })
    }
}

/// A name in rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mention {
    /// What it is the name of.
    pub kind: MentionKind,
    /// The name.
    pub name: String,
    /// The first rule that has it; empty outside of rules.
    pub rule: String,
}

/// What has rules or is a template, for messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleOwner {
    /// The rules of an environment.
    Environment(String),
    /// The rules of a project.
    Project(String),
    /// The rules of a key: PROJECT/NAME.
    Key(String),
    /// A template.
    Template(String),
}

impl RuleOwner {
    pub(super) fn from_columns(scope: &str, name: String) -> Result<Self, StorageError> {
        match scope {
            "environment" => Ok(Self::Environment(name)),
            "project" => Ok(Self::Project(name)),
            "key" => Ok(Self::Key(name)),
            "template" => Ok(Self::Template(name)),
            other => Err(StorageError::Damaged(format!("rules of the kind {other:?}"))),
        }
    }
}

impl fmt::Display for RuleOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "the rules of the environment {name}"),
            Self::Project(name) => write!(f, "the rules of the project {name}"),
            Self::Key(name) => write!(f, "the rules of the key {name}"),
            Self::Template(name) => write!(f, "the template {name}"),
        }
    }
}

/// Rules or a template in which a name was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesNaming {
    /// Whose rules.
    pub owner: RuleOwner,
    /// The rule; empty outside of one, and for templates.
    pub rule: String,
}

impl fmt::Display for RulesNaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.owner.fmt(f)?;
        if self.rule.is_empty() { Ok(()) } else { write!(f, " (rule {})", self.rule) }
    }
}

impl FromRow for RulesNaming {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self { owner: RuleOwner::from_columns(&row.get::<String>(0)?, row.get(1)?)?, rule: row.get(2)? })
    }
}

/// Rules with the names of what they belong to, and templates, that meet a condition on kind and name.
macro_rules! naming {
    ($condition:literal) => {
        concat!(
            "SELECT m.scope, coalesce(e.name, p.name || '/' || k.name, p.name) AS owner, m.rule FROM rule_mention m
             LEFT JOIN environment e ON m.scope = 'environment' AND e.id = m.subject
             LEFT JOIN signing_key k ON m.scope = 'key' AND k.id = m.subject
             LEFT JOIN project p ON p.id = CASE m.scope WHEN 'project' THEN m.subject ELSE k.project_id END
             WHERE (e.id IS NOT NULL OR p.id IS NOT NULL) AND m.kind = $1 AND ",
            $condition,
            " UNION ALL
             SELECT 'template', m.template, '' FROM template_mention m WHERE m.kind = $1 AND ",
            $condition,
            " ORDER BY 1, 2 LIMIT 20"
        )
    };
}

const NAMING: &str = naming!("m.name = $2");
/// Keys of a project.
const NAMING_BELOW: &str = naming!("substr(m.name, 1, length(CAST($2 AS TEXT))) = $2");

impl Store {
    /// Those of the names that nothing has.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unknown_names(&self, mentions: &[Mention]) -> Result<Vec<Mention>, StorageError> {
        let mut unknown = Vec::new();
        for mention in mentions {
            let count: Option<(i64,)> = self.reader().optional(mention.kind.count(), params![&mention.name]).await?;
            if count == Some((0,)) {
                unknown.push(mention.clone());
            }
        }
        Ok(unknown)
    }
}

impl WriteTx {
    /// As [`Store::unknown_names`], inside the transaction.
    ///
    /// # Errors
    /// If the database fails.
    pub fn unknown_names(&mut self, mentions: &[Mention]) -> Result<Vec<Mention>, StorageError> {
        let mut unknown = Vec::new();
        for mention in mentions {
            if self.conn_for_uses().scalar::<i64>(mention.kind.count(), params![&mention.name])? == Some(0) {
                unknown.push(mention.clone());
            }
        }
        Ok(unknown)
    }

    /// The rules in force and templates that name something, at most 20.
    ///
    /// # Errors
    /// If the database fails.
    pub fn rules_naming(&mut self, kind: MentionKind, name: &str) -> Result<Vec<RulesNaming>, StorageError> {
        self.conn_for_uses().all(NAMING, params![kind.name(), name])
    }

    /// The rules in force and templates that name a project, or a key of it, at most 20 of each.
    ///
    /// # Errors
    /// If the database fails.
    pub fn rules_naming_project(&mut self, name: &str) -> Result<Vec<RulesNaming>, StorageError> {
        let mut naming = self.rules_naming(MentionKind::Project, name)?;
        let keys: Vec<RulesNaming> =
            self.conn_for_uses().all(NAMING_BELOW, params![MentionKind::Key.name(), format!("{name}/")])?;
        naming.extend(keys);
        Ok(naming)
    }

    pub(super) fn replace_mentions(&mut self, scope: RuleScope, mentions: &[Mention]) -> Result<(), StorageError> {
        let (kind, subject) = (scope.kind(), scope.subject());
        self.conn().execute("DELETE FROM rule_mention WHERE scope = $1 AND subject = $2", params![kind, subject])?;
        for mention in mentions {
            self.conn().execute(
                "INSERT INTO rule_mention (scope, subject, kind, name, rule) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT DO NOTHING",
                params![kind, subject, mention.kind.name(), &mention.name, &mention.rule],
            )?;
        }
        Ok(())
    }

    pub(super) fn replace_template_mentions(
        &mut self,
        template: &str,
        mentions: &[Mention],
    ) -> Result<(), StorageError> {
        self.conn().execute("DELETE FROM template_mention WHERE template = $1", params![template])?;
        for mention in mentions {
            self.conn().execute(
                "INSERT INTO template_mention (template, kind, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                params![template, mention.kind.name(), &mention.name],
            )?;
        }
        Ok(())
    }

    /// What the rules of a project and of its keys name may be renamed and removed again: the project is removed.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) fn forget_mentions_of(&mut self, project: ProjectId) -> Result<(), StorageError> {
        self.conn().execute(
            "DELETE FROM rule_mention WHERE subject = $1
                OR subject IN (SELECT id FROM signing_key WHERE project_id = $1)",
            params![project.0],
        )?;
        Ok(())
    }
}
