//! Applying, reverting, removing and checking rules.

use sealcard_api::key_rules::{Diagnostic, RulesChecked};
use sealcard_record::{Event, event};

use super::{
    Result, Rules, RulesError, Target, authorship, engine, expect_state,
    prepare::{Prepared, does_not_exist},
    sha256,
};
use crate::{
    authn::Caller,
    storage::{MentionKind, NewRuleVersion, RuleVersionRow},
};

/// A change of rules or of a template.
#[derive(Debug, Clone)]
pub struct Change {
    /// The whole text from now on. Empty: rules are removed.
    pub text: String,
    /// The version that the change is based on; 0 if there was none.
    pub base: u64,
    /// Why.
    pub note: Option<String>,
}

impl Rules {
    /// Applies rules, or removes them if the text is empty. What is in force already gets no new version.
    pub async fn apply(&self, caller: Caller, target: Target, change: Change) -> Result<()> {
        self.append(caller, target, change, None).await
    }

    /// Gives rules the text of an older version.
    ///
    /// # Errors
    /// [`RulesError::NotFound`] if there is no such version; see [`RulesError`].
    pub async fn revert(
        &self,
        caller: Caller,
        target: Target,
        version: u64,
        (base, note): (u64, Option<String>),
    ) -> Result<()> {
        let row = self.version(&target, version).await?;
        self.append(caller, target, Change { text: row.text, base, note }, Some(version)).await
    }

    /// What applying the text would say. Nothing is changed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn check(&self, caller: &Caller, target: &Target, text: &str) -> Result<RulesChecked> {
        checked(self.prepare(caller, target, text).await.map(|prepared| prepared.cedar))
    }

    async fn version(&self, target: &Target, version: u64) -> Result<RuleVersionRow> {
        let unknown = || RulesError::NotFound(format!("There is no version {version} of {}.", target.owner()));
        let number = i64::try_from(version).map_err(|_| unknown())?;
        let rows = self.store.rule_versions(target.scope(), number.checked_add(1), 1).await?;
        rows.into_iter().next().filter(|row| row.version == number).ok_or_else(unknown)
    }

    async fn append(&self, caller: Caller, target: Target, change: Change, reverted_to: Option<u64>) -> Result<()> {
        let Change { text, base, note } = change;
        let text = if text.trim().is_empty() { String::new() } else { text };
        let prepared = if text.is_empty() { None } else { Some(self.prepare(&caller, &target, &text).await?) };
        self.store
            .write(move |tx| {
                caller.authorization(target.manage()).check(tx, target.project())?;
                let current = tx.rules(target.scope())?;
                expect_base(&target, current.as_ref(), base)?;
                if current.as_ref().map_or("", |row| row.text.as_str()) == text {
                    return Ok(());
                }
                let mut mentions = Vec::new();
                if let Some(Prepared { state, mentions: named, .. }) = prepared {
                    expect_state(tx, state)?;
                    mentions = named;
                }
                let unknown = tx.unknown_names(&mentions)?;
                let exists = |kind| kind != MentionKind::Template;
                let unknown: Vec<Diagnostic> = unknown
                    .iter()
                    .filter(|mention| exists(mention.kind))
                    .map(|mention| does_not_exist(&text, mention))
                    .collect();
                if !unknown.is_empty() {
                    return Err(RulesError::Invalid(unknown));
                }
                let before = current.map(|row| row.version.cast_unsigned());
                let (scope, version) = (target.scope(), before.unwrap_or(0) + 1);
                let by = authorship(&caller, tx.now(), &note);
                let sha256 = sha256(&text);
                let new = NewRuleVersion { scope, version: version.cast_signed(), text, by, mentions };
                tx.append_rules(&new)?;
                tx.describe(new.text.lines().map(|line| format!("| {line}")));
                let of = target.record();
                let recorded = event::RulesChange { of, version, before, reverted_to, sha256, note };
                tx.append_record(caller.draft(match (new.text.as_str(), reverted_to) {
                    ("", _) => Event::RulesRemoved(recorded),
                    (_, None) => Event::RulesApplied(recorded),
                    (_, Some(_)) => Event::RulesReverted(recorded),
                }));
                Ok(())
            })
            .await
    }
}

/// The answer of a check.
pub(super) fn checked(prepared: Result<String>) -> Result<RulesChecked> {
    let wrong = |diagnostics| RulesChecked { diagnostics, ..RulesChecked::default() };
    match prepared {
        Ok(cedar) => Ok(RulesChecked { cedar, ..RulesChecked::default() }),
        Err(RulesError::Invalid(found)) => Ok(wrong(found)),
        // It is about no place in the text.
        Err(RulesError::Conflict(why)) => {
            let why = why.trim_end_matches('.').to_owned();
            Ok(wrong(vec![engine::about_name("", "", why)]))
        }
        Err(error) => Err(error),
    }
}

fn expect_base(target: &Target, current: Option<&RuleVersionRow>, base: u64) -> Result<()> {
    let version = current.map_or(0, |row| row.version.cast_unsigned());
    if version == base {
        return Ok(());
    }
    let owner = target.owner();
    let Some(row) = current else {
        return Err(RulesError::Conflict(format!("There were never any rules: not version {base} of {owner}.")));
    };
    let (by, time) = (&row.by.author, row.by.applied);
    Err(RulesError::Conflict(format!(
        "Your change is based on version {base} of {owner}, but version {version} is in force, by {by} at {time}. See \
         what it changed: sealcard admin policy history {} --diff {version}",
        target.argument()
    )))
}
