//! Uses and changes that rest on approvals: what the entries before them must say.

use proptest::prelude::*;
use sealcard_api::{
    Timestamp,
    approvals::{ApprovalKind, ApprovalState, Verdict},
    ids::{ApprovalId, GrantId, GroupId, PrincipalId, RequestId},
    record::RequestState,
};
use sealcard_record::{
    Actor, Draft, Event, Named, Sha256, change_sha256,
    event::{
        self, ApprovalAsked, ApprovalDecided, ApprovalEnded, ApprovalRef, ApprovalsForgotten, Asked, AskedFlow,
        AskedStage, Binding, Claims, DemandedStage, Judged, Operation, ReviewClosed, SignerOperation, UseIntent,
        UseWaiting,
    },
    fold::{Difference, Row},
};
use uuid::Uuid;

use crate::{
    fold::{History, added},
    samples,
};

const FLOW: &str = "project/tags";
const CAROL: u128 = 33;

fn named(id: u128, name: &str) -> Named<PrincipalId> {
    Named::new(PrincipalId(Uuid::from_u128(id)), name)
}

fn actor(id: u128, name: &str) -> Actor {
    Actor::new(PrincipalId(Uuid::from_u128(id)), name, GrantId(Uuid::from_u128(id)))
}

fn requester() -> Actor {
    actor(CAROL, "carol")
}

fn approvers() -> Named<GroupId> {
    Named::new(GroupId(Uuid::from_u128(70)), "approvers")
}

fn approval() -> ApprovalId {
    ApprovalId(Uuid::from_u128(0x0193_5b6c_7000_7000_8000_0000_5e6f_7a8b))
}

fn request(id: u128) -> RequestId {
    RequestId(Uuid::from_u128(id))
}

const NOW: i64 = 1_800_000_000;

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW + seconds)
}

fn binding(max_uses: Option<u32>) -> Binding {
    let stages = vec![AskedStage { by: "approvers".to_owned(), count: 2 }];
    Binding {
        created: later(0),
        use_seconds: 3600,
        operation: Some(Operation::Sign),
        requester: Some(requester().id),
        group: None,
        host: Some("desk".to_owned()),
        max_uses,
        not_before: None,
        networks: Vec::new(),
        tool: None,
        change_sha256: None,
        flows: vec![AskedFlow { name: FLOW.to_owned(), stages, veto: Vec::new() }],
        body_sha256: Sha256([1; 32]),
    }
}

fn asked_use() -> Asked {
    Asked {
        claims: Some(Claims { host: Some("desk".to_owned()), ..Claims::default() }),
        ..Asked::new(Operation::Sign, SignerOperation::Sign)
    }
}

fn waits() -> Event {
    let UseIntent { signing_key, component, .. } = intent();
    Event::UseWaiting(UseWaiting {
        signing_key,
        component,
        asked: asked_use(),
        host: None,
        approval: approval(),
        wants: Vec::new(),
        deadline: later(600),
        expires: later(600),
        binding: Box::new(binding(Some(1))),
    })
}

fn intent() -> UseIntent {
    let judged = Judged {
        environment: None,
        project: Some(1),
        key: None,
        templates: 0,
        decided_by: Vec::new(),
        groups: Vec::new(),
        login: later(0),
        by_service_token: false,
        approval: Some(approval()),
        approvals: vec![format!("{FLOW}/approvers")],
        demanded: vec![demanded(2)],
        exhausted: Vec::new(),
    };
    UseIntent {
        signing_key: samples::signing_key(),
        component: sealcard_api::ids::ComponentId(Uuid::from_u128(6)),
        asked: Asked { judged: Some(judged), ..asked_use() },
        host: None,
    }
}

fn demanded(count: u32) -> DemandedStage {
    DemandedStage { flow: FLOW.to_owned(), by: "approvers".to_owned(), count }
}

fn reference(approval_kind: ApprovalKind) -> ApprovalRef {
    let key = samples::signing_key();
    let (project, key) = match approval_kind {
        ApprovalKind::Change => (None, None),
        _ => (Some(key.project), Some(key.key)),
    };
    let asked_by = Named::new(requester().id, "carol");
    ApprovalRef { approval: approval(), approval_kind, project, key, asked_by }
}

