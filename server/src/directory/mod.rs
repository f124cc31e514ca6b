//! Users, service accounts, groups, projects and environments: the rules of seeing and changing them, without HTTP.
//!
//! Each change is one transaction, in which its author is judged, and which records it.

mod environments;
mod error;
mod groups;
mod projects;
mod separation;
mod service_accounts;
mod users;

use sealcard_api::ids::{PrincipalId, ProjectId};
use sealcard_policy::{Action, PrincipalKind};
use sealcard_record::{Draft, Event, Named, event::Via};

pub(crate) use error::DirectoryError;
pub(crate) use projects::NewProject;
pub(crate) use service_accounts::NewToken;
pub(crate) use users::{NewUser, UserChange};

use crate::{
    authn::Caller,
    storage::{MentionKind, RulesNaming, Store, WriteTx},
};

/// The people, programs, groups and projects of a server. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    store: Store,
    /// Whether somebody may give themselves the use of keys.
    allow_self_grants: bool,
}

/// Who makes a change.
#[derive(Debug, Clone)]
pub enum Author {
    /// Somebody with a grant.
    Caller(Box<Caller>),
    /// `sealcard-server init`, before there is anybody.
    Init,
}

type Result<T> = std::result::Result<T, DirectoryError>;

impl Directory {
    /// The directory in `store`.
    #[must_use]
    pub const fn new(store: Store, allow_self_grants: bool) -> Self {
        Self { store, allow_self_grants }
    }

    /// Makes a change in one transaction, in which the author must be allowed to do `action`.
    async fn change<T: Send + 'static>(
        &self,
        author: Author,
        action: &'static [Action],
        project: Option<ProjectId>,
        job: impl FnOnce(&mut WriteTx, &Author) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.store
            .write(move |tx| {
                if let Author::Caller(caller) = &author {
                    caller.authorization(action).check(tx, project)?;
                }
                job(tx, &author)
            })
            .await
    }
}

impl Author {
    fn draft(&self, event: Event) -> Draft {
        match self {
            Self::Caller(caller) => caller.draft(event),
            Self::Init => Draft::of_server(event),
        }
    }

    /// The author, if it is a person with a grant.
    fn person(&self) -> Option<Named<PrincipalId>> {
        match self {
            Self::Caller(caller) if caller.kind == PrincipalKind::User => {
                Some(Named::new(caller.principal, &caller.name))
            }
            Self::Caller(_) | Self::Init => None,
        }
    }

    const fn via(&self) -> Option<Via> {
        match self {
            Self::Caller(_) => None,
            Self::Init => Some(Via::Init),
        }
    }

    /// In how many projects the author may use keys.
    fn usable_projects(&self, tx: &mut WriteTx) -> Result<i64> {
        match self {
            Self::Caller(caller) => Ok(tx.usable_projects(caller.principal)?),
            Self::Init => Ok(0),
        }
    }

    /// Refuses a change by which its author could use keys of more projects than `before` it: another person has to
    /// make it.
    fn expect_no_self_grant(&self, tx: &mut WriteTx, before: i64, allowed: bool) -> Result<()> {
        let Self::Caller(caller) = self else { return Ok(()) };
        if self.usable_projects(tx)? > before {
            let decision = caller.decide(sealcard_policy::Roles::NONE, Action::GiveOneselfKeys { allowed });
            if !decision.allowed() {
                return Err(DirectoryError::Denied(decision));
            }
        }
        Ok(())
    }
}

/// Refuses to rename or remove what rules for the uses of keys name: they would not hold any more.
fn expect_unnamed(tx: &mut WriteTx, kind: MentionKind, name: &str) -> Result<()> {
    let naming = tx.rules_naming(kind, name)?;
    refuse_if_named(&format!("The {kind} {name}"), &naming).map_err(DirectoryError::Conflict)
}

/// The sentence that names the rules.
pub(crate) fn refuse_if_named(what: &str, naming: &[RulesNaming]) -> std::result::Result<(), String> {
    if naming.is_empty() {
        return Ok(());
    }
    let naming: Vec<String> = naming.iter().map(ToString::to_string).collect();
    Err(format!("{what} is named by {}: change them first.", naming.join(", ")))
}

impl From<Caller> for Author {
    fn from(caller: Caller) -> Self {
        Self::Caller(Box::new(caller))
    }
}

const MANAGE_SERVER: &[Action] = &[Action::ManageServer];
const MANAGE_PROJECT: &[Action] = &[Action::ManageProject];
