//! What callers ask to be done with keys: the rights and bounds of it, and its turn in the environment.

use std::{future::Future, sync::Arc};

use sealcard_api::{
    KeyRef, Timestamp,
    admin::EnvironmentKind,
    ids::{EnvironmentId, KeyId},
    keys::{KeyChange, KeyExtension, KeyRevocation, NewKey},
    rules::{KeyDays, NewKeyName, RevocationMessage, UserId},
    tokens::DestroyKey,
};
use sealcard_policy::{Action, Roles};
use sealcard_record::{Event, event::KeyAct};

use super::{
    KeyError, KeyPlace, KeyPlan, Maker, change, create, destroy, extend, revoke,
    work::{KeyTask, KeyWork},
};
use crate::{
    authn::Caller,
    clock::DAY,
    directory::Directory,
    signers::Signers,
    storage::{KeyRow, MAX_CANDIDATES, Store},
};

/// Days until a key expires when nothing else is asked for.
pub(crate) const DEFAULT_DAYS: u32 = 730;

pub(super) const MANAGE_PROJECT: &[Action] = &[Action::ManageProject];
const STOP_KEYS: &[Action] = &[Action::StopKeys];
/// Tokens are the business of those who look after the server, not of every project's owner.
pub(super) const MANAGE_TOKEN: &[Action] = &[Action::ManageProject, Action::ManageServer];

pub(super) type Result<T> = std::result::Result<T, KeyError>;

/// The keys of a server, for callers. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    pub(super) store: Store,
    pub(super) signers: Arc<Signers>,
    pub(super) directory: Directory,
    work: KeyWork,
}

impl Keys {
    /// The keys in `store`.
    #[must_use]
    pub(crate) fn new(store: Store, signers: Arc<Signers>, directory: Directory) -> Self {
        Self { store, signers, directory, work: KeyWork::default() }
    }

    /// The key that is meant by `key`, if the caller may see it, with the caller's roles in its project.
    ///
    /// # Errors
    /// [`KeyError::NotFound`], not a denial, if the caller may not see it, so that its existence is not revealed.
    pub(crate) async fn find(&self, caller: &Caller, key: &str) -> Result<(KeyRow, Roles)> {
        let unknown = || KeyError::NotFound(format!("There is no key {key}, or you have no role in its project."));
        let visible_to = (!caller.reads_everything()).then_some(caller.principal);
        let mut rows = self.store.find_keys(&KeyRef::parse(key), visible_to).await?;
        let row = match (rows.pop(), rows.as_slice()) {
            (None, _) => return Err(unknown()),
            (Some(row), []) => row,
            (Some(row), others) => return Err(ambiguous(key, others.iter().chain([&row]))),
        };
        let roles = self.store.roles_in_project(caller.principal, row.project_id).await?;
        caller.may(roles, Action::SeeProject).map_err(|_| unknown())?;
        Ok((row, roles))
    }

    /// Makes a key: its component keys in the environment's signer, a certificate, and a card of its own.
    pub(crate) async fn create(&self, caller: &Caller, new: NewKey) -> Result<KeyRow> {
        let (project, roles) = self.directory.project(caller, &new.project, Action::ManageProject).await?;
        let maker = Maker::new(caller, roles, MANAGE_PROJECT)?;
        NewKeyName::check(&new.name).map_err(KeyError::Invalid)?;
        UserId::check(&new.user_id).map_err(KeyError::Invalid)?;
        let days = days(new.expires_days)?;
        let environment = self.directory.environment(caller, new.environment.as_deref()).await?;
        let plan = KeyPlan {
            project: project.named(),
            environment: environment.named(),
            name: new.name,
            algorithm: new.algorithm,
            user_id: new.user_id,
            days,
            profile: new.profile,
        };
        let keys = self.clone();
        let made = async move { create(&keys.store, &keys.signers, maker, plan).await };
        let id = self.carry_out(environment.id, KeyTask::Making, caller, made).await?;
        self.row(id).await
    }

    /// Renames, disables or enables a key; seen by the very next request.
    pub(crate) async fn change(&self, caller: &Caller, key: &str, wanted: KeyChange) -> Result<KeyRow> {
        let only_stops = wanted.name.is_none() && wanted.disabled == Some(true);
        let needed = if only_stops { STOP_KEYS } else { MANAGE_PROJECT };
        let (row, maker) = self.find_for(caller, key, needed).await?;
        if let Some(name) = &wanted.name {
            NewKeyName::check(name).map_err(KeyError::Invalid)?;
            self.store.expect_free_name(row.project_id, name).await?;
        }
        change(&self.store, maker, &row, wanted).await?;
        self.row(row.id).await
    }

    /// Lets a key live longer, an expired one too.
    pub(crate) async fn extend(&self, caller: &Caller, key: &str, extension: KeyExtension) -> Result<KeyRow> {
        let (row, maker) = self.find_for(caller, key, MANAGE_PROJECT).await?;
        let expires = end(extension, caller.received)?;
        let (id, environment, keys) = (row.id, row.environment_id, self.clone());
        let done = async move { extend(&keys.store, &keys.signers, maker, &row, expires).await };
        self.carry_out(environment, KeyTask::Making, caller, done).await?;
        self.row(id).await
    }

