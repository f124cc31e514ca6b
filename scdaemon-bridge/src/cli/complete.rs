//! Completion with real names: those that the server knows, or, for keys, those that the last sync fetched.
//!
//! The shell runs this command for each Tab. Which names belong to an argument follows from the argument's name and
//! from the command that it is in.

use std::{
    ffi::OsStr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use clap::{Arg, Command, CommandFactory as _, ValueHint};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use sealcard_api::{
    Timestamp,
    approvals::{Approval, ApprovalList},
    grants::GrantInfo,
};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    grants::{self, state},
    output::clean,
    pages,
};
use crate::{
    cards::cache,
    config::Paths,
    remote::{Remote, path},
    waiting::short_id,
};

/// A person waits for the answer to Tab no longer.
const DEADLINE: Duration = Duration::from_millis(1500);

static IS_ZSH: AtomicBool = AtomicBool::new(false);

/// Answers a shell that asks what can follow, and ends the process then. Returns in all other cases.
pub(super) fn answer_shell() {
    // The variable is gone by the time that names are asked for.
    IS_ZSH.store(std::env::var_os("COMPLETE").is_some_and(|shell| shell == "zsh"), Ordering::Relaxed);
    sealcard_manual::answer_shell(command);
}

/// The command's definition, with what completes each argument.
pub(super) fn command() -> Command {
    annotate(sealcard_manual::flowing(super::Arguments::command()), None)
}

/// What an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noun {
    /// A key that the person may use.
    UsableKey,
    /// A key that the person may see.
    Key,
    User,
    ServiceAccount,
    Group,
    Project,
    Environment,
    Template,
    /// A project, or a key that the person may see.
    ProjectOrKey,
    /// What waits for an approval, by the short id.
    Request,
    /// A login of the person's own, by its name.
    Login,
}

impl Noun {
    /// `parent` is the command that the argument's command belongs to: `user` in `admin user show NAME`.
    fn of(argument: &Arg, command: &str, parent: Option<&str>) -> Option<Self> {
        Some(match argument.get_id().as_str() {
            // A new thing has no name yet.
            "key" | "name" if matches!(command, "add" | "create" | "import" | "adopt") && parent != Some("ssh") => {
                return None;
            }
            "key" if matches!(parent, Some("key" | "record")) || command == "preapprove" => Self::Key,
            "approval" | "approvals" => Self::Request,
            "login" if parent == Some("grants") => Self::Login,
            "key" => Self::UsableKey,
            "user" | "member" | "of" | "who" | "principal" => Self::User,
            "service_account" | "account" => Self::ServiceAccount,
            "group" => Self::Group,
            "project" => Self::Project,
            "environment" => Self::Environment,
            "target" if matches!(parent, Some("policy" | "flow")) => Self::ProjectOrKey,
            "name" if argument.is_positional() => match parent? {
                "user" => Self::User,
                "service-account" => Self::ServiceAccount,
                "group" => Self::Group,
                "project" => Self::Project,
                "environment" => Self::Environment,
                "template" => Self::Template,
                _ => return None,
            },
            _ => return None,
        })
    }

    fn candidates(self, typed: &OsStr) -> Vec<CompletionCandidate> {
        let typed = typed.to_string_lossy();
        let chosen: Vec<_> = self.names().into_iter().filter(|name| name.begins_with(&typed)).collect();
        // zsh takes only what begins with what was typed: a name alone, if it is the only one of its kind.
        let alone = IS_ZSH.load(Ordering::Relaxed) && chosen.len() == 1;
        let candidate = |name: Candidate| {
            let Candidate { value, short, help } = name;
            let value = short.filter(|_| alone && !value.starts_with(&*typed)).unwrap_or(value);
            CompletionCandidate::new(value).help(help.map(Into::into))
        };
        chosen.into_iter().map(candidate).collect()
    }

