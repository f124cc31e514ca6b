//! What rules would be together with the others: before a change, and for those who look.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use sealcard_api::key_rules::Diagnostic;
use sealcard_policy::rules::{Document, TemplateState};

use super::{
    Result, Rules, RulesError, Target,
    engine::{self, Parsed, ParsedTemplate, Set, Templates},
};
use crate::{
    authn::Caller,
    storage::{Mention, MentionKind, RuleOwner, RuleScope, RulesState},
};

/// A change of rules that can be made as long as the state stays.
pub(super) struct Prepared {
    pub(super) state: RulesState,
    pub(super) mentions: Vec<Mention>,
    /// The rules in Cedar.
    pub(super) cedar: String,
}

/// Whose rules have which mistakes.
type Wrong = (RuleOwner, Vec<Diagnostic>);

/// Documents that were read, so that each is read once.
#[derive(Default)]
pub(super) struct Documents(HashMap<RuleScope, (RuleOwner, Arc<Document>)>);

impl Documents {
    pub(super) fn insert(&mut self, scope: RuleScope, owner: RuleOwner, document: Arc<Document>) {
        self.0.insert(scope, (owner, document));
    }

    /// The rules that are in force for a scope.
    pub(super) async fn of(&mut self, rules: &Rules, scope: RuleScope) -> Result<Option<(RuleOwner, Arc<Document>)>> {
        if let Some(known) = self.0.get(&scope) {
            return Ok(Some(known.clone()));
        }
        let Some(current) = rules.store.current_rules_of(scope).await? else { return Ok(None) };
        let Ok(parsed) = Parsed::read(&current.text) else {
            let owner = current.owner;
            return Err(RulesError::Conflict(format!("This release can't read {owner}. Change or remove them first.")));
        };
        let read = (current.owner, parsed.document);
        self.0.insert(scope, read.clone());
        Ok(Some(read))
    }

    /// Every combination of rules that holds for keys of this scope; those of the scope itself are part of each.
    pub(super) async fn sets(&mut self, rules: &Rules, scope: RuleScope) -> Result<Vec<Set>> {
        let mut combinations: BTreeSet<Vec<RuleScope>> = BTreeSet::new();
        for mut combination in rules.store.rule_sets(scope).await? {
            combination.push(scope);
            // Environment before project before key.
            combination.sort_unstable();
            combination.dedup();
            combinations.insert(combination);
        }
        if combinations.is_empty() {
            combinations.insert(vec![scope]);
        }
        let mut sets = Vec::with_capacity(combinations.len());
        for combination in combinations {
            let mut set = Set::new();
            for scope in combination {
                set.extend(self.of(rules, scope).await?);
            }
            sets.push(set);
        }
        Ok(sets)
    }
}

impl Rules {
    /// Reads rules, compiles them with all that hold for the same keys, and looks whether what they name exists.
    ///
    /// # Errors
    /// [`RulesError::Invalid`] with all mistakes; [`RulesError::Conflict`] if they don't fit the other rules.
    pub(super) async fn prepare(&self, caller: &Caller, target: &Target, text: &str) -> Result<Prepared> {
        // First of all, so that nothing that is read is older.
        let state = self.store.rules_state().await?;
        let parsed = Parsed::read(text).map_err(RulesError::Invalid)?;
        let (templates, mut found) = self.linkable(caller, target, &parsed, (text, state)).await?;
        let named: Vec<Mention> =
            parsed.mentions.iter().filter(|mention| mention.kind != MentionKind::Template).cloned().collect();
        found.extend(self.unknown(text, &named).await?);
        let (scope, owner) = (target.scope(), target.owner());
        let mut documents = Documents::default();
        documents.insert(scope, owner.clone(), Arc::clone(&parsed.document));
        let own: Set = vec![(owner.clone(), Arc::clone(&parsed.document))];
        let sets = documents.sets(self, scope).await?;
        let compiled = self.compile(move || -> std::result::Result<String, Vec<Wrong>> {
            let cedar = engine::compile(&own, &templates)?;
            let with_others = sets.iter().filter(|set| set.len() > 1);
            with_others.map(|set| engine::compile(set, &templates)).try_for_each(|compiled| compiled.map(drop))?;
            Ok(cedar)
        });
        let mut cedar = String::new();
        match compiled.await? {
            Ok(compiled) => cedar = compiled,
            Err(wrong) => {
                let (own, others): (Vec<_>, Vec<_>) = wrong.into_iter().partition(|(whose, _)| *whose == owner);
                found.extend(own.into_iter().flat_map(|(_, found)| found));
                if found.is_empty() {
                    return Err(RulesError::Conflict(breaks(others)));
                }
            }
        }
        if found.is_empty() {
            return Ok(Prepared { state, mentions: parsed.mentions, cedar });
        }
        found.sort_by_key(|found| (found.line, found.column));
        Err(RulesError::Invalid(found))
    }

