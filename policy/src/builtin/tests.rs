use proptest::{collection::vec, option, prelude::*, sample::select};
use sealcard_api::Timestamp;

use super::*;
use crate::{
    AuthenticationMethod, ComponentFacts, GrantFacts, KeyFacts, PrincipalFacts, PrincipalKind, RequestFacts, Roles,
    SystemRoles,
};

const NOW: i64 = 1_800_000_000;

fn operations() -> impl Strategy<Value = KeyOperation> {
    select(vec![KeyOperation::Sign, KeyOperation::Decrypt, KeyOperation::Authenticate])
}

/// A little before now, now, or a little later.
fn times() -> impl Strategy<Value = Timestamp> {
    (NOW - 2..NOW + 3).prop_map(Timestamp::from_unix)
}

prop_compose! {
    fn components()(expires in option::of(times()), revoked: bool) -> ComponentFacts {
        ComponentFacts { expires, revoked }
    }
}

prop_compose! {
    fn keys()(
        strict_separation: bool,
        disabled in prop::bool::weighted(0.3),
        revoked in prop::bool::weighted(0.3),
        destroyed in prop::bool::weighted(0.3),
        component in option::of(components()),
    ) -> KeyFacts {
        KeyFacts { strict_separation, disabled, revoked, destroyed, component, ..KeyFacts::default() }
    }
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => operations().prop_map(Action::UseKey),
        10 => select(vec![
            Action::ManageProject,
            Action::ManageRules,
            Action::ManageServerRules,
            Action::StopKeys,
            Action::EndLogins,
            Action::ReadEverything,
            Action::SeeProject,
            Action::ReadProjectRecord,
            Action::ReadWholeRecord,
            Action::ManageServer,
            Action::LookAfterOneself,
            Action::SeeKeyUsers,
            Action::GiveOneselfKeys { allowed: true },
            Action::GiveOneselfKeys { allowed: false },
        ]),
        1 => any::<(bool, bool)>().prop_map(|(holds_a_visible_key, owns_a_project)| {
            Action::SeeEnvironment(EnvironmentFacts { holds_a_visible_key, owns_a_project })
        }),
    ]
}

prop_compose! {
    fn grants()(
        method in select(vec![AuthenticationMethod::Password, AuthenticationMethod::ServiceToken]),
        expires in times(),
        revoked in prop::bool::weighted(0.1),
    ) -> GrantFacts {
        GrantFacts { issued: Timestamp::from_unix(NOW - 1000), method, expires, revoked }
    }
}

prop_compose! {
    fn principals()(
        kind in select(vec![PrincipalKind::User, PrincipalKind::ServiceAccount]),
        system_roles in vec(select(SystemRole::ALL.to_vec()), 0..3),
        disabled in prop::bool::weighted(0.1),
        removed in prop::bool::weighted(0.1),
        groups in vec("[a-z]{1,3}", 0..3),
    ) -> PrincipalFacts {
        let system_roles = system_roles.into_iter().collect();
        PrincipalFacts { name: "jane".to_owned(), kind, system_roles, disabled, removed, groups }
    }
}

prop_compose! {
    fn all_facts()(
        grant in grants(),
        principal in principals(),
        roles in vec(select(Role::ALL.to_vec()), 0..4),
        key in option::weighted(0.9, keys()),
    ) -> Facts {
        let request = RequestFacts::default();
        Facts { now: Timestamp::from_unix(NOW), grant, principal, roles: roles.into_iter().collect(), key, request }
    }
}