    fn names(self) -> Vec<Candidate> {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return Vec::new();
        };
        let names = runtime.block_on(async {
            let paths = Paths::for_person().ok()?;
            let asked = match Remote::open(&paths) {
                Ok(remote) => timeout(DEADLINE, self.ask(&remote)).await.ok().flatten(),
                Err(_) => None,
            };
            asked.or_else(|| self.cached(&paths))
        });
        runtime.shutdown_background();
        names.unwrap_or_default()
    }

    async fn ask(self, remote: &Remote) -> Option<Vec<Candidate>> {
        let list = match self {
            Self::UsableKey => {
                let cards = remote.cards().await.ok()?.cards;
                return Some(
                    cards.iter().map(|card| Candidate::of_key(&card.project, &card.name, &card.user_id)).collect(),
                );
            }
            Self::Key => return keys(remote).await,
            Self::ProjectOrKey => {
                let mut names = named(remote, "projects").await?;
                names.extend(keys(remote).await?);
                return Some(names);
            }
            Self::Request => {
                let list: ApprovalList = remote.get(&path(&["approvals"])).await.ok()?;
                return Some(list.approvals.iter().map(Candidate::of_request).collect());
            }
            Self::Login => {
                let here = remote.whoami().await.ok()?;
                let of = [("principal", Some(here.principal_name))];
                let own: Vec<GrantInfo> = pages::all(remote, &path(&["grants"]), &of).await.ok()?;
                let valid = own.iter().filter(|grant| state(grant, Timestamp::now()) == "valid");
                return Some(valid.map(|grant| Candidate::of(&grants::name(grant))).collect());
            }
            Self::Template => "templates",
            Self::User => "users",
            Self::ServiceAccount => "service-accounts",
            Self::Group => "groups",
            Self::Project => "projects",
            Self::Environment => "environments",
        };
        named(remote, list).await
    }

    fn cached(self, paths: &Paths) -> Option<Vec<Candidate>> {
        if !matches!(self, Self::Key | Self::UsableKey | Self::ProjectOrKey) {
            return None;
        }
        let cards = cache::load(&paths.cards_file()).ok()??.list.cards;
        Some(cards.iter().map(|card| Candidate::of_key(&card.project, &card.name, &card.user_id)).collect())
    }
}

async fn keys(remote: &Remote) -> Option<Vec<Candidate>> {
    let keys: Vec<Key> = pages::all(remote, &path(&["keys"]), &[]).await.ok()?;
    Some(keys.iter().map(|key| Candidate::of_key(&key.project, &key.name, &key.user_id)).collect())
}

async fn named(remote: &Remote, list: &str) -> Option<Vec<Candidate>> {
    let named: Vec<Named> = pages::all(remote, &path(&[list]), &[]).await.ok()?;
    Some(named.iter().map(|named| Candidate::of(&named.name)).collect())
}

/// What completion needs of a key.
#[derive(Debug, Deserialize)]
struct Key {
    project: String,
    name: String,
    user_id: String,
}

/// What completion needs of anything else.
#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    value: String,
    /// The value is also found by this.
    short: Option<String>,
    help: Option<String>,
}

impl Candidate {
    fn of(name: &str) -> Self {
        Self { value: name.to_owned(), short: None, help: None }
    }

    fn of_key(project: &str, name: &str, user_id: &str) -> Self {
        Self { value: format!("{project}/{name}"), short: Some(name.to_owned()), help: Some(user_id.to_owned()) }
    }

    fn of_request(approval: &Approval) -> Self {
        let key = approval.key.as_deref().or(approval.project.as_deref()).unwrap_or("-");
        let help = clean(&format!("{} by {}", key, approval.asked_by.name));
        Self { value: short_id(approval.id), short: None, help: Some(help) }
    }

    /// Names with control characters are not given to a shell.
    fn begins_with(&self, typed: &str) -> bool {
        let short = self.short.as_ref().is_some_and(|short| short.starts_with(typed));
        (self.value.starts_with(typed) || short) && !self.value.contains(char::is_control)
    }
}

fn annotate(command: Command, parent: Option<&str>) -> Command {
    let name = command.get_name().to_owned();
    let command = command.mut_args(|argument| match Noun::of(&argument, &name, parent) {
        Some(noun) => argument
            .value_hint(ValueHint::Other)
            .add(ArgValueCompleter::new(move |typed: &OsStr| noun.candidates(typed))),
        None => argument,
    });
    command.mut_subcommands(|below| annotate(below, Some(&name)))
}

#[cfg(test)]
mod tests {
    use sealcard_manual::check;

    use super::*;

    #[test]
    fn the_annotated_command_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_has_a_help_text_that_fits() {
        assert_eq!(check::undocumented(&command()), Vec::<String>::new());
        for columns in [80, 60] {
            assert_eq!(check::lines_too_long(&command(), columns), Vec::<String>::new());
        }
        assert_eq!(check::examples_too_long(&command()), Vec::<String>::new());
    }

    #[test]
    fn a_key_is_found_by_project_and_by_name() {
        let key = Candidate::of_key("release", "tags", "Tags");
        assert!(key.begins_with("") && key.begins_with("release/t") && key.begins_with("ta"));
        assert!(!key.begins_with("x"));
        assert!(!Candidate::of("a\u{1b}[2J").begins_with("a"));
    }
}
