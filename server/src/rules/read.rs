//! Reading rules and their history.

use sealcard_api::{
    admin::Page,
    key_rules::{self, RulesSummary, RulesVersion},
};
use uuid::Uuid;

use super::{
    Result, Rules, RulesError, Target,
    engine::{self, Parsed},
    prepare::breaks,
    target::place,
    written,
};
use crate::{authn::Caller, storage::RuleScope};

impl Rules {
    /// The rules in force, as they were written and, if wanted, in Cedar.
    ///
    /// # Errors
    /// If the database fails, or rules can't be compiled any more.
    pub async fn show(&self, target: &Target, cedar: bool) -> Result<key_rules::Rules> {
        let row = self.store.rules(target.scope()).await?;
        let current = self.store.current_rules_of(target.scope()).await?;
        let cedar = if cedar { Some(self.cedar(target).await?) } else { None };
        let templates = current.map(|current| current.templates).unwrap_or_default();
        let place = target.place();
        Ok(match row {
            Some(row) => key_rules::Rules {
                place,
                version: row.version.cast_unsigned(),
                text: row.text,
                templates,
                written: Some(written(row.by)),
                cedar,
            },
            None => key_rules::Rules { place, version: 0, text: String::new(), templates, written: None, cedar },
        })
    }

    /// The rules of a scope in Cedar; for a key all that hold for it.
    async fn cedar(&self, target: &Target) -> Result<String> {
        let state = self.store.rules_state().await?;
        let templates = engine::templates(&self.store.templates_at(state.templates).await?);
        let mut scopes = vec![vec![target.scope()]];
        if matches!(target.scope(), RuleScope::Key(_)) {
            let sets = self.store.rule_sets(target.scope()).await?;
            if !sets.is_empty() {
                scopes = sets;
            }
        }
        let mut set = engine::Set::new();
        for scope in scopes.into_iter().flatten() {
            if let Some(current) = self.store.current_rules_of(scope).await? {
                let parsed = Parsed::read(&current.text).map_err(RulesError::Invalid)?;
                set.push((current.owner, parsed.document));
            }
        }
        let compiled = self.compile(move || engine::compile(&set, &templates)).await?;
        compiled.map_err(|wrong| RulesError::Conflict(breaks(wrong)))
    }

    /// Rules in force that the caller may see, after this id, with one more than `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(&self, caller: &Caller, after: Option<Uuid>, limit: u32) -> Result<Page<RulesSummary>> {
        let visible_to = (!caller.reads_everything()).then_some(caller.principal);
        let mut rows = self.store.current_rules(visible_to, after, limit.saturating_add(1)).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|row| row.scope.subject().to_string());
        let items = rows.into_iter().map(|row| RulesSummary {
            place: place(row.owner),
            version: row.version.cast_unsigned(),
            templates: row.templates,
            written: written(row.by),
        });
        Ok(Page { items: items.collect(), next })
    }

    /// Versions of rules, newest first, older than `before`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn history(&self, target: &Target, before: Option<u64>, limit: u32) -> Result<Page<RulesVersion>> {
        let before = before.map(|before| i64::try_from(before).unwrap_or(i64::MAX));
        let mut rows = self.store.rule_versions(target.scope(), before, limit.saturating_add(1)).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|row| row.version.to_string());
        let items = rows.into_iter().map(|row| RulesVersion {
            version: row.version.cast_unsigned(),
            text: row.text,
            written: written(row.by),
        });
        Ok(Page { items: items.collect(), next })
    }
}