/// The table of the crate's documentation, written a second time and without sharing code.
fn table(facts: &Facts, action: Action) -> bool {
    let Facts { now, grant, principal, roles, key, .. } = facts;
    let holds = |role| principal.kind == PrincipalKind::User && principal.system_roles.contains(role);
    let (admin, officer) = (holds(SystemRole::Administrator), holds(SystemRole::SecurityOfficer));
    let reader = admin || officer || holds(SystemRole::Auditor);
    let logged_in = !grant.revoked && *now < grant.expires && !principal.disabled && !principal.removed;
    logged_in
        && match action {
            Action::UseKey(operation) => key.as_ref().is_some_and(|key| {
                let untouched = !key.disabled && !key.revoked && !key.destroyed;
                let Some(component) = key.component else { return false };
                let over = component.revoked || component.expires.is_some_and(|end| *now >= end);
                let more = [Role::Owner, Role::Approver, Role::Auditor].into_iter().any(|role| roles.contains(role));
                let apart = !key.strict_separation || !(more || reader);
                roles.contains(Role::KeyUser) && apart && untouched && (!over || operation == KeyOperation::Decrypt)
            }),
            Action::ManageProject => admin || roles.contains(Role::Owner),
            Action::ManageRules | Action::StopKeys => admin || officer || roles.contains(Role::Owner),
            Action::ManageServerRules | Action::EndLogins => admin || officer,
            Action::SeeProject => reader || !roles.is_empty(),
            Action::ReadProjectRecord => reader || roles.contains(Role::Auditor),
            Action::ReadWholeRecord | Action::ReadEverything => reader,
            Action::ManageServer => admin,
            Action::SeeKeyUsers => reader || roles.contains(Role::Owner) || roles.contains(Role::Auditor),
            Action::SeeEnvironment(there) => reader || there.holds_a_visible_key || there.owns_a_project,
            Action::GiveOneselfKeys { allowed } => allowed,
            Action::LookAfterOneself => true,
        }
}

/// Each fact made worse, alone.
fn worse(facts: &Facts) -> Vec<Facts> {
    let past = Timestamp::from_unix(NOW - 1);
    let change = |change: &dyn Fn(&mut Facts)| {
        let mut worse = facts.clone();
        change(&mut worse);
        worse
    };
    let mut all = vec![
        change(&|f| f.grant.revoked = true),
        change(&|f| f.grant.expires = past),
        change(&|f| f.principal.disabled = true),
        change(&|f| f.principal.removed = true),
        change(&|f| f.key = None),
    ];
    // Where duties are strictly separated, a role less can be what is missing.
    let strict = facts.key.as_ref().is_some_and(|key| key.strict_separation);
    if !strict {
        all.push(change(&|f| f.principal.system_roles = SystemRoles::NONE));
        all.push(change(&|f| f.principal.kind = PrincipalKind::ServiceAccount));
    }
    for dropped in SystemRole::ALL.into_iter().filter(|_| !strict) {
        all.push(change(&|f| f.principal.system_roles = f.principal.system_roles.without(dropped)));
    }
    for dropped in Role::ALL.into_iter().filter(|role| !strict || *role == Role::KeyUser) {
        let kept = Role::ALL.into_iter().filter(|role| *role != dropped && facts.roles.contains(*role)).collect();
        all.push(Facts { roles: kept, ..facts.clone() });
    }
    if let Some(key) = &facts.key {
        all.extend(
            [
                KeyFacts { strict_separation: true, ..key.clone() },
                KeyFacts { disabled: true, ..key.clone() },
                KeyFacts { revoked: true, ..key.clone() },
                KeyFacts { destroyed: true, ..key.clone() },
                KeyFacts { component: None, ..key.clone() },
            ]
            .map(|key| Facts { key: Some(key), ..facts.clone() }),
        );
        if let Some(component) = key.component {
            all.extend(
                [ComponentFacts { revoked: true, ..component }, ComponentFacts { expires: Some(past), ..component }]
                    .map(|component| KeyFacts { component: Some(component), ..key.clone() })
                    .map(|key| Facts { key: Some(key), ..facts.clone() }),
            );
        }
    }
    all
}

