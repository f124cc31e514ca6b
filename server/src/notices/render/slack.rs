//! A message of Slack's incoming webhooks.

use std::fmt::Write as _;

use sealcard_api::notices::NoticeFact;
use serde::Serialize;

use crate::storage::NoticeRow;

#[derive(Debug, Serialize)]
pub(super) struct SlackMessage {
    text: String,
    /// What others have said must not be formatted.
    mrkdwn: bool,
    /// Slack must not fetch what others have named.
    unfurl_links: bool,
    unfurl_media: bool,
}

pub(super) fn message(notice: &NoticeRow) -> SlackMessage {
    let mut text = format!("{}\n", escaped(&notice.title));
    for NoticeFact { label, value } in &notice.facts {
        let _ = writeln!(text, "{}: {}", escaped(label), escaped(value));
    }
    if let Some(command) = &notice.command {
        let _ = writeln!(text, "To act, run: {}", escaped(command));
    }
    SlackMessage { text, mrkdwn: false, unfurl_links: false, unfurl_media: false }
}

/// Without this, `<…>` is a link or a mention.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
