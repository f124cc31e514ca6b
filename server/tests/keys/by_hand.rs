//! Approvals that somebody put into the database by hand.

use sealcard_api::{approvals::ApprovalState, ids::ApprovalId};

use crate::approvals::{Office, TWO};

/// An approved row and its decisions that nobody made, put in by somebody with the database's password.
const BY_HAND: &str = "INSERT INTO approval (id, kind, state, version, change, created, expires, use_seconds, asked_by,
        project_id, key_id, operation, requester_id, max_uses, used, body)
    SELECT ?1, 'pre-approval', 'approved', 1, 1, 0, 4000000000, 60, ?2, project_id, id, 'sign', ?2, 1, 0,
        '{\"flows\":[]}' FROM signing_key";
const DECIDED_BY_HAND: &str = "INSERT INTO approval_decision (approval_id, flow, approver_id, stage, verdict, at)
    SELECT ?1, 'project/tags', m.principal_id, 'approvers', 'approve', 0 FROM group_member m
    JOIN principal_group g ON g.id = m.group_id WHERE g.name = 'approvers' AND m.principal_id = coalesce(?2, m.principal_id)";

#[tokio::test]
async fn approval_that_was_put_in_by_hand_is_named_with_its_use() {
    let office = Office::with(TWO).await;
    let id = ApprovalId::new();
    let raw = office.place.raw();
    raw.execute(BY_HAND, (id.0, office.place.user.0)).unwrap();
    assert_eq!(raw.execute(DECIDED_BY_HAND, (id.0, None::<uuid::Uuid>)).unwrap(), 3);
    let found = async || office.place.verify().await.findings;
    let named = found().await;
    assert_eq!(named.iter().filter(|finding| finding.contains("is not in the record")).count(), 4, "{named:#?}");
    // The server believes its tables, so the key is used.
    office.signs(&office.request(1)).await;
    for table in ["approval_decision", "approval"] {
        raw.execute(&format!("DELETE FROM {table}"), ()).unwrap();
    }
    // Put back as they were, the tables fit again. The record has the use.
    let named = found().await;
    assert_eq!(named.len(), 1, "{named:#?}");
    assert!(named[0].contains("the use of project/") && named[0].contains("no entry asks for it"), "{named:#?}");
    office.place.stop().await;
}

#[tokio::test]
async fn decision_that_was_put_in_by_hand_is_named_with_what_follows() {
    let office = Office::with(TWO).await;
    let request = office.request(1);
    let waiting = office.waits(&request).await;
    let ben = office.people[1].id.0;
    assert_eq!(office.place.raw().execute(DECIDED_BY_HAND, (waiting.approval.0, Some(ben))).unwrap(), 1);
    assert_eq!(office.approve(0, waiting.approval).await.unwrap().state, ApprovalState::Approved);
    office.signs(&request).await;
    let named = office.place.verify().await.findings;
    for expected in [
        "table approval_decision: the decision of",
        "it makes the approval approved, while by the entries it is pending",
        "needs 2 approvals and the record has 1",
    ] {
        assert!(named.iter().any(|finding| finding.contains(expected)), "{expected}: {named:#?}");
    }
    office.place.stop().await;
}
