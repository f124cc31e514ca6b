mod documents;
mod judging;
mod peer;
mod windows;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sealcard_api::{Timestamp, algorithm::HashAlgorithm, context::Process};

use super::*;
use crate::*;

/// Monday 2026-11-30 10:00:00 UTC.
const MONDAY: i64 = 1_796_032_800;

/// A key user who signs, with nothing unusual.
fn facts() -> Facts {
    Facts {
        now: Timestamp::from_unix(MONDAY),
        grant: GrantFacts {
            issued: Timestamp::from_unix(MONDAY - 3600),
            method: AuthenticationMethod::Password,
            expires: Timestamp::from_unix(MONDAY + 3600),
            revoked: false,
        },
        principal: PrincipalFacts {
            name: "jane".to_owned(),
            kind: PrincipalKind::User,
            system_roles: SystemRoles::NONE,
            disabled: false,
            removed: false,
            groups: vec!["release-managers".to_owned()],
        },
        roles: Roles::NONE.with(Role::KeyUser),
        key: Some(KeyFacts {
            name: "release".to_owned(),
            project: "tools".to_owned(),
            environment: "default".to_owned(),
            component: Some(ComponentFacts::default()),
            ..KeyFacts::default()
        }),
        request: RequestFacts {
            address: "10.20.1.2".parse().ok(),
            claims: sealcard_api::context::UseContext {
                host: Some("build-1".to_owned()),
                processes: vec![process("/usr/bin/gpg", "gpg -bsau KEY"), process("/usr/bin/git", "git tag -s v1")],
                justification: None,
            },
            hash: Some(HashAlgorithm::Sha512),
            approvals: BTreeSet::new(),
            clock_in_doubt: false,
        },
    }
}

fn process(path: &str, command: &str) -> Process {
    Process { path: Some(path.to_owned()), sha256: None, command: Some(command.to_owned()) }
}

fn project() -> Scope {
    Scope::Project("tools".to_owned())
}

fn document(text: &str) -> Arc<Document> {
    Arc::new(Document::parse(text).unwrap_or_else(|found| panic!("{text}\n{found:?}")))
}

fn template(text: &str) -> (String, TemplateState) {
    let template = Template::parse(text).unwrap_or_else(|found| panic!("{text}\n{found:?}"));
    (template.name().to_owned(), TemplateState::Active(Arc::new(template)))
}

fn compiled(text: &str) -> RuleSet {
    linked(text, &BTreeMap::new())
}

fn linked(text: &str, templates: &BTreeMap<String, TemplateState>) -> RuleSet {
    RuleSet::compile(&[(project(), document(text))], templates).unwrap_or_else(|wrong| panic!("{text}\n{wrong:?}"))
}

fn sign(rules: &RuleSet, facts: &Facts) -> Decision {
    decide_use(facts, KeyOperation::Sign, Some(rules), &BTreeSet::new())
}

fn ids(decision: &Decision) -> Vec<&str> {
    decision.rules().collect()
}
