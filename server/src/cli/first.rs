//! The first people, project and key of a new server.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use sealcard_api::{
    admin::{EnvironmentState, ProjectMember},
    keys::KeyProfile,
    roles::{MemberKind, ProjectRole, SystemRoles},
};
use tokio::time::{sleep, timeout};

use super::{
    create::{Account, ENVIRONMENT, FirstKey, Plan},
    serve::take_up_environments,
};
use crate::{
    authn::hash_password_now,
    directory::{Author, Directory, NewProject, NewUser},
    keys::{self, KeyPlan, Maker},
    signers::{Origin, Signer, Signers},
    storage::{ProjectRow, Store},
};

/// How long a signer may take to open its key store. A TPM opens a credential in seconds.
const OPENING: Duration = Duration::from_secs(60);
/// How often to look whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Adds the administrator, whose password has this hash, and what else the plan has.
pub(super) async fn make(store: &Store, data: &Path, plan: &Plan<'_>, password: String) -> anyhow::Result<()> {
    let directory = Directory::new(store.clone(), false);
    directory.add_user(Author::Init, new_user(plan.administrator, password, SystemRoles::ADMINISTRATOR)).await?;
    let Some(name) = &plan.first.project else { return Ok(()) };
    let project = NewProject { name: name.clone(), description: String::new() };
    let project = directory.add_project(Author::Init, project).await?;
    let Some(key) = &plan.first.key else { return Ok(()) };
    let hash = hash_password_now(&key.user.password)?;
    directory.add_user(Author::Init, new_user(key.user, hash, SystemRoles::NONE)).await?;
    let member = ProjectMember { name: key.user.name.clone(), kind: MemberKind::User, role: ProjectRole::KeyUser };
    directory.set_project_member(Author::Init, project.clone(), member, true).await?;
    make_key(store, data, project, key).await
}

fn new_user(account: &Account, password: String, roles: SystemRoles) -> NewUser {
    let one_time_until = account.one_time_until;
    NewUser { name: account.name.clone(), roles, password, one_time_until, email: None }
}

async fn make_key(store: &Store, data: &Path, project: ProjectRow, key: &FirstKey<'_>) -> anyhow::Result<()> {
    let folder = data.join("signer");
    let (found, environments) = take_up_environments(store, &folder, false).await?;
    let environment = environments.iter().find(|row| row.name == ENVIRONMENT).cloned();
    let environment = environment.context("the new environment is missing")?;
    // None is started: they run already.
    let signers = Signers::start(Origin::Apart, &folder, &found, store, environments);
    let made = async {
        let signer = signers.get(environment.id).context("the new environment has no signer")?;
        open(&signer, key).await?;
        let plan = KeyPlan {
            project: project.named(),
            environment: environment.named(),
            name: key.name.to_owned(),
            algorithm: key.algorithm,
            user_id: key.user_id.to_owned(),
            days: keys::DEFAULT_DAYS,
            profile: KeyProfile::default(),
        };
        keys::create(store, &signers, Maker::init(), plan).await.context("can't make the first key")?;
        anyhow::Ok(())
    };
    let made = made.await;
    signers.expect_end();
    signers.stop().await;
    made
}

/// Waits until the signer can use keys.
async fn open(signer: &Arc<Signer>, key: &FirstKey<'_>) -> anyhow::Result<()> {
    let open = async {
        let mut unsealed = false;
        loop {
            match signer.state().await {
                EnvironmentState::Ready => return Ok(()),
                EnvironmentState::Sealed if !unsealed => {
                    (key.unseal)()?;
                    unsealed = true;
                }
                _ => sleep(LOOK_AGAIN).await,
            }
        }
    };
    match timeout(OPENING, open).await {
        Ok(opened) => opened,
        Err(_) => {
            let why = signer.note().unwrap_or_else(|| "it did not say why".to_owned());
            bail!("the signer does not open its key store: {why}")
        }
    }
}
