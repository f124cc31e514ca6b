//! `sealcard status --waiting`: uses of keys by processes of this computer that wait for an approval.

use sealcard_api::Timestamp;
use serde::Serialize;

use crate::{
    cli::{
        App,
        output::{facts, line, note, show},
        when,
    },
    last::OperationKind,
    waiting::{WaitingNote, approve_command, short_id},
};

/// All that wait.
#[derive(Debug, Serialize)]
struct Waiting {
    waiting: Vec<Waits>,
}

#[derive(Debug, Serialize)]
struct Waits {
    #[serde(flatten)]
    note: WaitingNote,
    seconds_left: i64,
    /// What an approver runs.
    approve: String,
}

pub(super) fn run(app: &App, json: bool) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let waits = |note: WaitingNote| Waits {
        seconds_left: note.deadline.unix().saturating_sub(now.unix()),
        approve: approve_command(note.approval),
        note,
    };
    let waiting = Waiting { waiting: WaitingNote::list(&app.paths)?.into_iter().map(waits).collect() };
    show(json, &waiting, |waiting| print(&waiting.waiting))
}

fn print(waiting: &[Waits]) {
    if waiting.is_empty() {
        note("Nothing waits for an approval here.");
    }
    for (number, waits) in waiting.iter().enumerate() {
        if number > 0 {
            line("");
        }
        facts(&rows(waits));
    }
}

fn rows(waits: &Waits) -> Vec<(&'static str, String)> {
    let note = &waits.note;
    let operation = match note.operation {
        OperationKind::Sign => "signature",
        OperationKind::SshSign => "ssh signature",
        OperationKind::Authenticate => "ssh login",
        OperationKind::Decrypt => "decryption",
        OperationKind::SelectCard => "search for a card",
    };
    let mut rows = vec![("id", short_id(note.approval))];
    rows.extend(note.key.as_ref().map(|key| ("key", key.clone())));
    rows.push(("operation", operation.to_owned()));
    rows.push(("wants", note.wants.join(" and ")));
    if !note.approvers.is_empty() {
        rows.push(("from", note.approvers.join(", ")));
    }
    rows.push(("they run", waits.approve.clone()));
    rows.push(("time left", when::span(waits.seconds_left)));
    rows.push(("can be approved until", when::with_distance(note.expires)));
    rows
}
