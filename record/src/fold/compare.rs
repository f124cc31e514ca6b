//! Comparing the rows that there are with those that the record says.

use std::{collections::HashMap, fmt};

use sealcard_api::{admin::EnvironmentKind, ids::ApprovalId};
use serde_json::Value;
use uuid::Uuid;

use super::{FIRST_ENVIRONMENT, Fold, Row, RuleScope};

/// A row that is not what the record says, as a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// A row that nothing in the record explains: it was put in by hand, or its entry was removed.
    #[error("table {table}: {row} is not in the record")]
    NotInRecord {
        /// The table.
        table: &'static str,
        /// The row, for a person.
        row: String,
    },
    /// A row that should be there was deleted by hand.
    #[error("table {table}: {row} is missing, the record has it")]
    Missing {
        /// The table.
        table: &'static str,
        /// The row, for a person.
        row: String,
    },
    /// A row was changed by hand.
    #[error("table {table}: {row} was changed: {}", Columns(.columns))]
    Changed {
        /// The table.
        table: &'static str,
        /// The row, for a person.
        row: String,
        /// The columns that differ.
        columns: Vec<ColumnDifference>,
    },
    /// A row holds what no server writes.
    #[error("table {table}: a row can't be read: {error}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// What is wrong.
        error: String,
    },
    /// An entry rests on an approval that the entries before it don't give.
    #[error("entry {sequence}: {what}, but {why}")]
    Unapproved {
        /// The entry.
        sequence: u64,
        /// What it says, for a person.
        what: String,
        /// What the entries before it say.
        why: String,
    },
    /// As many more as there was no room for.
    #[error("{0} more entries rest on approvals that the entries before them don't give")]
    MoreUnapproved(u64),
    /// Entries of a newer release may have changed any row, so nothing was compared.
    #[error("the tables were not compared: {0} entries are of a newer release")]
    NewerEntries(u64),
}

/// A value that is not what the record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDifference {
    /// The column.
    pub column: String,
    /// What the table has.
    pub has: String,
    /// What the record says.
    pub expected: String,
}

struct Columns<'c>(&'c [ColumnDifference]);

impl fmt::Display for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ColumnDifference { column, has, expected }) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{column} is {has}, the record says {expected}")?;
        }
        Ok(())
    }
}

/// A comparison in work: see [`Fold::compare`].
#[derive(Debug)]
pub struct Comparison {
    /// Rows that were not seen yet.
    expected: Fold,
    names: Names,
}

impl Fold {
    /// Begins to compare: hand all rows to [`Comparison::row`], then call [`Comparison::finish`].
    #[must_use]
    pub fn compare(self) -> Comparison {
        let mut names = Names::default();
        self.rows.values().for_each(|row| names.learn(row));
        Comparison { expected: self, names }
    }
}

impl Comparison {
    /// Takes a row of a table. Rows that others refer to come first, so that they can be named.
    pub fn row(&mut self, row: &Row) -> Option<Difference> {
        if self.expected.unknown > 0 {
            return None;
        }
        let table = row.table();
        match self.expected.remove(&row.key()) {
            None if self.is_first_environment(row) => None,
            None => {
                self.names.learn(row);
                Some(Difference::NotInRecord { table, row: self.names.describe(row) })
            }
            Some(expected) => {
                let columns = differing(row, expected);
                (!columns.is_empty()).then(|| Difference::Changed { table, row: self.names.describe(row), columns })
            }
        }
    }

    /// The rows that were not there, and the entries that rest on approvals which no entries give.
    #[must_use]
    pub fn finish(self) -> Vec<Difference> {
        match self.expected.unknown {
            0 => {
                let missing = |row: &Row| Difference::Missing { table: row.table(), row: self.names.describe(row) };
                let missing = self.expected.rows.values().map(missing);
                let (faults, more) = (&self.expected.approvals.faults, self.expected.approvals.more_faults);
                let more = (more > 0).then_some(Difference::MoreUnapproved(more));
                missing.chain(faults.iter().cloned()).chain(more).collect()
            }
            unknown => vec![Difference::NewerEntries(unknown)],
        }
    }

    /// Whether it is the environment that is made with the database and that no entry has named so far.
    fn is_first_environment(&mut self, row: &Row) -> bool {
        let Row::Environment(environment) = row else { return false };
        let first = environment.name == FIRST_ENVIRONMENT && environment.kind == EnvironmentKind::Sealed;
        first && !std::mem::replace(&mut self.names.first_environment, true)
    }
}

