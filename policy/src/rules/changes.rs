//! Changes that need a second person, or time.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::fields::{Name, Span};

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Who has which role in a project, directly or by a group.
    Members,
    /// The rules of a project and of its keys.
    Rules,
    /// The keys of a project: new ones, and their states.
    Keys,
    /// A project's name and settings, or that there is one.
    Projects,
    /// Users, and their system roles.
    Users,
    /// A user's password, by somebody else.
    Passwords,
    /// Service accounts and their tokens.
    ServiceAccounts,
    /// Groups and their members.
    Groups,
    /// The rules of an environment.
    Environments,
    /// Templates.
    Templates,
}

impl ChangeKind {
    /// The kinds that a project's rules can make a demand of.
    pub const OF_PROJECT: [Self; 4] = [Self::Members, Self::Rules, Self::Keys, Self::Projects];

    /// The name in rules and in the server's configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Rules => "rules",
            Self::Keys => "keys",
            Self::Projects => "projects",
            Self::Users => "users",
            Self::Passwords => "passwords",
            Self::ServiceAccounts => "service-accounts",
            Self::Groups => "groups",
            Self::Environments => "environments",
            Self::Templates => "templates",
        }
    }
}

/// What a change of a project needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeDemand {
    /// A flow of the same rules must be passed.
    Flow(Name),
    /// So much time must pass, and all owners are told.
    Delay(Span),
}

impl<'de> Deserialize<'de> for ChangeDemand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Delay {
            delay: Span,
        }

        struct Expected;

        impl<'de> Visitor<'de> for Expected {
            type Value = ChangeDemand;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a flow, or { delay = \"24h\" }")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ChangeDemand, E> {
                name.parse().map(ChangeDemand::Flow).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ChangeDemand, A::Error> {
                Delay::deserialize(MapAccessDeserializer::new(map)).map(|Delay { delay }| ChangeDemand::Delay(delay))
            }
        }

        deserializer.deserialize_any(Expected)
    }
}

/// The demands of one project.
pub type ChangeDemands = BTreeMap<ChangeKind, ChangeDemand>;
