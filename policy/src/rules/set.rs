//! All rules that apply to one key, ready to judge.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::{self, Write as _},
    sync::Arc,
};

use cedar_policy::{
    AuthorizationError, Authorizer, Decision as CedarDecision, Policy, PolicyId, PolicySet, ValidationMode, Validator,
};
use ipnet::IpNet;

use super::{
    MAX_POLICIES,
    cedar::{Computed, question, schema},
    compile::{Check, Compiled, Names, flow_of, policies},
    diagnostic::Diagnostic,
    document::{Document, Rule, Template},
    fields::{Fields, Name, NetworkRef},
    flow::{ApprovalField, Flow},
    merge::merge,
    network,
    quota::Quota,
    tool::Tool,
    window::Hours,
};
use crate::{Decision, Demand, Denial, Facts, KeyOperation, RuleDenial};

/// What a document is about, with its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// An environment.
    Environment(String),
    /// A project.
    Project(String),
    /// A key: `PROJECT/NAME`.
    Key(String),
}

impl Scope {
    /// How rules name what such a document defines. One document of each kind applies to a key.
    #[must_use]
    pub const fn prefix(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment",
            Self::Project(_) => "project",
            Self::Key(_) => "key",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Environment(name) | Self::Project(name) | Self::Key(name)) = self;
        write!(f, "{} {name}", self.prefix())
    }
}

/// A template as it is now.
#[derive(Debug, Clone)]
pub enum TemplateState {
    /// It can be linked to.
    Active(Arc<Template>),
    /// It was withdrawn: what links to it is denied.
    Withdrawn,
}

/// All rules that apply to one key.
#[derive(Debug)]
pub struct RuleSet {
    policies: PolicySet,
    /// The same in as few policies as can be: what it allows without an error, `policies` does too.
    merged: PolicySet,
    /// Whether one of them was written in Cedar.
    has_free_cedar: bool,
    reasons: HashMap<String, Reason>,
    tools: Vec<(String, Tool)>,
    networks: Vec<(String, Vec<IpNet>)>,
    windows: Vec<(String, Vec<Hours>)>,
    quotas: Vec<(Quota, Scope)>,
    flows: BTreeMap<String, RuleFlow>,
    /// The policies as texts, in their order.
    texts: Vec<String>,
    /// Why nothing is allowed, if the rules could not be put together.
    broken: Option<String>,
}

/// The flow of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFlow {
    /// Whose rule it is, such as `project tools`.
    pub scope: String,
    /// The rule's name in its document.
    pub rule: String,
    /// The flow.
    pub flow: Flow,
}

/// Whose policy it is, and what it wants.
#[derive(Debug)]
struct Reason {
    scope: String,
    rule: String,
    check: Check,
}

/// Permits all: the built-in rules have allowed the use already.
const BASE: &str = "permit (principal, action, resource);";
const BASE_ID: &str = "built-in";

/// What is wrong with one document.
type Wrong = (Scope, Vec<Diagnostic>);

