//! The way to the engine that reads and compiles rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sealcard_api::key_rules::{Diagnostic, TemplateText};
use sealcard_policy::rules::{self, Document, MentionKind as EngineKind, RuleSet, Scope, Template, TemplateState};

use super::RulesError;
use crate::storage::{self, Mention, MentionKind, RuleOwner};

/// Rules that were read.
#[derive(Clone)]
pub(super) struct Parsed {
    pub(super) document: Arc<Document>,
    /// What they name, and the templates that they link to.
    pub(super) mentions: Vec<Mention>,
}

impl Parsed {
    /// Reads rules.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn read(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let document = Document::parse(text).map_err(to_api)?;
        let owners = Naming::of(text);
        let links: BTreeSet<&str> = document.templates().collect();
        let links = links.into_iter().map(|name| (MentionKind::Template, name.to_owned()));
        let named = document.mentions().into_iter().map(|mention| (kind(mention.kind), mention.name));
        let mentions = named.chain(links).map(|(kind, name)| Mention { kind, rule: owners.rule(&name), name });
        let mentions = mentions.collect();
        Ok(Self { document: Arc::new(document), mentions })
    }
}

/// A template that was read.
#[derive(Clone)]
pub(super) struct ParsedTemplate {
    pub(super) template: Arc<Template>,
    /// What it names.
    pub(super) mentions: Vec<Mention>,
}

impl ParsedTemplate {
    /// Reads the text of one template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let template = Template::parse(text).map_err(to_api)?;
        let mention = |mention: rules::Mention| {
            let (kind, name) = (kind(mention.kind), mention.name);
            Mention { kind, name, rule: String::new() }
        };
        let mentions = template.mentions().into_iter().map(mention).collect();
        Ok(Self { template: Arc::new(template), mentions })
    }
}

/// The texts of the templates in a file.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn split(text: &str) -> Result<Vec<TemplateText>, Vec<Diagnostic>> {
    let texts = rules::split_templates(text).map_err(to_api)?;
    Ok(texts.into_iter().map(|template| TemplateText { name: template.name, text: template.text }).collect())
}

/// Templates by their names.
pub(super) type Templates = BTreeMap<String, TemplateState>;

/// The templates as they are stored. One that this release can't read counts as withdrawn, so that it allows nothing.
pub(super) fn templates(texts: &[storage::TemplateText]) -> Templates {
    let state = |text: &storage::TemplateText| {
        if text.withdrawn {
            return TemplateState::Withdrawn;
        }
        match Template::parse(&text.text) {
            Ok(template) => TemplateState::Active(Arc::new(template)),
            Err(_) => {
                tracing::error!(template = text.name, "a template can't be read: rules that link to it allow nothing");
                TemplateState::Withdrawn
            }
        }
    };
    texts.iter().map(|text| (text.name.clone(), state(text))).collect()
}

/// Rules that hold together for some keys.
pub(super) type Set = Vec<(RuleOwner, Arc<Document>)>;

/// What rules that hold together are in Cedar.
///
/// # Errors
/// What is wrong, by whose rules it is.
pub(super) fn compile(set: &Set, templates: &Templates) -> Result<String, Vec<(RuleOwner, Vec<Diagnostic>)>> {
    rule_set(set, templates).map(|set| set.cedar())
}

/// Rules that hold together, ready to judge.
///
/// # Errors
/// As [`compile`].
pub(super) fn rule_set(set: &Set, templates: &Templates) -> Result<RuleSet, Vec<(RuleOwner, Vec<Diagnostic>)>> {
    let documents: Vec<(Scope, Arc<Document>)> =
        set.iter().map(|(owner, document)| (scope(owner), Arc::clone(document))).collect();
    let compiled = RuleSet::compile(&documents, templates);
    compiled.map_err(|wrong| wrong.into_iter().map(|(scope, found)| (owner(scope), to_api(found))).collect())
}

/// What a link to a template is in Cedar.
///
/// # Errors
/// If the template can't be read.
pub(super) fn template_cedar(text: &str) -> Result<String, RulesError> {
    let template = Template::parse(text).map_err(|found| RulesError::Invalid(to_api(found)))?;
    Ok(template.cedar())
}

/// A diagnostic about the first place where a text has this name between quotes.
pub(super) fn about_name(text: &str, name: &str, message: String) -> Diagnostic {
    let quoted = ['"', '\''].into_iter().find_map(|quote| text.find(&format!("{quote}{name}{quote}")));
    let (line, column, length) = match quoted.and_then(|at| text.get(..at)) {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            (line, column, name.chars().count() + 2)
        }
        None => (1, 1, 0),
    };
    Diagnostic { message, help: None, line, column, end_line: line, end_column: column + length }
}

fn scope(owner: &RuleOwner) -> Scope {
    match owner.clone() {
        RuleOwner::Environment(name) => Scope::Environment(name),
        RuleOwner::Project(name) => Scope::Project(name),
        RuleOwner::Key(name) | RuleOwner::Template(name) => Scope::Key(name),
    }
}

fn owner(scope: Scope) -> RuleOwner {
    match scope {
        Scope::Environment(name) => RuleOwner::Environment(name),
        Scope::Project(name) => RuleOwner::Project(name),
        Scope::Key(name) => RuleOwner::Key(name),
    }
}

const fn kind(kind: EngineKind) -> MentionKind {
    match kind {
        EngineKind::User => MentionKind::User,
        EngineKind::ServiceAccount => MentionKind::ServiceAccount,
        EngineKind::Group => MentionKind::Group,
        EngineKind::Project => MentionKind::Project,
        EngineKind::Environment => MentionKind::Environment,
        EngineKind::Key => MentionKind::Key,
    }
}

pub(super) fn to_api(found: Vec<rules::Diagnostic>) -> Vec<Diagnostic> {
    let one = |found: rules::Diagnostic| Diagnostic {
        message: found.message,
        help: found.help,
        line: found.line,
        column: found.column,
        end_line: found.end_line,
        end_column: found.end_column,
    };
    found.into_iter().map(one).collect()
}

/// Which rule has a name, for messages.
struct Naming(toml::Table);

impl Naming {
    fn of(text: &str) -> Self {
        Self(text.parse().unwrap_or_default())
    }

    /// The first rule with this name among its values; empty if only free Cedar has it.
    fn rule(&self, name: &str) -> String {
        let rules = self.0.get("rule").and_then(toml::Value::as_table);
        let found = rules.into_iter().flatten().find(|(_, rule)| has(rule, name));
        found.map(|(rule, _)| rule.clone()).unwrap_or_default()
    }
}

fn has(value: &toml::Value, name: &str) -> bool {
    match value {
        toml::Value::String(text) => text == name,
        toml::Value::Array(values) => values.iter().any(|value| has(value, name)),
        toml::Value::Table(table) => table.iter().any(|(_, value)| has(value, name)),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_the_rule_that_has_them() {
        let text = "[rule.other]\nhashes = [\"sha256\"]\n[rule.tags]\nwho = { groups = [\"makers\"] }\n";
        let parsed = Parsed::read(text).unwrap();
        let makers = Mention { kind: MentionKind::Group, name: "makers".to_owned(), rule: "tags".to_owned() };
        assert_eq!(parsed.mentions, [makers]);
        let diagnostic = about_name(text, "makers", String::new());
        assert_eq!((diagnostic.line, diagnostic.column, diagnostic.end_column), (4, 19, 27));
        assert_eq!(about_name(text, "nothing", String::new()).line, 1);
    }
}