proptest! {
    #[test]
    fn decision_is_that_of_the_table(facts in all_facts(), action in actions()) {
        prop_assert_eq!(decide(&facts, action).allowed(), table(&facts, action));
    }

    #[test]
    fn key_is_never_used_without_the_role(mut facts in all_facts(), operation in operations()) {
        facts.roles = Role::ALL.into_iter().filter(|r| *r != Role::KeyUser && facts.roles.contains(*r)).collect();
        prop_assert!(!decide(&facts, Action::UseKey(operation)).allowed());
    }

    #[test]
    fn invalid_login_allows_nothing_and_learns_nothing(facts in all_facts(), action in actions(), which in 0..4) {
        let mut facts = facts;
        match which {
            0 => facts.grant.revoked = true,
            1 => facts.grant.expires = facts.now,
            2 => facts.principal.disabled = true,
            _ => facts.principal.removed = true,
        }
        let decision = decide(&facts, action);
        prop_assert!(!decision.allowed());
        use Denial::{AccountDisabled, AccountRemoved, GrantExpired, GrantRevoked};
        let of_login =
            |denial: &Denial| [AccountDisabled, AccountRemoved, GrantExpired, GrantRevoked].contains(denial);
        prop_assert!(decision.denials().iter().all(of_login));
    }

    #[test]
    fn service_account_has_no_system_role(mut facts in all_facts(), action in actions()) {
        facts.principal.kind = PrincipalKind::ServiceAccount;
        facts.principal.system_roles = SystemRole::ALL.into_iter().collect();
        let with = decide(&facts, action);
        facts.principal.system_roles = SystemRoles::NONE;
        prop_assert_eq!(with.allowed(), decide(&facts, action).allowed());
    }

    #[test]
    fn worse_fact_never_turns_a_denial_into_a_permission(facts in all_facts(), action in actions()) {
        for worse in worse(&facts) {
            prop_assert!(decide(&facts, action).allowed() || !decide(&worse, action).allowed(), "{worse:?}");
        }
    }

    #[test]
    fn decision_always_says_why(facts in all_facts(), action in actions()) {
        let decision = decide(&facts, action);
        prop_assert!(!decision.reasons().is_empty());
        prop_assert_eq!(decision.allowed(), decision.denials().is_empty());
    }
}

/// What each role alone allows, and nothing else.
#[test]
fn each_role_alone_allows_what_its_line_says() {
    let environment = EnvironmentFacts { holds_a_visible_key: false, owns_a_project: false };
    let lines = [
        (Action::UseKey(KeyOperation::Sign), "key-user"),
        (Action::ManageProject, "owner | administrator"),
        (Action::ManageRules, "owner | administrator security-officer"),
        (Action::ManageServerRules, "| administrator security-officer"),
        (Action::StopKeys, "owner | administrator security-officer"),
        (Action::EndLogins, "| administrator security-officer"),
        (Action::SeeProject, "owner key-user approver auditor | administrator security-officer auditor"),
        (Action::SeeKeyUsers, "owner auditor | administrator security-officer auditor"),
        (Action::ReadProjectRecord, "auditor | administrator security-officer auditor"),
        (Action::ReadWholeRecord, "| administrator security-officer auditor"),
        (Action::ReadEverything, "| administrator security-officer auditor"),
        (Action::SeeEnvironment(environment), "| administrator security-officer auditor"),
        (Action::ManageServer, "| administrator"),
        (Action::GiveOneselfKeys { allowed: false }, ""),
        (Action::LookAfterOneself, "owner key-user approver auditor | administrator security-officer auditor"),
    ];
    let key = KeyFacts { component: Some(ComponentFacts::default()), ..KeyFacts::default() };
    for (action, line) in lines {
        let (project, system) = line.split_once('|').unwrap_or((line, ""));
        for role in Role::ALL {
            let facts = Facts { roles: Roles::NONE.with(role), ..key_user(key.clone()) };
            let expected = project.split_whitespace().any(|name| name == role.name());
            assert_eq!(decide(&facts, action).allowed(), expected, "{role} in the project: {action:?}");
        }
        for role in SystemRole::ALL {
            let mut facts = Facts { roles: Roles::NONE, ..key_user(key.clone()) };
            facts.principal.system_roles = SystemRoles::NONE.with(role);
            let expected = system.split_whitespace().any(|name| name == role.name());
            assert_eq!(decide(&facts, action).allowed(), expected, "{role} of the server: {action:?}");
        }
    }
}

#[test]
fn decision_without_grounds_is_a_denial() {
    assert!(!Decision::default().allowed());
}

