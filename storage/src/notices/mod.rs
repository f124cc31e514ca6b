//! Notices: an outbox. [`WriteTx::notify`] writes one in the transaction of what it tells of; a task of the server
//! finds out to whom it goes, and sends it later. `list` shows them, `outbox` is what the task works with.

mod list;
mod outbox;

use sealcard_api::{
    ids::{NoticeId, PrincipalId, ProjectId},
    notices::{NoticeFact, NoticeKind, NoticeProject},
    text::one_line,
};
use sealcard_record::Named;
use uuid::Uuid;

pub use list::{ChannelRow, NoticeCounts, NoticeFilter};
pub use outbox::{Attempted, Message, NewDelivery, Outcome};

use super::{
    StorageError, WriteTx,
    sql::{FromRow, Row, params},
};

/// Characters of a title.
const TITLE: usize = 200;

/// Characters of a fact's label.
const LABEL: usize = 40;

/// Characters of a fact's value.
const VALUE: usize = 500;

/// Characters of a command.
const COMMAND: usize = 200;

/// Facts of one notice; further ones are left out.
const FACTS: usize = 32;

/// A notice to be written. Its texts are in one line each, and show what a terminal would obey or hide as escapes, so
/// that they can hold what others have said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice {
    /// The id, which receivers see.
    pub id: NoticeId,
    kind: NoticeKind,
    title: String,
    facts: Vec<NoticeFact>,
    command: Option<String>,
    /// The project that it is about.
    pub project: Option<Named<ProjectId>>,
    /// What else is about the same thing has the same value: mails are shown together then.
    pub thread: Option<Uuid>,
    /// Who gets it by mail. Channels of everybody get it in any case.
    pub recipients: Vec<PrincipalId>,
    /// Whether it goes through every channel, and is never folded into another message.
    pub loud: bool,
    /// The only channel that it is for.
    pub channel: Option<String>,
}

impl NewNotice {
    /// A notice for nobody yet but the channels of everybody.
    #[must_use]
    pub fn new(kind: NoticeKind, title: &str) -> Self {
        Self {
            id: NoticeId::new(),
            kind,
            title: one_line(title, TITLE),
            facts: Vec::new(),
            command: None,
            project: None,
            thread: None,
            recipients: Vec::new(),
            loud: false,
            channel: None,
        }
    }

    /// Adds what the reader needs to know. Nothing is added without a value.
    #[must_use]
    pub fn fact(mut self, label: &str, value: &str) -> Self {
        if !value.is_empty() && self.facts.len() < FACTS {
            self.facts.push(NoticeFact { label: one_line(label, LABEL), value: one_line(value, VALUE) });
        }
        self
    }

    /// The command by which the reader acts, such as `sealcard approve 1a2b3c4d`.
    #[must_use]
    pub fn command(mut self, command: &str) -> Self {
        self.command = Some(one_line(command, COMMAND));
        self
    }

    /// The project that it is about.
    #[must_use]
    pub fn project(mut self, project: Named<ProjectId>) -> Self {
        self.project = Some(project);
        self
    }

    /// What it belongs to, such as an approval's id.
    #[must_use]
    pub const fn thread(mut self, thread: Uuid) -> Self {
        self.thread = Some(thread);
        self
    }

    /// Who gets it by mail.
    #[must_use]
    pub fn to(mut self, recipients: impl IntoIterator<Item = PrincipalId>) -> Self {
        for recipient in recipients {
            if !self.recipients.contains(&recipient) {
                self.recipients.push(recipient);
            }
        }
        self
    }

    /// Sends it through every channel, and never folded into another message.
    #[must_use]
    pub const fn loud(mut self) -> Self {
        self.loud = true;
        self
    }
}

/// A notice as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRow {
    /// The id, which receivers see: the same in each attempt.
    pub id: NoticeId,
    /// What it is about.
    pub kind: NoticeKind,
    /// Unix seconds.
    pub created: i64,
    /// The project that it is about.
    pub project: Option<NoticeProject>,
    /// One line.
    pub title: String,
    /// What the reader needs to know.
    pub facts: Vec<NoticeFact>,
    /// The command by which the reader acts.
    pub command: Option<String>,
    /// As [`NewNotice::thread`].
    pub thread: Option<Uuid>,
    /// Who gets it by mail.
    pub recipients: Vec<PrincipalId>,
    /// As [`NewNotice::loud`].
    pub loud: bool,
    /// As [`NewNotice::channel`].
    pub channel: Option<String>,
    /// Whether it has its deliveries.
    pub addressed: bool,
}

/// What a [`NoticeRow`] is read from, with what follows FROM.
macro_rules! notices {
    ($rest:literal) => {
        concat!(
            "SELECT n.id, n.kind, n.created, n.project_id, n.project, n.title, n.facts, n.command, n.thread,
                n.recipients, n.loud, n.channel, n.addressed FROM notice n ",
            $rest
        )
    };
}
use notices;

impl FromRow for NoticeRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let kind: String = row.get(1)?;
        let (facts, recipients): (String, String) = (row.get(6)?, row.get(9)?);
        let project: (Option<Uuid>, Option<String>) = (row.get(3)?, row.get(4)?);
        Ok(Self {
            id: NoticeId(row.get(0)?),
            kind: NoticeKind::named(&kind).ok_or_else(|| damaged(format_args!("of the kind {kind:?}")))?,
            created: row.get(2)?,
            project: project.0.zip(project.1).map(|(id, name)| NoticeProject { id: ProjectId(id), name }),
            title: row.get(5)?,
            facts: serde_json::from_str(&facts).map_err(damaged)?,
            command: row.get(7)?,
            thread: row.get(8)?,
            recipients: serde_json::from_str(&recipients).map_err(damaged)?,
            loud: row.get(10)?,
            channel: row.get(11)?,
            addressed: row.get(12)?,
        })
    }
}

fn damaged(why: impl std::fmt::Display) -> StorageError {
    StorageError::Damaged(format!("a notice: {why}"))
}

impl WriteTx {
    /// Writes a notice, which is sent once the transaction is committed.
    ///
    /// # Errors
    /// If the database fails.
    pub fn notify(&mut self, notice: &NewNotice) -> Result<(), StorageError> {
        const INSERT: &str = "INSERT INTO notice
            (id, kind, created, project_id, project, title, facts, command, thread, recipients, loud, channel)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let NewNotice { id, kind, title, facts, command, project, thread, recipients, loud, channel } = notice;
        let (project_id, project) = project.as_ref().map(|project| (project.id.0, project.name.as_str())).unzip();
        let facts = serde_json::to_string(facts).map_err(damaged)?;
        let recipients = serde_json::to_string(recipients).map_err(damaged)?;
        let created = self.now().unix();
        let values = params![
            id.0,
            kind.name(),
            created,
            project_id,
            project,
            title,
            facts,
            command,
            thread,
            recipients,
            loud,
            channel
        ];
        self.conn_for_uses().execute(INSERT, values).map(drop)
    }
}
