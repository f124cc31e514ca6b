//! From facts to what Cedar is asked.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::LazyLock,
};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema,
};
use sealcard_api::{context::Process, roles::PrincipalKind};

use super::fields::LoginMethod;
use crate::{AuthenticationMethod, Facts, KeyOperation};

/// The schema of what rules can say, in Cedar's own language.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// [`SCHEMA`], ready for use.
///
/// # Panics
/// Never: a test reads the schema.
pub(super) fn schema() -> &'static Schema {
    #[allow(clippy::expect_used, reason = "the text is part of the program, and a test reads it")]
    static PARSED: LazyLock<Schema> =
        LazyLock::new(|| Schema::from_cedarschema_str(SCHEMA).expect("the schema is valid").0);
    &PARSED
}

/// The names that are computed here because Cedar can't.
#[derive(Debug, Default)]
pub(super) struct Computed<'a> {
    pub(super) tools: Vec<&'a str>,
    pub(super) networks: Vec<&'a str>,
    pub(super) windows: Vec<&'a str>,
    pub(super) exhausted: Vec<&'a str>,
    /// Whether a policy that people wrote in Cedar reads them.
    pub(super) for_free_cedar: bool,
}

/// The types of entities, parsed once.
struct Types {
    user: EntityTypeName,
    service_account: EntityTypeName,
    group: EntityTypeName,
    project: EntityTypeName,
    environment: EntityTypeName,
    key: EntityTypeName,
    action: EntityTypeName,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    #[allow(clippy::expect_used, reason = "the names are part of the program, and each test uses them")]
    let name = |text: &str| text.parse().expect("the name of a type is valid");
    Types {
        user: name("User"),
        service_account: name("ServiceAccount"),
        group: name("Group"),
        project: name("Project"),
        environment: name("Environment"),
        key: name("Key"),
        action: name("Action"),
    }
});

fn uid(kind: &EntityTypeName, name: impl AsRef<str>) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name))
}

/// What can't be asked: facts that do not fit the schema. Retrying can't help.
#[derive(Debug, thiserror::Error)]
pub(super) enum QuestionError {
    #[error("there is no key")]
    NoKey,
    #[error("the facts do not fit the schema: {0}")]
    Schema(String),
}

/// Request and entities for one use. They fit the schema by construction: with `checked`, which takes time, it is
/// checked. What did not fit would be an error of the policy that meets it, and so a denial.
pub(super) fn question(
    facts: &Facts,
    operation: KeyOperation,
    computed: &Computed<'_>,
    checked: bool,
) -> Result<(Request, Entities), QuestionError> {
    let key = facts.key.as_ref().ok_or(QuestionError::NoKey)?;
    let wrong = |error: &dyn std::fmt::Display| QuestionError::Schema(error.to_string());
    let principal_type = match facts.principal.kind {
        PrincipalKind::User => &TYPES.user,
        PrincipalKind::ServiceAccount => &TYPES.service_account,
    };
    let principal = uid(principal_type, &facts.principal.name);
    let resource = uid(&TYPES.key, format!("{}/{}", key.project, key.name));
    let action = uid(&TYPES.action, operation.name());
    let groups: HashSet<EntityUid> = facts.principal.groups.iter().map(|group| uid(&TYPES.group, group)).collect();
    let parents = HashSet::from([uid(&TYPES.project, &key.project), uid(&TYPES.environment, &key.environment)]);
    let context = context(facts, computed)?;
    let checked = checked.then(schema);
    let request = Request::new(principal.clone(), action, resource.clone(), context, checked);
    let entities = [Entity::new_no_attrs(principal, groups), Entity::new_no_attrs(resource, parents)];
    let entities = Entities::from_entities(entities, checked).map_err(|error| wrong(&error))?;
    Ok((request.map_err(|error| wrong(&error))?, entities))
}

fn context(facts: &Facts, computed: &Computed<'_>) -> Result<Context, QuestionError> {
    let request = &facts.request;
    let mut pairs: HashMap<String, RestrictedExpression> = HashMap::with_capacity(16);
    let mut put = |name: &str, value| {
        pairs.insert(name.to_owned(), value);
    };
    put("windows", names(&computed.windows));
    put("tools", names(&computed.tools));
    put("networks", names(&computed.networks));
    put("exhausted", names(&computed.exhausted));
    put("approvals", names(&request.approvals.iter().map(String::as_str).collect::<Vec<_>>()));
    put("secondFactor", RestrictedExpression::new_bool(false));
    put("login", login(facts));
    if let Some(hash) = request.hash {
        put("hash", RestrictedExpression::new_string(hash.name().to_owned()));
    }
    if let Some(host) = &request.claims.host {
        put("host", RestrictedExpression::new_string(host.clone()));
    }
    if let Some(text) = &request.claims.justification {
        put("justification", RestrictedExpression::new_string(text.clone()));
    }
    // The fields of rules read none of these, and to make them takes half of the time.
    if computed.for_free_cedar {
        put("time", RestrictedExpression::new_datetime(facts.now.to_string()));
        put("clockTrusted", RestrictedExpression::new_bool(!request.clock_in_doubt));
        if let Some(address) = request.address {
            put("address", RestrictedExpression::new_ip(address.to_canonical().to_string()));
        }
        if let Some(process) = request.claims.processes.first() {
            put("tool", process_record(process));
        }
    }
    Context::from_pairs(pairs).map_err(|error| QuestionError::Schema(error.to_string()))
}

fn login(facts: &Facts) -> RestrictedExpression {
    let (method, kind) = match facts.grant.method {
        AuthenticationMethod::Password => (LoginMethod::Password, "user"),
        AuthenticationMethod::ServiceToken => (LoginMethod::ServiceToken, "machine"),
    };
    let age = facts.now.unix().saturating_sub(facts.grant.issued.unix()).max(0);
    record([
        ("method", RestrictedExpression::new_string(method.name().to_owned())),
        ("grant", RestrictedExpression::new_string(kind.to_owned())),
        ("age", RestrictedExpression::new_long(age)),
    ])
}

fn process_record(process: &Process) -> RestrictedExpression {
    let field = |name: &'static str, value: &Option<String>| {
        value.as_ref().map(|value| (name, RestrictedExpression::new_string(value.clone())))
    };
    let fields = [field("path", &process.path), field("sha256", &process.sha256), field("command", &process.command)];
    record(fields.into_iter().flatten())
}

fn record<'a>(fields: impl IntoIterator<Item = (&'a str, RestrictedExpression)>) -> RestrictedExpression {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    // Only a name that is there twice is an error.
    RestrictedExpression::new_record(fields).unwrap_or_else(|_| RestrictedExpression::new_bool(false))
}

fn names(names: &[&str]) -> RestrictedExpression {
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    RestrictedExpression::new_set(distinct.into_iter().map(|name| RestrictedExpression::new_string(name.to_owned())))
}
