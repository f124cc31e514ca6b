//! A mail in plain text.

use std::fmt::Write as _;

use lettre::{
    Message,
    message::{
        Mailbox,
        header::{ContentType, Header, HeaderName, HeaderValue},
    },
};
use sealcard_api::notices::{NoticeFact, NoticeKind};
use uuid::Uuid;

use crate::storage::NoticeRow;

/// Notices that a mail about several names one by one.
const NAMED: usize = 50;

/// Characters of a subject.
const SUBJECT: usize = 150;

/// A mail of these notices, of which there is at least one. `id` is the same in each attempt.
///
/// # Errors
/// If it can't be written: a fault of this program.
pub(in crate::notices) fn message(
    from: &Mailbox,
    to: Mailbox,
    id: Uuid,
    notices: &[NoticeRow],
) -> Result<Message, lettre::error::Error> {
    let domain = from.email.domain();
    let (subject, text, thread) = match notices {
        [one] => (one.title.clone(), single(one), one.thread),
        several => (digest_title(several), digest(several), None),
    };
    let subject: String = subject.chars().take(SUBJECT).collect();
    let mut builder = Message::builder()
        .from(from.clone())
        .to(to)
        .subject(subject)
        .message_id(Some(format!("<{id}@{domain}>")))
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN);
    if let Some(thread) = thread {
        // No mail has this id. All that belong together refer to it.
        builder = builder.references(format!("<thread.{thread}@{domain}>"));
    }
    builder.date_now().body(text)
}

fn single(notice: &NoticeRow) -> String {
    let mut text = format!("{}\n\n", notice.title);
    let width = notice.facts.iter().map(|fact| fact.label.chars().count()).max().unwrap_or(0);
    for NoticeFact { label, value } in &notice.facts {
        let label = format!("{label}:");
        let _ = writeln!(text, "{label:width$} {value}", width = width.saturating_add(1));
    }
    if let Some(command) = &notice.command {
        let _ = writeln!(text, "\nTo act, run:\n  {command}");
    }
    let _ = writeln!(text, "\n-- \nNotice {} of a Sealcard server. Answers to this mail are not read.", notice.id);
    text
}

fn digest_title(notices: &[NoticeRow]) -> String {
    use NoticeKind::{ApprovalReminder, ApprovalWanted, ChangeWanted};
    let wait = notices.iter().all(|one| matches!(one.kind, ApprovalWanted | ApprovalReminder | ChangeWanted));
    let count = notices.len();
    if wait { format!("{count} requests wait") } else { format!("{count} notices") }
}

fn digest(notices: &[NoticeRow]) -> String {
    let mut text = format!("{}\n", digest_title(notices));
    for NoticeRow { title, command, .. } in notices.iter().take(NAMED) {
        let _ = writeln!(text, "\n{title}");
        if let Some(command) = command {
            let _ = writeln!(text, "  {command}");
        }
    }
    if let Some(more) = notices.len().checked_sub(NAMED).filter(|more| *more > 0) {
        let _ = writeln!(text, "\nAnd {more} more: run sealcard requests.");
    }
    text.push_str("\n-- \nA Sealcard server sends them as one mail, because there were many within a minute.\n");
    text
}

/// Programs that answer mails by themselves must not answer this one (RFC 3834).
#[derive(Debug, Clone, Copy)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::tests::notice, *};

    fn sent(notices: &[NoticeRow], id: Uuid) -> String {
        let mailbox = |text: &str| text.parse::<Mailbox>().unwrap();
        let message = message(&mailbox("Sealcard <sealcard@example.org>"), mailbox("jane@example.com"), id, notices);
        String::from_utf8(message.unwrap().formatted()).unwrap()
    }

    #[test]
    fn mail_is_plain_text_with_stable_ids() {
        let (id, thread) = (Uuid::now_v7(), Uuid::now_v7());
        let one = NoticeRow { thread: Some(thread), ..notice("jane asks", &[("key", "a/b"), ("requester", "jane")]) };
        let mail = sent(std::slice::from_ref(&one), id);
        for line in [
            "Subject: jane asks".to_owned(),
            "Auto-Submitted: auto-generated".to_owned(),
            format!("Message-ID: <{id}@example.org>"),
            format!("References: <thread.{thread}@example.org>"),
            "To: jane@example.com".to_owned(),
            "key:       a/b".to_owned(),
            "requester: jane".to_owned(),
            "  sealcard approve 1a2b3c4d".to_owned(),
        ] {
            assert!(mail.lines().any(|found| found == line), "{line} is not in {mail}");
        }
        assert!(mail.contains("Content-Type: text/plain"), "{mail}");
    }

    #[test]
    fn text_of_others_makes_no_header() {
        let mail = sent(&[notice("a\r\nBcc: eve@example.com", &[("b", "c\r\n.\r\nMAIL FROM")])], Uuid::now_v7());
        assert!(!mail.lines().any(|line| line.starts_with("Bcc") || line == "."), "{mail}");
    }

    #[test]
    fn digest_names_what_waits() {
        let many: Vec<_> = (0..60).map(|n| notice(&format!("request {n}"), &[])).collect();
        let mail = sent(&many, Uuid::now_v7());
        for line in ["Subject: 60 requests wait", "request 49", "And 10 more: run sealcard requests."] {
            assert!(mail.lines().any(|found| found == line), "{line} is not in {mail}");
        }
        let other = NoticeRow { kind: NoticeKind::ChangeMade, ..notice("a", &[]) };
        assert!(sent(&[other, notice("b", &[])], Uuid::now_v7()).contains("Subject: 2 notices"));
    }
}