impl RuleSet {
    /// Puts the documents that apply to a key together.
    ///
    /// # Errors
    /// What is wrong, by document: a template that is not known, a field that a template fixes, too many policies.
    pub fn compile(
        documents: &[(Scope, Arc<Document>)],
        templates: &BTreeMap<String, TemplateState>,
    ) -> Result<Self, Vec<Wrong>> {
        let mut set = Self::broken(None);
        let mut wrong = Vec::new();
        for (scope, document) in documents {
            if let Err(found) = set.add_document(scope, document, templates) {
                wrong.push((scope.clone(), found));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        set.finish().map_err(|message| {
            let found = vec![Diagnostic::at("", 0..0, message)];
            documents.last().map(|(scope, _)| vec![(scope.clone(), found)]).unwrap_or_default()
        })?;
        Ok(set)
    }

    /// Rules that could not be put together, and why: they deny everything.
    #[must_use]
    pub fn unusable(why: String) -> Self {
        Self::broken(Some(why))
    }

    fn broken(broken: Option<String>) -> Self {
        Self {
            policies: PolicySet::new(),
            merged: PolicySet::new(),
            has_free_cedar: false,
            reasons: HashMap::new(),
            tools: Vec::new(),
            networks: Vec::new(),
            windows: Vec::new(),
            quotas: Vec::new(),
            flows: BTreeMap::new(),
            texts: Vec::new(),
            broken,
        }
    }

    /// Whether nothing is asked of any use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.broken.is_none()
    }

    /// The quotas, each with the document that it is from.
    #[must_use]
    pub fn quotas(&self) -> &[(Quota, Scope)] {
        &self.quotas
    }

    /// The flow of this name ([`crate::ApprovalDemand::flow`]).
    #[must_use]
    pub fn flow(&self, name: &str) -> Option<&RuleFlow> {
        self.flows.get(name)
    }

    /// All flows, by name.
    #[must_use]
    pub const fn flows(&self) -> &BTreeMap<String, RuleFlow> {
        &self.flows
    }

    /// The policies in Cedar, for people.
    #[must_use]
    pub fn cedar(&self) -> String {
        let mut text = self.texts.join("\n\n");
        text.push('\n');
        text
    }

    /// Whether a policy looks at more than who uses which key how: at a use's time, place, claims or login.
    #[must_use]
    pub fn looks_at_context(&self, id: &str) -> bool {
        let policy = self.policies.policy(&PolicyId::new(id));
        policy.and_then(Policy::to_cedar).is_none_or(|cedar| cedar.contains("context"))
    }

    /// How many policies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Adds to the decision what stands against the use. `exhausted` are the names of the quotas that have nothing
    /// left.
    pub(crate) fn judge(
        &self,
        facts: &Facts,
        operation: KeyOperation,
        exhausted: &BTreeSet<&str>,
        decision: &mut Decision,
    ) {
        if let Some(why) = &self.broken {
            return decision.deny(Denial::RuleFailed(failed("", "", why)));
        }
        let computed = self.computed(facts, exhausted);
        let (request, entities) = match question(facts, operation, &computed, false) {
            Ok(question) => question,
            Err(error) => return decision.deny(Denial::RuleFailed(failed("", "", &error.to_string()))),
        };
        let authorizer = Authorizer::new();
        let allowed = authorizer.is_authorized(&request, &self.merged, &entities);
        if allowed.decision() == CedarDecision::Allow && allowed.diagnostics().errors().next().is_none() {
            return;
        }
        let response = authorizer.is_authorized(&request, &self.policies, &entities);
        // Cedar leaves out a policy that it can't evaluate, also one that forbids.
        for AuthorizationError::PolicyEvaluationError(error) in response.diagnostics().errors() {
            let id: &str = error.policy_id().as_ref();
            let scope = self.reasons.get(id).map_or("", |reason| reason.scope.as_str());
            decision.deny(Denial::RuleFailed(failed(id, scope, &error.inner().to_string())));
        }
        if response.decision() == CedarDecision::Allow {
            return;
        }
        let mut ids: Vec<&str> = response.diagnostics().reason().map(AsRef::as_ref).collect();
        ids.sort_unstable();
        if ids.is_empty() && decision.denials().is_empty() {
            decision.deny(Denial::RuleFailed(failed("", "", "nothing permits the use")));
        }
        for id in ids {
            let Some(reason) = self.reasons.get(id) else {
                decision.deny(Denial::RuleFailed(failed(id, "", "it is not known")));
                continue;
            };
            let denial = reason.denial(id, facts);
            match denial.demand {
                Some(_) => decision.demand(denial),
                None => decision.deny(Denial::Rule(denial)),
            }
        }
    }

    fn computed<'a>(&'a self, facts: &Facts, exhausted: &BTreeSet<&'a str>) -> Computed<'a> {
        let request = &facts.request;
        let tools = self.tools.iter().filter(|(_, tool)| tool.matches(&request.claims.processes));
        let networks = self.networks.iter().filter(|(_, ranges)| {
            request.address.is_some_and(|address| ranges.iter().any(|range| network::contains(range, address)))
        });
        let windows = self
            .windows
            .iter()
            .filter(|(_, hours)| !request.clock_in_doubt && hours.iter().any(|window| window.contains(facts.now)));
        Computed {
            tools: tools.map(|(name, _)| name.as_str()).collect(),
            networks: networks.map(|(name, _)| name.as_str()).collect(),
            windows: windows.map(|(name, _)| name.as_str()).collect(),
            exhausted: exhausted.iter().copied().collect(),
            for_free_cedar: self.has_free_cedar,
        }
    }

    fn add_document(
        &mut self,
        scope: &Scope,
        document: &Document,
        templates: &BTreeMap<String, TemplateState>,
    ) -> Result<(), Vec<Diagnostic>> {
        let prefix = scope.prefix();
        let mut wrong = Vec::new();
        self.tools.extend(document.tools.iter().map(|(name, tool)| (format!("{prefix}/{name}"), tool.clone())));
        self.networks.extend(document.networks.iter().map(|(name, nets)| (format!("{prefix}/{name}"), nets.clone())));
        for (name, rule) in &document.rules {
            if let Err(found) = self.add_rule(scope, document, (name, rule), templates) {
                wrong.extend(found);
            }
        }
        self.has_free_cedar |= !document.cedar.is_empty();
        for policy in &document.cedar {
            let name: &str = policy.id().as_ref();
            let reason = policy.annotation("reason").map(str::to_owned);
            let demand = policy.annotation("demand").map(demand_named);
            let check = Check::Free { reason, demand };
            self.add_policy(scope, &format!("cedar/{name}"), &format!("cedar/{name}"), policy, check);
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn add_rule(
        &mut self,
        scope: &Scope,
        document: &Document,
        (name, rule): (&str, &Rule),
        templates: &BTreeMap<String, TemplateState>,
    ) -> Result<(), Vec<Diagnostic>> {
        let prefix = scope.prefix();
        let qualified = format!("{prefix}/{name}");
        let wrong = |message: String| vec![Diagnostic::at(&document.text, rule.span.clone(), message)];
        let template = match &rule.template {
            None => None,
            Some(linked) => match templates.get(linked) {
                None => return Err(wrong(format!("there is no template {linked}"))),
                Some(TemplateState::Withdrawn) => {
                    let check = Check::Withdrawn(linked.clone());
                    let compiled = Compiled {
                        name: "withdrawn".into(),
                        cedar: "forbid (principal, action, resource);".into(),
                        check,
                    };
                    return self.add_compiled(scope, name, compiled).map_err(wrong);
                }
                Some(TemplateState::Active(template)) => Some(template),
            },
        };
        let fields = match template {
            Some(template) => rule.with_template(name, template, &document.text)?,
            None => rule.fields.clone(),
        };
        if let Some(template) = template {
            self.add_definitions(template);
        }
        // A link's names are the document's, or else the template's.
        let tool = |tool: &Name| -> String {
            let own = document.tools.contains_key(tool.as_str());
            qualify(own || template.is_none(), prefix, template.map(|it| it.name()), tool)
        };
        let net = |net: &Name| -> String {
            let own = document.networks.contains_key(net.as_str());
            qualify(own || template.is_none(), prefix, template.map(|it| it.name()), net)
        };
        if let Some(missing) = self.missing(&fields, &tool, &net) {
            return Err(wrong(missing));
        }
        let named = |name: &Name| {
            let own = document.flows.get(name.as_str());
            own.or_else(|| template.and_then(|template| template.flows.get(name.as_str())))
        };
        let flow = flow_of(&fields, named);
        if let (Some(ApprovalField::Flow(name)), None) = (&fields.approval, &flow) {
            return Err(wrong(format!("there is no flow {name} here or in the template")));
        }
        let stages = flow.as_ref().map(|flow| flow.stages.as_slice()).unwrap_or_default();
        let names = Names { rule: &qualified, tool: &tool, network: &net, stages };
        self.add_ranges(&fields);
        if let Some(hours) = &fields.hours {
            self.windows.push((qualified.clone(), hours.clone()));
        }
        for quota in super::compile::quotas(&fields, &qualified) {
            self.quotas.push((quota, scope.clone()));
        }
        for compiled in policies(&fields, &names) {
            self.add_compiled(scope, name, compiled).map_err(wrong)?;
        }
        if let Some(flow) = flow {
            let flow = RuleFlow { scope: scope.to_string(), rule: name.to_owned(), flow };
            self.flows.insert(qualified, flow);
        }
        Ok(())
    }

    /// The tools and networks of a template, once.
    fn add_definitions(&mut self, template: &Template) {
        let named = |name: &String| format!("{}/{name}", template.name());
        for (name, tool) in &template.tools {
            let name = named(name);
            if !self.tools.iter().any(|(known, _)| *known == name) {
                self.tools.push((name, tool.clone()));
            }
        }
        for (name, nets) in &template.networks {
            let name = named(name);
            if !self.networks.iter().any(|(known, _)| *known == name) {
                self.networks.push((name, nets.clone()));
            }
        }
    }

    /// Networks without a name, once: their own text is their name.
    fn add_ranges(&mut self, fields: &Fields) {
        for network in fields.networks.iter().flatten() {
            if let NetworkRef::Range(net) = network {
                let name = net.to_string();
                if !self.networks.iter().any(|(known, _)| *known == name) {
                    self.networks.push((name, vec![*net]));
                }
            }
        }
    }

    /// A tool or network that is named and not defined.
    fn missing(
        &self,
        fields: &Fields,
        tool: &dyn Fn(&Name) -> String,
        net: &dyn Fn(&Name) -> String,
    ) -> Option<String> {
        let unknown_tool = fields.tools.iter().flatten().find(|name| {
            let qualified = tool(name);
            !self.tools.iter().any(|(known, _)| *known == qualified)
        });
        if let Some(name) = unknown_tool {
            return Some(format!("there is no tool {name} here or in the template"));
        }
        let named = fields.networks.iter().flatten().filter_map(|network| match network {
            NetworkRef::Named(name) => Some(name),
            NetworkRef::Range(_) => None,
        });
        let mut unknown = named.filter(|name| {
            let qualified = net(name);
            !self.networks.iter().any(|(known, _)| *known == qualified)
        });
        unknown.next().map(|name| format!("there is no network {name} here or in the template"))
    }

    fn add_compiled(&mut self, scope: &Scope, rule: &str, compiled: Compiled) -> Result<(), String> {
        let Compiled { name, cedar, check } = compiled;
        let policy = Policy::parse(None, &cedar).map_err(|error| format!("the field {name} is no Cedar: {error}"))?;
        self.add_policy(scope, rule, &format!("{rule}/{name}"), &policy, check);
        Ok(())
    }

    fn add_policy(&mut self, scope: &Scope, rule: &str, name: &str, policy: &Policy, check: Check) {
        let id = format!("{}/{name}", scope.prefix());
        let mut text = String::new();
        let _ = writeln!(text, "// {scope}");
        let _ = writeln!(text, "@id(\"{id}\")");
        let cedar = policy.to_cedar().unwrap_or_default();
        // A free policy's own name is part of the id.
        let body: Vec<&str> = cedar.lines().filter(|line| !line.starts_with("@id(")).collect();
        text.push_str(&body.join("\n"));
        self.texts.push(text);
        let reason = Reason { scope: scope.to_string(), rule: rule.to_owned(), check };
        self.reasons.insert(id.clone(), reason);
        // Ids are distinct: prefixes, rules and fields are.
        let _ = self.policies.add(policy.new_id(PolicyId::new(id)));
    }

    /// Adds the policy that permits, and lets Cedar check the whole.
    fn finish(&mut self) -> Result<(), String> {
        if self.texts.len() > MAX_POLICIES {
            return Err(format!("the rules of a key become {} policies; {MAX_POLICIES} are allowed", self.texts.len()));
        }
        if self.policies.policies().count() != self.texts.len() {
            return Err("two rules have the same id".to_owned());
        }
        let result = Validator::new(schema().clone()).validate_with_level(&self.policies, ValidationMode::Strict, 1);
        if let Some(error) = result.validation_errors().next() {
            return Err(error.to_string());
        }
        self.merged = merge(&self.policies)?;
        let base = Policy::parse(Some(PolicyId::new(BASE_ID)), BASE).map_err(|error| error.to_string())?;
        self.merged.add(base.clone()).map_err(|error| error.to_string())?;
        self.policies.add(base).map_err(|error| error.to_string())
    }
}

impl Reason {
    fn denial(&self, id: &str, facts: &Facts) -> RuleDenial {
        RuleDenial {
            id: id.to_owned(),
            rule: self.rule.clone(),
            wants: self.check.wants(),
            saw: self.check.saw(facts),
            scope: self.scope.clone(),
            demand: self.check.demand(),
        }
    }
}

fn failed(id: &str, scope: &str, why: &str) -> RuleDenial {
    let wants = format!("could not be evaluated: {why}");
    RuleDenial { id: id.to_owned(), rule: id.to_owned(), wants, saw: None, scope: scope.to_owned(), demand: None }
}

/// The demand of a free policy's annotation. Without a group, an approval is nobody's.
fn demand_named(name: &str) -> Demand {
    match name {
        "justification" => Demand::Justification,
        "second-factor" => Demand::SecondFactor,
        "verified-content" => Demand::VerifiedContent,
        other => Demand::Other(other.to_owned()),
    }
}

fn qualify(own: bool, prefix: &str, template: Option<&str>, name: &Name) -> String {
    match template {
        Some(template) if !own => format!("{template}/{name}"),
        _ => format!("{prefix}/{name}"),
    }
}
