//! Reports whose rows are entries of the record.

use std::collections::HashSet;

use sealcard_api::{Timestamp, approvals::ApprovalKind, ids::ApprovalId};
use sealcard_record::{
    Body, Event, Line,
    event::{ApprovalRef, Asked},
};

use super::{
    Range,
    sheet::{Row, Sheet},
};
use crate::{
    cli::{
        App,
        admin::record::{csv, entry},
        output::warn,
        pages::Pages,
    },
    remote::path,
};

/// Which entries a report has.
pub(super) struct Report {
    /// What the server is asked for.
    kinds: &'static str,
    denied: bool,
    wanted: fn(&Event) -> bool,
    if_empty: &'static str,
}

pub(super) const DENIALS: Report =
    Report { kinds: "", denied: true, wanted: |_| true, if_empty: "Nothing was refused." };

pub(super) const APPROVALS: Report =
    Report { kinds: "approval", denied: false, wanted: |_| true, if_empty: "Nobody was asked to approve anything." };

pub(super) const ACCESS_CHANGES: Report = Report {
    kinds: "administration,authentication",
    denied: false,
    wanted: is_access_change,
    if_empty: "Nobody's access was changed.",
};

/// Whether it changes who can do what. A login is none: it uses what somebody has.
fn is_access_change(event: &Event) -> bool {
    matches!(
        event,
        Event::UserAdded(_)
            | Event::UserChanged(_)
            | Event::UserRemoved(_)
            | Event::PasswordReset(_)
            | Event::PasswordChanged(_)
            | Event::ServiceAccountAdded(_)
            | Event::ServiceAccountChanged(_)
            | Event::ServiceAccountRemoved(_)
            | Event::ServiceTokenAdded(_)
            | Event::ServiceTokenRevoked(_)
            | Event::GrantRevoked(_)
            | Event::GroupAdded(_)
            | Event::GroupChanged(_)
            | Event::GroupRemoved(_)
            | Event::GroupMemberAdded(_)
            | Event::GroupMemberRemoved(_)
            | Event::ProjectAdded(_)
            | Event::ProjectChanged(_)
            | Event::ProjectRemoved(_)
            | Event::ProjectMemberAdded(_)
            | Event::ProjectMemberRemoved(_)
            | Event::RulesApplied(_)
            | Event::RulesReverted(_)
            | Event::RulesRemoved(_)
            | Event::TemplateApplied(_)
            | Event::TemplateReverted(_)
            | Event::TemplateWithdrawn(_)
            | Event::TemplateRestored(_)
    )
}

/// Entries of the record, the oldest first, page by page.
pub(super) struct Entries<'a> {
    pages: Pages<'a>,
}

/// The list of the record's entries.
pub(super) fn record() -> String {
    path(&["record"])
}

/// What is chosen of the record.
#[derive(Default)]
pub(super) struct Selection {
    pub(super) user: Option<String>,
    pub(super) key: Option<String>,
    pub(super) project: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) kinds: &'static str,
    pub(super) denied: bool,
}

impl Selection {
    /// What a person chose. The server knows a key by its id, whatever it is called here.
    pub(super) async fn of(app: &App, range: &Range) -> anyhow::Result<Self> {
        let key = match &range.key {
            Some(key) => Some(crate::cli::admin::key::find(app, key).await?.id.to_string()),
            None => None,
        };
        Ok(Self {
            user: range.user.clone(),
            key,
            project: range.project.clone(),
            since: Some(range.since),
            until: range.until,
            ..Self::default()
        })
    }

    pub(super) fn entries<'a>(self, app: &'a App, path: &'a str) -> Entries<'a> {
        let parameters = [
            ("user", self.user),
            ("key", self.key),
            ("project", self.project),
            ("since", self.since.map(|time| time.to_string())),
            ("until", self.until.map(|time| time.to_string())),
            ("kind", (!self.kinds.is_empty()).then(|| self.kinds.to_owned())),
            ("denied", self.denied.then(|| "true".to_owned())),
            ("order", Some("oldest".to_owned())),
        ];
        Entries { pages: Pages::new(&app.remote, path, &parameters, usize::MAX) }
    }
}

impl Entries<'_> {
    /// The next page; nothing at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<Body>>> {
        let Some(lines) = self.pages.next::<Line>().await? else { return Ok(None) };
        let mut bodies = Vec::with_capacity(lines.len());
        for line in &lines {
            match line.body() {
                Ok(body) => bodies.push(body),
                Err(error) => warn(format!("an entry can't be read: {error}")),
            }
        }
        Ok(Some(bodies))
    }
}

fn row(body: &Body) -> Row<7> {
    Row { shown: entry::Told::row(body), values: csv::values(body).to_vec() }
}

pub(super) async fn run(app: &App, range: &Range, report: &Report, json: bool) -> anyhow::Result<()> {
    let path = record();
    let mut selection = Selection::of(app, range).await?;
    (selection.kinds, selection.denied) = (report.kinds, report.denied);
    let mut entries = selection.entries(app, &path);
    let mut sheet = Sheet::new(range.csv.form(json), entry::HEADINGS, &csv::HEADINGS);
    while let Some(bodies) = entries.next().await? {
        let rows: Vec<_> = bodies.iter().filter(|body| (report.wanted)(&body.event)).map(row).collect();
        sheet.write(&rows)?;
    }
    sheet.end(report.if_empty).map(drop)
}

/// Break-glass approvals, the uses that they allowed, and their reviews.
pub(super) async fn break_glass(app: &App, range: &Range, json: bool) -> anyhow::Result<()> {
    let path = record();
    let mut selection = Selection::of(app, range).await?;
    selection.kinds = "approval,intent";
    let mut known = asked_before(app, range).await?;
    let mut entries = selection.entries(app, &path);
    let mut sheet = Sheet::new(range.csv.form(json), entry::HEADINGS, &csv::HEADINGS);
    while let Some(bodies) = entries.next().await? {
        let rows: Vec<_> = bodies.iter().filter(|body| is_break_glass(&body.event, &mut known)).map(row).collect();
        sheet.write(&rows)?;
    }
    sheet.end("Nobody broke the glass.").map(drop)
}

/// The break-glass approvals from before the time that was chosen: what they allow may happen in it.
async fn asked_before(app: &App, range: &Range) -> anyhow::Result<HashSet<ApprovalId>> {
    let path = record();
    let selection = Selection { until: Some(range.since), kinds: "approval", ..Selection::default() };
    let mut entries = selection.entries(app, &path);
    let mut known = HashSet::new();
    while let Some(bodies) = entries.next().await? {
        for body in &bodies {
            is_break_glass(&body.event, &mut known);
        }
    }
    Ok(known)
}

fn is_break_glass(event: &Event, known: &mut HashSet<ApprovalId>) -> bool {
    let by_kind = |approval: &ApprovalRef, known: &mut HashSet<ApprovalId>| {
        let is = approval.approval_kind == ApprovalKind::BreakGlass;
        if is {
            known.insert(approval.approval);
        }
        is
    };
    match event {
        Event::ApprovalAsked(asked) => by_kind(&asked.approval, known),
        Event::ApprovalDecided(decided) => by_kind(&decided.approval, known),
        Event::ApprovalEnded(ended) => by_kind(&ended.approval, known),
        Event::ReviewClosed(review) => by_kind(&review.approval, known),
        Event::UseIntent(intent) => approval_of(&intent.asked).is_some_and(|approval| known.contains(&approval)),
        _ => false,
    }
}

/// The approval that allowed a use.
pub(super) fn approval_of(asked: &Asked) -> Option<ApprovalId> {
    asked.judged.as_ref()?.approval
}
