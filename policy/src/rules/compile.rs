//! From the fields of a rule to Cedar.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    document::Template,
    fields::{Fields, LoginMethod, Name, NetworkRef, Requirement, Span, Who},
    flow::{ApprovalField, Flow, Stage},
    quota::Quota,
    window::Hours,
};
use crate::{ApprovalDemand, Demand, KeyOperation};

/// One `forbid` that a field of a rule becomes.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    /// The last part of the policy's id.
    pub(super) name: String,
    /// Annotations, scope and conditions.
    pub(super) cedar: String,
    pub(super) check: Check,
}

/// What a policy checks, to say what it wants and saw.
#[derive(Debug, Clone)]
pub(super) enum Check {
    Operations(BTreeSet<KeyOperation>),
    Hashes(Vec<&'static str>),
    Who(Who),
    Networks(Vec<String>),
    Hours(Vec<Hours>),
    Tools(Vec<String>),
    Hosts(Vec<String>),
    LoginMethods(Vec<LoginMethod>),
    LoginAge(Span),
    Quota(Quota),
    Demand(Demand),
    /// The template that was linked to was withdrawn.
    Withdrawn(String),
    /// A free Cedar policy, with its annotation `@reason`.
    Free {
        reason: Option<String>,
        demand: Option<Demand>,
    },
}

/// What names in a rule stand for in the context's sets.
pub(super) struct Names<'a> {
    /// `project/tags` or, for a template by itself, `template/tags`.
    pub(super) rule: &'a str,
    pub(super) tool: &'a dyn Fn(&Name) -> String,
    pub(super) network: &'a dyn Fn(&Name) -> String,
    /// The stages of the rule's flow.
    pub(super) stages: &'a [Stage],
}

const ANY: &str = "forbid (principal, action, resource)";

/// The policies of a rule with these fields.
pub(super) fn policies(fields: &Fields, names: &Names<'_>) -> Vec<Compiled> {
    let mut all = Vec::new();
    let mut add = |name: &str, cedar: String, check| all.push(Compiled { name: name.to_owned(), cedar, check });
    if let Some(allowed) = &fields.operations {
        let denied: Vec<String> = KeyOperation::ALL
            .into_iter()
            .filter(|operation| !allowed.contains(operation))
            .map(|operation| format!("Action::\"{operation}\""))
            .collect();
        if !denied.is_empty() {
            let cedar = format!("forbid (principal, action in [{}], resource);", denied.join(", "));
            add("operations", cedar, Check::Operations(allowed.clone()));
        }
    }
    if let Some(hashes) = &fields.hashes {
        let hashes: Vec<&str> = hashes.iter().map(|hash| hash.name()).collect();
        let cedar = format!(
            "{ANY}\nwhen {{ context has hash }}\nunless {{ {} }};",
            any(&hashes, |hash| format!("context.hash == {hash}"))
        );
        add("hashes", cedar, Check::Hashes(hashes));
    }
    if let Some(who) = &fields.who {
        add("who", unless(&who_condition(who)), Check::Who(who.clone()));
    }
    if let Some(networks) = &fields.networks {
        let qualified = |network: &NetworkRef| match network {
            NetworkRef::Range(net) => net.to_string(),
            NetworkRef::Named(name) => (names.network)(name),
        };
        let qualified: Vec<String> = networks.iter().map(qualified).collect();
        let cedar = unless(&any(&qualified, |name| format!("context.networks.contains({name})")));
        let text = |network: &NetworkRef| match network {
            NetworkRef::Range(net) => net.to_string(),
            NetworkRef::Named(name) => name.to_string(),
        };
        add("networks", cedar, Check::Networks(networks.iter().map(text).collect()));
    }
    if let Some(hours) = &fields.hours {
        let cedar = unless(&format!("context.windows.contains(\"{}\")", names.rule));
        add("hours", cedar, Check::Hours(hours.clone()));
    }
    if let Some(tools) = &fields.tools {
        let qualified: Vec<String> = tools.iter().map(|tool| (names.tool)(tool)).collect();
        let cedar = unless(&any(&qualified, |name| format!("context.tools.contains({name})")));
        add("tools", cedar, Check::Tools(tools.iter().map(ToString::to_string).collect()));
    }
    if let Some(hosts) = &fields.hosts {
        let likes: Vec<String> = hosts.iter().map(|host| format!("context.host like \"{}\"", host.as_str())).collect();
        let cedar = unless(&format!("context has host && ({})", likes.join(" || ")));
        add("hosts", cedar, Check::Hosts(hosts.iter().map(|host| host.as_str().to_owned()).collect()));
    }
    if let Some(logins) = &fields.logins {
        if let Some(methods) = &logins.methods {
            let allowed: Vec<&str> = methods.iter().map(|method| method.name()).collect();
            let cedar = unless(&any(&allowed, |method| format!("context.login.method == {method}")));
            add("login-methods", cedar, Check::LoginMethods(methods.clone()));
        }
        if let Some(age) = logins.max_age {
            let cedar = unless(&format!("context.login.age <= {}", age.seconds()));
            add("login-age", cedar, Check::LoginAge(age));
        }
    }
    for quota in quotas(fields, names.rule) {
        let name = format!("quota-{}-{}", quota.per.name(), quota.window);
        let cedar = format!("{ANY}\nwhen {{ context.exhausted.contains(\"{}\") }};", quota.name);
        add(&name, cedar, Check::Quota(quota));
    }
    for Stage { by, count } in names.stages {
        let demand = ApprovalDemand { flow: names.rule.to_owned(), by: by.clone(), count: *count };
        let condition = format!("context.approvals.contains(\"{}\")", demand.name());
        let demand = Demand::Approval(demand);
        add(&format!("approval-{}", by.id()), demanding(&demand, &condition), Check::Demand(demand));
    }
    for requirement in fields.require.iter().flatten() {
        let (condition, demand) = match requirement {
            Requirement::Justification => ("context has justification", Demand::Justification),
            Requirement::SecondFactor => ("context.secondFactor", Demand::SecondFactor),
            Requirement::VerifiedContent => ("context has content", Demand::VerifiedContent),
        };
        let name = demand.name().to_owned();
        add(&name, demanding(&demand, condition), Check::Demand(demand));
    }
    all
}

