//! A database with many users and projects, each of which has rules.

use std::path::Path;

use anyhow::{Context, Result};
use sealcard_api::{
    Fingerprint, Timestamp,
    admin::EnvironmentKind,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm},
    ids::{EnvironmentId, GrantId, KeyId, PrincipalId, ProjectId},
    roles::{PrincipalKind, ProjectRole, SystemRoles},
};
use sealcard_server::storage::{
    Authorship, Database, FactsQuery, Member, NewComponentRow, NewGrantRow, NewKeyRow, NewRuleVersion, PrincipalRow,
    ProjectRow, RuleScope, StorageError, Store, Target, WriteTx,
};
use sealcard_signer_protocol::{PublicKeyBytes, StoredKey};
use uuid::Uuid;

/// Projects in the database.
pub(super) const PROJECTS: usize = 1000;

/// Users in the database.
pub(super) const USERS: usize = 10_000;

/// How many users one transaction adds.
const CHUNK: usize = 1000;

/// SHA-256 of the token of the user who asks.
const TOKEN: [u8; 32] = [5; 32];

/// Fills a new database, in which `user` may use a key of the last project. Returns what to ask for the facts.
pub(super) async fn fill(file: &Path, user: &str, rules: &str) -> Result<(Store, FactsQuery)> {
    let store = Store::create(&Database::Sqlite(file.to_owned())).await.context("the database")?;
    let (user, rules) = (user.to_owned(), rules.to_owned());
    for first in (0..USERS).step_by(CHUNK) {
        store.write(move |tx| (first..first + CHUNK).try_for_each(|number| add_user(tx, number))).await?;
    }
    let key = KeyId::new();
    store.write(move |tx| projects(tx, (&user, &rules), key)).await?;
    Ok((store, FactsQuery { token: TOKEN, target: Target::Key(key, ComponentRole::Sign) }))
}

fn add_user(tx: &mut WriteTx, number: usize) -> Result<(), StorageError> {
    principal(tx, &format!("user-{number}")).map(drop)
}

fn principal(tx: &mut WriteTx, name: &str) -> Result<PrincipalId, StorageError> {
    let id = PrincipalId::new();
    let (kind, name) = (PrincipalKind::User, name.to_owned());
    let row = PrincipalRow {
        id,
        kind,
        name,
        system_roles: SystemRoles::NONE,
        disabled: false,
        created: 0,
        one_time_until: None,
        owner: None,
        email: None,
    };
    tx.add_principal(&row, Some("none"))?;
    Ok(id)
}

fn projects(tx: &mut WriteTx, (user, rules): (&str, &str), key: KeyId) -> Result<(), StorageError> {
    let environment = EnvironmentId::new();
    tx.insert_environment(environment, "crowd", EnvironmentKind::Sealed)?;
    let author_id = principal(tx, user)?;
    let end = Timestamp::now().unix() + 3600;
    let grant = NewGrantRow {
        id: GrantId::new(),
        principal: author_id,
        service_token: None,
        label: String::new(),
        created: 0,
        expires: end,
        refreshable_until: end,
        address: None,
    };
    tx.add_grant(&grant, &TOKEN)?;
    for number in 0..PROJECTS {
        let id = ProjectId::new();
        let (name, description) = (format!("project-{number}"), String::new());
        tx.add_project(&ProjectRow { id, name, description, strict_separation: false, created: 0 })?;
        let by =
            Authorship { author_id, author: user.to_owned(), applied: Timestamp::from_unix(0), note: String::new() };
        let text = rules.to_owned();
        tx.append_rules(&NewRuleVersion { scope: RuleScope::Project(id), version: 1, text, by, mentions: Vec::new() })?;
        if number + 1 == PROJECTS {
            tx.add_project_member(id, Member::Principal(author_id), ProjectRole::KeyUser)?;
            tx.insert_key(&signing_key(key, id, environment))?;
        }
    }
    Ok(())
}

fn signing_key(id: KeyId, project: ProjectId, environment: EnvironmentId) -> NewKeyRow {
    let key = StoredKey {
        component: Uuid::now_v7(),
        role: ComponentRole::Sign,
        algorithm: ComponentAlgorithm::of(KeyAlgorithm::Ed25519, ComponentRole::Sign),
        public_key: PublicKeyBytes::Ec { point: vec![1; 32] },
        handle: vec![2; 48],
    };
    let created = Timestamp::from_unix(0);
    let fingerprint = Fingerprint([4; 20]);
    NewKeyRow {
        id,
        project,
        environment,
        name: "key".to_owned(),
        algorithm: KeyAlgorithm::Ed25519,
        user_id: "Key <key@example.org>".to_owned(),
        fingerprint: Fingerprint([3; 20]),
        serial: 1,
        certificate: String::new(),
        created,
        revocation: None,
        components: vec![NewComponentRow { key, fingerprint, created, expires: None, evidence: None }],
    }
}
