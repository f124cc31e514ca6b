//! Why a rule forbids, in words.

use super::compile::Check;
use crate::{Demand, Facts};

impl Check {
    /// What the rule wants: the part of a sentence that follows its name.
    pub(super) fn wants(&self) -> String {
        match self {
            Self::Operations(allowed) => format!("allows only to {}", list(allowed.iter(), "or")),
            Self::Hashes(hashes) => format!("allows only digests by {}", list(hashes.iter(), "or")),
            Self::Who(who) => {
                let named = |what: &str, names: &[super::fields::Name]| -> Option<String> {
                    let plural = if names.len() == 1 { "" } else { "s" };
                    (!names.is_empty()).then(|| format!("{what}{plural} {}", list(names.iter(), "or")))
                };
                let parts = [
                    named("member", &[]),
                    (!who.groups.is_empty()).then(|| format!("members of {}", list(who.groups.iter(), "or"))),
                    named("user", &who.users),
                    named("service account", &who.service_accounts),
                ];
                format!("allows only {}", list(parts.iter().flatten(), "or"))
            }
            Self::Networks(networks) => format!("allows only clients in {}", list(networks.iter(), "or")),
            Self::Hours(hours) => format!("allows uses only {}", list(hours.iter(), "or")),
            Self::Tools(tools) => format!("allows only the tool {}", list(tools.iter(), "or")),
            Self::Hosts(hosts) => format!("allows only hosts named {}", list(hosts.iter(), "or")),
            Self::LoginMethods(methods) => {
                format!("allows only logins by {}", list(methods.iter().map(|method| method.name()), "or"))
            }
            Self::LoginAge(age) => format!("allows only logins of the last {age}"),
            Self::Quota(quota) => format!("allows {quota}"),
            Self::Demand(demand) => demand_text(demand),
            Self::Withdrawn(template) => format!("links to the template {template}, which was withdrawn"),
            Self::Free { reason: Some(reason), .. } => format!("forbids it: {reason}"),
            Self::Free { reason: None, demand: Some(demand) } => demand_text(demand),
            Self::Free { reason: None, demand: None } => "forbids it".to_owned(),
        }
    }

    /// What the rule saw instead.
    pub(super) fn saw(&self, facts: &Facts) -> Option<String> {
        let claims = &facts.request.claims;
        match self {
            Self::Hashes(_) => facts.request.hash.map(|hash| format!("this one is by {}", hash.name())),
            Self::Who(_) => Some(format!("you are {}", facts.principal.name)),
            Self::Networks(_) => Some(match facts.request.address {
                Some(address) => format!("your address is {}", address.to_canonical()),
                None => "your address is not known".to_owned(),
            }),
            Self::Hours(_) if facts.request.clock_in_doubt => Some(
                "the server's clock jumped, so no time window counts as open until an administrator confirms the clock"
                    .to_owned(),
            ),
            Self::Hours(hours) => hours.first().map(|hours| format!("it is {} there", hours.shown(facts.now))),
            Self::Tools(_) => Some(match claims.processes.first() {
                None => "the workstation did not say which tool asked".to_owned(),
                Some(_) => {
                    let told = claims.processes.iter().filter_map(|process| {
                        process.command.as_ref().or(process.path.as_ref()).map(|text| shortened(text))
                    });
                    // The others are what the tools were started from.
                    let seen = told.take(PROCESSES);
                    format!("the programs that asked are {}", list(seen, "and"))
                }
            }),
            Self::Hosts(_) => Some(match &claims.host {
                Some(host) => format!("your host is {host}"),
                None => "the workstation did not say its name".to_owned(),
            }),
            Self::LoginMethods(_) => None,
            Self::LoginAge(_) => Some("log in again".to_owned()),
            Self::Quota(quota) => Some(format!("nothing is left until {}", quota.window_end(facts.now))),
            Self::Demand(demand) | Self::Free { demand: Some(demand), .. } => demand_advice(demand),
            Self::Operations(_) | Self::Withdrawn(_) | Self::Free { .. } => None,
        }
    }

    /// What would help, if the check names it.
    pub(super) fn demand(&self) -> Option<Demand> {
        match self {
            Self::Demand(demand) | Self::Free { demand: Some(demand), .. } => Some(demand.clone()),
            _ => None,
        }
    }
}

fn demand_text(demand: &Demand) -> String {
    match demand {
        Demand::Approval(approval) => format!("wants {approval}"),
        Demand::Justification => "wants a justification".to_owned(),
        Demand::SecondFactor => "wants a second factor".to_owned(),
        Demand::VerifiedContent => "wants to see the content".to_owned(),
        Demand::Other(name) => format!("demands {name}"),
    }
}

/// How a demand can be met, as far as this version can.
fn demand_advice(demand: &Demand) -> Option<String> {
    match demand {
        Demand::Justification => Some("give one with SEALCARD_JUSTIFICATION or `sealcard justify TEXT`".to_owned()),
        Demand::Approval(_) => None,
        Demand::SecondFactor | Demand::VerifiedContent | Demand::Other(_) => {
            Some("this server has no way to meet that, so it denies".to_owned())
        }
    }
}

/// The most programs in a reason.
const PROCESSES: usize = 3;

/// The longest command line in a reason, in characters.
const SHOWN: usize = 60;

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return format!("`{text}`");
    }
    format!("`{}…`", text.chars().take(SHOWN).collect::<String>())
}

/// `a`, `a or b`, `a, b or c`.
fn list<T: ToString>(items: impl Iterator<Item = T>, word: &str) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    match items.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}
