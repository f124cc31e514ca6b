//! The rules that requests are judged by: compiled once for each version, and what their quotas count.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use sealcard_api::{
    Timestamp,
    ids::{EnvironmentId, KeyId, ProjectId},
    roles::PrincipalKind,
};
use sealcard_policy::rules::{Document, Quota, QuotaOf, RuleSet, Scope, Template, TemplateState};
use uuid::Uuid;

use crate::storage::{Facts, QuotaUse, RuleTexts, RuleVersions, StorageError, Store};

/// Rule sets that are kept at most; then all are compiled again.
const ENTRIES: usize = 1024;

/// Compiled rules. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Rules(Arc<Mutex<HashMap<Version, Arc<RuleSet>>>>);

/// Which rules: those of the same version and name never differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Version {
    versions: RuleVersions,
    environment: Option<(EnvironmentId, String)>,
    project: Option<(ProjectId, String)>,
    key: Option<(KeyId, String)>,
}

/// The rules were not compiled yet.
#[derive(Debug)]
pub(crate) struct NotCompiled;

impl Rules {
    /// The rules that the facts name. None: there are none.
    pub(crate) fn get(&self, facts: &Facts) -> Result<Option<Arc<RuleSet>>, NotCompiled> {
        if facts.rules.is_empty() {
            return Ok(None);
        }
        self.0.lock().get(&Version::of(facts)).cloned().map(Some).ok_or(NotCompiled)
    }

    /// The same, read and compiled if need be.
    pub(crate) async fn load(&self, store: &Store, facts: &Facts) -> Result<Option<Arc<RuleSet>>, StorageError> {
        match self.get(facts) {
            Ok(rules) => Ok(rules),
            Err(NotCompiled) => Ok(Some(self.compile(facts, &store.rule_texts(facts).await?))),
        }
    }

    /// Compiles the rules that the facts name from their texts. What can't be compiled denies everything.
    pub(crate) fn compile(&self, facts: &Facts, texts: &RuleTexts) -> Arc<RuleSet> {
        let rules = Arc::new(compile(facts, texts).unwrap_or_else(|why| {
            tracing::error!(%why, "the rules of a key can't be used, so all its uses are denied");
            RuleSet::unusable(why)
        }));
        let mut kept = self.0.lock();
        if kept.len() >= ENTRIES {
            kept.clear();
        }
        kept.insert(Version::of(facts), Arc::clone(&rules));
        rules
    }
}

impl Version {
    fn of(facts: &Facts) -> Self {
        let (versions, key) = (facts.rules, facts.key.as_ref());
        let project = facts.project.as_ref();
        let project_name = project.map(|project| project.name.as_str()).unwrap_or_default();
        Self {
            versions,
            environment: versions.environment.and(key).map(|key| (key.environment, key.environment_name.clone())),
            project: versions.project.and(project).map(|project| (project.id, project.name.clone())),
            key: versions.key.and(key).map(|key| (key.id, format!("{project_name}/{}", key.name))),
        }
    }
}

fn compile(facts: &Facts, texts: &RuleTexts) -> Result<RuleSet, String> {
    let Version { environment, project, key, .. } = Version::of(facts);
    let documents = [
        (environment.map(|(_, name)| Scope::Environment(name)), &texts.environment),
        (project.map(|(_, name)| Scope::Project(name)), &texts.project),
        (key.map(|(_, name)| Scope::Key(name)), &texts.key),
    ];
    let mut parsed = Vec::new();
    for (scope, text) in documents {
        match (scope, text) {
            (None, None) => {}
            (Some(scope), Some(text)) => {
                let document = Document::parse(text).map_err(|found| first(&scope, &found))?;
                parsed.push((scope, Arc::new(document)));
            }
            _ => return Err("facts and texts of the rules do not fit".to_owned()),
        }
    }
    let mut templates = BTreeMap::new();
    for linked in parsed.iter().flat_map(|(_, document)| document.templates()) {
        let Some(template) = texts.templates.iter().find(|template| template.name == linked) else { continue };
        let state = if template.withdrawn {
            TemplateState::Withdrawn
        } else {
            let parsed =
                Template::parse(&template.text).map_err(|found| first(&format!("template {linked}"), &found))?;
            TemplateState::Active(Arc::new(parsed))
        };
        templates.insert(linked.to_owned(), state);
    }
    RuleSet::compile(&parsed, &templates).map_err(|wrong| match wrong.first() {
        Some((scope, found)) => first(scope, found),
        None => "the rules are not valid".to_owned(),
    })
}

fn first(scope: &dyn std::fmt::Display, found: &[sealcard_policy::rules::Diagnostic]) -> String {
    let found = found.first().map(ToString::to_string).unwrap_or_default();
    format!("the rules of {scope} are not valid: {found}")
}

/// The quotas that a use at `now` counts for, and what it takes from them.
pub(crate) fn quota_uses<'a>(rules: &'a RuleSet, facts: &Facts, now: Timestamp) -> Vec<(&'a Quota, QuotaUse)> {
    let (Some(key), Some(project)) = (&facts.key, &facts.project) else { return Vec::new() };
    let principal = &facts.principal;
    let of = |per: QuotaOf| -> Option<Uuid> {
        match per {
            QuotaOf::User => (principal.kind == PrincipalKind::User).then_some(principal.id.0),
            QuotaOf::ServiceAccount => (principal.kind == PrincipalKind::ServiceAccount).then_some(principal.id.0),
            QuotaOf::Key => Some(key.id.0),
            QuotaOf::Project => Some(project.id.0),
        }
    };
    let uses = rules.quotas().iter().filter_map(|(quota, scope)| {
        let owner = match scope {
            Scope::Environment(_) => key.environment.0,
            Scope::Project(_) => project.id.0,
            Scope::Key(_) => key.id.0,
        };
        let (start, end) = (quota.window_start(now), quota.window_end(now));
        let counted =
            QuotaUse { owner, quota: quota.name.clone(), subject: of(quota.per)?, start, end, uses: quota.uses };
        Some((quota, counted))
    });
    uses.collect()
}
