//! Uses that wait for people, and what people approve.

use std::time::{Duration, Instant};

use sealcard_api::{
    Timestamp,
    algorithm::KeyAlgorithm,
    approvals::{Approval, ApprovalKind, ApprovalState, Decided, Terms, Verdict, WaitingUse},
    decisions::UseKind,
    ids::{ApprovalId, GroupId, KeyId, PrincipalId, RequestId},
    record::RequestState,
};
use sealcard_record::{Draft, Event, HashPrefix, Named, event};
use sealcard_server::{
    approvals::{ApprovalError, NewApproval},
    authn::Caller,
    requests::{RequestError, UseAnswer, UseRequest},
    storage::{Authorship, NewRuleVersion, RuleScope, StorageError},
};
use tokio::task::JoinSet;

use crate::harness::{Place, details, request, sign, signature};

/// A place with a key, and people who are in groups.
pub(crate) struct Office {
    pub(crate) place: Place,
    key: KeyId,
    approvers: GroupId,
    pub(crate) people: Vec<Person>,
}

#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) id: PrincipalId,
    caller: Caller,
}

pub(crate) const TWO: &str = "[rule.tags]\napproval = [{ group = \"approvers\", count = 2 }]\n";
const ONE: &str = "[rule.tags]\napproval = [{ group = \"approvers\" }]\n";

impl Office {
    /// `ann`, `ben` and `cat` are approvers, `sue` and `tom` are of security.
    pub(crate) async fn with(rules: &str) -> Self {
        let place = Place::new().await;
        let key = place.key(KeyAlgorithm::Ed25519).await;
        let (approvers, security) = (GroupId::new(), GroupId::new());
        let mut people = Vec::new();
        for (name, group) in
            [("ann", approvers), ("ben", approvers), ("cat", approvers), ("sue", security), ("tom", security)]
        {
            let id = PrincipalId::new();
            place.add_user(id, name).await;
            people.push((id, group));
        }
        let members = people.clone();
        let added = place.store().write(move |tx| {
            for (group, name) in [(approvers, "approvers"), (security, "security")] {
                tx.add_group(group, name, 0)?;
                let group = Named::new(group, name);
                tx.append_record(Draft::of_server(Event::GroupAdded(event::GroupAct { group })));
            }
            for (person, group) in members {
                tx.add_group_member(group, person)?;
                tx.append_record(Draft::of_server(Event::UserAdded(user(person))));
                tx.append_record(Draft::of_server(Event::GroupMemberAdded(member(group, person))));
            }
            Ok::<_, StorageError>(())
        });
        added.await.unwrap();
        let mut known = Vec::new();
        for (id, _) in people {
            known.push(Person { id, caller: place.let_in(sealcard_api::ids::GrantId(id.0)).await });
        }
        let office = Self { place, key, approvers, people: known };
        office.rule(rules).await;
        office
    }

    /// The project's rules from now on.
    async fn rule(&self, text: &str) {
        let (scope, text, author_id) = (RuleScope::Project(self.place.project), text.to_owned(), self.place.user);
        let written = self.place.store().write(move |tx| {
            let version = tx.rules(scope)?.map_or(1, |row| row.version + 1);
            let (author, applied, note) = ("user".to_owned(), Timestamp::now(), String::new());
            let by = Authorship { author_id, author, applied, note };
            tx.append_rules(&NewRuleVersion { scope, version, text, by, mentions: Vec::new() })
        });
        written.await.map_err(|error: StorageError| error).unwrap();
    }

    fn person(&self, number: usize) -> Person {
        let Person { id, caller } = &self.people[number];
        Person { id: *id, caller: caller.in_request(RequestId::new()) }
    }

    pub(crate) async fn ask(&self, request: &UseRequest) -> Result<UseAnswer, RequestError> {
        self.place.requests.submit(&self.place.caller(), request.clone()).await
    }

