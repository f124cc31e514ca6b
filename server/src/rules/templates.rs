//! Templates that rules link to.

use std::collections::{BTreeSet, HashMap};

use sealcard_api::{
    admin::Page,
    key_rules::{Diagnostic, RulesChecked, Template, TemplateBase, TemplateText, TemplateVersion},
};
use sealcard_policy::{Action, rules::TemplateState};
use sealcard_record::{Event, event};

use super::{
    Change, Result, Rules, RulesError, authorship,
    change::checked,
    engine::{self, ParsedTemplate, Templates},
    expect_state,
    prepare::{Documents, breaks, does_not_exist, visible},
    sha256,
    target::place,
    written,
};
use crate::{
    authn::Caller,
    storage::{Mention, NewTemplateVersion, RulesState, TemplateVersionRow, WriteTx},
};

/// Templates that are to be applied together.
#[derive(Debug, Clone)]
pub struct TemplatesPlan {
    /// A file of templates.
    pub text: String,
    /// The version of each that the change is based on; one that is not named must be new.
    pub bases: Vec<TemplateBase>,
    /// Why.
    pub note: Option<String>,
}

/// What may be done with a template apart from changing its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Rules that link to it deny every use from now on.
    Withdraw,
    /// It may be used again.
    Restore,
}

/// A change of templates that can be made as long as the state stays.
struct Prepared {
    state: RulesState,
    /// Those that change.
    templates: Vec<(TemplateText, Vec<Mention>)>,
    /// All of the text in Cedar.
    cedar: String,
}

impl Rules {
    /// Applies all templates of a text, or none. Those that are in force already get no new version; withdrawn ones stay
    /// withdrawn.
    pub async fn apply_templates(&self, caller: Caller, plan: TemplatesPlan) -> Result<()> {
        let TemplatesPlan { text, bases, note } = plan;
        let bases = bases.into_iter().map(|base| (base.name, base.version)).collect();
        let prepared = self.prepare_templates(&text).await?;
        self.append_templates(caller, prepared, text, (bases, note, None)).await
    }

    /// Applies a text that has this template and no other.
    pub async fn apply_template(&self, caller: Caller, name: &str, change: Change) -> Result<()> {
        let others = engine::split(&change.text).map_err(RulesError::Invalid)?;
        if others.iter().any(|template| template.name != name) {
            let other = engine::about_name("", "", format!("the text must have [template.{name}] and no other"));
            return Err(RulesError::Invalid(vec![other]));
        }
        let Change { text, base, note } = change;
        let bases = vec![TemplateBase { name: name.to_owned(), version: base }];
        self.apply_templates(caller, TemplatesPlan { text, bases, note }).await
    }

    /// Gives a template the text of an older version.
    ///
    /// # Errors
    /// [`RulesError::NotFound`] if there is no such version; see [`RulesError`].
    pub async fn revert_template(
        &self,
        caller: Caller,
        name: &str,
        version: u64,
        (base, note): (u64, Option<String>),
    ) -> Result<()> {
        let missing = || RulesError::NotFound(format!("There is no version {version} of the template {name}."));
        let number = i64::try_from(version).map_err(|_| missing())?;
        let rows = self.store.template_versions(name, number.checked_add(1), 1).await?;
        let row = rows.into_iter().next().filter(|row| row.version == number).ok_or_else(missing)?;
        let prepared = self.prepare_templates(&row.text).await?;
        let bases = HashMap::from([(name.to_owned(), base)]);
        self.append_templates(caller, prepared, row.text, (bases, note, Some(version))).await
    }

    /// Withdraws or restores a template. What is so already gets no new version.
    pub async fn act(&self, caller: Caller, name: &str, act: Act, (base, note): (u64, Option<String>)) -> Result<()> {
        let row = self.store.template(name).await?.ok_or_else(|| unknown(name))?;
        let mut prepared = None;
        if act == Act::Restore && row.withdrawn {
            let state = self.store.rules_state().await?;
            let parsed = ParsedTemplate::read(&row.text).map_err(RulesError::Invalid)?;
            let mut templates = self.templates_of(state).await?;
            templates.insert(name.to_owned(), TemplateState::Active(parsed.template));
            self.expect_links_fit(&[name], templates).await?;
            prepared = Some((state, parsed.mentions));
        }
        let name = name.to_owned();
        self.store
            .write(move |tx| {
                caller.authorization(MANAGE).check(tx, None)?;
                let current = tx.template(&name)?.ok_or_else(|| unknown(&name))?;
                expect_base(&name, Some(&current), base)?;
                if current.withdrawn == (act == Act::Withdraw) {
                    return Ok(());
                }
                let mut mentions = Vec::new();
                if let Some((state, named)) = prepared {
                    expect_state(tx, state)?;
                    expect_known(tx, &current.text, &named)?;
                    mentions = named;
                }
                let withdrawn = act == Act::Withdraw;
                let event = if withdrawn { Event::TemplateWithdrawn } else { Event::TemplateRestored };
                let TemplateVersionRow { name, text, .. } = current.clone();
                let next = Next { name, text, withdrawn, mentions, event, note, reverted_to: None };
                append(tx, &caller, Some(&current), next)
            })
            .await
    }

