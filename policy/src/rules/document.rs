//! Documents and templates as people write them.

use std::{collections::BTreeMap, ops::Range};

use cedar_policy::Policy;
use ipnet::IpNet;
use toml::Spanned;

use super::{
    changes::ChangeDemands,
    check::{FreeCedar, free_cedar},
    diagnostic::Diagnostic,
    fields::{Fields, Name},
    flow::Flow,
    mention::{Mention, MentionKind, flow_mentions, mention_of, sorted},
    reader::{Named, Reader, parse},
    tool::Tool,
};

/// Names that rules use for documents, see [`Scope::prefix`].
const RESERVED: [&str; 3] = ["environment", "project", "key"];

/// A rule document of an environment, project or key.
#[derive(Debug, Clone)]
pub struct Document {
    pub(super) text: String,
    pub(super) rules: Vec<(String, Rule)>,
    pub(super) tools: BTreeMap<String, Tool>,
    pub(super) networks: BTreeMap<String, Vec<IpNet>>,
    pub(super) flows: BTreeMap<String, Flow>,
    pub(super) changes: ChangeDemands,
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

/// A template, with the tools, networks and flows that it names.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    pub(super) fields: Fields,
    pub(super) tools: BTreeMap<String, Tool>,
    pub(super) networks: BTreeMap<String, Vec<IpNet>>,
    pub(super) flows: BTreeMap<String, Flow>,
    /// The fields that a link may set although the template sets them.
    pub(super) adjustable: Vec<String>,
    visible_to: Vec<String>,
    description: Option<String>,
}

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
        let flows = reader.flows(raw.flow);
        let changes = raw.changes.map(|changes| reader.changes(changes.into_inner(), &flows)).unwrap_or_default();
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
            let (fields, spans) =
                reader.fields(raw, strict.then_some(Named { tools: &tools, networks: &networks, flows: &flows }));
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
        reader.finish(Self { text: text.to_owned(), rules, tools, networks, flows, changes, cedar })
    }

    /// Whether it has no rules at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.cedar.is_empty() && self.changes.is_empty()
    }

    /// What changes of the project need.
    #[must_use]
    pub const fn changes(&self) -> &ChangeDemands {
        &self.changes
    }

    /// The flow of this name.
    #[must_use]
    pub fn flow(&self, name: &str) -> Option<&Flow> {
        self.flows.get(name)
    }

    /// The templates that it links to, each with the place of the link.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|(_, rule)| rule.template.as_deref())
    }

    /// What it names outside of its text, sorted, each once.
    #[must_use]
    pub fn mentions(&self) -> Vec<Mention> {
        let mut mentions: Vec<Mention> = self.rules.iter().flat_map(|(_, rule)| rule.fields.mentions()).collect();
        mentions.extend(flow_mentions(&self.flows));
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
        if let Some(changes) = &raw.changes {
            reader.wrong(changes.span(), "[changes] is for the rules of a project only");
        }
        if let Some(cedar) = &raw.cedar {
            reader.wrong(cedar.span(), "a template has no Cedar of its own: write it into the rules that link to it");
        }
        let tools = reader.tools(raw.tool);
        let networks = reader.networks(raw.network);
        let flows = reader.flows(raw.flow);
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
        let (fields, spans) = reader.fields(raw, Some(Named { tools: &tools, networks: &networks, flows: &flows }));
        if spans.is_empty() {
            reader.wrong(span, format!("the template {name} asks for nothing"));
        }
        let adjustable = adjustable.into_iter().map(Spanned::into_inner).collect();
        reader.finish(Self { name, fields, tools, networks, flows, adjustable, visible_to, description })
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
        sorted(self.fields.mentions().into_iter().chain(groups).chain(flow_mentions(&self.flows)).collect())
    }

    /// The Cedar policies that a link to it becomes, for people.
    #[must_use]
    pub fn cedar(&self) -> String {
        super::compile::template_text(self)
    }
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
