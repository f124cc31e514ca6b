//! Documents and templates as people write them.

use std::{collections::BTreeMap, ops::Range, str::FromStr};

use cedar_policy::{EntityUid, Policy};
use ipnet::IpNet;
use sealcard_api::algorithm::HashAlgorithm;
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Spanned;

use super::{
    MAX_TEXT,
    check::{FreeCedar, free_cedar},
    diagnostic::Diagnostic,
    fields::{Approval, Fields, HostPattern, Logins, Name, NetworkRef, QuotaField, Requirement, Who},
    tool::Tool,
    window::{self, Hours},
};
use crate::KeyOperation;

/// The most rules, tools or networks in one text.
const MAX_TABLES: usize = 100;

/// The most items of one list.
const MAX_ITEMS: usize = 200;

/// Names that rules use for documents, see [`Scope::prefix`].
const RESERVED: [&str; 3] = ["environment", "project", "key"];

/// A rule document of an environment, project or key.
#[derive(Debug, Clone)]
pub struct Document {
    pub(super) text: String,
    pub(super) rules: Vec<(String, Rule)>,
    pub(super) tools: BTreeMap<String, Tool>,
    pub(super) networks: BTreeMap<String, Vec<IpNet>>,
    pub(super) cedar: Vec<Policy>,
}

/// A rule of a document.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) fields: Fields,
    /// The template that it links to.
    pub(super) template: Option<String>,
    /// Where the rule's name is.
    pub(super) span: Range<usize>,
    /// Where its fields are.
    pub(super) spans: BTreeMap<&'static str, Range<usize>>,
}

/// A template, with the tools and networks that it names.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    pub(super) fields: Fields,
    pub(super) tools: BTreeMap<String, Tool>,
    pub(super) networks: BTreeMap<String, Vec<IpNet>>,
    /// The fields that a link may set although the template sets them.
    pub(super) adjustable: Vec<String>,
    visible_to: Vec<String>,
    description: Option<String>,
}

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocument {
    #[serde(default)]
    rule: BTreeMap<String, Spanned<RawRule>>,
    #[serde(default)]
    template: BTreeMap<String, Spanned<RawRule>>,
    #[serde(default)]
    tool: BTreeMap<String, Spanned<Tool>>,
    #[serde(default)]
    network: BTreeMap<String, Spanned<RawNetwork>>,
    cedar: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRule {
    description: Option<String>,
    template: Option<Spanned<Name>>,
    visible_to: Option<Spanned<Vec<Name>>>,
    adjustable: Option<Spanned<Vec<Spanned<String>>>>,
    operations: Option<Spanned<Vec<KeyOperation>>>,
    hashes: Option<Spanned<Vec<Hash>>>,
    who: Option<Spanned<Who>>,
    networks: Option<Spanned<Vec<Spanned<NetworkRef>>>>,
    hours: Option<Spanned<HoursList>>,
    tools: Option<Spanned<Vec<Spanned<Name>>>>,
    hosts: Option<Spanned<Vec<HostPattern>>>,
    logins: Option<Spanned<Logins>>,
    quota: Option<Spanned<Vec<QuotaField>>>,
    approval: Option<Spanned<Vec<Approval>>>,
    require: Option<Spanned<Vec<Requirement>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNetwork {
    ranges: Vec<NetworkRange>,
}

struct Hash(HashAlgorithm);

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        HashAlgorithm::from_str(&name).map(Self).map_err(D::Error::custom)
    }
}

struct NetworkRange(IpNet);

