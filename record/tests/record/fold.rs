//! What the tables must hold after a history, and how differences are named.

use std::io::Cursor;

use proptest::prelude::*;
use sealcard_api::{
    Timestamp,
    admin::EnvironmentKind,
    ids::{EnvironmentId, GrantId, PrincipalId},
    roles::{ProjectRole, SystemRole},
};
use sealcard_record::{
    Actor, Draft, Event, HashPrefix, Named, Salt,
    event::{self, Member},
    fold::{
        Difference, EnvironmentRow, Fold, GrantTokenRow, PinAttemptRow, PinState, ProjectPrincipalRow, Row, TablesFile,
    },
    parse,
};
use uuid::Uuid;

use crate::samples;

/// A fold with the events that are handed to it.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) fold: Fold,
    number: u64,
}

impl History {
    fn of(events: impl IntoIterator<Item = Event>) -> Self {
        let mut history = Self::default();
        events.into_iter().for_each(|event| history.happens(samples::alice(), event));
        history
    }

    pub(crate) fn happens(&mut self, actor: Actor, event: Event) {
        self.takes(Draft::of_server(event).by(actor));
    }

    pub(crate) fn takes(&mut self, draft: Draft) {
        self.number += 1;
        let placed = draft.place(self.number, Timestamp::from_unix(1_800_000_000), Salt([7; 16])).unwrap();
        self.fold.entry(&parse(&placed.text).unwrap());
    }

    /// The rows that there must be: those that are missing where there are none.
    fn missing(self) -> Vec<String> {
        self.fold.compare().finish().iter().map(ToString::to_string).collect()
    }
}

fn alice() -> Named<PrincipalId> {
    Named::new(samples::alice().id, "alice")
}

pub(crate) fn added(principal: Named<PrincipalId>, roles: Vec<SystemRole>) -> Event {
    Event::UserAdded(event::UserAdded {
        principal,
        roles,
        one_time_password: false,
        password_expires: None,
        password_sha256: HashPrefix([1; 16]),
        email: None,
        via: None,
    })
}

fn login(id: u128, token: u8) -> Event {
    Event::Login(event::Login {
        by: event::LoginMethod::Password,
        grant: Named::new(GrantId(Uuid::from_u128(id)), "laptop"),
        machine: false,
        service_token: None,
        created: Timestamp::from_unix(0),
        expires: Timestamp::from_unix(1000),
        refreshable_until: Timestamp::from_unix(2000),
        token_sha256: HashPrefix([token; 16]),
        forgotten: Vec::new(),
    })
}

fn role(role: ProjectRole) -> event::ProjectMemberAct {
    event::ProjectMemberAct { project: samples::signing_key().project, member: Member::Principal(alice()), role }
}

fn project() -> Event {
    Event::ProjectAdded(event::ProjectAdded { project: samples::signing_key().project, via: None })
}

#[test]
fn rows_come_change_and_go_with_their_entries() {
    let history = History::of([
        added(alice(), vec![SystemRole::Administrator]),
        project(),
        Event::ProjectMemberAdded(role(ProjectRole::Owner)),
        Event::ProjectMemberAdded(role(ProjectRole::KeyUser)),
        Event::ProjectMemberRemoved(role(ProjectRole::Owner)),
        login(1, 1),
    ]);
    let missing = history.missing();
    let expected = [
        "table principal: user alice is missing, the record has it",
        "table project: project release is missing, the record has it",
        "table project_principal: the role key-user of alice in the project release is missing, the record has it",
    ];
    assert_eq!(missing[..3], expected);
    assert!(missing[3].contains("grant \"laptop\"") && missing[3].contains("of alice"), "{missing:?}");
    assert!(missing.len() == 5 && missing[4].contains("table grant_token: token 0101"), "{missing:?}");
}