    pub(crate) async fn waits(&self, request: &UseRequest) -> WaitingUse {
        match self.ask(request).await.unwrap() {
            UseAnswer::Waits(waiting) => *waiting,
            UseAnswer::Done(done) => panic!("{done:?}"),
        }
    }

    pub(crate) async fn signs(&self, request: &UseRequest) -> Vec<u8> {
        match self.ask(request).await.unwrap() {
            UseAnswer::Done(done) => signature(done),
            UseAnswer::Waits(waiting) => panic!("{waiting:?}"),
        }
    }

    pub(crate) async fn show(&self, person: usize, id: ApprovalId) -> Approval {
        self.place.requests.approvals.show(&self.person(person).caller, id).await.unwrap()
    }

    async fn decide(&self, person: usize, id: ApprovalId, verdict: Verdict) -> Result<Approval, ApprovalError> {
        let seen = self.show(person, id).await;
        let comment = (verdict == Verdict::Reject).then(|| "not today".to_owned());
        let decided = vec![Decided { id, version: seen.version }];
        self.place.requests.approvals.decide(&self.person(person).caller, verdict, decided, comment).await?;
        Ok(self.show(person, id).await)
    }

    pub(crate) async fn approve(&self, person: usize, id: ApprovalId) -> Result<Approval, ApprovalError> {
        self.decide(person, id, Verdict::Approve).await
    }

    async fn state_of(&self, id: RequestId) -> RequestState {
        self.place.store().request(id).await.unwrap().unwrap().state
    }

    fn in_advance(&self, uses: Option<u32>) -> NewApproval {
        NewApproval {
            kind: ApprovalKind::PreApproval,
            key: self.key,
            operation: UseKind::Sign,
            terms: Terms { requester: Some("user".to_owned()), uses, ..Terms::default() },
            seconds: Some(3600),
            reason: "nightly".to_owned(),
        }
    }

    async fn pre_approve(&self, person: usize, new: NewApproval) -> Result<Approval, ApprovalError> {
        let id = self.place.requests.approvals.ask(&self.person(person).caller, new).await?;
        Ok(self.show(person, id).await)
    }

    pub(crate) fn request(&self, byte: u8) -> UseRequest {
        request(self.key, sign(&[byte; 32]))
    }

    async fn leave(&self, group: GroupId, person: usize) {
        let id = self.people[person].id;
        let left: Result<bool, StorageError> = self
            .place
            .store()
            .write(move |tx| {
                tx.append_record(Draft::of_server(Event::GroupMemberRemoved(member(group, id))));
                tx.remove_group_member(group, id)
            })
            .await;
        assert!(left.unwrap());
    }

    async fn events(&self, name: &str) -> Vec<serde_json::Value> {
        let record = self.place.record().await;
        record.iter().map(details).filter(|body| body["event"] == name).collect()
    }

    /// Whatever happened: the tables and all that rests on approvals follow from the record.
    pub(crate) async fn end(self) {
        let report = self.place.verify().await;
        assert!(report.findings.is_empty(), "{report:#?}");
        self.place.stop().await;
    }
}

fn user(id: PrincipalId) -> event::UserAdded {
    event::UserAdded {
        principal: Named::new(id, ""),
        roles: Vec::new(),
        one_time_password: false,
        password_expires: None,
        password_sha256: HashPrefix([0; 16]),
        email: None,
        via: None,
    }
}

fn member(group: GroupId, person: PrincipalId) -> event::GroupMemberAct {
    event::GroupMemberAct { group: Named::new(group, ""), principal: Named::new(person, "") }
}

