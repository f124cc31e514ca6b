//! An event as Standard Webhooks recommends it: type, time and data.

use sealcard_api::{
    Timestamp,
    ids::NoticeId,
    notices::{NoticeFact, NoticeKind, NoticeProject},
};
use serde::Serialize;
use uuid::Uuid;

use crate::storage::NoticeRow;

#[derive(Debug, Serialize)]
pub(super) struct WebhookEvent<'a> {
    #[serde(rename = "type")]
    event: String,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    id: NoticeId,
    kind: NoticeKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a NoticeProject>,
    title: &'a str,
    facts: &'a [NoticeFact],
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<Uuid>,
    loud: bool,
}

pub(super) fn event(notice: &NoticeRow) -> WebhookEvent<'_> {
    let NoticeRow { id, kind, created, project, title, facts, command, thread, loud, .. } = notice;
    WebhookEvent {
        event: format!("notice.{}", kind.name()),
        timestamp: Timestamp::from_unix(*created),
        data: Data {
            id: *id,
            kind: *kind,
            project: project.as_ref(),
            title,
            facts,
            command: command.as_deref(),
            thread: *thread,
            loud: *loud,
        },
    }
}