    /// Revokes a key for good.
    pub(crate) async fn revoke(&self, caller: &Caller, key: &str, revocation: KeyRevocation) -> Result<KeyRow> {
        let (row, maker) = self.find_for(caller, key, MANAGE_PROJECT).await?;
        let KeyRevocation { reason, message } = revocation;
        RevocationMessage::check(&message).map_err(KeyError::Invalid)?;
        let (id, environment, keys) = (row.id, row.environment_id, self.clone());
        let done = async move { revoke(&keys.store, &keys.signers, maker, &row, reason, message).await };
        self.carry_out(environment, KeyTask::Ending, caller, done).await?;
        self.row(id).await
    }

    /// The key with the revocation certificate that was made together with it. Each reading is recorded.
    ///
    /// # Errors
    /// [`KeyError::NotFound`] if there is none; see [`KeyError`].
    pub(crate) async fn revocation(&self, caller: &Caller, key: &str) -> Result<(KeyRow, String)> {
        let (row, roles) = self.find(caller, key).await?;
        caller.may(roles, Action::ManageProject)?;
        let certificate = self.store.revocation(row.id).await?.ok_or_else(|| {
            let why = "The key has no revocation certificate here: its primary key was never here.";
            KeyError::NotFound(why.to_owned())
        })?;
        let (authorization, project) = (caller.authorization(MANAGE_PROJECT), row.project_id);
        let entry = caller.draft(Event::RevocationRead(KeyAct { signing_key: row.signing_key() }));
        self.store
            .write(move |tx| {
                authorization.check(tx, Some(project))?;
                tx.append_record(entry);
                Ok::<_, KeyError>(())
            })
            .await?;
        Ok((row, certificate))
    }

    /// Destroys the private halves of a disabled or revoked key on its token, for good.
    pub(crate) async fn destroy(&self, caller: &Caller, key: &str, sure: DestroyKey) -> Result<KeyRow> {
        let (row, maker) = self.find_for(caller, key, MANAGE_TOKEN).await?;
        if sure.fingerprint != row.fingerprint {
            return Err(KeyError::Conflict(format!(
                "The fingerprint is not that of the key {}, so nothing was destroyed.",
                row.full_name()
            )));
        }
        let environment = self.directory.environment(caller, Some(&row.environment_id.to_string())).await?;
        if environment.kind != EnvironmentKind::Pkcs11 {
            return Err(KeyError::State("Only keys on a token can be destroyed. Revoke a key of a sealed store."));
        }
        let (id, keys) = (row.id, self.clone());
        let done = async move { destroy(&keys.store, &keys.signers, maker, &row).await };
        self.carry_out(environment.id, KeyTask::Ending, caller, done).await?;
        self.row(id).await
    }

    /// The key, with the right to do all of `actions` to it.
    pub(super) async fn find_for(
        &self,
        caller: &Caller,
        key: &str,
        actions: &'static [Action],
    ) -> Result<(KeyRow, Maker)> {
        let (row, roles) = self.find(caller, key).await?;
        Ok((row, Maker::new(caller, roles, actions)?))
    }

    /// Where a key is to be, if the caller may put one there, with the right to do so.
    pub(super) async fn place(
        &self,
        caller: &Caller,
        project: &str,
        environment: Option<&str>,
        name: String,
    ) -> Result<(KeyPlace, Maker)> {
        let (project, roles) = self.directory.project(caller, project, Action::ManageProject).await?;
        let maker = Maker::new(caller, roles, MANAGE_PROJECT)?;
        NewKeyName::check(&name).map_err(KeyError::Invalid)?;
        let environment = self.directory.environment(caller, environment).await?;
        Ok((KeyPlace { project: project.named(), environment: environment.named(), name }, maker))
    }

    /// See [`KeyWork::carry_out`].
    pub(super) fn carry_out<T: Send + 'static>(
        &self,
        environment: EnvironmentId,
        task: KeyTask,
        caller: &Caller,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send {
        // On the heap, because it is large and every future that waits for it would hold it.
        self.work.carry_out((environment, task, caller.principal), Box::pin(work))
    }

    /// The key as it is after work on it.
    pub(super) async fn row(&self, id: KeyId) -> Result<KeyRow> {
        self.store.key(id).await?.ok_or_else(|| KeyError::Fault("the key has vanished".to_owned()))
    }
}

fn ambiguous<'a>(key: &str, rows: impl Iterator<Item = &'a KeyRow>) -> KeyError {
    let names: Vec<String> = rows.map(|row| row.full_name().to_string()).collect();
    let more = if names.len() >= MAX_CANDIDATES { ", …" } else { "" };
    KeyError::Invalid(format!("Several keys are named {key}: {}{more}. Write PROJECT/NAME.", names.join(", ")))
}

/// Days until a new key expires.
pub(super) fn days(wanted: Option<u32>) -> Result<u32> {
    let days = wanted.unwrap_or(DEFAULT_DAYS);
    KeyDays::check("expires_days", days).map_err(KeyError::Invalid)?;
    Ok(days)
}

/// The end that is asked for.
fn end(extension: KeyExtension, now: Timestamp) -> Result<Timestamp> {
    let invalid = |text: &str| Err(KeyError::Invalid(text.to_owned()));
    let at = |days: u32| Timestamp::from_unix(now.unix().saturating_add(DAY.saturating_mul(days.into())));
    match (extension.expires_days, extension.expires) {
        (Some(_), Some(_)) => invalid("Give \"expires_days\" or \"expires\", not both."),
        (_, Some(end)) if end <= now => invalid("The new end must be in the future."),
        (_, Some(end)) if end > at(KeyDays::MAX) => {
            invalid(&format!("The new end must be at most {} days from now.", KeyDays::MAX))
        }
        (_, Some(end)) => Ok(end),
        (wanted, None) => days(wanted).map(at),
    }
}
