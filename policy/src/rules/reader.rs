//! Reading the TOML of documents and templates, with everything that is wrong.

use std::{collections::BTreeMap, ops::Range, str::FromStr as _};

use ipnet::IpNet;
use sealcard_api::algorithm::HashAlgorithm;
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Spanned;

use super::{
    MAX_TEXT,
    changes::{ChangeDemand, ChangeDemands, ChangeKind},
    diagnostic::Diagnostic,
    fields::{Fields, HostPattern, Logins, Name, NetworkRef, QuotaField, Requirement, Who},
    flow::{ApprovalField, Flow, stages_fault},
    tool::Tool,
    window::{self, Hours},
};
use crate::KeyOperation;

/// The most rules, tools or networks in one text.
const MAX_TABLES: usize = 100;

/// The most items of one list.
const MAX_ITEMS: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDocument {
    #[serde(default)]
    pub(super) rule: BTreeMap<String, Spanned<RawRule>>,
    #[serde(default)]
    pub(super) template: BTreeMap<String, Spanned<RawRule>>,
    #[serde(default)]
    pub(super) tool: BTreeMap<String, Spanned<Tool>>,
    #[serde(default)]
    pub(super) network: BTreeMap<String, Spanned<RawNetwork>>,
    #[serde(default)]
    pub(super) flow: BTreeMap<String, Spanned<Flow>>,
    pub(super) changes: Option<Spanned<BTreeMap<Spanned<ChangeKind>, Spanned<ChangeDemand>>>>,
    pub(super) cedar: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRule {
    pub(super) description: Option<String>,
    pub(super) template: Option<Spanned<Name>>,
    pub(super) visible_to: Option<Spanned<Vec<Name>>>,
    pub(super) adjustable: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) operations: Option<Spanned<Vec<KeyOperation>>>,
    pub(super) hashes: Option<Spanned<Vec<Hash>>>,
    pub(super) who: Option<Spanned<Who>>,
    pub(super) networks: Option<Spanned<Vec<Spanned<NetworkRef>>>>,
    pub(super) hours: Option<Spanned<HoursList>>,
    pub(super) tools: Option<Spanned<Vec<Spanned<Name>>>>,
    pub(super) hosts: Option<Spanned<Vec<HostPattern>>>,
    pub(super) logins: Option<Spanned<Logins>>,
    pub(super) quota: Option<Spanned<Vec<QuotaField>>>,
    pub(super) approval: Option<Spanned<ApprovalField>>,
    pub(super) require: Option<Spanned<Vec<Requirement>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNetwork {
    pub(super) ranges: Vec<NetworkRange>,
}

pub(super) struct Hash(HashAlgorithm);

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        HashAlgorithm::from_str(&name).map(Self).map_err(D::Error::custom)
    }
}

pub(super) struct NetworkRange(IpNet);

impl<'de> Deserialize<'de> for NetworkRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::network::parse(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
pub(super) struct HoursList(#[serde(deserialize_with = "window::one_or_more")] Vec<Hours>);

pub(super) fn parse(text: &str) -> Result<RawDocument, Vec<Diagnostic>> {
    if text.len() > MAX_TEXT {
        let message = format!("the text has {} bytes; {MAX_TEXT} are allowed", text.len());
        return Err(vec![Diagnostic::at(text, 0..0, message)]);
    }
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        vec![Diagnostic::at(text, span, error.message().trim_end_matches('.'))]
    })
}

/// Tables of tools, networks and flows.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) tools: &'a BTreeMap<String, Tool>,
    pub(super) networks: &'a BTreeMap<String, Vec<IpNet>>,
    pub(super) flows: &'a BTreeMap<String, Flow>,
}

/// Gathers what is wrong.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) found: Vec<Diagnostic>,
}

