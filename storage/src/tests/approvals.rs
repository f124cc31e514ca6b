//! Approvals that are over.

use sealcard_api::{
    approvals::{ApprovalKind, ApprovalState},
    ids::ApprovalId,
};

use super::*;

/// An approval that was asked for at this time.
fn approval(
    created: i64,
    kind: ApprovalKind,
    state: ApprovalState,
    (used, reviewed): (u32, Option<i64>),
) -> ApprovalRow {
    let earliest = ApprovalId::first_of(Timestamp::from_unix(created)).0.as_u128();
    let id = Uuid::from_u128(earliest | Uuid::new_v4().as_u128() & 0xFFFF_FFFF);
    ApprovalRow {
        id: ApprovalId(id),
        kind,
        state,
        version: 1,
        created: Timestamp::from_unix(created),
        expires: Timestamp::from_unix(created + 60),
        use_seconds: 60,
        asked_by: PrincipalId::new(),
        project: None,
        key: None,
        operation: None,
        request: None,
        requester: None,
        group: None,
        host: None,
        max_uses: None,
        used,
        not_before: None,
        reviewed: reviewed.map(Timestamp::from_unix),
        revoked_by: None,
        body: ApprovalBody::default(),
    }
}

#[tokio::test]
async fn approvals_that_are_over_are_deleted_after_a_time() {
    use ApprovalKind::{BreakGlass, PreApproval, Use};
    use ApprovalState::{Approved, Expired, Pending, Rejected, Spent};
    const END: i64 = 1_000_000;
    for place in Place::both() {
        let store = place.store().await;
        let old = [
            (approval(END - 10, Use, Spent, (1, None)), false),
            (approval(END - 10, Use, Rejected, (0, None)), false),
            (approval(END - 10, PreApproval, Pending, (0, None)), true),
            (approval(END - 10, PreApproval, Approved, (3, None)), true),
            (approval(END - 10, BreakGlass, Spent, (1, None)), true),
            (approval(END - 10, BreakGlass, Spent, (1, Some(END - 5))), false),
            (approval(END - 10, BreakGlass, Expired, (0, None)), false),
            (approval(END, Use, Spent, (1, None)), true),
        ];
        for (row, _) in old.clone() {
            store.write(move |tx| tx.add_approval(&row)).await.unwrap();
        }
        assert_eq!(store.prune_approvals(Timestamp::from_unix(END)).await.unwrap(), 4);
        assert_eq!(store.prune_approvals(Timestamp::from_unix(END)).await.unwrap(), 0);
        for (row, stays) in old {
            assert_eq!(store.approval(row.id).await.unwrap().is_some(), stays, "{row:?}");
        }
    }
}
