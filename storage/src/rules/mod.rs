//! Rules for the uses of keys, in versions that are only appended, and the templates that they link to.

mod list;
mod mentions;
mod templates;
mod texts;

use sealcard_api::{
    Timestamp,
    ids::{EnvironmentId, KeyId, PrincipalId, ProjectId},
};
use uuid::Uuid;

pub use list::CurrentRules;
pub use mentions::{Mention, MentionKind, RuleOwner, RulesNaming};
pub use templates::{NewTemplateVersion, TemplateVersionRow};
pub use texts::{RuleTexts, TemplateText};

use super::{
    StorageError, Store, WriteTx,
    sql::{FromRow, Row, params},
};

/// What rules belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleScope {
    /// An environment: they hold for all of its keys.
    Environment(EnvironmentId),
    /// A project: they hold for all of its keys.
    Project(ProjectId),
    /// One key.
    Key(KeyId),
}

impl RuleScope {
    /// The name of its kind.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Environment(_) => "environment",
            Self::Project(_) => "project",
            Self::Key(_) => "key",
        }
    }

    /// The id.
    #[must_use]
    pub const fn subject(self) -> Uuid {
        match self {
            Self::Environment(id) => id.0,
            Self::Project(id) => id.0,
            Self::Key(id) => id.0,
        }
    }

    fn from_columns(kind: &str, subject: Uuid) -> Result<Self, StorageError> {
        match kind {
            "environment" => Ok(Self::Environment(EnvironmentId(subject))),
            "project" => Ok(Self::Project(ProjectId(subject))),
            "key" => Ok(Self::Key(KeyId(subject))),
            other => Err(StorageError::Damaged(format!("rules of the kind {other:?}"))),
        }
    }
}

/// The rules that a request is judged by. Nothing where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RuleVersions {
    /// Version of the rules of the key's environment.
    pub environment: Option<i64>,
    /// Version of the rules of the project.
    pub project: Option<i64>,
    /// Version of the rules of the key.
    pub key: Option<i64>,
    /// Grows with each change of any template.
    pub templates: i64,
}

impl RuleVersions {
    /// Whether no rules apply.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.environment.is_none() && self.project.is_none() && self.key.is_none()
    }
}

/// Which rules and templates there were at a moment. Two moments with the same numbers have the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RulesState {
    /// Grows with each change of rules.
    pub rules: i64,
    /// Grows with each change of templates.
    pub templates: i64,
}

/// Who wrote a version, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorship {
    /// The author.
    pub author_id: PrincipalId,
    /// The author's name at that time.
    pub author: String,
    /// When it was applied.
    pub applied: Timestamp,
    /// Why, in the words of the author; may be empty.
    pub note: String,
}

impl Authorship {
    /// From four columns that begin with this one.
    fn from_columns(row: &Row<'_>, first: usize) -> Result<Self, StorageError> {
        Ok(Self {
            author_id: PrincipalId(row.get(first)?),
            author: row.get(first + 1)?,
            applied: Timestamp::from_unix(row.get(first + 2)?),
            note: row.get(first + 3)?,
        })
    }
}

/// A version of the rules of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleVersionRow {
    /// 1, 2, …
    pub version: i64,
    /// The rules as they were written; empty if they were removed.
    pub text: String,
    /// Who wrote it.
    pub by: Authorship,
}

impl FromRow for RuleVersionRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            version: row.get(0)?,
            text: row.get::<Option<String>>(1)?.unwrap_or_default(),
            by: Authorship::from_columns(row, 2)?,
        })
    }
}

/// A version of rules that is to be appended.
#[derive(Debug, Clone)]
pub struct NewRuleVersion {
    /// What the rules belong to.
    pub scope: RuleScope,
    /// The number after that of the version that is in force.
    pub version: i64,
    /// The rules; empty to remove them.
    pub text: String,
    /// Who wrote it.
    pub by: Authorship,
    /// What the rules name, and the templates that they link to.
    pub mentions: Vec<Mention>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT version, text, author_id, author, applied, note FROM rule_version ", $rest)
    };
}

const CURRENT: &str = select!("WHERE scope = $1 AND subject = $2 ORDER BY version DESC LIMIT 1");

const STATE: &str = "SELECT rules_version, templates_version FROM server";

impl Store {
    /// The newest version of the rules of a scope; none if there never were any.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rules(&self, scope: RuleScope) -> Result<Option<RuleVersionRow>, StorageError> {
        self.reader().optional(CURRENT, params![scope.kind(), scope.subject()]).await
    }

    /// Versions of the rules of a scope, newest first, older than `before`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rule_versions(
        &self,
        scope: RuleScope,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<RuleVersionRow>, StorageError> {
        const VERSIONS: &str =
            select!("WHERE scope = $1 AND subject = $2 AND version < $3 ORDER BY version DESC LIMIT $4");
        let before = before.unwrap_or(i64::MAX);
        self.reader().all(VERSIONS, params![scope.kind(), scope.subject(), before, i64::from(limit)]).await
    }

    /// Which rules and templates there are.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rules_state(&self) -> Result<RulesState, StorageError> {
        state(self.reader().optional(STATE, params![]).await?)
    }
}

fn state(row: Option<(i64, i64)>) -> Result<RulesState, StorageError> {
    let (rules, templates) = row.ok_or_else(|| StorageError::Damaged("the table server is empty".to_owned()))?;
    Ok(RulesState { rules, templates })
}

impl WriteTx {
    /// As [`Store::rules_state`], inside the transaction.
    ///
    /// # Errors
    /// If the database fails.
    pub fn rules_state(&mut self) -> Result<RulesState, StorageError> {
        state(self.conn_for_uses().optional(STATE, params![])?)
    }

    /// As [`Store::rules`], inside the transaction.
    ///
    /// # Errors
    /// If the database fails.
    pub fn rules(&mut self, scope: RuleScope) -> Result<Option<RuleVersionRow>, StorageError> {
        self.conn_for_uses().optional(CURRENT, params![scope.kind(), scope.subject()])
    }

    /// A version of the rules of a scope.
    ///
    /// # Errors
    /// If the database fails.
    pub fn rules_of_version(&mut self, scope: RuleScope, version: i64) -> Result<Option<RuleVersionRow>, StorageError> {
        const OF_VERSION: &str = select!("WHERE scope = $1 AND subject = $2 AND version = $3");
        self.conn_for_uses().optional(OF_VERSION, params![scope.kind(), scope.subject(), version])
    }

    /// Appends a version of rules, which is in force from now on.
    ///
    /// # Errors
    /// [`StorageError::Taken`] if there is a version of this number; or if the database fails.
    pub fn append_rules(&mut self, new: &NewRuleVersion) -> Result<(), StorageError> {
        const INSERT: &str = "INSERT INTO rule_version
                (scope, subject, version, text, author_id, author, applied, note)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let NewRuleVersion { scope, version, text, by, mentions } = new;
        let text = (!text.is_empty()).then_some(text.as_str());
        let (author, applied) = (by.author_id.0, by.applied.unix());
        let values = params![scope.kind(), scope.subject(), version, text, author, &by.author, applied, &by.note];
        self.conn().execute(INSERT, values).map_err(|error| error.taken("these rules were changed meanwhile"))?;
        self.conn().execute("UPDATE server SET rules_version = rules_version + 1", params![])?;
        self.replace_mentions(*scope, mentions)
    }
}