    /// What applying a file of templates would say. Nothing is changed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn check_templates(&self, text: &str) -> Result<RulesChecked> {
        let prepared = self.prepare_templates(text).await;
        let answer = checked(prepared.map(|prepared| prepared.cedar))?;
        let templates =
            if answer.diagnostics.is_empty() { engine::split(text).unwrap_or_default() } else { Vec::new() };
        Ok(RulesChecked { templates, ..answer })
    }

    /// A template, if the caller may see it.
    ///
    /// # Errors
    /// [`RulesError::NotFound`] if not.
    pub async fn template(&self, caller: &Caller, name: &str, cedar: bool) -> Result<Template> {
        let row = self.store.template(name).await?.ok_or_else(|| unknown(name))?;
        let visible_to = visible(caller, &row.text).ok_or_else(|| unknown(name))?;
        let cedar = if cedar {
            let text = row.text.clone();
            Some(self.compile(move || engine::template_cedar(&text)).await??)
        } else {
            None
        };
        self.to_api(caller, row, visible_to, cedar).await
    }

    /// Templates that the caller may see, sorted by name, after the given one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn templates(&self, caller: &Caller, after: &str, limit: u32) -> Result<Page<Template>> {
        let (mut items, mut after, limit) = (Vec::new(), after.to_owned(), limit as usize);
        loop {
            let rows = self.store.templates(&after, READ_AT_ONCE).await?;
            let Some(last) = rows.last() else { return Ok(Page { items, next: None }) };
            last.name.clone_into(&mut after);
            for row in rows {
                let Some(visible_to) = visible(caller, &row.text) else { continue };
                if items.len() >= limit {
                    let next = items.last().map(|template: &Template| template.name.clone());
                    return Ok(Page { items, next });
                }
                items.push(self.to_api(caller, row, visible_to, None).await?);
            }
        }
    }

    /// Versions of a template, newest first, older than `before`.
    ///
    /// # Errors
    /// [`RulesError::NotFound`] if there is no template of this name.
    pub async fn template_history(&self, name: &str, before: Option<u64>, limit: u32) -> Result<Page<TemplateVersion>> {
        self.store.template(name).await?.ok_or_else(|| unknown(name))?;
        let before = before.map(|before| i64::try_from(before).unwrap_or(i64::MAX));
        let mut rows = self.store.template_versions(name, before, limit.saturating_add(1)).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|row| row.version.to_string());
        let items = rows.into_iter().map(|row| TemplateVersion {
            version: row.version.cast_unsigned(),
            text: row.text,
            withdrawn: row.withdrawn,
            written: written(row.by),
        });
        Ok(Page { items: items.collect(), next })
    }

    async fn to_api(
        &self,
        caller: &Caller,
        row: TemplateVersionRow,
        visible_to: Vec<String>,
        cedar: Option<String>,
    ) -> Result<Template> {
        let linking = if caller.reads_everything() { self.store.rules_linking(&row.name).await? } else { Vec::new() };
        Ok(Template {
            used_by: linking.into_iter().map(|rules| place(rules.owner)).collect(),
            name: row.name,
            version: row.version.cast_unsigned(),
            text: row.text,
            withdrawn: row.withdrawn,
            visible_to,
            written: written(row.by),
            cedar,
        })
    }

    async fn templates_of(&self, state: RulesState) -> Result<Templates> {
        Ok(engine::templates(&self.store.templates_at(state.templates).await?))
    }

    /// Reads templates, and compiles the rules that link to one that changes.
    async fn prepare_templates(&self, text: &str) -> Result<Prepared> {
        let state = self.store.rules_state().await?;
        let texts = engine::split(text).map_err(RulesError::Invalid)?;
        let mut all = self.templates_of(state).await?;
        let (mut changed, mut found, mut cedar) = (Vec::new(), Vec::new(), Vec::new());
        for one in texts {
            let parsed = ParsedTemplate::read(&one.text).map_err(RulesError::Invalid)?;
            found.extend(self.unknown(text, &parsed.mentions).await?);
            cedar.push(parsed.template.cedar());
            let current = self.store.template(&one.name).await?;
            if current.as_ref().is_some_and(|row| row.text == one.text) {
                continue;
            }
            if current.is_none_or(|row| !row.withdrawn) {
                all.insert(one.name.clone(), TemplateState::Active(parsed.template));
            }
            changed.push((one, parsed.mentions));
        }
        if !found.is_empty() {
            return Err(RulesError::Invalid(found));
        }
        let names: Vec<&str> = changed.iter().map(|(one, _)| one.name.as_str()).collect();
        self.expect_links_fit(&names, all).await?;
        Ok(Prepared { state, templates: changed, cedar: cedar.join("\n") })
    }

    /// Fails if rules that link to one of these templates don't compile with `templates`.
    async fn expect_links_fit(&self, changed: &[&str], templates: Templates) -> Result<()> {
        let mut scopes = BTreeSet::new();
        for name in changed {
            scopes.extend(self.store.rules_linking(name).await?.into_iter().map(|rules| rules.scope));
        }
        let (mut documents, mut sets) = (Documents::default(), Vec::new());
        for scope in scopes {
            sets.extend(documents.sets(self, scope).await?);
        }
        let compiled = self.compile(move || {
            let wrong = sets.iter().filter_map(|set| engine::compile(set, &templates).err());
            wrong.flatten().collect::<Vec<_>>()
        });
        let wrong = compiled.await?;
        if wrong.is_empty() { Ok(()) } else { Err(RulesError::Conflict(breaks(wrong))) }
    }

    async fn append_templates(
        &self,
        caller: Caller,
        prepared: Prepared,
        text: String,
        (bases, note, reverted_to): (HashMap<String, u64>, Option<String>, Option<u64>),
    ) -> Result<()> {
        let Prepared { state, templates, .. } = prepared;
        self.store
            .write(move |tx| {
                caller.authorization(MANAGE).check(tx, None)?;
                expect_state(tx, state)?;
                for (one, mentions) in templates {
                    let current = tx.template(&one.name)?;
                    expect_base(&one.name, current.as_ref(), bases.get(&one.name).copied().unwrap_or(0))?;
                    expect_known(tx, &text, &mentions)?;
                    let withdrawn = current.as_ref().is_some_and(|row| row.withdrawn);
                    let mentions = if withdrawn { Vec::new() } else { mentions };
                    let event = if reverted_to.is_some() { Event::TemplateReverted } else { Event::TemplateApplied };
                    let TemplateText { name, text } = one;
                    let next = Next { name, text, withdrawn, mentions, event, note: note.clone(), reverted_to };
                    append(tx, &caller, current.as_ref(), next)?;
                }
                Ok(())
            })
            .await
    }
}