impl Reader<'_> {
    pub(super) fn wrong(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.found.push(Diagnostic::at(self.text, span, message));
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, Vec<Diagnostic>> {
        if self.found.is_empty() { Ok(value) } else { Err(self.found) }
    }

    pub(super) fn name(&mut self, what: &str, name: &str, span: &Range<usize>) {
        if let Err(error) = Name::from_str(name) {
            self.wrong(span.clone(), format!("the {what} {error}"));
        }
    }

    pub(super) fn count(&mut self, what: &str, count: usize, span: Range<usize>) {
        if count > MAX_TABLES {
            self.wrong(span, format!("{count} {what}; {MAX_TABLES} are allowed"));
        }
    }

    pub(super) fn tools(&mut self, tools: BTreeMap<String, Spanned<Tool>>) -> BTreeMap<String, Tool> {
        self.count("tools", tools.len(), 0..0);
        for (name, tool) in &tools {
            self.name("tool", name, &tool.span());
            if tool.get_ref().is_empty() {
                self.wrong(tool.span(), format!("the tool {name} needs one of path, sha256 and command"));
            }
        }
        tools.into_iter().map(|(name, tool)| (name, tool.into_inner())).collect()
    }

    pub(super) fn networks(&mut self, networks: BTreeMap<String, Spanned<RawNetwork>>) -> BTreeMap<String, Vec<IpNet>> {
        self.count("networks", networks.len(), 0..0);
        for (name, network) in &networks {
            self.name("network", name, &network.span());
            self.list("ranges", network.get_ref().ranges.len(), &network.span());
        }
        let ranges = |network: Spanned<RawNetwork>| network.into_inner().ranges.into_iter().map(|net| net.0).collect();
        networks.into_iter().map(|(name, network)| (name, ranges(network))).collect()
    }

    pub(super) fn flows(&mut self, flows: BTreeMap<String, Spanned<Flow>>) -> BTreeMap<String, Flow> {
        self.count("flows", flows.len(), 0..0);
        for (name, flow) in &flows {
            self.name("flow", name, &flow.span());
            if let Some(fault) = flow.get_ref().fault() {
                self.wrong(flow.span(), format!("the flow {name} {fault}"));
            }
        }
        flows.into_iter().map(|(name, flow)| (name, flow.into_inner())).collect()
    }

    pub(super) fn changes(
        &mut self,
        changes: BTreeMap<Spanned<ChangeKind>, Spanned<ChangeDemand>>,
        flows: &BTreeMap<String, Flow>,
    ) -> ChangeDemands {
        for (kind, demand) in &changes {
            if !ChangeKind::OF_PROJECT.contains(kind.get_ref()) {
                let known = ChangeKind::OF_PROJECT.map(ChangeKind::name).join(", ");
                let message = format!("a project can't make demands of changes of {}", kind.get_ref().name());
                self.found.push(Diagnostic::at(self.text, kind.span(), message).help(format!("name some of: {known}")));
            }
            if let ChangeDemand::Flow(name) = demand.get_ref()
                && !flows.contains_key(name.as_str())
            {
                self.undefined("flow", name, demand.span(), flows.keys());
            }
        }
        changes.into_iter().map(|(kind, demand)| (kind.into_inner(), demand.into_inner())).collect()
    }

    pub(super) fn list(&mut self, field: &str, items: usize, span: &Range<usize>) {
        if items == 0 {
            let message = format!("{field} is empty, so nothing would be allowed: leave it out to ask for nothing");
            self.wrong(span.clone(), message);
        } else if items > MAX_ITEMS {
            self.wrong(span.clone(), format!("{field} has {items} items; {MAX_ITEMS} are allowed"));
        }
    }

    /// The fields, and where they are. `named` are the tools, networks and flows that can be named.
    pub(super) fn fields(
        &mut self,
        raw: RawRule,
        named: Option<Named<'_>>,
    ) -> (Fields, BTreeMap<&'static str, Range<usize>>) {
        let mut spans = BTreeMap::new();
        if let Some(Named { tools, networks, flows }) = named {
            for name in raw.tools.iter().flat_map(|tools| tools.get_ref()) {
                if !tools.contains_key(name.get_ref().as_str()) {
                    self.undefined("tool", name.get_ref(), name.span(), tools.keys());
                }
            }
            for network in raw.networks.iter().flat_map(|networks| networks.get_ref()) {
                if let NetworkRef::Named(name) = network.get_ref()
                    && !networks.contains_key(name.as_str())
                {
                    self.undefined("network", name, network.span(), networks.keys());
                }
            }
            if let Some(approval) = &raw.approval
                && let ApprovalField::Flow(name) = approval.get_ref()
                && !flows.contains_key(name.as_str())
            {
                self.undefined("flow", name, approval.span(), flows.keys());
            }
        }
        let mut place = |name: &'static str, span: Range<usize>, items: Option<usize>| {
            if let Some(items) = items {
                self.list(name, items, &span);
            }
            spans.insert(name, span);
        };
        macro_rules! take {
            ($field:expr, $name:literal) => {
                $field.map(|value| {
                    place($name, value.span(), Some(value.get_ref().len()));
                    value.into_inner()
                })
            };
        }
        let fields = Fields {
            operations: take!(raw.operations, "operations").map(|list| list.into_iter().collect()),
            hashes: take!(raw.hashes, "hashes").map(|list| list.into_iter().map(|hash| hash.0).collect()),
            who: raw.who.map(|who| {
                let Who { groups, users, service_accounts } = who.get_ref();
                place("who", who.span(), Some(groups.len() + users.len() + service_accounts.len()));
                who.into_inner()
            }),
            networks: take!(raw.networks, "networks").map(unspanned),
            hours: raw.hours.map(|hours| {
                place("hours", hours.span(), Some(hours.get_ref().0.len()));
                hours.into_inner().0
            }),
            tools: take!(raw.tools, "tools").map(unspanned),
            hosts: take!(raw.hosts, "hosts"),
            logins: raw.logins.map(|logins| {
                let Logins { methods, max_age } = logins.get_ref();
                let items = methods.as_ref().map_or(usize::from(max_age.is_some()), Vec::len);
                place("logins", logins.span(), Some(items));
                logins.into_inner()
            }),
            quota: take!(raw.quota, "quota"),
            approval: take!(raw.approval, "approval"),
            require: take!(raw.require, "require").map(|list| list.into_iter().collect()),
        };
        if let (Some(ApprovalField::Stages(stages)), Some(span)) = (&fields.approval, spans.get("approval"))
            && let Some(fault) = stages_fault(stages)
        {
            self.found.push(Diagnostic::at(self.text, span.clone(), format!("approval {fault}")));
        }
        if let (Some(quota), Some(span)) = (&fields.quota, spans.get("quota")) {
            let mut seen = Vec::new();
            for one in quota {
                if seen.contains(&(one.per, one.window)) {
                    let message = format!("two quotas per {} in {}", one.per.name(), one.window);
                    self.found.push(Diagnostic::at(self.text, span.clone(), message));
                }
                seen.push((one.per, one.window));
            }
        }
        (fields, spans)
    }

    fn undefined<'n>(&mut self, what: &str, name: &Name, span: Range<usize>, known: impl Iterator<Item = &'n String>) {
        let known: Vec<&str> = known.map(String::as_str).collect();
        let help = if known.is_empty() {
            format!("define it with [{what}.{name}]")
        } else {
            format!("define it with [{what}.{name}], or use one of: {}", known.join(", "))
        };
        self.found.push(Diagnostic::at(self.text, span, format!("there is no {what} {name} here")).help(help));
    }
}

fn unspanned<T>(list: Vec<Spanned<T>>) -> Vec<T> {
    list.into_iter().map(Spanned::into_inner).collect()
}