fn decided(kind: ApprovalKind, verdict: Verdict, approval_state: ApprovalState) -> Event {
    Event::ApprovalDecided(ApprovalDecided {
        approval: reference(kind),
        version: 1,
        verdict,
        stages: vec![format!("{FLOW}/approvers")],
        comment: None,
        approval_state,
        usable_until: (approval_state == ApprovalState::Approved).then(|| later(3600)),
    })
}

fn member(id: u128, name: &str) -> event::GroupMemberAct {
    event::GroupMemberAct { group: approvers(), principal: named(id, name) }
}

/// Anna, Ben and Carol, of whom Anna and Ben are approvers.
fn people() -> Vec<(Actor, Event)> {
    let admin = samples::alice;
    vec![
        (admin(), added(named(31, "anna"), Vec::new())),
        (admin(), added(named(32, "ben"), Vec::new())),
        (admin(), added(named(CAROL, "carol"), Vec::new())),
        (admin(), Event::GroupAdded(event::GroupAct { group: approvers() })),
        (admin(), Event::GroupMemberAdded(member(31, "anna"))),
        (admin(), Event::GroupMemberAdded(member(32, "ben"))),
    ]
}

/// Carol signs what Anna and Ben approved.
fn honest() -> Vec<(Actor, Event)> {
    let mut all = people();
    all.extend([
        (requester(), waits()),
        (actor(31, "anna"), decided(ApprovalKind::Use, Verdict::Approve, ApprovalState::Pending)),
        (actor(32, "ben"), decided(ApprovalKind::Use, Verdict::Approve, ApprovalState::Approved)),
        (requester(), Event::UseIntent(intent())),
    ]);
    all
}

fn history(events: impl IntoIterator<Item = (Actor, Event)>) -> History {
    let mut history = History::default();
    for (actor, event) in events {
        history.happens(actor, event);
    }
    history
}

/// What is named of a history whose tables fit it.
fn faults(history: &History) -> Vec<String> {
    let mut comparison = history.fold.clone().compare();
    for row in history.fold.rows() {
        assert_eq!(comparison.row(row), None);
    }
    comparison.finish().iter().map(ToString::to_string).collect()
}

fn row(history: &History) -> sealcard_record::fold::ApprovalRow {
    let row = history.fold.rows().find_map(|row| match row {
        Row::Approval(row) => Some(row.clone()),
        _ => None,
    });
    row.unwrap()
}

#[test]
fn use_that_two_people_approved_is_explained() {
    let mut history = history(honest());
    assert_eq!(faults(&history), Vec::<String>::new());
    assert_eq!((row(&history).state, row(&history).used), (ApprovalState::Spent, 1));
    assert_eq!(history.fold.rows().filter(|row| matches!(row, Row::ApprovalDecision(_))).count(), 2);
    let forgotten = Event::ApprovalsForgotten(ApprovalsForgotten { approvals: vec![approval()] });
    history.takes(Draft::of_server(forgotten));
    assert!(!history.fold.rows().any(|row| matches!(row, Row::Approval(_) | Row::ApprovalDecision(_))));
}

#[test]
fn use_by_an_approval_that_was_put_in_by_hand_is_named() {
    let history = history(people().into_iter().chain([(requester(), Event::UseIntent(intent()))]));
    assert_eq!(
        faults(&history),
        ["entry 7: the use of release/tags by carol rests on the approval 5e6f7a8b, but no entry asks for it"]
    );
}

#[test]
fn use_without_enough_decisions_in_the_record_is_named() {
    // A decision of Ben was put in by hand: the server counted it together with that of Anna.
    let mut all = people();
    all.extend([
        (requester(), waits()),
        (actor(31, "anna"), decided(ApprovalKind::Use, Verdict::Approve, ApprovalState::Approved)),
        (requester(), Event::UseIntent(intent())),
    ]);
    let found = faults(&history(all));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("entry 8: the decision of anna") && found[0].contains("it is pending"), "{found:?}");
    assert!(found[1].contains("needs 2 approvals and the record has 1"), "{found:?}");
}

