//! The tables follow from the record.
//!
//! A [`Fold`] takes the record's entries in their order and keeps the rows that the server's tables must have after
//! them: principals, groups, projects, roles, tokens, grants, environments, PIN claims, keys, rules, approvals and what
//! was decided about them. It also checks that each use and change that rests on an approval is explained by entries
//! before it. [`Fold::compare`] then takes the rows that the tables do have, in any order, and names each difference. So a row that was inserted,
//! changed or deleted by hand is found, whatever the record's log says.
//!
//! Memory grows with the rows, not with the entries. Secrets are compared by the first bytes of their SHA-256.
//!
//! ```text
//! entries ─▶ Fold::entry   (apply.rs: one arm for each event; approvals.rs: what people decided)
//!                └─▶ Fold::compare ─▶ Comparison::row, Comparison::finish ─▶ Difference
//! file of tables ─▶ TablesFile     (file.rs: as `sealcard admin record export --tables` writes it)
//! ```

mod apply;
mod approval_rows;
mod approvals;
mod compare;
mod file;
mod rows;
mod standing;

use std::collections::{BTreeMap, BTreeSet};

use sealcard_api::{admin::EnvironmentKind, ids::EnvironmentId};
use uuid::Uuid;

use self::rows::RowKey;
pub use self::{
    approval_rows::{ApprovalDecisionRow, ApprovalRow},
    compare::{ColumnDifference, Comparison, Difference},
    file::{TablesError, TablesFile, TablesHead},
    rows::{
        ComponentKeyRow, EnvironmentRow, GrantRow, GrantTokenRow, GroupMemberRow, GroupRow, LogKeyRow, PinAttemptRow,
        PinState, PrincipalRow, ProjectGroupRow, ProjectPrincipalRow, ProjectRow, Row, RuleScope, RuleVersionRow,
        ServiceTokenRow, SigningKeyRow, TemplateVersionRow,
    },
};
use crate::{Body, Event, Named};

/// The environment that is made with the database, which no entry says.
const FIRST_ENVIRONMENT: &str = "default";

/// The rows that the tables must have after the entries that were taken.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    /// The number of the entry that was taken last.
    sequence: u64,
    /// The last one that counts, if not all do.
    end: Option<u64>,
    /// Entries of a newer release.
    unknown: u64,
    rows: BTreeMap<RowKey, Row>,
    /// What belongs to a principal, group, project, key, grant or token.
    links: BTreeSet<(Uuid, RowKey)>,
    approvals: approvals::Approvals,
}

impl Fold {
    /// Before the first entry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Before the first entry, with later ones than `end` left out: for tables that were read at that entry.
    #[must_use]
    pub fn up_to(end: u64) -> Self {
        Self { end: Some(end), ..Self::default() }
    }

    /// The number of the last entry that counted, 0 if there was none.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The rows that the tables must have, those first that others refer to.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Takes the record's next entry.
    pub fn entry(&mut self, body: &Body) {
        if self.end.is_some_and(|end| body.sequence > end) {
            return;
        }
        self.sequence = body.sequence;
        if body.event == Event::Unknown {
            self.unknown += 1;
        }
        self.note_change(body);
        self.apply(body);
    }

    /// The row is there from now on, in the place of an earlier one.
    fn put(&mut self, row: Row) {
        let key = row.key();
        self.remove(&key);
        for parent in row.parents() {
            self.links.insert((parent, key.clone()));
        }
        self.rows.insert(key, row);
    }

    /// The row is gone.
    fn remove(&mut self, key: &RowKey) -> Option<Row> {
        let row = self.rows.remove(key)?;
        for parent in row.parents() {
            self.links.remove(&(parent, key.clone()));
        }
        Some(row)
    }

    /// What belongs to this principal, group, project, key, grant or token.
    fn children(&self, parent: Uuid) -> Vec<RowKey> {
        let from = (parent, RowKey::FIRST);
        self.links.range(from..).take_while(|(of, _)| *of == parent).map(|(_, key)| key.clone()).collect()
    }

    /// The environment that is made with the database becomes known when an entry names it.
    fn see_environment(&mut self, environment: &Named<EnvironmentId>) {
        let key = RowKey::Environment(environment.id);
        if environment.name == FIRST_ENVIRONMENT && !self.rows.contains_key(&key) {
            let (id, name) = (environment.id, environment.name.clone());
            self.put(Row::Environment(EnvironmentRow { id, name, kind: EnvironmentKind::Sealed }));
        }
    }
}