impl<'de> Deserialize<'de> for NetworkRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::network::parse(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
struct HoursList(#[serde(deserialize_with = "window::one_or_more")] Vec<Hours>);

/// The names of a rule's fields, in the order in which they are checked.
pub(super) const FIELDS: [&str; 11] =
    ["operations", "hashes", "who", "networks", "hours", "tools", "hosts", "logins", "quota", "approval", "require"];

impl Document {
    /// Reads a document. Templates that it links to and names outside of it are not looked up.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let raw = parse(text)?;
        let mut found = Vec::new();
        if let Some((name, template)) = raw.template.iter().next() {
            let message = format!("[template.{name}] can't be part of the rules of an environment, project or key");
            found.push(
                Diagnostic::at(text, template.span(), message)
                    .help("apply templates with `sealcard admin template apply`, and link one with template = \"…\""),
            );
        }
        let mut reader = Reader { text, found };
        let tools = reader.tools(raw.tool);
        let networks = reader.networks(raw.network);
        reader.count("rules", raw.rule.len(), 0..0);
        let mut rules = Vec::new();
        for (name, rule) in raw.rule {
            let span = rule.span();
            reader.name("rule", &name, &span);
            if name == "cedar" {
                reader.wrong(span.clone(), "a rule can't be named cedar: free Cedar has that name");
            }
            let raw = rule.into_inner();
            for (given, field) in [
                (raw.visible_to.as_ref().map(Spanned::span), "visible-to"),
                (raw.adjustable.as_ref().map(Spanned::span), "adjustable"),
            ] {
                if let Some(span) = given {
                    reader.wrong(span, format!("{field} is for templates only"));
                }
            }
            // A link's names may be those of the template, which is not here.
            let strict = raw.template.is_none();
            let template = raw.template.as_ref().map(|name| name.get_ref().to_string());
            let (fields, spans) = reader.fields(raw, strict.then_some((&tools, &networks)));
            if template.is_none() && spans.is_empty() {
                reader.wrong(span.clone(), format!("the rule {name} asks for nothing"));
            }
            rules.push((name, Rule { fields, template, span, spans }));
        }
        let cedar = match &raw.cedar {
            None => Vec::new(),
            Some(cedar) => match free_cedar(&FreeCedar::new(text, cedar.span(), cedar.get_ref())) {
                Ok(policies) => policies,
                Err(wrong) => {
                    reader.found.extend(wrong);
                    Vec::new()
                }
            },
        };
        reader.finish(Self { text: text.to_owned(), rules, tools, networks, cedar })
    }

    /// Whether it has no rules at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.cedar.is_empty()
    }

    /// The templates that it links to, each with the place of the link.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|(_, rule)| rule.template.as_deref())
    }

    /// What it names outside of its text, sorted, each once.
    #[must_use]
    pub fn mentions(&self) -> Vec<Mention> {
        let mut mentions: Vec<Mention> = self.rules.iter().flat_map(|(_, rule)| rule.fields.mentions()).collect();
        mentions.extend(self.cedar.iter().flat_map(Policy::entity_literals).filter_map(|uid| mention_of(&uid)));
        sorted(mentions)
    }
}

impl Template {
    /// Reads the text of one template with its tools and networks.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let raw = parse(text)?;
        let mut reader = Reader { text, found: Vec::new() };
        if let Some((name, rule)) = raw.rule.iter().next() {
            reader.wrong(rule.span(), format!("[rule.{name}] can't be part of a template: write [template.{name}]"));
        }
        if let Some(cedar) = &raw.cedar {
            reader.wrong(cedar.span(), "a template has no Cedar of its own: write it into the rules that link to it");
        }
        let tools = reader.tools(raw.tool);
        let networks = reader.networks(raw.network);
        let mut templates = raw.template.into_iter();
        let (Some((name, rule)), None) = (templates.next(), templates.next()) else {
            reader.wrong(0..0, "one [template.NAME] is needed");
            return Err(reader.found);
        };
        let span = rule.span();
        reader.name("template", &name, &span);
        if RESERVED.contains(&name.as_str()) {
            reader.wrong(span.clone(), format!("a template can't be named {name}"));
        }
        let raw = rule.into_inner();
        if let Some(link) = &raw.template {
            reader.wrong(link.span(), "a template can't link to another one");
        }
        let adjustable = raw.adjustable.as_ref().map(|list| list.get_ref().clone()).unwrap_or_default();
        for field in &adjustable {
            if !FIELDS.contains(&field.get_ref().as_str()) {
                let message = format!("{:?} is no field of a rule: {}", field.get_ref(), FIELDS.join(", "));
                reader.wrong(field.span(), message);
            }
        }
        let names = |list: &Spanned<Vec<Name>>| list.get_ref().iter().map(ToString::to_string).collect();
        let visible_to = raw.visible_to.as_ref().map(names).unwrap_or_default();
        let description = raw.description.clone();
        let (fields, spans) = reader.fields(raw, Some((&tools, &networks)));
        if spans.is_empty() {
            reader.wrong(span, format!("the template {name} asks for nothing"));
        }
        let adjustable = adjustable.into_iter().map(Spanned::into_inner).collect();
        reader.finish(Self { name, fields, tools, networks, adjustable, visible_to, description })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, in its author's words.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The groups whose members see it and may link to it. Empty: everyone.
    #[must_use]
    pub fn visible_to(&self) -> &[String] {
        &self.visible_to
    }

    /// What it names outside of its text, sorted, each once.
    #[must_use]
    pub fn mentions(&self) -> Vec<Mention> {
        let groups = self.visible_to.iter().map(|name| Mention { kind: MentionKind::Group, name: name.clone() });
        sorted(self.fields.mentions().into_iter().chain(groups).collect())
    }

    /// The Cedar policies that a link to it becomes, for people.
    #[must_use]
    pub fn cedar(&self) -> String {
        super::compile::template_text(self)
    }
}

impl Fields {
    fn mentions(&self) -> Vec<Mention> {
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
        let approvers = self.approval.iter().flatten();
        let approvers =
            approvers.map(|approval| Mention { kind: MentionKind::Group, name: approval.group.to_string() });
        who.chain(approvers).collect()
    }
}

fn sorted(mut mentions: Vec<Mention>) -> Vec<Mention> {
    mentions.sort_unstable();
    mentions.dedup();
    mentions
}