#[test]
fn grants_end_with_a_password_a_disabled_user_and_a_removed_one() {
    let ends = [
        Event::UserChanged(event::UserChanged {
            principal: alice(),
            new_name: None,
            roles: None,
            disabled: Some(true),
            password: false,
            password_sha256: None,
            email: None,
        }),
        Event::PasswordReset(event::PasswordReset {
            principal: alice(),
            expires: Timestamp::from_unix(9),
            password_sha256: HashPrefix([2; 16]),
        }),
        Event::UserRemoved(event::PrincipalAct { principal: alice() }),
        Event::PasswordChanged(event::PasswordChanged { one_time: false, password_sha256: HashPrefix([3; 16]) }),
    ];
    for end in ends {
        let by_password = matches!(end, Event::PasswordChanged(_));
        let mut history = History::of([added(alice(), Vec::new()), login(1, 1)]);
        // The grant that a password is changed with is kept.
        let own = Actor::new(alice().id, "alice", GrantId(Uuid::from_u128(2)));
        history.happens(samples::alice(), login(2, 2));
        history.happens(own, end);
        let revoked = history.fold.rows().filter_map(|row| match row {
            Row::AccessGrant(grant) => Some(grant.revoked),
            _ => None,
        });
        assert_eq!(revoked.collect::<Vec<_>>(), [true, !by_password]);
    }
}

#[test]
fn refreshed_grant_has_the_tokens_that_were_not_forgotten() {
    let refreshed = |earlier: u8, new: u8, forgotten: &[u8]| {
        Event::GrantRefreshed(event::GrantRefreshed {
            grant: Named::new(GrantId(Uuid::from_u128(1)), "laptop"),
            expires: Timestamp::from_unix(1500),
            earlier_token: HashPrefix([earlier; 16]),
            retires: Timestamp::from_unix(60),
            token_sha256: HashPrefix([new; 16]),
            forgotten: forgotten.iter().map(|byte| HashPrefix([*byte; 16])).collect(),
        })
    };
    let history = History::of([added(alice(), Vec::new()), login(1, 1), refreshed(1, 2, &[]), refreshed(2, 3, &[1])]);
    let tokens = history.fold.rows().filter_map(|row| match row {
        Row::GrantToken(GrantTokenRow { token_sha256, retired, .. }) => Some((token_sha256.0[0], *retired)),
        _ => None,
    });
    assert_eq!(tokens.collect::<Vec<_>>(), [(2, Some(Timestamp::from_unix(60))), (3, None)]);
    let mut later = login(2, 9);
    if let Event::Login(login) = &mut later {
        login.forgotten = vec![GrantId(Uuid::from_u128(1))];
    }
    let mut history = history;
    history.happens(samples::alice(), later);
    let grants = history.fold.rows().filter(|row| matches!(row, Row::AccessGrant(_) | Row::GrantToken(_)));
    assert_eq!(grants.count(), 2, "the forgotten grant has gone with its tokens");
}

#[test]
fn differences_are_named() {
    let history = History::of([added(alice(), Vec::new()), project()]);
    let rows: Vec<Row> = history.fold.rows().cloned().collect();
    let mut comparison = history.fold.clone().compare();
    let Row::Principal(mut principal) = rows[0].clone() else { panic!("{rows:?}") };
    principal.administrator = true;
    principal.name = "root\u{1b}[2J".to_owned();
    let changed = comparison.row(&principal.into()).unwrap().to_string();
    assert_eq!(
        changed,
        "table principal: user alice was changed: administrator is true, the record says false; name is \
         \"root\\u{1b}[2J\", the record says \"alice\""
    );
    let by_hand = ProjectPrincipalRow {
        project_id: samples::signing_key().project.id,
        principal_id: alice().id,
        role: ProjectRole::KeyUser,
    };
    let inserted = comparison.row(&by_hand.into()).unwrap().to_string();
    assert_eq!(
        inserted,
        "table project_principal: the role key-user of alice in the project release is not in the record"
    );
    assert_eq!(comparison.finish(), [Difference::Missing { table: "project", row: "project release".to_owned() }]);
}

