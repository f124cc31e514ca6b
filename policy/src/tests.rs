use proptest::{prelude::*, sample::select};

use super::*;

fn operations() -> impl Strategy<Value = KeyOperation> {
    select(vec![KeyOperation::Sign, KeyOperation::Decrypt, KeyOperation::Authenticate])
}

fn standings() -> impl Strategy<Value = KeyStanding> {
    select(vec![KeyStanding::Active, KeyStanding::Disabled, KeyStanding::Revoked, KeyStanding::Destroyed])
}

prop_compose! {
    fn key_facts()(
        operation in operations(),
        has_component: bool,
        standing in standings(),
        expired: bool,
        component_revoked: bool,
    ) -> KeyFacts {
        KeyFacts { operation, has_component, standing, expired, component_revoked }
    }
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => key_facts().prop_map(Action::UseKey),
        5 => select(vec![
            Action::ManageProject,
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
    fn requests()(
        kind in select(vec![PrincipalKind::User, PrincipalKind::ServiceAccount]),
        disabled: bool,
        administrator: bool,
        owner: bool,
        key_user: bool,
        auditor: bool,
        action in actions(),
    ) -> Request {
        let held = [(owner, Role::Owner), (key_user, Role::KeyUser), (auditor, Role::Auditor)];
        Request {
            principal: PrincipalFacts { kind, disabled, administrator },
            roles: held.into_iter().filter_map(|(has, role)| has.then_some(role)).collect(),
            action,
        }
    }
}

/// The table of the crate's documentation, written a second time and without sharing code.
fn table(request: &Request) -> bool {
    let Request { principal, roles, action } = *request;
    let admin = principal.administrator && principal.kind == PrincipalKind::User;
    !principal.disabled
        && match action {
            Action::UseKey(key) => {
                let over = key.expired || key.component_revoked;
                roles.contains(Role::KeyUser)
                    && key.has_component
                    && key.standing == KeyStanding::Active
                    && (!over || key.operation == KeyOperation::Decrypt)
            }
            Action::ManageProject => admin || roles.contains(Role::Owner),
            Action::SeeProject => admin || !roles.is_empty(),
            Action::ReadProjectRecord => admin || roles.contains(Role::Auditor),
            Action::ReadWholeRecord | Action::ManageServer => admin,
            Action::SeeKeyUsers => admin || roles.contains(Role::Owner) || roles.contains(Role::Auditor),
            Action::SeeEnvironment(there) => admin || there.holds_a_visible_key || there.owns_a_project,
            Action::GiveOneselfKeys { allowed } => allowed,
            Action::LookAfterOneself => true,
        }
}

proptest! {
    #[test]
    fn decisions_are_those_of_the_table(request in requests()) {
        prop_assert_eq!(decide(&request).allowed(), table(&request));
    }

    #[test]
    fn without_the_role_no_key_is_ever_used(mut request in requests(), key in key_facts()) {
        request.action = Action::UseKey(key);
        request.roles = [Role::Owner, Role::Auditor].into_iter().filter(|r| request.roles.contains(*r)).collect();
        prop_assert!(!decide(&request).allowed());
    }

    #[test]
    fn a_disabled_principal_may_nothing(mut request in requests()) {
        request.principal.disabled = true;
        prop_assert!(!decide(&request).allowed());
    }

    #[test]
    fn a_service_account_never_administers(mut request in requests()) {
        request.principal.kind = PrincipalKind::ServiceAccount;
        let with = decide(&Request { principal: PrincipalFacts { administrator: true, ..request.principal }, ..request });
        let without = decide(&Request { principal: PrincipalFacts { administrator: false, ..request.principal }, ..request });
        prop_assert_eq!(with.allowed(), without.allowed());
    }

    #[test]
    fn a_worse_fact_never_turns_a_denial_into_a_permission(request in requests()) {
        let mut worse = vec![Request {
            principal: PrincipalFacts { disabled: true, ..request.principal },
            ..request
        }, Request {
            principal: PrincipalFacts { administrator: false, ..request.principal },
            ..request
        }];
        for dropped in Role::ALL {
            let roles = Role::ALL.into_iter().filter(|r| *r != dropped && request.roles.contains(*r)).collect();
            worse.push(Request { roles, ..request });
        }
        if let Action::UseKey(key) = request.action {
            for key in [
                KeyFacts { standing: KeyStanding::Disabled, ..key },
                KeyFacts { standing: KeyStanding::Revoked, ..key },
                KeyFacts { standing: KeyStanding::Destroyed, ..key },
                KeyFacts { expired: true, ..key },
                KeyFacts { component_revoked: true, ..key },
                KeyFacts { has_component: false, ..key },
            ] {
                worse.push(Request { action: Action::UseKey(key), ..request });
            }
        }
        for w in worse {
            prop_assert!(decide(&request).allowed() || !decide(&w).allowed(), "{w:?}");
        }
    }

    #[test]
    fn every_decision_says_why(request in requests()) {
        let decision = decide(&request);
        prop_assert!(!decision.reasons().is_empty());
        prop_assert_eq!(decision.allowed(), decision.denials().is_empty());
    }
}

#[test]
fn nothing_said_is_a_denial() {
    assert!(!Decision::default().allowed());
}

#[test]
fn each_standing_of_a_key_is_a_denial_of_its_own() {
    let request = |key| Request {
        principal: PrincipalFacts { kind: PrincipalKind::User, disabled: false, administrator: false },
        roles: Roles::NONE.with(Role::KeyUser),
        action: Action::UseKey(key),
    };
    let key = KeyFacts {
        operation: KeyOperation::Sign,
        has_component: true,
        standing: KeyStanding::Active,
        expired: false,
        component_revoked: false,
    };
    for (key, denial) in [
        (KeyFacts { standing: KeyStanding::Disabled, ..key }, Denial::KeyDisabled),
        (KeyFacts { standing: KeyStanding::Revoked, ..key }, Denial::KeyRevoked),
        (KeyFacts { standing: KeyStanding::Destroyed, ..key }, Denial::KeyDestroyed),
        (KeyFacts { expired: true, ..key }, Denial::KeyExpired),
        (KeyFacts { component_revoked: true, ..key }, Denial::KeyRevoked),
    ] {
        assert_eq!(decide(&request(key)).denials(), [denial]);
    }
}

#[test]
fn an_expired_key_decrypts_and_signs_no_more() {
    let request = |operation| Request {
        principal: PrincipalFacts { kind: PrincipalKind::User, disabled: false, administrator: false },
        roles: Roles::NONE.with(Role::KeyUser),
        action: Action::UseKey(KeyFacts {
            operation,
            has_component: true,
            standing: KeyStanding::Active,
            expired: true,
            component_revoked: false,
        }),
    };
    assert!(decide(&request(KeyOperation::Decrypt)).allowed());
    assert!(!decide(&request(KeyOperation::Sign)).allowed());
    assert!(!decide(&request(KeyOperation::Authenticate)).allowed());
}
