//! What channels say of a notice: a file for each kind. Texts of a notice are in one line each already, without
//! characters that a reader would not see.

pub(super) mod mail;
mod slack;
mod standard;
mod teams;

use sealcard_api::notices::NoticeFact;

use crate::{config::WebhookKind, storage::NoticeRow};

/// The largest body of a webhook, in bytes: as Standard Webhooks says.
const BODY: usize = 20_000;

/// Characters of a fact's value, tried one after the other until the body is small enough.
const VALUES: [usize; 4] = [500, 200, 80, 20];

/// The body of a webhook, as JSON.
///
/// # Errors
/// A fault of this program.
pub(super) fn webhook(kind: WebhookKind, notice: &NoticeRow) -> serde_json::Result<String> {
    let mut body = String::new();
    for most in VALUES {
        let short = shortened(notice, most);
        body = match kind {
            WebhookKind::Standard => serde_json::to_string(&standard::event(&short))?,
            WebhookKind::Slack => serde_json::to_string(&slack::message(&short))?,
            WebhookKind::Teams => serde_json::to_string(&teams::message(&short))?,
        };
        if body.len() < BODY {
            break;
        }
    }
    Ok(body)
}

fn shortened(notice: &NoticeRow, most: usize) -> NoticeRow {
    let mut notice = notice.clone();
    for NoticeFact { value, .. } in &mut notice.facts {
        if value.chars().count() > most {
            *value = value.chars().take(most.saturating_sub(1)).chain(['…']).collect();
        }
    }
    notice
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use sealcard_api::{
        ids::{NoticeId, ProjectId},
        notices::{NoticeKind, NoticeProject},
        text::{is_plain, one_line},
    };
    use serde_json::Value;

    use super::*;

    const KINDS: [WebhookKind; 3] = [WebhookKind::Standard, WebhookKind::Slack, WebhookKind::Teams];

    pub(super) fn notice(title: &str, facts: &[(&str, &str)]) -> NoticeRow {
        let facts =
            facts.iter().map(|(label, value)| NoticeFact { label: one_line(label, 40), value: one_line(value, 500) });
        NoticeRow {
            id: NoticeId::new(),
            kind: NoticeKind::ApprovalWanted,
            created: 1_800_000_000,
            project: Some(NoticeProject { id: ProjectId::new(), name: "tools".to_owned() }),
            title: one_line(title, 200),
            facts: facts.collect(),
            command: Some("sealcard approve 1a2b3c4d".to_owned()),
            thread: None,
            recipients: Vec::new(),
            loud: false,
            channel: None,
            addressed: true,
        }
    }

    fn parsed(kind: WebhookKind, notice: &NoticeRow) -> Value {
        serde_json::from_str(&webhook(kind, notice).unwrap()).unwrap()
    }

    #[test]
    fn standard_event_has_type_time_and_data() {
        let notice = notice("jane asks", &[("key", "tools/release")]);
        let event = parsed(WebhookKind::Standard, &notice);
        assert_eq!(event["type"], "notice.approval-wanted");
        assert_eq!(event["timestamp"], "2027-01-15T08:00:00Z");
        assert_eq!(event["data"]["id"], notice.id.to_string());
        assert_eq!(event["data"]["project"]["name"], "tools");
        assert_eq!(event["data"]["facts"][0]["value"], "tools/release");
        assert_eq!(event["data"]["command"], "sealcard approve 1a2b3c4d");
    }

    #[test]
    fn slack_shows_links_and_mentions_of_others_as_text() {
        let notice = notice("<!channel> & co", &[("tool", "<https://evil.example|approve>\n> quoted")]);
        let message = parsed(WebhookKind::Slack, &notice);
        let text = message["text"].as_str().unwrap();
        assert!(text.starts_with("&lt;!channel&gt; &amp; co\n"), "{text}");
        assert!(text.contains("tool: &lt;https://evil.example|approve&gt;\\u{a}&gt; quoted\n"), "{text}");
        assert_eq!(message["mrkdwn"], false);
    }

    #[test]
    fn teams_shows_markdown_of_others_as_text() {
        let notice = notice("[approve](https://evil.example)", &[("a", "**b**")]);
        let message = parsed(WebhookKind::Teams, &notice);
        let card = &message["attachments"][0];
        assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
        let body = card["content"]["body"].as_array().unwrap();
        // Of the elements of a card, this one alone has no Markdown.
        assert!(body.iter().all(|block| block["type"] == "RichTextBlock"));
        assert_eq!(body[0]["inlines"][0]["text"], "[approve](https://evil.example)");
    }

    fn strings(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
            Value::Object(fields) => fields.values().for_each(|field| strings(field, into)),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_small_body_without_hidden_characters(
            title: String, facts: Vec<(String, String)>, command: Option<String>,
        ) {
            let facts: Vec<_> = facts.iter().take(32).map(|(label, value)| (label.as_str(), value.as_str())).collect();
            let mut notice = notice(&title, &facts);
            notice.command = command.map(|command| one_line(&command, 200));
            for kind in KINDS {
                let body = webhook(kind, &notice).unwrap();
                prop_assert!(body.len() < BODY);
                let mut texts = Vec::new();
                strings(&serde_json::from_str(&body).unwrap(), &mut texts);
                prop_assert!(texts.iter().flat_map(|text| text.chars()).all(|c| c == '\n' || is_plain(c)));
            }
        }
    }

    #[test]
    fn largest_notice_gives_a_small_body() {
        for letter in ["&", "\"", "\u{1f511}", "\u{202e}", "a"] {
            let value = letter.repeat(500);
            let facts: Vec<_> = (0..32).map(|_| (value.as_str(), value.as_str())).collect();
            let mut notice = notice(&value, &facts);
            notice.command = Some(one_line(&value, 200));
            for kind in KINDS {
                let body = webhook(kind, &notice).unwrap();
                assert!(body.len() < BODY, "{kind:?} {letter}: {}", body.len());
            }
        }
    }
}