#[test]
fn each_way_in_which_an_approval_does_not_fit_is_named() {
    let with_intent = |change: &dyn Fn(&mut UseIntent)| {
        let mut all = honest();
        let mut changed = intent();
        change(&mut changed);
        *all.last_mut().unwrap() = (requester(), Event::UseIntent(changed));
        all
    };
    let before_use = |what: (Actor, Event)| {
        let mut all = honest();
        all.insert(all.len() - 1, what);
        all
    };
    let twice: Vec<_> = honest().into_iter().chain([(requester(), Event::UseIntent(intent()))]).collect();
    let mut by_another = honest();
    by_another.last_mut().unwrap().0 = actor(34, "dave");
    let ended = |state| {
        let why = "revoked".to_owned();
        let approval = reference(ApprovalKind::Use);
        let (demanded, approved_events) = (Vec::new(), Vec::new());
        Event::ApprovalEnded(ApprovalEnded { approval, approval_state: state, why, used: 0, demanded, approved_events })
    };
    let mut own = honest();
    own[7].0 = requester();
    let mut outsider = honest();
    outsider.remove(5);
    let mut expired = honest();
    let (_, Event::ApprovalDecided(last)) = &mut expired[8] else { panic!() };
    last.usable_until = Some(later(-61));
    for (events, expected) in [
        (with_intent(&|intent| intent.signing_key.key.id = sealcard_api::ids::KeyId::new()), "for another key"),
        (with_intent(&|intent| intent.asked.operation = Operation::Decrypt), "for another key or operation"),
        (with_intent(&|intent| intent.asked.claims = None), "for another host"),
        (with_intent(&|intent| intent.asked.judged.as_mut().unwrap().demanded.clear()), "names no stage"),
        (before_use((samples::alice(), Event::GroupMemberRemoved(member(32, "ben")))), "the record has 1"),
        (before_use((actor(31, "anna"), ended(ApprovalState::Revoked))), "by the entries it is revoked"),
        (twice, "by the entries it is spent"),
        (by_another, "for somebody else"),
        (own, "nobody decides about what they asked for themselves"),
        (outsider, "they were not among those who may: approvers"),
        (expired, "it had expired"),
    ] {
        let found = faults(&history(events));
        assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}: {found:?}");
    }
}

#[test]
fn decision_gives_no_longer_life_than_was_asked_for() {
    let with_life = |seconds| {
        let mut events = honest();
        let (_, Event::ApprovalDecided(last)) = &mut events[8] else { panic!() };
        last.usable_until = Some(later(seconds));
        faults(&history(events))
    };
    assert_eq!(with_life(3600), Vec::<String>::new());
    let found = with_life(10 * 365 * 86_400);
    assert!(found[0].contains("longer than it was asked for"), "{found:?}");
}

#[test]
fn approval_that_waits_again_keeps_its_bounds() {
    let again = |change: &dyn Fn(&mut UseWaiting)| {
        let mut events = honest();
        let Event::UseWaiting(mut waiting) = waits() else { panic!() };
        change(&mut waiting);
        // After the first decision, before the second one.
        events.insert(8, (requester(), Event::UseWaiting(waiting)));
        faults(&history(events))
    };
    let stages = |by: &str| vec![AskedStage { by: by.to_owned(), count: 2 }];
    // The rules ask for other stages by now.
    assert_eq!(again(&|waiting| waiting.binding.body_sha256 = Sha256([2; 32])), Vec::<String>::new());
    let more = |waiting: &mut UseWaiting| {
        let flow = AskedFlow { name: "key/more".to_owned(), stages: stages("others"), veto: Vec::new() };
        waiting.binding.flows.push(flow);
    };
    assert!(!again(&more).iter().any(|fault| fault.contains("other bounds")), "{:?}", again(&more));
    for change in [
        &|waiting: &mut UseWaiting| waiting.binding.use_seconds = 1 << 40,
        &|waiting: &mut UseWaiting| waiting.signing_key.key.id = sealcard_api::ids::KeyId::new(),
        &|waiting: &mut UseWaiting| waiting.binding.host = Some("other".to_owned()),
        &|waiting: &mut UseWaiting| waiting.binding.max_uses = None,
        &|waiting: &mut UseWaiting| waiting.binding.networks = vec!["10.0.0.0/8".to_owned()],
        &|waiting: &mut UseWaiting| waiting.expires = later(1 << 30),
    ] as [&dyn Fn(&mut UseWaiting); 6]
    {
        let found = again(change);
        assert!(found[0].contains("it was asked for with other bounds"), "{found:?}");
        // What Anna approved was something else.
        assert!(found.iter().any(|fault| fault.contains("by the entries it is pending")), "{found:?}");
    }
}