/// The columns in which a row differs from the expected one.
fn differing(row: &Row, mut expected: Row) -> Vec<ColumnDifference> {
    if let (Row::SigningKey(row), Row::SigningKey(expected)) = (row, &mut expected) {
        accept_cut(&mut expected.user_id, &row.user_id);
        if let (Some(expected), Some(message)) = (&mut expected.revocation_message, &row.revocation_message) {
            accept_cut(expected, message);
        }
    }
    if *row == expected {
        return Vec::new();
    }
    let object = |row: &Row| match serde_json::to_value(row) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (has, mut says) = (object(row), object(&expected));
    let columns = has.into_iter().filter_map(|(column, has)| {
        let expected = says.remove(&column).unwrap_or_default();
        (has != expected).then(|| ColumnDifference { column, has: text(&has), expected: text(&expected) })
    });
    let mut columns: Vec<ColumnDifference> = columns.collect();
    columns.sort_by(|a, b| a.column.cmp(&b.column));
    columns
}

/// The record cuts texts that are too long for an entry: then the rest can't be compared.
fn accept_cut(recorded: &mut String, stored: &str) {
    if let Some(kept) = recorded.strip_suffix('…')
        && stored.starts_with(kept)
    {
        *recorded = stored.to_owned();
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

/// What rows are called.
#[derive(Debug, Default)]
struct Names {
    of: HashMap<Uuid, String>,
    /// Whether there is the environment that is made with the database.
    first_environment: bool,
}

impl Names {
    fn learn(&mut self, row: &Row) {
        if let Row::Environment(environment) = row {
            self.first_environment |= environment.name == FIRST_ENVIRONMENT;
        }
        let name = match row {
            Row::Principal(row) => (row.id.0, clean(&row.name)),
            Row::PrincipalGroup(row) => (row.id.0, clean(&row.name)),
            Row::Project(row) => (row.id.0, clean(&row.name)),
            Row::Environment(row) => (row.id.0, clean(&row.name)),
            Row::SigningKey(row) => (row.id.0, format!("{}/{}", self.name(row.project_id.0), clean(&row.name))),
            Row::AccessGrant(row) => {
                let label = clean(&row.label);
                (row.id.0, format!("grant {label:?} ({}) of {}", row.id, self.name(row.principal_id.0)))
            }
            _ => return,
        };
        self.of.insert(name.0, name.1);
    }

    fn name(&self, id: Uuid) -> String {
        self.of.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// A row for a person: with names, and ids where there is none.
    fn describe(&self, row: &Row) -> String {
        match row {
            Row::Principal(row) => format!("{} {}", row.kind.name().replace('-', " "), self.name(row.id.0)),
            Row::PrincipalGroup(row) => format!("group {}", self.name(row.id.0)),
            Row::GroupMember(row) => {
                format!("{} in the group {}", self.name(row.principal_id.0), self.name(row.group_id.0))
            }
            Row::Project(row) => format!("project {}", self.name(row.id.0)),
            Row::ProjectPrincipal(row) => {
                let (principal, project) = (self.name(row.principal_id.0), self.name(row.project_id.0));
                format!("the role {} of {principal} in the project {project}", row.role.name())
            }
            Row::ProjectGroup(row) => {
                let (group, project) = (self.name(row.group_id.0), self.name(row.project_id.0));
                format!("the role {} of the group {group} in the project {project}", row.role.name())
            }
            Row::ServiceToken(row) => {
                format!("token {:?} ({}) of {}", clean(&row.label), row.id, self.name(row.principal_id.0))
            }
            Row::AccessGrant(row) => self.name(row.id.0),
            Row::GrantToken(row) => format!("token {} of {}", row.token_sha256, self.name(row.grant_id.0)),
            Row::Environment(row) => format!("environment {}", self.name(row.id.0)),
            Row::PinAttempt(row) => format!("the PIN claim of {}", self.name(row.environment_id.0)),
            Row::SigningKey(row) => format!("key {}", self.name(row.id.0)),
            Row::ComponentKey(row) => format!("the part of {} that can {}", self.name(row.key_id.0), row.role.name()),
            Row::RuleVersion(row) => {
                let scope = match row.scope {
                    RuleScope::Environment => "environment",
                    RuleScope::Project => "project",
                    RuleScope::Key => "key",
                };
                format!("version {} of the rules of the {scope} {}", row.version, self.name(row.subject))
            }
            Row::TemplateVersion(row) => format!("version {} of the template {}", row.version, clean(&row.name)),
            Row::LogKey(row) => format!("the key of the log {}", clean(&row.origin)),
            Row::Approval(row) => {
                let (id, kind, name) = (short_id(row.id), row.kind.name(), self.name(row.asked_by.0));
                format!("the approval {id} ({kind}, asked for by {name})")
            }
            Row::ApprovalDecision(row) => {
                format!(
                    "the decision of {} about the approval {}",
                    self.name(row.approver_id.0),
                    short_id(row.approval_id)
                )
            }
        }
    }
}

/// A name without what could deceive a terminal: it may come from a changed table.
pub(super) fn clean(name: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    name.chars().map(shown).collect()
}

/// The end of an approval's id, as commands show it.
pub(super) fn short_id(id: ApprovalId) -> String {
    let text = id.0.simple().to_string();
    text.get(24..).unwrap_or(&text).to_owned()
}
