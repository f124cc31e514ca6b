//! A message for a workflow of Microsoft Teams: one Adaptive Card. It consists of `RichTextBlock` alone, because that is
//! the one element whose texts are never read as Markdown.

use serde::Serialize;

use crate::storage::NoticeRow;

#[derive(Debug, Serialize)]
pub(super) struct TeamsMessage {
    #[serde(rename = "type")]
    kind: &'static str,
    attachments: [Attachment; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    content_type: &'static str,
    content: Card,
}

#[derive(Debug, Serialize)]
struct Card {
    #[serde(rename = "$schema")]
    schema: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
    body: Vec<Block>,
}

#[derive(Debug, Serialize)]
struct Block {
    #[serde(rename = "type")]
    kind: &'static str,
    inlines: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    #[serde(rename = "type")]
    kind: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "fontType")]
    font: Option<&'static str>,
}

impl Run {
    const fn new(text: String) -> Self {
        Self { kind: "TextRun", text, weight: None, font: None }
    }

    const fn bold(text: String) -> Self {
        Self { kind: "TextRun", text, weight: Some("Bolder"), font: None }
    }
}

const fn block(inlines: Vec<Run>) -> Block {
    Block { kind: "RichTextBlock", inlines }
}

pub(super) fn message(notice: &NoticeRow) -> TeamsMessage {
    let mut body = vec![block(vec![Run::bold(notice.title.clone())])];
    for fact in &notice.facts {
        body.push(block(vec![Run::bold(format!("{}: ", fact.label)), Run::new(fact.value.clone())]));
    }
    if let Some(command) = &notice.command {
        let command = Run { font: Some("Monospace"), ..Run::new(command.clone()) };
        body.push(block(vec![Run::new("To act, run: ".to_owned()), command]));
    }
    let content = Card {
        schema: "http://adaptivecards.io/schemas/adaptive-card.json",
        kind: "AdaptiveCard",
        version: "1.4",
        body,
    };
    let attachment = Attachment { content_type: "application/vnd.microsoft.card.adaptive", content };
    TeamsMessage { kind: "message", attachments: [attachment] }
}