fn not_yours(error: &ApprovalError) -> &str {
    match error {
        ApprovalError::NotYours(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn use_that_two_people_approved_is_done_once() {
    let office = Office::with(TWO).await;
    let request = office.request(1);
    let waiting = office.waits(&request).await;
    assert_eq!(waiting.wants, ["the approval of 2 members of approvers"]);
    assert_eq!(waiting.approvers, ["ann", "ben", "cat"]);
    assert_eq!(office.state_of(waiting.request_id).await, RequestState::Waiting);
    // The same request is the same one that waits.
    assert_eq!(office.waits(&request).await, waiting);
    let first = office.approve(0, waiting.approval).await.unwrap();
    assert_eq!(
        (first.state, first.flows[0].stages[0].approved.clone()),
        (ApprovalState::Pending, vec!["ann".to_owned()])
    );
    let twice = office.approve(0, waiting.approval).await.unwrap_err();
    assert_eq!(not_yours(&twice), "You have approved it already: others must decide.");
    assert_eq!(office.waits(&request).await.request_id, waiting.request_id);
    let second = office.approve(1, waiting.approval).await.unwrap();
    assert_eq!(second.state, ApprovalState::Approved);
    assert_eq!(office.state_of(waiting.request_id).await, RequestState::Approved);
    let signed = office.signs(&request).await;
    assert_eq!(office.signs(&request).await, signed);
    assert_eq!(office.show(0, waiting.approval).await.state, ApprovalState::Spent);
    // Another digest asks anew.
    assert_ne!(office.waits(&office.request(2)).await.approval, waiting.approval);
    let decided = office.events("approval-decided").await;
    assert_eq!(decided.iter().map(|body| body["approval_state"].clone()).collect::<Vec<_>>(), ["pending", "approved"]);
    let intents = office.events("use-intent").await;
    assert_eq!(intents.len(), 1);
    assert_eq!(intents[0]["judged"]["approval"], waiting.approval.to_string());
    assert_eq!(intents[0]["judged"]["approvals"][0], "project/tags/approvers");
    office.end().await;
}

#[tokio::test]
async fn requester_never_approves_and_strangers_see_nothing() {
    let office = Office::with(TWO).await;
    let user = office.place.user;
    let approvers = office.approvers;
    let joined: Result<bool, StorageError> =
        office.place.store().write(move |tx| tx.add_group_member(approvers, user)).await;
    assert!(joined.unwrap());
    let waiting = office.waits(&office.request(1)).await;
    assert!(!waiting.approvers.contains(&"user".to_owned()), "{waiting:?}");
    let approvals = &office.place.requests.approvals;
    let seen = approvals.show(&office.place.caller(), waiting.approval).await.unwrap();
    assert_eq!(seen.not_yours.as_deref(), Some("You asked for this yourself: somebody else must decide."));
    let decided = vec![Decided { id: waiting.approval, version: seen.version }];
    for verdict in [Verdict::Approve, Verdict::Reject] {
        let refused = approvals.decide(&office.place.caller(), verdict, decided.clone(), None).await.unwrap_err();
        assert!(not_yours(&refused).contains("yourself"));
    }
    let stranger = &office.person(3).caller;
    let unseen = approvals.show(stranger, waiting.approval).await.unwrap_err();
    assert!(matches!(unseen, ApprovalError::NotFound));
    let unseen = approvals.decide(stranger, Verdict::Approve, decided, None).await.unwrap_err();
    assert!(matches!(unseen, ApprovalError::NotFound));
    office.end().await;
}

#[tokio::test]
async fn owner_of_the_service_account_that_asks_never_approves() {
    let office = Office::with(ONE).await;
    let owner = office.people[0].id;
    // The user counts as a service account of ann's from now on.
    let id = office.place.user;
    office
        .place
        .raw()
        .execute(
            "UPDATE principal SET kind = 'service-account', password = NULL, owner_id = ?1 WHERE id = ?2",
            (owner.0, id.0),
        )
        .unwrap();
    let waiting = office.waits(&office.request(1)).await;
    assert_eq!(waiting.approvers, ["ben", "cat"]);
    let refused = office.approve(0, waiting.approval).await.unwrap_err();
    assert!(not_yours(&refused).contains("own the service account"));
    assert_eq!(office.approve(1, waiting.approval).await.unwrap().state, ApprovalState::Approved);
    office.end().await;
}

#[tokio::test]
async fn approval_of_somebody_who_left_the_group_does_not_count() {
    let office = Office::with(TWO).await;
    let request = office.request(1);
    let waiting = office.waits(&request).await;
    office.approve(0, waiting.approval).await.unwrap();
    office.approve(1, waiting.approval).await.unwrap();
    office.leave(office.approvers, 0).await;
    let again = office.waits(&request).await;
    assert_eq!(again.approval, waiting.approval);
    assert_eq!(office.show(1, waiting.approval).await.state, ApprovalState::Pending);
    assert_eq!(office.state_of(again.request_id).await, RequestState::Waiting);
    office.approve(2, waiting.approval).await.unwrap();
    office.signs(&request).await;
    office.end().await;
}

#[tokio::test]
async fn stages_come_in_their_order_and_a_veto_ends_all() {
    let rules = "[rule.tags]\napproval = \"release\"\n[flow.release]\n\
        stages = [{ group = \"approvers\", count = 2 }, { group = \"security\" }]\n";
    let office = Office::with(rules).await;
    let request = office.request(1);
    let waiting = office.waits(&request).await;
    let early = office.approve(3, waiting.approval).await.unwrap_err();
    assert_eq!(not_yours(&early), "It is not your turn yet: first members of approvers must approve.");
    office.approve(0, waiting.approval).await.unwrap();
    office.approve(1, waiting.approval).await.unwrap();
    let late = office.approve(2, waiting.approval).await.unwrap_err();
    assert!(not_yours(&late).contains("Only members of security can approve it now."));
    assert_eq!(office.waits(&request).await.wants, ["the approval of a member of security"]);
    office.approve(3, waiting.approval).await.unwrap();
    office.signs(&request).await;

    let waiting = office.waits(&office.request(2)).await;
    office.approve(0, waiting.approval).await.unwrap();
    let rejected = office.decide(4, waiting.approval, Verdict::Reject).await.unwrap();
    assert_eq!(rejected.state, ApprovalState::Rejected);
    assert_eq!(office.state_of(waiting.request_id).await, RequestState::Rejected);
    let over = office.approve(1, waiting.approval).await.unwrap_err();
    assert!(matches!(over, ApprovalError::Over(_, ApprovalState::Rejected)));
    let told = office.place.requests.approvals.rejection(waiting.approval).await.unwrap();
    assert_eq!(told.as_deref(), Some("tom rejected it: not today"));
    office.end().await;
}

#[tokio::test]
async fn decisions_name_what_was_seen_and_are_made_all_or_none() {
    let office = Office::with(ONE).await;
    let (one, other) = (office.waits(&office.request(1)).await, office.waits(&office.request(2)).await);
    let seen = |id, version| Decided { id, version };
    office.approve(0, one.approval).await.unwrap();
    let approvals = &office.place.requests.approvals;
    let both = vec![seen(other.approval, 1), seen(one.approval, 1)];
    let refused = approvals.decide(&office.person(1).caller, Verdict::Approve, both, None).await.unwrap_err();
    assert!(matches!(refused, ApprovalError::Changed(_)), "{refused:?}");
    assert_eq!(office.show(0, other.approval).await.state, ApprovalState::Pending);
    office.end().await;
}

#[tokio::test]
async fn late_approval_serves_the_next_attempt_once() {
    let office = Office::with(ONE).await;
    let waiting = office.waits(&office.request(1)).await;
    office.place.raw().execute("UPDATE key_request SET deadline = 1 WHERE state = 'waiting'", ()).unwrap();
    let sweeping = tokio::spawn(office.place.requests.approvals.clone().sweep());
    let deadline = Instant::now() + Duration::from_secs(20);
    while office.state_of(waiting.request_id).await != RequestState::Expired {
        assert!(Instant::now() < deadline, "it still waits");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    sweeping.abort();
    assert_eq!(office.events("use-expired").await.len(), 1);
    let seen = office.show(0, waiting.approval).await;
    assert_eq!((seen.state, seen.deadline), (ApprovalState::Pending, None));
    office.approve(0, waiting.approval).await.unwrap();
    // gpg's digest is another one, a second later.
    office.signs(&office.request(2)).await;
    let next = office.waits(&office.request(3)).await;
    assert_ne!(next.approval, waiting.approval);
    // From another host it is another request.
    office.end().await;
}

#[tokio::test]
async fn request_that_nobody_waits_for_makes_room_for_the_next_one() {
    let office = Office::with(ONE).await;
    let first = office.waits(&office.request(1)).await;
    office.place.raw().execute("UPDATE key_request SET state = 'expired'", ()).unwrap();
    let second = office.waits(&office.request(2)).await;
    assert_eq!(office.show(0, first.approval).await.state, ApprovalState::Expired);
    assert_eq!(office.show(0, second.approval).await.state, ApprovalState::Pending);
    assert_eq!(office.events("approval-ended").await.len(), 1);
    office.end().await;
}

#[tokio::test]
async fn pre_approval_gives_so_many_signatures_to_many_clients() {
    const USES: u32 = 20;
    let office = Office::with(TWO).await;
    let half = office.pre_approve(0, office.in_advance(Some(USES))).await.unwrap();
    assert_eq!(half.state, ApprovalState::Pending, "who asks for somebody else approves as one of two");
    office.approve(1, half.id).await.unwrap();
    let mut tasks = JoinSet::new();
    for client in 0..32_u8 {
        let requests = office.place.requests.clone();
        let callers: Vec<Caller> = (0..4).map(|_| office.place.caller()).collect();
        let key = office.key;
        tasks.spawn(async move {
            let mut signed = 0_u32;
            for (turn, caller) in callers.into_iter().enumerate() {
                let digest = [client, u8::try_from(turn).unwrap()].repeat(16).try_into().unwrap();
                match requests.submit(&caller, request(key, sign(&digest))).await {
                    Ok(UseAnswer::Done(_)) => signed += 1,
                    Ok(UseAnswer::Waits(_)) => {}
                    Err(
                        RequestError::TooManyWaiting { .. } | RequestError::Busy | RequestError::TooManyDenials { .. },
                    ) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            signed
        });
    }
    let signed: u32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(signed, USES);
    let spent = office.show(0, half.id).await;
    assert_eq!((spent.state, spent.used), (ApprovalState::Spent, USES));
    assert_eq!(office.events("use-intent").await.len(), USES as usize);
    office.end().await;
}

#[tokio::test]
async fn narrowest_approval_is_spent_first_and_a_revoked_one_never() {
    let office = Office::with(ONE).await;
    let wide = office.pre_approve(0, office.in_advance(Some(5))).await.unwrap();
    let networks = vec!["127.0.0.0/8".to_owned()];
    let new = office.in_advance(Some(5));
    let terms = Terms { networks, ..new.terms.clone() };
    let narrow = office.pre_approve(0, NewApproval { terms, ..new }).await.unwrap();
    let new = office.in_advance(Some(5));
    let terms = Terms { networks: vec!["192.0.2.0/24".to_owned()], ..new.terms.clone() };
    let elsewhere = office.pre_approve(0, NewApproval { terms, ..new }).await.unwrap();
    office.signs(&office.request(1)).await;
    let used = |approval: Approval| approval.used;
    assert_eq!(used(office.show(0, narrow.id).await), 1);
    office.place.requests.approvals.end(&office.person(1).caller, narrow.id).await.unwrap();
    let revoked = office.show(0, narrow.id).await;
    assert_eq!((revoked.state, revoked.revoked_by.as_deref()), (ApprovalState::Revoked, Some("ben")));
    office.signs(&office.request(2)).await;
    assert_eq!(used(office.show(0, wide.id).await), 1);
    office.place.requests.approvals.end(&office.person(1).caller, wide.id).await.unwrap();
    office.waits(&office.request(3)).await;
    assert_eq!(used(office.show(0, elsewhere.id).await), 0);
    office.end().await;
}

#[tokio::test]
async fn pre_approval_lets_a_request_go_on_that_waits_already() {
    let office = Office::with(ONE).await;
    let waking = tokio::spawn(office.place.requests.approvals.wake.clone().run());
    let request = office.request(1);
    let waiting = office.waits(&request).await;
    let requests = office.place.requests.clone();
    let (id, deadline) = (waiting.request_id, Instant::now() + Duration::from_secs(20));
    let watching = tokio::spawn(async move { requests.watch(id, deadline).await.unwrap().unwrap().state });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let advance = office.pre_approve(0, office.in_advance(Some(1))).await.unwrap();
    assert_eq!(watching.await.unwrap(), RequestState::Approved);
    assert!(Instant::now() < deadline);
    office.signs(&request).await;
    assert_eq!(office.show(0, advance.id).await.state, ApprovalState::Spent);
    assert_eq!(office.show(0, waiting.approval).await.state, ApprovalState::Cancelled);
    waking.abort();
    office.end().await;
}

#[tokio::test]
async fn pre_approval_keeps_to_what_rules_allow() {
    let office = Office::with(ONE).await;
    let invalid = async |new| match office.pre_approve(0, new).await.unwrap_err() {
        ApprovalError::Invalid(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(invalid(office.in_advance(None)).await.contains("name one, at most 100"));
    assert!(invalid(office.in_advance(Some(101))).await.contains("at most 100 uses"));
    let long = NewApproval { seconds: Some(8 * 24 * 3600), ..office.in_advance(Some(1)) };
    assert!(invalid(long).await.contains("at most 168 hours"));
    let terms = Terms { requester: Some("nobody".to_owned()), ..Terms::default() };
    let unknown = NewApproval { terms: Terms { uses: Some(1), ..terms }, ..office.in_advance(Some(1)) };
    assert!(invalid(unknown).await.contains("no user or service account named nobody"));
    let flow = "[rule.tags]\napproval = \"one\"\n[flow.one]\nstages = [{ group = \"approvers\" }]\n";
    office.rule(&format!("{flow}pre-approval = {{ unlimited = true, window = \"1h\" }}\n")).await;
    assert_eq!(office.pre_approve(0, office.in_advance(None)).await.unwrap().state, ApprovalState::Approved);
    office.signs(&office.request(1)).await;
    office.rule(&format!("{flow}pre-approval = {{ uses = 0 }}\n")).await;
    assert!(invalid(office.in_advance(Some(1))).await.contains("allow no approval in advance"));
    office.rule("[rule.tags]\noperations = [\"sign\"]\n").await;
    let asker = office.place.caller();
    let asked = office.place.requests.approvals.ask(&asker, office.in_advance(Some(1))).await;
    assert!(matches!(asked.unwrap_err(), ApprovalError::Invalid(why) if why.contains("No rule of this key asks")));
    // Whoever could approve nothing there sees nothing.
    assert!(matches!(office.pre_approve(0, office.in_advance(Some(1))).await, Err(ApprovalError::NotFound)));
    office.end().await;
}

#[tokio::test]
async fn rules_that_ask_for_more_meanwhile_are_asked_again() {
    let office = Office::with(ONE).await;
    let request = office.request(1);
    let waiting = office.waits(&request).await;
    office.approve(0, waiting.approval).await.unwrap();
    office.rule(TWO).await;
    let again = office.waits(&request).await;
    assert_eq!(
        (again.approval, again.wants.as_slice()),
        (waiting.approval, &["the approval of 2 members of approvers".to_owned()][..])
    );
    office.approve(1, waiting.approval).await.unwrap();
    office.signs(&request).await;
    // Without the rule nobody needs to approve.
    let waiting = office.waits(&office.request(2)).await;
    office.rule("[rule.tags]\noperations = [\"sign\"]\n").await;
    office.signs(&office.request(2)).await;
    assert_eq!(office.show(0, waiting.approval).await.state, ApprovalState::Pending);
    office.end().await;
}

#[tokio::test]
async fn only_so_many_requests_of_one_principal_wait() {
    let office = Office::with(ONE).await;
    for number in 0..32 {
        office.waits(&office.request(number)).await;
    }
    let refused = office.ask(&office.request(99)).await.unwrap_err();
    assert!(matches!(refused, RequestError::TooManyWaiting { limit: 32, of_project: false }), "{refused:?}");
    office.end().await;
}

#[tokio::test]
async fn cancelled_request_takes_its_approval_with_it() {
    let office = Office::with(ONE).await;
    let request = office.request(1);
    let waiting = office.waits(&request).await;
    let row = office.place.store().request(waiting.request_id).await.unwrap().unwrap();
    office.place.requests.cancel(&office.place.caller(), &row).await.unwrap();
    assert_eq!(office.show(0, waiting.approval).await.state, ApprovalState::Cancelled);
    let over = office.approve(0, waiting.approval).await.unwrap_err();
    assert!(matches!(over, ApprovalError::Over(_, ApprovalState::Cancelled)));
    // Approved in the meantime, and then given up.
    let request = office.request(2);
    let waiting = office.waits(&request).await;
    office.approve(0, waiting.approval).await.unwrap();
    let row = office.place.store().request(waiting.request_id).await.unwrap().unwrap();
    office.place.requests.cancel(&office.place.caller(), &row).await.unwrap();
    office.waits(&office.request(3)).await;
    office.end().await;
}

#[tokio::test]
async fn use_that_came_to_nothing_gives_its_approval_back() {
    let office = Office::with(ONE).await;
    let advance = office.pre_approve(0, office.in_advance(Some(1))).await.unwrap();
    office.place.requests.signers.stop().await;
    let failed = office.ask(&office.request(1)).await.unwrap_err();
    let after = office.show(0, advance.id).await;
    match failed {
        // It is not known whether the key was used.
        RequestError::SignerUnavailable if after.state == ApprovalState::Spent => {
            let outcome = office.events("use-outcome").await;
            assert_eq!(outcome.last().unwrap()["state"], "unknown");
        }
        _ => assert_eq!((after.state, after.used), (ApprovalState::Approved, 0), "{failed:?}"),
    }
    office.place.store().close().await;
}

#[tokio::test]
async fn break_glass_is_short_and_blocked_until_it_is_reviewed() {
    let rules = "[rule.tags]\napproval = \"release\"\n[flow.release]\n\
        stages = [{ group = \"approvers\", count = 2 }, { group = \"security\" }]\n\
        break-glass = { stages = [{ group = \"security\" }], window = \"30m\", uses = 2 }\n";
    let office = Office::with(rules).await;
    let emergency = || NewApproval {
        kind: ApprovalKind::BreakGlass,
        terms: Terms::default(),
        seconds: None,
        reason: "the site is down".to_owned(),
        ..office.in_advance(None)
    };
    let approvals = &office.place.requests.approvals;
    let id = approvals.ask(&office.place.caller(), emergency()).await.unwrap();
    office.waits(&office.request(1)).await;
    office.approve(3, id).await.unwrap();
    office.signs(&office.request(2)).await;
    office.signs(&office.request(3)).await;
    office.waits(&office.request(4)).await;
    let blocked = approvals.ask(&office.place.caller(), emergency()).await.unwrap_err();
    assert!(matches!(&blocked, ApprovalError::Conflict(why) if why.contains("requests review")), "{blocked:?}");
    let own = approvals.close_review(&office.place.caller(), id, "all well".to_owned()).await.unwrap_err();
    assert!(not_yours(&own).contains("yourself"));
    approvals.close_review(&office.person(4).caller, id, "two hotfixes, both looked at".to_owned()).await.unwrap();
    assert_eq!(office.events("review-closed").await.len(), 1);
    approvals.ask(&office.place.caller(), emergency()).await.unwrap();
    office.end().await;
}