/// The quotas of a rule with this name.
pub(super) fn quotas(fields: &Fields, rule: &str) -> Vec<Quota> {
    let quotas = fields.quota.iter().flatten();
    let quota = |field: &super::fields::QuotaField| Quota {
        name: format!("{rule}/{}/{}", field.per.name(), field.window),
        per: field.per,
        uses: field.uses,
        window: field.window,
    };
    quotas.map(quota).collect()
}

/// The flow of a rule with these fields, if it has one that `named` knows.
pub(super) fn flow_of<'a>(fields: &Fields, named: impl Fn(&Name) -> Option<&'a Flow>) -> Option<Flow> {
    match fields.approval.as_ref()? {
        ApprovalField::Stages(stages) => Some(Flow::of(stages.clone())),
        ApprovalField::Flow(name) => named(name).cloned(),
    }
}

/// What a link to the template becomes, for people.
pub(super) fn template_text(template: &Template) -> String {
    let qualified = |name: &Name| format!("{}/{name}", template.name());
    let rule = format!("template/{}", template.name());
    let flow = flow_of(&template.fields, |name| template.flows.get(name.as_str()));
    let stages = flow.map(|flow| flow.stages).unwrap_or_default();
    let names = Names { rule: &rule, tool: &qualified, network: &qualified, stages: &stages };
    let mut text = String::new();
    for Compiled { name, cedar, .. } in policies(&template.fields, &names) {
        let _ = writeln!(text, "@id(\"{rule}/{name}\")\n{cedar}\n");
    }
    text.trim_end().to_owned() + "\n"
}

fn unless(condition: &str) -> String {
    format!("{ANY}\nunless {{ {condition} }};")
}

fn demanding(demand: &Demand, condition: &str) -> String {
    format!("@demand(\"{}\")\n{}", demand.name(), unless(condition))
}

fn who_condition(who: &Who) -> String {
    let groups = who.groups.iter().map(|name| format!("principal in Group::\"{name}\""));
    let users = who.users.iter().map(|name| format!("principal == User::\"{name}\""));
    let accounts = who.service_accounts.iter().map(|name| format!("principal == ServiceAccount::\"{name}\""));
    groups.chain(users).chain(accounts).collect::<Vec<_>>().join(" || ")
}

/// One of the conditions on these texts, which hold neither quotes nor backslashes. Cedar evaluates it faster than a
/// condition on a set of them.
fn any<T: AsRef<str>>(texts: &[T], condition: impl Fn(&str) -> String) -> String {
    let quoted = texts.iter().map(|text| condition(&format!("\"{}\"", text.as_ref())));
    quoted.collect::<Vec<_>>().join(" || ")
}