fn mention_of(uid: &EntityUid) -> Option<Mention> {
    let type_name = uid.type_name().to_string();
    let kind = MentionKind::ALL.into_iter().find(|kind| kind.entity_type() == type_name)?;
    Some(Mention { kind, name: uid.id().unescaped().to_owned() })
}

fn parse(text: &str) -> Result<RawDocument, Vec<Diagnostic>> {
    if text.len() > MAX_TEXT {
        let message = format!("the text has {} bytes; {MAX_TEXT} are allowed", text.len());
        return Err(vec![Diagnostic::at(text, 0..0, message)]);
    }
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        vec![Diagnostic::at(text, span, error.message().trim_end_matches('.'))]
    })
}

/// Tables of tools and of networks.
type Named<'a> = (&'a BTreeMap<String, Tool>, &'a BTreeMap<String, Vec<IpNet>>);

/// Gathers what is wrong.
struct Reader<'a> {
    text: &'a str,
    found: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn wrong(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.found.push(Diagnostic::at(self.text, span, message));
    }

    fn finish<T>(self, value: T) -> Result<T, Vec<Diagnostic>> {
        if self.found.is_empty() { Ok(value) } else { Err(self.found) }
    }

    fn name(&mut self, what: &str, name: &str, span: &Range<usize>) {
        if let Err(error) = Name::from_str(name) {
            self.wrong(span.clone(), format!("the {what} {error}"));
        }
    }

    fn count(&mut self, what: &str, count: usize, span: Range<usize>) {
        if count > MAX_TABLES {
            self.wrong(span, format!("{count} {what}; {MAX_TABLES} are allowed"));
        }
    }

    fn tools(&mut self, tools: BTreeMap<String, Spanned<Tool>>) -> BTreeMap<String, Tool> {
        self.count("tools", tools.len(), 0..0);
        for (name, tool) in &tools {
            self.name("tool", name, &tool.span());
            if tool.get_ref().is_empty() {
                self.wrong(tool.span(), format!("the tool {name} needs one of path, sha256 and command"));
            }
        }
        tools.into_iter().map(|(name, tool)| (name, tool.into_inner())).collect()
    }

    fn networks(&mut self, networks: BTreeMap<String, Spanned<RawNetwork>>) -> BTreeMap<String, Vec<IpNet>> {
        self.count("networks", networks.len(), 0..0);
        for (name, network) in &networks {
            self.name("network", name, &network.span());
            self.list("ranges", network.get_ref().ranges.len(), &network.span());
        }
        let ranges = |network: Spanned<RawNetwork>| network.into_inner().ranges.into_iter().map(|net| net.0).collect();
        networks.into_iter().map(|(name, network)| (name, ranges(network))).collect()
    }

    fn list(&mut self, field: &str, items: usize, span: &Range<usize>) {
        if items == 0 {
            let message = format!("{field} is empty, so nothing would be allowed: leave it out to ask for nothing");
            self.wrong(span.clone(), message);
        } else if items > MAX_ITEMS {
            self.wrong(span.clone(), format!("{field} has {items} items; {MAX_ITEMS} are allowed"));
        }
    }

    /// The fields, and where they are. `named` are the tools and networks that can be named.
    fn fields(&mut self, raw: RawRule, named: Option<Named<'_>>) -> (Fields, BTreeMap<&'static str, Range<usize>>) {
        let mut spans = BTreeMap::new();
        if let Some((tools, networks)) = named {
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

impl Rule {
    /// The fields in force: those of the template, and the rule's where the template allows it. `text` is the rule's
    /// document.
    pub(super) fn with_template(&self, name: &str, template: &Template, text: &str) -> Result<Fields, Vec<Diagnostic>> {
        let adjustable = match template.adjustable.as_slice() {
            [] => "it lets links set only fields that it does not set".to_owned(),
            some => format!("of the fields that it sets, it lets links set {}", some.join(", ")),
        };
        let mut wrong = Vec::new();
        macro_rules! merge {
            ($($field:ident),+) => {
                Fields {
                    $($field: match (&self.fields.$field, &template.fields.$field) {
                        (Some(own), Some(_)) if !template.adjustable.iter().any(|field| field == stringify!($field)) => {
                            let field = stringify!($field);
                            let message = format!("the template {} fixes {field} for the rule {name}", template.name);
                            let span = self.spans.get(field).unwrap_or(&self.span).clone();
                            wrong.push(Diagnostic::at(text, span, message).help(&*adjustable));
                            Some(own.clone())
                        }
                        (Some(own), _) => Some(own.clone()),
                        (None, from) => from.clone(),
                    },)+
                }
            };
        }
        let fields = merge!(operations, hashes, who, networks, hours, tools, hosts, logins, quota, approval, require);
        if wrong.is_empty() { Ok(fields) } else { Err(wrong) }
    }
}