/// A key user with a good key.
fn key_user(key: KeyFacts) -> Facts {
    Facts {
        now: Timestamp::from_unix(NOW),
        grant: GrantFacts {
            issued: Timestamp::from_unix(NOW - 1),
            method: AuthenticationMethod::Password,
            expires: Timestamp::from_unix(NOW + 1),
            revoked: false,
        },
        principal: PrincipalFacts {
            name: "jane".to_owned(),
            kind: PrincipalKind::User,
            system_roles: SystemRoles::NONE,
            disabled: false,
            removed: false,
            groups: Vec::new(),
        },
        roles: Roles::NONE.with(Role::KeyUser),
        key: Some(key),
        request: RequestFacts::default(),
    }
}

#[test]
fn strict_separation_names_both_roles_and_the_way_out() {
    let key = KeyFacts { component: Some(ComponentFacts::default()), ..KeyFacts::default() };
    let strict = KeyFacts { strict_separation: true, ..key.clone() };
    let sign = Action::UseKey(KeyOperation::Sign);
    assert!(decide(&key_user(strict.clone()), sign).allowed());
    for role in [Role::Owner, Role::Approver, Role::Auditor] {
        let with = |key: &KeyFacts| {
            let facts = key_user(key.clone());
            decide(&Facts { roles: facts.roles.with(role), ..facts }, sign)
        };
        assert!(with(&key).allowed());
        assert_eq!(with(&strict).denials(), [Denial::RolesNotSeparated(OtherRole::OfProject(role))]);
        assert_eq!(with(&strict).reason_kind(), Some("roles-not-separated"));
        let reason = with(&strict).reasons().concat();
        assert!(reason.contains(&format!("key-user and {role}")) && reason.contains("take one"), "{reason}");
    }
    for role in SystemRole::ALL {
        let with = |key: &KeyFacts, kind| {
            let mut facts = key_user(key.clone());
            facts.principal.system_roles = SystemRoles::NONE.with(role);
            facts.principal.kind = kind;
            decide(&facts, sign)
        };
        assert!(with(&key, PrincipalKind::User).allowed());
        assert!(with(&strict, PrincipalKind::ServiceAccount).allowed());
        let denied = with(&strict, PrincipalKind::User);
        assert_eq!(denied.denials(), [Denial::RolesNotSeparated(OtherRole::OfServer(role))]);
    }
    let others = Roles::NONE.with(Role::Owner).with(Role::Auditor);
    let decision = decide(&Facts { roles: others, ..key_user(strict) }, sign);
    assert_eq!(decision.denials(), [Denial::MissingRole(Role::KeyUser)], "of no use to somebody without the role");
}

#[test]
fn each_state_of_a_key_is_one_denial() {
    let component = ComponentFacts::default();
    let key = KeyFacts { component: Some(component), ..KeyFacts::default() };
    let with = |component| KeyFacts { component: Some(component), ..key.clone() };
    for (key, denial) in [
        (KeyFacts { disabled: true, ..key.clone() }, Denial::KeyDisabled),
        (KeyFacts { disabled: true, revoked: true, ..key.clone() }, Denial::KeyRevoked),
        (KeyFacts { disabled: true, revoked: true, destroyed: true, ..key.clone() }, Denial::KeyDestroyed),
        (with(ComponentFacts { expires: Some(Timestamp::from_unix(NOW)), ..component }), Denial::KeyExpired),
        (with(ComponentFacts { revoked: true, ..component }), Denial::KeyRevoked),
        (KeyFacts { component: None, ..key.clone() }, Denial::NoComponent(KeyOperation::Sign)),
    ] {
        assert_eq!(decide(&key_user(key), Action::UseKey(KeyOperation::Sign)).denials(), [denial]);
    }
}

#[test]
fn expired_key_decrypts_but_does_not_sign() {
    let component = ComponentFacts { expires: Some(Timestamp::from_unix(NOW - 1)), revoked: false };
    let facts = key_user(KeyFacts { component: Some(component), ..KeyFacts::default() });
    assert!(decide(&facts, Action::UseKey(KeyOperation::Decrypt)).allowed());
    assert!(!decide(&facts, Action::UseKey(KeyOperation::Sign)).allowed());
    assert!(!decide(&facts, Action::UseKey(KeyOperation::Authenticate)).allowed());
}