#[test]
fn first_environment_needs_no_entry_and_a_second_one_does() {
    let environment = |number, name: &str, kind| {
        Row::Environment(EnvironmentRow { id: EnvironmentId(Uuid::from_u128(number)), name: name.to_owned(), kind })
    };
    let mut comparison = Fold::new().compare();
    assert_eq!(comparison.row(&environment(1, "default", EnvironmentKind::Sealed)), None);
    for other in [
        environment(2, "default", EnvironmentKind::Sealed),
        environment(3, "hsm", EnvironmentKind::Pkcs11),
        environment(4, "default", EnvironmentKind::Pkcs11),
    ] {
        assert!(comparison.row(&other).is_some(), "{other:?}");
    }
    let named = Named::new(EnvironmentId(Uuid::from_u128(1)), "default");
    let history = History::of([Event::PinAttempt(event::EnvironmentAct { environment: named })]);
    let mut comparison = history.fold.compare();
    assert_eq!(comparison.row(&environment(1, "default", EnvironmentKind::Sealed)), None);
    let claim = |state| PinAttemptRow { environment_id: EnvironmentId(Uuid::from_u128(1)), state }.into();
    let found = comparison.row(&claim(PinState::Good)).unwrap().to_string();
    assert_eq!(
        found,
        "table pin_attempt: the PIN claim of default was changed: state is \"good\", the record says \"trying\""
    );
}

#[test]
fn entries_after_the_tables_are_left_out() {
    let mut history = History { fold: Fold::up_to(1), number: 0 };
    history.happens(samples::alice(), added(alice(), Vec::new()));
    history.happens(samples::alice(), project());
    assert_eq!((history.fold.sequence(), history.fold.rows().count()), (1, 1));
}

#[test]
fn entries_of_a_newer_release_prevent_the_comparison() {
    let mut fold = Fold::new();
    let line = r#"{"schema":1,"sequence":1,"time":"2026-11-29T00:00:00Z","request_id":"01935b6c-7000-7000-8000-000000000001","event":"moon-landed"}"#;
    fold.entry(&parse(line).unwrap());
    let mut comparison = fold.compare();
    assert_eq!(
        comparison.row(
            &GrantTokenRow { token_sha256: HashPrefix([1; 16]), grant_id: GrantId(Uuid::nil()), retired: None }.into()
        ),
        None
    );
    assert_eq!(comparison.finish(), [Difference::NewerEntries(1)]);
}

fn file(rows: &[Row], sequence: u64) -> Vec<u8> {
    let head = serde_json::json!({"sequence": sequence, "root": "00".repeat(32)});
    let rows = rows.iter().map(|row| serde_json::to_string(row).unwrap());
    let lines: Vec<String> = std::iter::once(head.to_string()).chain(rows).collect();
    lines.join("\n").into_bytes()
}

proptest! {
    /// Whatever happened in whichever order: the rows that follow are no difference, also by way of a file, and each
    /// that is left out is one.
    #[test]
    fn rows_that_follow_are_no_difference(
        order in prop::collection::vec(0..samples::drafts().len(), 0..120),
        without in any::<prop::sample::Index>(),
    ) {
        let drafts = samples::drafts();
        let history = History::of(order.iter().map(|at| drafts[*at].event.clone()));
        let (rows, number): (Vec<Row>, u64) = (history.fold.rows().cloned().collect(), history.number);
        let compare = |rows: &[Row]| {
            let mut found = Vec::new();
            let file = TablesFile::open(Cursor::new(file(rows, number))).unwrap();
            file.compare(history.fold.clone(), |difference| found.push(difference)).unwrap();
            // In another order than they happened in, entries rest on approvals that come later.
            found.retain(|one| !matches!(one, Difference::Unapproved { .. } | Difference::MoreUnapproved(_)));
            found
        };
        prop_assert_eq!(compare(&rows), Vec::new());
        if !rows.is_empty() {
            let mut fewer = rows.clone();
            let missing = fewer.remove(without.index(rows.len()));
            let found = compare(&fewer);
            let named = matches!(found.as_slice(), [Difference::Missing { table, .. }] if *table == missing.table());
            prop_assert!(named);
            let mut more = rows.clone();
            more.push(missing);
            let named = matches!(compare(&more).as_slice(), [Difference::NotInRecord { .. }]);
            prop_assert!(named);
        }
    }

    #[test]
    fn any_file_of_tables_never_panics(text in "(\\{\"sequence\":1,\"root\":\"[0-9a-f]{64}\"\\}\n)?.{0,300}") {
        if let Ok(file) = TablesFile::open(Cursor::new(text)) {
            let _ = file.compare(Fold::new(), |_| ());
        }
    }
}
