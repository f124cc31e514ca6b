//! The rules of keys as they would be.

use std::{collections::HashMap, sync::Arc};

use sealcard_api::{ids::KeyId, key_rules::Diagnostic};
use sealcard_policy::rules::{Document, RuleSet};

use super::{
    Result, Rules, RulesError,
    engine::{self, Parsed, Templates},
    prepare::{Documents, breaks},
};
use crate::storage::{KeyRow, RuleOwner, RuleScope};

/// The rules of keys, with those of one scope replaced.
pub(super) struct Sets {
    scope: RuleScope,
    replaced: Option<Option<Arc<Document>>>,
    documents: Documents,
    templates: Arc<Templates>,
    compiled: HashMap<KeyId, Arc<RuleSet>>,
}

impl Sets {
    pub(super) async fn new(rules: &Rules, scope: RuleScope) -> Result<Self> {
        let state = rules.store.rules_state().await?;
        let templates = Arc::new(engine::templates(&rules.store.templates_at(state.templates).await?));
        Ok(Self { scope, replaced: None, documents: Documents::default(), templates, compiled: HashMap::new() })
    }

    pub(super) fn replace(&mut self, text: &str) -> std::result::Result<(), Vec<Diagnostic>> {
        self.replaced = Some(if text.trim().is_empty() { None } else { Some(Parsed::read(text)?.document) });
        Ok(())
    }

    /// The rules of a key, or what is wrong with those that were replaced.
    pub(super) async fn of(
        &mut self,
        rules: &Rules,
        key: &KeyRow,
    ) -> Result<std::result::Result<Arc<RuleSet>, Vec<Diagnostic>>> {
        if let Some(known) = self.compiled.get(&key.id) {
            return Ok(Ok(Arc::clone(known)));
        }
        let scopes = [
            (RuleScope::Environment(key.environment_id), key.environment.clone()),
            (RuleScope::Project(key.project_id), key.project.clone()),
            (RuleScope::Key(key.id), key.full_name().to_string()),
        ];
        let mut set = engine::Set::new();
        for (scope, name) in scopes {
            match &self.replaced {
                Some(document) if scope == self.scope => {
                    set.extend(document.clone().map(|document| (owner(scope, name), document)));
                }
                _ => set.extend(self.documents.of(rules, scope).await?),
            }
        }
        let templates = Arc::clone(&self.templates);
        match rules.compile(move || engine::rule_set(&set, &templates)).await? {
            Ok(compiled) => {
                let compiled = Arc::new(compiled);
                self.compiled.insert(key.id, Arc::clone(&compiled));
                Ok(Ok(compiled))
            }
            Err(mut wrong) => match wrong.iter().position(|(owner, _)| is_of(owner, self.scope)) {
                Some(own) => Ok(Err(wrong.swap_remove(own).1)),
                None => Err(RulesError::Conflict(breaks(wrong))),
            },
        }
    }
}

fn owner(scope: RuleScope, name: String) -> RuleOwner {
    match scope {
        RuleScope::Environment(_) => RuleOwner::Environment(name),
        RuleScope::Project(_) => RuleOwner::Project(name),
        RuleScope::Key(_) => RuleOwner::Key(name),
    }
}

/// Whether the owner is what the scope is. In a set, there is one of each.
const fn is_of(owner: &RuleOwner, scope: RuleScope) -> bool {
    matches!(
        (owner, scope),
        (RuleOwner::Environment(_), RuleScope::Environment(_))
            | (RuleOwner::Project(_), RuleScope::Project(_))
            | (RuleOwner::Key(_), RuleScope::Key(_))
    )
}