#[test]
fn terms_of_a_pre_approval_are_checked() {
    let use_from = |networks: &[&str], tool: Option<&str>, peer: [u8; 4]| {
        let binding = Binding {
            host: None,
            networks: networks.iter().map(|text| (*text).to_owned()).collect(),
            tool: tool.map(str::to_owned),
            ..binding(Some(20))
        };
        let asked = Event::ApprovalAsked(ApprovalAsked {
            approval: reference(ApprovalKind::PreApproval),
            terms: Vec::new(),
            wants: Vec::new(),
            reason: String::new(),
            expires: later(600),
            binding,
        });
        let mut history = history(people().into_iter().chain([
            (requester(), asked),
            (actor(31, "anna"), decided(ApprovalKind::PreApproval, Verdict::Approve, ApprovalState::Pending)),
            (actor(32, "ben"), decided(ApprovalKind::PreApproval, Verdict::Approve, ApprovalState::Approved)),
        ]));
        let mut used = intent();
        let process = event::ClaimedProcess { path: Some("/usr/bin/git".to_owned()), ..Default::default() };
        used.asked.claims = Some(Claims { processes: vec![process], ..Claims::default() });
        history.takes(Draft::of_server(Event::UseIntent(used)).by(requester()).from_peer(peer.into()));
        faults(&history)
    };
    assert_eq!(use_from(&[], None, [10, 1, 2, 3]), Vec::<String>::new());
    assert_eq!(use_from(&["10.1.0.0/16", "192.0.2.1"], Some("/usr/bin/git"), [10, 1, 2, 3]), Vec::<String>::new());
    assert_eq!(use_from(&["::ffff:10.1.0.0/112"], None, [10, 1, 2, 3]), Vec::<String>::new());
    assert!(use_from(&["10.1.0.0/16"], None, [10, 2, 2, 3])[0].contains("for other networks"));
    assert!(use_from(&[], Some("/usr/bin/rpm"), [10, 1, 2, 3])[0].contains("for another tool"));
}

#[test]
fn use_that_failed_gives_its_share_back() {
    let mut all = honest();
    let (begun, outcome) = (intent(), intent().outcome(RequestState::Failed));
    all.pop();
    let mut history = history(all);
    let by = |request, event| Draft::new(request, event).by(requester());
    history.takes(by(request(1), Event::UseIntent(begun.clone())));
    history.takes(by(request(1), Event::UseOutcome(outcome)));
    assert_eq!((row(&history).state, row(&history).used), (ApprovalState::Approved, 0));
    history.takes(by(request(2), Event::UseIntent(begun)));
    history.takes(by(request(2), Event::UseOutcome(intent().outcome(RequestState::Signed))));
    assert_eq!(faults(&history), Vec::<String>::new());
    assert_eq!((row(&history).state, row(&history).used), (ApprovalState::Spent, 1));
    assert_eq!(row(&history).request_id, Some(request(2)));
}

#[test]
fn review_closes_once_and_is_in_the_row() {
    let mut history = history(honest());
    let closed = Event::ReviewClosed(ReviewClosed {
        approval: reference(ApprovalKind::BreakGlass),
        finding: "fine".to_owned(),
        closed: later(9),
    });
    history.happens(actor(31, "anna"), closed);
    assert_eq!(row(&history).reviewed, Some(later(9)));
}

