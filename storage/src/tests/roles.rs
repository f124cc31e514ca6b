//! Roles, owners and the separation of duties, as facts and lists have them, on both databases.

use sealcard_api::{
    algorithm::ComponentRole,
    roles::{ProjectRole, SystemRole},
};

use super::{uses::Scene, *};

const TOKEN_OF_ACCOUNT: [u8; 32] = [6; 32];

async fn write<T: Send + 'static>(
    store: &Store,
    job: impl FnOnce(&mut WriteTx) -> Result<T, StorageError> + Send + 'static,
) -> T {
    store.write(job).await.unwrap()
}

fn service_account(owner: PrincipalId) -> PrincipalRow {
    PrincipalRow {
        id: PrincipalId::new(),
        kind: PrincipalKind::ServiceAccount,
        name: "ci".to_owned(),
        system_roles: SystemRoles::NONE,
        disabled: false,
        created: 0,
        one_time_until: None,
        owner: Some(Named::new(owner, "user")),
        email: None,
    }
}

#[tokio::test]
async fn facts_have_system_roles_owner_and_separation_of_the_moment() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let Scene { store, user, project, key, .. } = &scene;
        let (user, project) = (*user, *project);
        for roles in [SystemRole::ALL.into_iter().collect(), SystemRoles::NONE.with(SystemRole::Auditor)] {
            let change = PrincipalChange { system_roles: Some(roles), ..PrincipalChange::default() };
            write(&scene.other, move |tx| tx.change_principal(user, &change)).await;
            let facts = scene.facts().await.unwrap();
            assert_eq!((facts.principal.system_roles, facts.principal.owner), (roles, None));
            assert_eq!(store.principal(PrincipalKind::User, "user").await.unwrap().unwrap().system_roles, roles);
        }
        for strict in [true, false] {
            let change = ProjectChange { strict_separation: Some(strict), ..ProjectChange::default() };
            write(&scene.other, move |tx| tx.change_project(project, &change)).await;
            assert_eq!(scene.facts().await.unwrap().project.unwrap().strict_separation, strict);
            let row = store.project("project").await.unwrap().unwrap();
            assert_eq!((row.strict_separation, row.name.as_str()), (strict, "project"));
        }

        let account = service_account(user);
        let (id, end) = (account.id, Timestamp::now().unix() + 3600);
        write(&scene.other, move |tx| {
            tx.add_principal(&account, None)?;
            let row = NewGrantRow {
                id: GrantId::new(),
                principal: id,
                service_token: None,
                label: String::new(),
                created: 0,
                expires: end,
                refreshable_until: end,
                address: None,
            };
            tx.add_grant(&row, &TOKEN_OF_ACCOUNT)?;
            tx.add_project_member(project, Member::Principal(id), ProjectRole::Approver).map(drop)
        })
        .await;
        let query = FactsQuery { token: TOKEN_OF_ACCOUNT, target: Target::Key(*key, ComponentRole::Sign) };
        let facts = store.facts(query).await.unwrap().unwrap();
        assert_eq!((facts.principal.owner, facts.principal.kind), (Some(user), PrincipalKind::ServiceAccount));
        assert!(facts.roles.contains(ProjectRole::Approver) && !facts.roles.contains(ProjectRole::KeyUser));
        // The account outlives its owner.
        write(&scene.other, move |tx| tx.remove_principal(user)).await;
        assert_eq!(store.facts(query).await.unwrap().unwrap().principal.owner, None);
        let row = store.principal(PrincipalKind::ServiceAccount, "ci").await.unwrap().unwrap();
        assert_eq!(row.owner, None);
    }
}

#[tokio::test]
async fn database_refuses_system_roles_of_programs_and_owners_of_people() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let user = scene.user;
        let account = service_account(user);
        let id = account.id;
        write(&scene.store, move |tx| tx.add_principal(&account, None)).await;
        let row = scene.store.principal(PrincipalKind::ServiceAccount, "ci").await.unwrap().unwrap();
        assert_eq!(row.owner, Some(Named::new(user, "user")));
        for role in SystemRole::ALL {
            let roles = Some(SystemRoles::NONE.with(role));
            let change = PrincipalChange { system_roles: roles, ..PrincipalChange::default() };
            let changed = scene.store.write(move |tx| tx.change_principal(id, &change)).await;
            assert!(changed.is_err(), "{role}");
        }
        let change = PrincipalChange { owner: Some(id), ..PrincipalChange::default() };
        assert!(scene.store.write(move |tx| tx.change_principal(user, &change)).await.is_err());
    }
}

#[tokio::test]
async fn key_users_with_other_roles_are_found_with_the_way_to_each() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let (user, project, group) = (scene.user, scene.project, GroupId::new());
        let found = async || {
            let found = scene.store.not_separated(project).await.unwrap();
            assert_eq!(found, write(&scene.store, move |tx| tx.not_separated(project)).await);
            found.into_iter().map(|row| (row.name, row.roles, row.system_roles)).collect::<Vec<_>>()
        };
        assert_eq!(found().await, []);
        // An auditor who uses no keys is none, and neither are roles in another project.
        let other = PrincipalRow { name: "other".to_owned(), ..service_account(user) };
        write(&scene.store, move |tx| {
            tx.add_principal(&other, None)?;
            tx.add_project_member(project, Member::Principal(other.id), ProjectRole::Auditor)?;
            let (id, name, description) = (ProjectId::new(), "second".to_owned(), String::new());
            tx.add_project(&ProjectRow { id, name, description, strict_separation: true, created: 0 })?;
            tx.add_project_member(id, Member::Principal(user), ProjectRole::Owner).map(drop)
        })
        .await;
        assert_eq!(found().await, []);
        write(&scene.store, move |tx| {
            tx.add_group(group, "reviewers", 0)?;
            tx.add_group_member(group, user)?;
            tx.add_project_member(project, Member::Group(group), ProjectRole::Approver).map(drop)
        })
        .await;
        let approver = (ProjectRole::Approver, Some("reviewers".to_owned()));
        let key_user = (ProjectRole::KeyUser, None);
        let name = "user".to_owned();
        assert_eq!(found().await, [(name.clone(), vec![approver, key_user.clone()], SystemRoles::NONE)]);
        let officer = SystemRoles::NONE.with(SystemRole::SecurityOfficer);
        let change = PrincipalChange { system_roles: Some(officer), ..PrincipalChange::default() };
        write(&scene.store, move |tx| {
            tx.remove_group_member(group, user)?;
            tx.change_principal(user, &change)
        })
        .await;
        assert_eq!(found().await, [(name, vec![key_user], officer)]);
    }
}