const MANAGE: &[Action] = &[Action::ManageServerRules];

/// Templates that are read at once while those are looked for that somebody may see.
const READ_AT_ONCE: u32 = 50;

fn unknown(name: &str) -> RulesError {
    RulesError::NotFound(format!("There is no template {name}, or you may not see it."))
}

/// A version that is to follow another one.
struct Next {
    name: String,
    text: String,
    withdrawn: bool,
    mentions: Vec<Mention>,
    event: fn(event::TemplateChange) -> Event,
    note: Option<String>,
    reverted_to: Option<u64>,
}

/// Appends the version after `current`, and records it.
fn append(tx: &mut WriteTx, caller: &Caller, current: Option<&TemplateVersionRow>, next: Next) -> Result<()> {
    let Next { name, text, withdrawn, mentions, event, note, reverted_to } = next;
    let before = current.map(|row| row.version.cast_unsigned());
    let version = before.unwrap_or(0) + 1;
    let (by, sha256) = (authorship(caller, tx.now(), &note), sha256(&text));
    let row = TemplateVersionRow { name: name.clone(), version: version.cast_signed(), text, withdrawn, by };
    tx.append_template(&NewTemplateVersion { row, mentions })?;
    let change = event::TemplateChange { template: name, version, before, reverted_to, sha256, note };
    tx.append_record(caller.draft(event(change)));
    Ok(())
}

fn expect_known(tx: &mut WriteTx, text: &str, mentions: &[Mention]) -> Result<()> {
    let unknown = tx.unknown_names(mentions)?;
    let unknown: Vec<Diagnostic> = unknown.iter().map(|mention| does_not_exist(text, mention)).collect();
    if unknown.is_empty() { Ok(()) } else { Err(RulesError::Invalid(unknown)) }
}

fn expect_base(name: &str, current: Option<&TemplateVersionRow>, base: u64) -> Result<()> {
    let version = current.map_or(0, |row| row.version.cast_unsigned());
    if version == base {
        return Ok(());
    }
    Err(RulesError::Conflict(match current {
        None => format!("There is no template {name}: not version {base} of it."),
        Some(row) if base == 0 => {
            format!("There is a template {name} already: version {version}, by {}.", row.by.author)
        }
        Some(row) => format!(
            "Your change is based on version {base} of the template {name}, but version {version} is in force, by {} \
             at {}. See what it changed: sealcard admin template history {name} --diff {version}",
            row.by.author, row.by.applied
        ),
    }))
}