    /// A mistake for each name that nothing has.
    pub(super) async fn unknown(&self, text: &str, mentions: &[Mention]) -> Result<Vec<Diagnostic>> {
        let unknown = self.store.unknown_names(mentions).await?;
        Ok(unknown.iter().map(|mention| does_not_exist(text, mention)).collect())
    }

    /// The templates that these rules may link to, and a mistake for each link to one that is withdrawn. A link that
    /// is there already stays allowed.
    async fn linkable(
        &self,
        caller: &Caller,
        target: &Target,
        parsed: &Parsed,
        (text, state): (&str, RulesState),
    ) -> Result<(Templates, Vec<Diagnostic>)> {
        let linked = self.store.current_rules_of(target.scope()).await?.map(|current| current.templates);
        let linked = linked.unwrap_or_default();
        let mut templates = engine::templates(&self.store.templates_at(state.templates).await?);
        templates.retain(|name, state| linked.contains(name) || may_see(caller, state));
        let links: BTreeSet<&str> =
            parsed.document.templates().filter(|name| !linked.iter().any(|l| l == name)).collect();
        let withdrawn = links.into_iter().filter(|name| matches!(templates.get(*name), Some(TemplateState::Withdrawn)));
        let found = withdrawn.map(|name| {
            let message = format!("the template {name} is withdrawn");
            let help = Some("an administrator can restore it".to_owned());
            Diagnostic { help, ..engine::about_name(text, name, message) }
        });
        let found = found.collect();
        Ok((templates, found))
    }
}

/// Whether somebody may see a template and link to it. Withdrawn ones tell nobody whom they were for.
fn may_see(caller: &Caller, state: &TemplateState) -> bool {
    match state {
        TemplateState::Active(template) => may_see_groups(caller, template.visible_to()),
        TemplateState::Withdrawn => true,
    }
}

fn may_see_groups(caller: &Caller, visible_to: &[String]) -> bool {
    caller.reads_everything() || visible_to.is_empty() || visible_to.iter().any(|group| caller.groups().contains(group))
}

/// The groups that a stored template is for, if the caller may see it. One that can't be read is for
/// those who may read everything.
pub(super) fn visible(caller: &Caller, text: &str) -> Option<Vec<String>> {
    match ParsedTemplate::read(text) {
        Ok(parsed) => {
            let groups = parsed.template.visible_to();
            may_see_groups(caller, groups).then(|| groups.to_vec())
        }
        Err(_) => caller.reads_everything().then(Vec::new),
    }
}

pub(super) fn does_not_exist(text: &str, mention: &Mention) -> Diagnostic {
    let Mention { kind, name, .. } = mention;
    engine::about_name(text, name, format!("there is no {kind} {name}"))
}

/// Whose rules would not compile any more, for a person.
pub(super) fn breaks(wrong: Vec<Wrong>) -> String {
    let why = |found: &[Diagnostic]| found.first().map_or_else(String::new, |found| found.message.clone());
    let each: BTreeSet<String> = wrong.iter().map(|(owner, found)| format!("{owner}: {}", why(found))).collect();
    let each: Vec<String> = each.into_iter().collect();
    format!("It does not fit rules that are in force. {}. Change them first.", each.join("; "))
}
