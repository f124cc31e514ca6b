//! Notices about approvals. They are written with what they tell of, and sent later.

use std::collections::BTreeSet;

use sealcard_api::{
    approvals::{ApprovalKind, ApprovalState},
    ids::PrincipalId,
    notices::NoticeKind,
    roles::PrincipalKind,
};
use sealcard_record::event::ApprovalRef;

use super::{decide::short, flow};
use crate::{
    limits,
    storage::{ApprovalRow, DecisionRow, NewNotice, StorageError, WriteTx},
};

/// Tells those whose turn it is that they are asked.
pub(super) fn wanted(
    tx: &mut WriteTx,
    row: &ApprovalRow,
    (named, kind): (&ApprovalRef, NoticeKind),
    (decisions, excluded): (&[DecisionRow], &flow::Excluded),
) -> Result<(), StorageError> {
    let mut people = BTreeSet::new();
    for of in &row.body.flows {
        let Some(stage) = flow::current(of, decisions, excluded) else { continue };
        let members = tx.stage_members(&stage.by, row.project, limits::NOTIFIED_APPROVERS)?;
        let free = members.into_iter().map(|person| person.id).filter(|id| {
            !excluded.contains(id) && !decisions.iter().any(|one| one.flow == of.name && one.approver == *id)
        });
        people.extend(free);
    }
    let title = match (row.kind, kind) {
        (ApprovalKind::BreakGlass, _) => format!("BREAK-GLASS: {} asks for {}", named.asked_by.name, subject(named)),
        (_, NoticeKind::ApprovalReminder) => {
            format!("{} still waits for approval: {}", named.asked_by.name, subject(named))
        }
        _ => format!("{} asks for approval: {}", named.asked_by.name, subject(named)),
    };
    let kind = if row.kind == ApprovalKind::BreakGlass { NoticeKind::BreakGlass } else { kind };
    let notice = about(row, named, NewNotice::new(kind, &title))
        .command(&format!("sealcard approve {}", short(row.id)))
        .to(people);
    tx.notify(&if row.kind == ApprovalKind::BreakGlass { notice.loud() } else { notice })
}

/// Tells whoever asked what came of it.
pub(super) fn outcome(
    tx: &mut WriteTx,
    row: &ApprovalRow,
    named: &ApprovalRef,
    (state, by, comment): (ApprovalState, &str, Option<&str>),
) -> Result<(), StorageError> {
    let recipients = answerable(tx, row.asked_by)?.into_iter().chain(match row.requester {
        Some(requester) if requester != row.asked_by => answerable(tx, requester)?,
        _ => None,
    });
    let what = match state {
        ApprovalState::Approved => format!("approved by {by}"),
        ApprovalState::Rejected => format!("rejected by {by}"),
        ApprovalState::Revoked => format!("revoked by {by}"),
        other => other.name().to_owned(),
    };
    let title = format!("{}: {}", subject(named), what);
    let emergency = row.kind == ApprovalKind::BreakGlass;
    let kind = if emergency { NoticeKind::BreakGlass } else { NoticeKind::ApprovalDecided };
    let notice = about(row, named, NewNotice::new(kind, &title))
        .fact("Comment", comment.unwrap_or_default())
        .command(&format!("sealcard requests show {}", short(row.id)))
        .to(recipients);
    tx.notify(&if emergency { notice.loud() } else { notice })
}

/// Tells everybody that a key was used by way of break-glass, and that this is to be reviewed.
pub(super) fn broken(tx: &mut WriteTx, row: &ApprovalRow, named: &ApprovalRef) -> Result<(), StorageError> {
    let mut people = BTreeSet::new();
    for role in ["role:owner", "role:auditor"] {
        people.extend(tx.stage_members(role, row.project, limits::NOTIFIED_APPROVERS)?.into_iter().map(|one| one.id));
    }
    let title = format!("BREAK-GLASS: {} was used by {}", subject(named), named.asked_by.name);
    let notice = about(row, named, NewNotice::new(NoticeKind::ReviewOpen, &title))
        .command(&format!("sealcard requests review {} --finding TEXT", short(row.id)))
        .to(people);
    tx.notify(&notice.loud())
}

/// Tells the owners that a change was made, or will take effect.
pub(super) fn changed(
    tx: &mut WriteTx,
    row: &ApprovalRow,
    named: &ApprovalRef,
    kind: NoticeKind,
) -> Result<(), StorageError> {
    let mut people: BTreeSet<PrincipalId> = BTreeSet::new();
    if row.project.is_some() {
        let owners = tx.stage_members("role:owner", row.project, limits::NOTIFIED_APPROVERS)?;
        people.extend(owners.into_iter().map(|one| one.id));
    }
    people.insert(row.asked_by);
    let what = row.body.change.first().map_or("a change", String::as_str);
    let title = match (kind, row.not_before) {
        (NoticeKind::ChangeMade, _) => format!("{} made a change: {what}", named.asked_by.name),
        (_, Some(begins)) => format!("{} will make a change at {begins} or later: {what}", named.asked_by.name),
        (_, None) => format!("{} asks for a change: {what}", named.asked_by.name),
    };
    let notice = about(row, named, NewNotice::new(kind, &title))
        .command(&format!("sealcard requests show {}", short(row.id)))
        .to(people);
    tx.notify(&notice.loud())
}

/// The person who answers for a principal: itself, or the owner of a service account.
fn answerable(tx: &mut WriteTx, id: PrincipalId) -> Result<Option<PrincipalId>, StorageError> {
    match tx.principal_name(id)? {
        Some(found) if found.kind == PrincipalKind::ServiceAccount => tx.owner_of(id),
        _ => Ok(Some(id)),
    }
}

fn subject(named: &ApprovalRef) -> String {
    let project = named.project.as_ref().map_or("", |project| project.name.as_str());
    match &named.key {
        Some(key) => format!("{project}/{}", key.name),
        None => project.to_owned(),
    }
}

fn about(row: &ApprovalRow, named: &ApprovalRef, notice: NewNotice) -> NewNotice {
    let mut notice = notice.thread(row.id.0).fact("For", row.kind.name());
    if let Some(project) = &named.project {
        notice = notice.project(project.clone());
    }
    notice = notice
        .fact("Asked by", &named.asked_by.name)
        .fact("Key", &subject(named))
        .fact("Operation", row.operation.as_deref().unwrap_or_default())
        .fact("Reason", row.body.reason.as_deref().unwrap_or_default());
    if let Some(asked) = &row.body.asked {
        let address = asked.address.map(|address| address.to_string()).unwrap_or_default();
        let tool = asked.claims.processes.first().and_then(|process| process.command.clone()).unwrap_or_default();
        notice = notice
            .fact("Host (claimed)", asked.claims.host.as_deref().unwrap_or_default())
            .fact("Address", &address)
            .fact("Command (claimed)", &tool)
            .fact("Digest", asked.digest.as_deref().unwrap_or_default());
    }
    for line in &row.body.change {
        notice = notice.fact("Change", line);
    }
    notice.fact("Expires", &row.expires.to_string())
}
