//! Flows: who must approve a use, in which order.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor, value::SeqAccessDeserializer},
};

use super::fields::{Name, Span, positive};
use crate::{Approvers, Role};

/// The most stages of a flow.
pub const MAX_STAGES: usize = 10;

/// A flow: all its stages must be passed, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flow {
    /// The stages, at least one.
    pub stages: Vec<Stage>,
    /// Groups whose members may reject a request at any stage, though they don't approve.
    #[serde(default)]
    pub veto: Vec<Name>,
    /// How long the requester's program waits. Absent: the server's default.
    pub wait: Option<Span>,
    /// After how long a request that is not decided expires. Absent: the server's default.
    pub expires: Option<Span>,
    /// Within how long an approval must be used. Absent: the server's default.
    pub use_within: Option<Span>,
    /// What may be approved in advance. Absent: the server's defaults.
    pub pre_approval: Option<PreApprovalLimits>,
    /// A shorter way for emergencies. Absent: there is none.
    pub break_glass: Option<BreakGlass>,
}

/// A part of a flow: so many people of a group, or with a role, approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Who may approve.
    pub by: Approvers,
    /// So many of them, at least one.
    pub count: u32,
}

/// What may be approved in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PreApprovalLimits {
    /// The most uses. 0: nothing may be approved in advance. Absent: the server's default.
    pub uses: Option<u32>,
    /// The longest time. Absent: the server's default.
    pub window: Option<Span>,
    /// Whether the number of uses may be left open. The time never is.
    #[serde(default)]
    pub unlimited: bool,
}

/// A shorter way for emergencies.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BreakGlass {
    /// Who must approve.
    pub stages: Vec<Stage>,
    /// For how long the key may be used then.
    pub window: Span,
    /// How often it may be used then.
    #[serde(deserialize_with = "positive")]
    pub uses: u32,
}

impl Flow {
    /// A flow of these stages, with the server's defaults for everything else.
    #[must_use]
    pub const fn of(stages: Vec<Stage>) -> Self {
        Self {
            stages,
            veto: Vec::new(),
            wait: None,
            expires: None,
            use_within: None,
            pre_approval: None,
            break_glass: None,
        }
    }

    /// All groups that it names.
    pub(super) fn groups(&self) -> impl Iterator<Item = String> {
        let emergency = self.break_glass.iter().flat_map(|short| &short.stages);
        let stages = self.stages.iter().chain(emergency).filter_map(|stage| match &stage.by {
            Approvers::Group(name) => Some(name.clone()),
            Approvers::Role(_) => None,
        });
        stages.chain(self.veto.iter().map(ToString::to_string))
    }

    /// What is wrong with its stages, as the end of a sentence that begins with its name.
    pub(super) fn fault(&self) -> Option<String> {
        let emergency = self.break_glass.as_ref().map(|short| short.stages.as_slice());
        std::iter::once(self.stages.as_slice()).chain(emergency).find_map(stages_fault)
    }
}

/// What is wrong with stages. Two stages of the same people would be one with a larger count.
pub(super) fn stages_fault(stages: &[Stage]) -> Option<String> {
    if stages.is_empty() {
        return Some("has no stage, so nobody could approve".to_owned());
    }
    if stages.len() > MAX_STAGES {
        return Some(format!("has {} stages; {MAX_STAGES} are allowed", stages.len()));
    }
    let twice = stages.iter().enumerate().find(|(at, stage)| stages.iter().take(*at).any(|one| one.by == stage.by));
    twice.map(|(_, stage)| format!("has two stages for {}: write one with a larger count", stage.by))
}

/// The field `approval` of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalField {
    /// Stages, with the server's defaults for everything else.
    Stages(Vec<Stage>),
    /// The name of a `[flow.NAME]`.
    Flow(Name),
}

impl ApprovalField {
    /// How many items it has: a name is one.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Stages(stages) => stages.len(),
            Self::Flow(_) => 1,
        }
    }
}

impl<'de> Deserialize<'de> for ApprovalField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expected;

        impl<'de> Visitor<'de> for Expected {
            type Value = ApprovalField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of stages such as [{ group = \"approvers\", count = 2 }], or the name of a flow")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ApprovalField, E> {
                name.parse().map(ApprovalField::Flow).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<ApprovalField, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(ApprovalField::Stages)
            }
        }

        deserializer.deserialize_any(Expected)
    }
}

impl<'de> Deserialize<'de> for Stage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        struct Raw {
            group: Option<Name>,
            role: Option<Role>,
            #[serde(deserialize_with = "positive", default = "one")]
            count: u32,
        }

        const fn one() -> u32 {
            1
        }

        let Raw { group, role, count } = Raw::deserialize(deserializer)?;
        let by = match (group, role) {
            (Some(group), None) => Approvers::Group(group.to_string()),
            (None, Some(role)) => Approvers::Role(role),
            _ => return Err(D::Error::custom("a stage has either group = \"NAME\" or role = \"approver\"")),
        };
        Ok(Self { by, count })
    }
}
