//! Verbs that users, service accounts, groups and projects have in common.

use sealcard_api::admin::{
    Group, GroupChange, Project, ProjectChange, ServiceAccount, ServiceAccountChange, User, UserChange,
};
use serde::{Serialize, de::DeserializeOwned};

use super::NO_BODY;
use crate::{
    cli::{
        App,
        ask::Yes,
        output::{clean, line, show},
    },
    remote::path,
};

/// What has a name and can be given another.
pub(super) trait Named: Serialize + DeserializeOwned {
    type Change: Serialize + Sync;
    /// For a person.
    const NOUN: &'static str;
    /// The server's path to all of them.
    const COLLECTION: &'static str;

    fn renamed(name: String) -> Self::Change;
}

/// What can be kept from logging in.
pub(super) trait Disable: Named {
    fn disabled(disabled: bool) -> Self::Change;
}

impl Named for User {
    type Change = UserChange;
    const NOUN: &'static str = "user";
    const COLLECTION: &'static str = "users";

    fn renamed(name: String) -> UserChange {
        UserChange { name: Some(name), ..UserChange::default() }
    }
}

impl Disable for User {
    fn disabled(disabled: bool) -> UserChange {
        UserChange { disabled: Some(disabled), ..UserChange::default() }
    }
}

impl Named for ServiceAccount {
    type Change = ServiceAccountChange;
    const NOUN: &'static str = "service account";
    const COLLECTION: &'static str = "service-accounts";

    fn renamed(name: String) -> ServiceAccountChange {
        ServiceAccountChange { name: Some(name), ..ServiceAccountChange::default() }
    }
}

impl Disable for ServiceAccount {
    fn disabled(disabled: bool) -> ServiceAccountChange {
        ServiceAccountChange { disabled: Some(disabled), ..ServiceAccountChange::default() }
    }
}

impl Named for Group {
    type Change = GroupChange;
    const NOUN: &'static str = "group";
    const COLLECTION: &'static str = "groups";

    fn renamed(name: String) -> GroupChange {
        GroupChange { name }
    }
}

impl Named for Project {
    type Change = ProjectChange;
    const NOUN: &'static str = "project";
    const COLLECTION: &'static str = "projects";

    fn renamed(name: String) -> ProjectChange {
        ProjectChange { name: Some(name), ..ProjectChange::default() }
    }
}

pub(super) async fn rename<T: Named>(app: &App, name: &str, new_name: String, json: bool) -> anyhow::Result<()> {
    let text = format!("The {} {} is named {} now.", T::NOUN, clean(name), clean(&new_name));
    change::<T>(app, name, &T::renamed(new_name), &text, json).await
}

pub(super) async fn set_disabled<T: Disable>(app: &App, name: &str, disabled: bool, json: bool) -> anyhow::Result<()> {
    let state = if disabled { "disabled" } else { "active" };
    let text = format!("The {} {} is {state} now.", T::NOUN, clean(name));
    change::<T>(app, name, &T::disabled(disabled), &text, json).await
}

async fn change<T: Named>(app: &App, name: &str, change: &T::Change, text: &str, json: bool) -> anyhow::Result<()> {
    let changed: T = app.remote.patch(&path(&[T::COLLECTION, name]), change).await?;
    show(json, &changed, |_| line(text))
}

/// What was removed, in JSON.
#[derive(Debug, Serialize)]
struct Removed<'a> {
    removed: &'a str,
}

/// Removes it after a question, which names what else goes.
pub(super) async fn remove<T: Named>(app: &App, name: &str, and: &str, yes: Yes, json: bool) -> anyhow::Result<()> {
    yes.confirm(&format!("Remove the {} {}{and}?", T::NOUN, clean(name)))?;
    app.remote.delete(&path(&[T::COLLECTION, name]), NO_BODY).await?;
    show(json, &Removed { removed: name }, |_| line(format!("Removed the {} {}.", T::NOUN, clean(name))))
}