/// Carol takes Ben out of the approvers, which Anna and Ben approved.
fn change(made: Vec<Event>, approved: &[Event], demanded: Vec<DemandedStage>) -> History {
    let asked = Event::ApprovalAsked(ApprovalAsked {
        approval: reference(ApprovalKind::Change),
        terms: Vec::new(),
        wants: Vec::new(),
        reason: String::new(),
        expires: later(600),
        binding: Binding {
            operation: None,
            requester: None,
            host: None,
            change_sha256: Some(change_sha256(requester().id, approved)),
            ..binding(Some(1))
        },
    });
    let mut history = history(people().into_iter().chain([
        (requester(), asked),
        (actor(31, "anna"), decided(ApprovalKind::Change, Verdict::Approve, ApprovalState::Pending)),
        (actor(32, "ben"), decided(ApprovalKind::Change, Verdict::Approve, ApprovalState::Approved)),
    ]));
    let approved_events = made.iter().map(|event| event.name().to_owned()).collect();
    for event in made {
        history.takes(Draft::new(request(1), event).by(requester()));
    }
    let ended = Event::ApprovalEnded(ApprovalEnded {
        approval: reference(ApprovalKind::Change),
        approval_state: ApprovalState::Spent,
        why: "the change was made".to_owned(),
        used: 1,
        demanded,
        approved_events,
    });
    history.takes(Draft::new(request(1), ended).by(requester()));
    history
}

#[test]
fn change_is_the_one_that_was_approved() {
    let removed = || Event::GroupMemberRemoved(member(32, "ben"));
    let other = || Event::GroupMemberRemoved(member(31, "anna"));
    // Ben counts as he did before the change.
    let fits = change(vec![removed()], &[removed()], vec![demanded(2)]);
    assert_eq!(faults(&fits), Vec::<String>::new());
    let found = faults(&change(vec![other()], &[removed()], vec![demanded(2)]));
    assert!(found[0].contains("a change by carol rests on the approval 5e6f7a8b, but another change"), "{found:?}");
    let found = faults(&change(vec![removed(), other()], &[removed()], vec![demanded(2)]));
    assert!(found[0].contains("another change was approved"), "{found:?}");
    let found = faults(&change(vec![removed()], &[removed()], vec![demanded(3)]));
    assert!(found[0].contains("needs 3 approvals and the record has 2"), "{found:?}");
}

#[test]
fn change_is_the_same_at_each_attempt_and_no_other() {
    let event = |name: &str, password: u8| {
        let Event::UserAdded(mut user) = added(named(u128::from(password), name), Vec::new()) else { panic!() };
        user.password_sha256 = sealcard_record::HashPrefix([password; 16]);
        Event::UserAdded(user)
    };
    let of = |event| change_sha256(requester().id, [&event]);
    assert_eq!(of(event("dave", 1)), of(event("dave", 2)));
    assert_ne!(of(event("dave", 1)), of(event("erin", 1)));
    assert_ne!(of(event("dave", 1)), change_sha256(samples::alice().id, [&event("dave", 1)]));
}

proptest! {
    /// Without any one of its entries, or with another actor in one, an approved use is named.
    #[test]
    fn use_needs_each_entry_of_its_approval(at in 3_usize..9, foreign in any::<bool>()) {
        let mut all = honest();
        if foreign && at >= 6 {
            all[at].0 = actor(99, "mallory");
        } else {
            all.remove(at);
        }
        let found = faults(&history(all));
        prop_assert!(!found.is_empty());
        prop_assert!(found.iter().all(|fault| fault.starts_with("entry ")));
    }

    /// However many uses there are: those beyond the approved number are named, and no others.
    #[test]
    fn uses_are_counted(max_uses in 1_u32..6, uses in 0_u32..10) {
        let mut all = honest();
        all.pop();
        let (_, Event::UseWaiting(waiting)) = &mut all[6] else { panic!() };
        waiting.binding.max_uses = Some(max_uses);
        all.extend((0..uses).map(|_| (requester(), Event::UseIntent(intent()))));
        let found = faults(&history(all));
        prop_assert_eq!(u32::try_from(found.len()).unwrap(), uses.saturating_sub(max_uses));
    }
}

#[test]
fn faults_have_a_limit() {
    let uses = (0..1500).map(|_| (requester(), Event::UseIntent(intent())));
    let found = history(uses).fold.compare().finish();
    assert_eq!(found.len(), 1001);
    assert_eq!(found.last(), Some(&Difference::MoreUnapproved(500)));
}
