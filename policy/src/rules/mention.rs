//! What rules name outside of their text.

use std::collections::BTreeMap;

use cedar_policy::EntityUid;

use super::{
    fields::{Fields, Name},
    flow::{ApprovalField, Flow},
};

/// What a rule names outside of its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// What it is.
    pub kind: MentionKind,
    /// Its name. A key's is `PROJECT/NAME`.
    pub name: String,
}

/// What rules name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MentionKind {
    /// A user.
    User,
    /// A service account.
    ServiceAccount,
    /// A group.
    Group,
    /// A project.
    Project,
    /// An environment.
    Environment,
    /// A key.
    Key,
}

impl MentionKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::User, Self::ServiceAccount, Self::Group, Self::Project, Self::Environment, Self::Key];

    /// The name, as messages write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service account",
            Self::Group => "group",
            Self::Project => "project",
            Self::Environment => "environment",
            Self::Key => "key",
        }
    }

    /// The entity type in Cedar.
    #[must_use]
    pub const fn entity_type(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::ServiceAccount => "ServiceAccount",
            Self::Group => "Group",
            Self::Project => "Project",
            Self::Environment => "Environment",
            Self::Key => "Key",
        }
    }
}

impl Fields {
    pub(super) fn mentions(&self) -> Vec<Mention> {
        let who = self.who.iter().flat_map(|who| {
            let named = |kind, names: &[Name]| -> Vec<Mention> {
                names.iter().map(|name| Mention { kind, name: name.to_string() }).collect()
            };
            [
                named(MentionKind::Group, &who.groups),
                named(MentionKind::User, &who.users),
                named(MentionKind::ServiceAccount, &who.service_accounts),
            ]
            .concat()
        });
        let stages = match &self.approval {
            Some(ApprovalField::Stages(stages)) => stages.clone(),
            Some(ApprovalField::Flow(_)) | None => Vec::new(),
        };
        let flow = Flow::of(stages);
        who.chain(flow.groups().map(|name| Mention { kind: MentionKind::Group, name })).collect()
    }
}

pub(super) fn flow_mentions(flows: &BTreeMap<String, Flow>) -> impl Iterator<Item = Mention> {
    flows.values().flat_map(Flow::groups).map(|name| Mention { kind: MentionKind::Group, name })
}

pub(super) fn sorted(mut mentions: Vec<Mention>) -> Vec<Mention> {
    mentions.sort_unstable();
    mentions.dedup();
    mentions
}

pub(super) fn mention_of(uid: &EntityUid) -> Option<Mention> {
    let type_name = uid.type_name().to_string();
    let kind = MentionKind::ALL.into_iter().find(|kind| kind.entity_type() == type_name)?;
    Some(Mention { kind, name: uid.id().unescaped().to_owned() })
}
