//! Makes notices: one function for each kind. The caller writes them with [`crate::storage::WriteTx::notify`], in its
//! own transaction.

use sealcard_api::{
    Timestamp,
    ids::{PrincipalId, ProjectId},
    notices::NoticeKind,
};
use sealcard_record::Named;
use uuid::Uuid;

use crate::storage::NewNotice;

/// What a notice is about. Its texts may be what others have said.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The approval, change or review: notices with the same one are shown together.
    pub id: Uuid,
    /// What commands call it, such as `1a2b3c4d`.
    pub reference: &'a str,
    /// The project; none of the server itself.
    pub project: Option<&'a Named<ProjectId>>,
    /// The name of who asks.
    pub requester: &'a str,
    /// What is asked for, as the rest of a sentence: `to sign with tools/release`, `to make bob an owner of tools`.
    pub wants: &'a str,
    /// What the reader needs to know, in this order. What is only claimed says so in its label.
    pub facts: &'a [(&'a str, &'a str)],
}

impl Subject<'_> {
    fn notice(&self, kind: NoticeKind, title: &str) -> NewNotice {
        let notice = NewNotice::new(kind, title).thread(self.id);
        let notice = match self.project {
            Some(project) => notice.project(project.clone()).fact("project", &project.name),
            None => notice,
        };
        let notice = notice.fact("requester", self.requester);
        self.facts.iter().fold(notice, |notice, (label, value)| notice.fact(label, value))
    }
}

/// A signing request waits: to those who can approve it.
#[must_use]
pub fn approval_wanted(
    subject: &Subject<'_>,
    approvers: impl IntoIterator<Item = PrincipalId>,
    until: Timestamp,
) -> NewNotice {
    let title = format!("{} asks {}", subject.requester, subject.wants);
    let notice = subject.notice(NoticeKind::ApprovalWanted, &title).fact("waits until", &until.to_string());
    notice.command(&format!("sealcard approve {}", subject.reference)).to(approvers)
}

/// It still waits.
#[must_use]
pub fn approval_reminder(
    subject: &Subject<'_>,
    approvers: impl IntoIterator<Item = PrincipalId>,
    until: Timestamp,
) -> NewNotice {
    let title = format!("{} still asks {}", subject.requester, subject.wants);
    let notice = subject.notice(NoticeKind::ApprovalReminder, &title).fact("waits until", &until.to_string());
    notice.command(&format!("sealcard approve {}", subject.reference)).to(approvers)
}

/// The outcome (`approved`, `rejected`, `expired`, …): to the requester. `by` is who decided, if somebody did.
#[must_use]
pub fn approval_decided(
    subject: &Subject<'_>,
    requester: PrincipalId,
    outcome: &str,
    by: Option<&str>,
    reason: Option<&str>,
) -> NewNotice {
    let title = format!("{outcome}: {} asked {}", subject.requester, subject.wants);
    let notice = subject.notice(NoticeKind::ApprovalDecided, &title).fact("outcome", outcome);
    notice.fact("decided by", by.unwrap_or_default()).fact("reason", reason.unwrap_or_default()).to([requester])
}

/// Break-glass: to all owners, through every channel.
#[must_use]
pub fn break_glass(subject: &Subject<'_>, owners: impl IntoIterator<Item = PrincipalId>) -> NewNotice {
    let title = format!("BREAK-GLASS: {} {}", subject.requester, subject.wants);
    subject.notice(NoticeKind::BreakGlass, &title).to(owners).loud()
}

/// A change waits: to those who can approve it.
#[must_use]
pub fn change_wanted(
    subject: &Subject<'_>,
    approvers: impl IntoIterator<Item = PrincipalId>,
    until: Timestamp,
) -> NewNotice {
    let title = format!("{} asks {}", subject.requester, subject.wants);
    let notice = subject.notice(NoticeKind::ChangeWanted, &title).fact("waits until", &until.to_string());
    notice.command(&format!("sealcard approve {}", subject.reference)).to(approvers)
}

/// A change was made, or takes effect at `effective`: to all owners.
#[must_use]
pub fn change_made(
    subject: &Subject<'_>,
    owners: impl IntoIterator<Item = PrincipalId>,
    effective: Option<Timestamp>,
) -> NewNotice {
    let title = match effective {
        Some(_) => format!("A change takes effect soon: {} {}", subject.requester, subject.wants),
        None => format!("A change was made: {} {}", subject.requester, subject.wants),
    };
    let effective = effective.map(|time| time.to_string()).unwrap_or_default();
    subject.notice(NoticeKind::ChangeMade, &title).fact("takes effect", &effective).to(owners)
}

/// A use by way of break-glass is to be reviewed with `command`: to the reviewers.
#[must_use]
pub fn review_open(
    subject: &Subject<'_>,
    reviewers: impl IntoIterator<Item = PrincipalId>,
    command: &str,
) -> NewNotice {
    let title = format!("Review the break-glass of {}", subject.requester);
    subject.notice(NoticeKind::ReviewOpen, &title).command(command).to(reviewers)
}

/// An administrator tries the channels, or one of them.
#[must_use]
pub fn test(administrator: &str, to: PrincipalId, channel: Option<String>) -> NewNotice {
    let title = format!("{administrator} tries the notices of Sealcard");
    let mut notice = NewNotice::new(NoticeKind::Test, &title).fact("to do", "nothing").to([to]);
    notice.channel = channel;
    notice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_stay_in_their_line() {
        let subject = Subject {
            id: Uuid::now_v7(),
            reference: "1a2b3c4d",
            project: None,
            requester: "jane",
            wants: "to sign with tools/release",
            facts: &[("command line (claimed)", "git tag\nsealcard approve evil\u{202e}"), ("nothing", "")],
        };
        let approver = PrincipalId::new();
        let notice = approval_wanted(&subject, [approver, approver], Timestamp::from_unix(0));
        assert_eq!(notice.recipients, [approver]);
        assert_eq!(notice.thread, Some(subject.id));
        let text = format!("{notice:?}");
        assert!(text.contains("jane asks to sign with tools/release"), "{text}");
        assert!(!text.contains('\u{202e}') && !text.contains("\\n"), "{text}");
    }
}
