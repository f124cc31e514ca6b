//! Examples beside rules: facts, and what should be decided.

use std::collections::BTreeSet;

use sealcard_api::{
    Timestamp,
    algorithm::HashAlgorithm,
    context::{Process, UseContext},
    roles::{PrincipalKind, ProjectRole, Roles, SystemRoles},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Spanned;

use super::{Diagnostic, MAX_TEXT, RuleSet, fields::Span};
use crate::{
    AuthenticationMethod, ComponentFacts, Decision, Facts, GrantFacts, KeyFacts, KeyOperation, PrincipalFacts,
    RequestFacts, decide_use,
};

/// The examples of one file.
#[derive(Debug, Clone)]
pub struct Examples(Vec<Example>);

/// Facts, and what should be decided.
#[derive(Debug, Clone)]
pub struct Example {
    /// What it shows.
    pub name: String,
    /// The line where it begins, from 1.
    pub line: usize,
    /// The key that is used: `PROJECT/NAME`.
    pub key: String,
    /// What should be decided.
    pub expect: Expectation,
    /// The ids of rules that must be among those that decided.
    pub rules: Vec<String>,
    facts: Facts,
    operation: KeyOperation,
    exhausted: BTreeSet<String>,
}

/// What should be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expectation {
    /// The use is allowed.
    Allow,
    /// It is denied.
    Deny,
    /// It waits for demands to be met.
    Wait,
}

impl Expectation {
    /// What a decision is.
    #[must_use]
    pub fn of(decision: &Decision) -> Self {
        match (decision.allowed(), decision.unmet()) {
            (true, _) => Self::Allow,
            (false, []) => Self::Deny,
            (false, _) => Self::Wait,
        }
    }

    /// The name in files of examples.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Wait => "wait",
        }
    }
}

/// What came of an example.
#[derive(Debug, Clone)]
pub struct ExampleResult {
    /// What was decided.
    pub decided: Expectation,
    /// Why.
    pub reasons: Vec<String>,
    /// The ids of the rules that decided.
    pub rules: Vec<String>,
    /// Whether it is what was expected.
    pub passed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExamples {
    example: Vec<Spanned<RawExample>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawExample {
    name: String,
    user: Option<String>,
    service_account: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    key: String,
    operation: KeyOperation,
    #[serde(default, deserialize_with = "hash")]
    hash: Option<HashAlgorithm>,
    address: Option<std::net::IpAddr>,
    host: Option<String>,
    #[serde(deserialize_with = "time")]
    time: Timestamp,
    #[serde(default)]
    tool: Option<Process>,
    justification: Option<String>,
    #[serde(default)]
    login_age: Option<Span>,
    #[serde(default)]
    exhausted: Vec<String>,
    #[serde(default)]
    approvals: BTreeSet<String>,
    expect: Expectation,
    #[serde(default)]
    rules: Vec<String>,
}

fn hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HashAlgorithm>, D::Error> {
    Option::<String>::deserialize(deserializer)?.map(|name| name.parse().map_err(D::Error::custom)).transpose()
}

/// A time as TOML or a text writes it, with its offset.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::String(text) => text,
        _ => return Err(D::Error::custom("a time is needed, such as 2026-11-30T10:00:00+01:00")),
    };
    text.parse().map_err(D::Error::custom)
}

impl Examples {
    /// Reads a file of `[[example]]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        if text.len() > MAX_TEXT {
            return Err(vec![Diagnostic::at(text, 0..0, format!("a file of examples has at most {MAX_TEXT} bytes"))]);
        }
        let raw: RawExamples = toml::from_str(text).map_err(|error: toml::de::Error| {
            vec![Diagnostic::at(text, error.span().unwrap_or(0..0), error.message())]
        })?;
        let mut examples = Vec::new();
        for raw in raw.example {
            let span = raw.span();
            let wrong = |message: &str| vec![Diagnostic::at(text, span.clone(), message)];
            let line = Diagnostic::at(text, span.clone(), "").line;
            examples.push(raw.into_inner().example(line).map_err(|message| wrong(&message))?);
        }
        Ok(Self(examples))
    }

    /// The examples.
    pub fn iter(&self) -> impl Iterator<Item = &Example> {
        self.0.iter()
    }
}

impl RawExample {
    fn example(self, line: usize) -> Result<Example, String> {
        let (name, kind) = match (self.user, self.service_account) {
            (Some(user), None) => (user, PrincipalKind::User),
            (None, Some(account)) => (account, PrincipalKind::ServiceAccount),
            _ => return Err("an example has either user or service-account".to_owned()),
        };
        let Some((project, key)) = self.key.split_once('/') else {
            return Err(format!("{:?} is no key: write PROJECT/NAME", self.key));
        };
        let method = match kind {
            PrincipalKind::User => AuthenticationMethod::Password,
            PrincipalKind::ServiceAccount => AuthenticationMethod::ServiceToken,
        };
        let age = self.login_age.map_or(0, Span::seconds);
        let facts = Facts {
            now: self.time,
            grant: GrantFacts {
                issued: Timestamp::from_unix(self.time.unix() - age),
                method,
                expires: Timestamp::from_unix(self.time.unix() + 1),
                revoked: false,
            },
            principal: PrincipalFacts {
                name,
                kind,
                system_roles: SystemRoles::NONE,
                disabled: false,
                removed: false,
                groups: self.groups,
            },
            roles: Roles::NONE.with(ProjectRole::KeyUser),
            key: Some(KeyFacts {
                name: key.to_owned(),
                project: project.to_owned(),
                component: Some(ComponentFacts::default()),
                ..KeyFacts::default()
            }),
            request: RequestFacts {
                address: self.address,
                claims: UseContext {
                    host: self.host,
                    processes: self.tool.into_iter().collect(),
                    justification: self.justification,
                },
                hash: self.hash,
                approvals: self.approvals,
                clock_in_doubt: false,
            },
        };
        let exhausted = self.exhausted.into_iter().collect();
        let Self { expect, rules, operation, .. } = self;
        Ok(Example { name: self.name, line, key: self.key, expect, rules, facts, operation, exhausted })
    }
}

impl Example {
    /// Judges it by the rules of its key, which is in this environment. The requester is a key user, and the key is as
    /// it should be.
    #[must_use]
    pub fn run(&self, rules: &RuleSet, environment: &str) -> ExampleResult {
        let mut facts = self.facts.clone();
        if let Some(key) = &mut facts.key {
            environment.clone_into(&mut key.environment);
        }
        let exhausted = self.exhausted.iter().map(String::as_str).collect();
        let decision = decide_use(&facts, self.operation, Some(rules), &exhausted);
        let decided = Expectation::of(&decision);
        let ids: Vec<String> = decision.rules().map(str::to_owned).collect();
        let passed = decided == self.expect && self.rules.iter().all(|rule| ids.contains(rule));
        ExampleResult { decided, reasons: decision.reasons(), rules: ids, passed }
    }
}
