//! Approvals that are over.

use sealcard_api::{
    approvals::{ApprovalKind, ApprovalState, Terms},
    ids::ApprovalId,
};
use sealcard_record::{fold::Row, parse};

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
        // The record names them, so that the tables follow from it.
        let entries = store.record(RecordFilter { limit: 10, ..RecordFilter::default() }).await.unwrap();
        let [entry] = entries.as_slice() else { panic!("{entries:?}") };
        let Event::ApprovalsForgotten(forgotten) = parse(&entry.body).unwrap().event else { panic!("{}", entry.body) };
        let mut gone: Vec<ApprovalId> = old.iter().filter(|(_, stays)| !stays).map(|(row, _)| row.id).collect();
        gone.sort_unstable();
        assert_eq!(forgotten.approvals, gone);
        for (row, stays) in old {
            assert_eq!(store.approval(row.id).await.unwrap().is_some(), stays, "{row:?}");
        }
    }
}

#[tokio::test]
async fn binding_is_what_the_tables_are_compared_with() {
    for place in Place::both() {
        let store = place.store().await;
        let flow = FlowOf {
            name: "project/tags".to_owned(),
            rule: "the rule tags of project tools".to_owned(),
            stages: vec![StageOf { by: "approvers".to_owned(), count: 2 }],
            veto: vec!["legal".to_owned()],
        };
        let terms = Terms { networks: vec!["192.0.2.0/24".to_owned()], uses: Some(3), ..Terms::default() };
        let pending = (ApprovalKind::PreApproval, ApprovalState::Approved);
        let row = ApprovalRow {
            key: Some(KeyId::new()),
            operation: Some("sign".to_owned()),
            requester: Some(PrincipalId::new()),
            host: Some("build-7".to_owned()),
            max_uses: Some(3),
            body: ApprovalBody { terms: Some(terms), flows: vec![flow], ..ApprovalBody::default() },
            ..approval(1_000_000, pending.0, pending.1, (0, None))
        };
        let (added, revoker) = (row.clone(), PrincipalId::new());
        let written = store.write(move |tx| {
            tx.add_approval(&added)?;
            assert!(!tx.revoke_approval(added.id, added.version + 1, revoker)?, "it is of another version");
            assert!(tx.revoke_approval(added.id, added.version, revoker)?);
            assert!(!tx.revoke_approval(added.id, added.version + 1, revoker)?, "it is revoked");
            Ok::<_, StorageError>(())
        });
        written.await.unwrap();
        assert_eq!(store.approval(row.id).await.unwrap().unwrap().revoked_by, Some(revoker));
        let read = store.read_tables(|mut tables| {
            let mut found = None;
            tables.rows(|row| {
                if let TableRow::Row(row) = row
                    && let Row::Approval(row) = *row
                {
                    found = Some(row);
                }
                Ok::<_, StorageError>(())
            })?;
            Ok(found)
        });
        let (read, binding) = (read.await.unwrap().unwrap(), row.binding().unwrap());
        assert_eq!((read.body_sha256, read.created), (binding.body_sha256, binding.created));
        assert_eq!(
            (read.operation, read.requester_id, read.host),
            (binding.operation, binding.requester, binding.host)
        );
        assert_eq!((read.max_uses, read.revoked_by), (binding.max_uses, Some(revoker)));
        assert_eq!(binding.networks, ["192.0.2.0/24"]);
        assert_eq!(
            (binding.flows[0].stages[0].count, binding.flows[0].veto.as_slice()),
            (2, &["legal".to_owned()][..])
        );
    }
}
