//! `sealcard admin policy test`, `diff` and `explain`: rules tried out.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueHint};
use sealcard_api::{
    admin::Page,
    decisions::{PolicyDecision, UseKind},
    ids::RequestId,
    key_rules::CheckedKind,
    rule_trials::{
        Different, ExampleResult, MayUse, PossibleUse, RulesReplay, RulesReplayed, RulesTest, RulesTested, WhatMay,
    },
};
use sealcard_record::{
    Body, Event, Line,
    event::{DenialCause, Judged},
};
use serde::Serialize;

use super::{RulesKind, Target};
use crate::{
    cli::{
        App,
        admin::rules::{Source, print_diagnostics, show_diff},
        local_time,
        output::{BAD, BOLD, GOOD, WARN, clean, count, facts, line, note, show},
        progress,
    },
    remote::{path, query},
};

pub(super) const TEST_HELP: &str = "\
An example says who uses a key how, and what should be decided. The requester counts as a key user.

Example of a file:
  [[example]]
  name      = \"jane signs a tag in the office\"
  user      = \"jane\"                # or service-account = \"nightly\"
  groups    = [\"release-managers\"]
  key       = \"tools/release\"
  operation = \"sign\"
  hash      = \"sha512\"
  address   = \"10.20.1.2\"
  time      = 2026-11-30T10:00:00+01:00
  tool      = { path = \"/usr/bin/git\", command = \"git tag -s v1\" }
  expect    = \"allow\"               # or \"deny\", \"wait\"
  # rules   = [\"project/tags/hours\"]  ids of rules that must have decided

More fields: host, justification, login-age, exhausted.

Examples:
  sealcard admin policy test tools examples.toml
  sealcard admin policy test tools examples.toml --rules new-rules.toml

Exit codes: 0 all are decided as expected, 1 one is not or there are mistakes, 2 wrong usage.";

pub(super) const DIFF_HELP: &str = "\
OLD and NEW are files, numbers of versions, or `current`.

Examples:
  sealcard admin policy diff tools current new-rules.toml
  sealcard admin policy diff tools 3 4 --replay 30d

With --replay, uses in the record are judged by both. Groups, login, claims and exhausted quotas are as they were then; \
roles and the key's state are not judged again.

Exit codes: 0 no use is decided otherwise, 1 one is or there are mistakes, 2 wrong usage.";

pub(super) const EXPLAIN_HELP: &str = "\
Examples:
  sealcard admin policy explain 0193a5c2-7c1e-7e30-9c1f-2f4f5a6b7c8d
      why a request was denied, rule by rule; `sealcard last` shows its id
  sealcard admin policy explain --what-may jane
      what jane may do with which keys, and under which conditions";

/// What is compared.
#[derive(Debug, Args)]
pub(in crate::cli::admin) struct Compared {
    /// The rules to compare with: a file, a version's number, or `current`
    #[arg(value_hint = ValueHint::FilePath)]
    old: String,
    /// The other rules
    #[arg(value_hint = ValueHint::FilePath)]
    new: String,
    /// Judge recorded uses of so many days by both, such as 30d
    #[arg(long, value_name = "DAYS", value_parser = days)]
    replay: Option<u32>,
}

/// What is explained.
#[derive(Debug, Args)]
pub(in crate::cli::admin) struct Explained {
    /// The request's id
    #[arg(required_unless_present = "what_may")]
    request: Option<RequestId>,
    /// What this user or service account may do
    #[arg(long, value_name = "NAME", conflicts_with = "request")]
    what_may: Option<String>,
    /// For auditors: the request's project
    #[arg(long, value_name = "PROJECT", conflicts_with = "what_may")]
    project: Option<String>,
}

fn days(text: &str) -> Result<u32, String> {
    let digits = text.strip_suffix('d').unwrap_or(text);
    match digits.parse() {
        Ok(days @ 1..=3650) => Ok(days),
        _ => Err("must be a number of days from 1d to 3650d".to_owned()),
    }
}

fn checked_kind(target: &Target) -> CheckedKind {
    match target.kind() {
        RulesKind::Environment => CheckedKind::Environment,
        RulesKind::Project => CheckedKind::Project,
        RulesKind::Key => CheckedKind::Key,
    }
}

pub(super) async fn test(
    app: &App,
    target: &Target,
    (examples, rules): (&Path, Option<&Path>),
    json: bool,
) -> anyhow::Result<ExitCode> {
    let examples = Source::read(examples)?;
    let rules = rules.map(Source::read).transpose()?;
    let body = RulesTest {
        kind: checked_kind(target),
        name: target.name().to_owned(),
        text: rules.as_ref().map(|rules| rules.text.clone()),
        examples: examples.text.clone(),
    };
    let tested: RulesTested = app.remote.post(&path(&["rules", "test"]), &body).await?;
    let failed = tested.results.iter().filter(|result| !result.passed).count();
    let mistakes = !tested.rules.is_empty() || !tested.examples.is_empty();
    show(json, &tested, |tested| {
        if let Some(rules) = rules.as_ref().filter(|_| !tested.rules.is_empty()) {
            print_diagnostics(rules, &tested.rules);
        }
        if !tested.examples.is_empty() {
            print_diagnostics(&examples, &tested.examples);
        }
        tested.results.iter().for_each(|result| print_result(&examples, result));
        if !mistakes {
            let all = count(tested.results.len(), "example");
            note(if failed == 0 { format!("{all} passed.") } else { format!("{failed} of {all} failed.") });
        }
    })?;
    Ok(if failed == 0 && !mistakes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_result(examples: &Source, result: &ExampleResult) {
    let name = clean(&result.name);
    if result.passed {
        return line(format!("{GOOD}passed{GOOD:#}  {name}: {}", decided(result.decided)));
    }
    line(format!(
        "{BAD}failed{BAD:#}  {name}: {}, expected {}  ({}:{})",
        decided(result.decided),
        decided(result.expected),
        examples.name,
        result.line
    ));
    below("      ", &result.reasons);
    result.missing.iter().for_each(|rule| line(format!("        {} did not decide", clean(rule))));
}

/// Texts below what they are about, two columns behind the indent.
fn below(indent: &str, texts: &[String]) {
    facts(&texts.iter().map(|text| (indent, text.clone())).collect::<Vec<_>>());
}

const fn decided(decision: PolicyDecision) -> &'static str {
    match decision {
        PolicyDecision::Allow => "allowed",
        PolicyDecision::Deny => "denied",
        PolicyDecision::Wait => "waits",
    }
}

const fn verb(operation: UseKind) -> &'static str {
    match operation {
        UseKind::Sign => "sign",
        UseKind::Decrypt => "decrypt",
        UseKind::Authenticate => "authenticate",
    }
}

/// What `diff` prints for programs.
#[derive(Debug, Serialize)]
struct DiffReport {
    old: String,
    new: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    judged: Option<u32>,
    different: Vec<Different>,
}

pub(super) async fn diff(app: &App, target: &Target, compared: Compared, json: bool) -> anyhow::Result<ExitCode> {
    let (old, new) = (text(app, target, &compared.old).await?, text(app, target, &compared.new).await?);
    if !json {
        show_diff((&old.name, &old.text), (&new.name, &new.text));
    }
    let mut report = DiffReport { old: old.text.clone(), new: new.text.clone(), judged: None, different: Vec::new() };
    if let Some(days) = compared.replay {
        let mut body = RulesReplay {
            kind: checked_kind(target),
            name: target.name().to_owned(),
            old: old.text.clone(),
            new: new.text.clone(),
            days,
            after: None,
        };
        let (mut judged, mut bar) = (0, None);
        loop {
            let part: RulesReplayed = app.remote.post(&path(&["rules", "replay"]), &body).await?;
            if !part.old.is_empty() || !part.new.is_empty() {
                let (source, found) = if part.old.is_empty() { (&new, &part.new) } else { (&old, &part.old) };
                print_diagnostics(source, found);
                return Ok(ExitCode::FAILURE);
            }
            judged += part.judged;
            report.different.extend(part.different);
            let size = part.newest.saturating_sub(part.oldest);
            let bar = bar.get_or_insert_with(|| (progress::amount(size, "entries", json), part.oldest));
            let Some(next) = part.next else { break bar.0.finish_and_clear() };
            bar.0.set_position(next.parse::<u64>().unwrap_or_default().saturating_sub(bar.1));
            body.after = Some(next);
        }
        report.judged = Some(judged);
    }
    show(json, &report, print_diff)?;
    Ok(if report.different.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_diff(report: &DiffReport) {
    let Some(judged) = report.judged else {
        if report.old == report.new {
            note("They are the same.");
        }
        return;
    };
    for use_ in &report.different {
        let Different { request_id, time, by, key, operation, old, new, reasons } = use_;
        line(format!(
            "{}  {} {} {}: {} → {BOLD}{}{BOLD:#}  {request_id}",
            local_time::shown(*time),
            clean(by),
            verb(*operation),
            clean(key),
            decided(*old),
            decided(*new),
        ));
        below("  ", reasons);
    }
    let judged = count(judged as usize, "recorded use");
    note(match report.different.len() {
        0 => format!("{judged} judged; none would be decided otherwise."),
        different => format!("{judged} judged; {different} would be decided otherwise."),
    });
}

/// The text that an argument means.
async fn text(app: &App, target: &Target, which: &str) -> anyhow::Result<Source> {
    if which == "current" {
        let current = target.current(app).await?;
        return Ok(Source { name: super::version_name(&current), text: current.text });
    }
    if let Ok(number) = which.parse::<u64>() {
        let (_, version) = target.version(app, number).await?;
        return Ok(Source { name: format!("version {number}"), text: version.text });
    }
    Source::read(&PathBuf::from(which))
}

pub(super) async fn explain(app: &App, explained: Explained, json: bool) -> anyhow::Result<()> {
    match (explained.request, explained.what_may) {
        (Some(request), _) => explain_request(app, request, explained.project, json).await,
        (None, Some(name)) => what_may(app, name, json).await,
        (None, None) => bail!("a request or --what-may is needed"),
    }
}

async fn what_may(app: &App, name: String, json: bool) -> anyhow::Result<()> {
    let may: MayUse = app.remote.post(&path(&["rules", "what-may"]), &WhatMay { name: name.clone() }).await?;
    show(json, &may, |may| {
        if may.uses.is_empty() {
            note(format!("{} is a key user of no project, or of projects without keys.", clean(&name)));
        }
        for PossibleUse { key, operation, denied, conditions } in &may.uses {
            let (key, verb) = (clean(key), verb(*operation));
            line(match (denied, conditions.is_empty()) {
                (true, _) => format!("{BAD}no{BAD:#}   {verb} {key}"),
                (false, true) => format!("{GOOD}yes{GOOD:#}  {verb} {key}"),
                (false, false) => format!("{WARN}if{WARN:#}   {verb} {key}"),
            });
            below("     ", conditions);
        }
    })
}

/// What `explain` prints of a request.
#[derive(Debug, Serialize)]
struct Explanation {
    request_id: RequestId,
    decision: PolicyDecision,
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Judged>,
}

async fn explain_request(app: &App, request: RequestId, project: Option<String>, json: bool) -> anyhow::Result<()> {
    let chosen = [("request", Some(request.to_string())), ("project", project)];
    let page: Page<Line> = app.remote.get(&format!("{}{}", path(&["record"]), query(&chosen))).await?;
    let bodies: Vec<Body> = page.items.iter().filter_map(|line| line.body().ok()).collect();
    let decided = bodies.iter().find(|body| matches!(body.event, Event::UseDenied(_) | Event::UseIntent(_)));
    ensure!(!bodies.is_empty(), "the record has no request {request} that you may read");
    let body = decided.context("this request is no use of a key, so no rules judged it")?;
    let (asked, decision, reasons, cause) = match &body.event {
        Event::UseDenied(denied) => (&denied.asked, PolicyDecision::Deny, denied.reasons.clone(), Some(denied.cause)),
        Event::UseIntent(intent) => (&intent.asked, PolicyDecision::Allow, Vec::new(), None),
        _ => bail!("this request is no use of a key"),
    };
    let explanation = Explanation { request_id: request, decision, reasons, rules: asked.judged.clone() };
    show(json, &explanation, |explanation| print_explanation(body, explanation, cause))
}

fn print_explanation(body: &Body, explanation: &Explanation, cause: Option<DenialCause>) {
    line(match explanation.decision {
        PolicyDecision::Allow => format!("{GOOD}The request was allowed.{GOOD:#}"),
        PolicyDecision::Deny | PolicyDecision::Wait => format!("{BAD}The request was denied.{BAD:#}"),
    });
    let by = body.actor.as_ref().map(|actor| actor.name.clone()).unwrap_or_default();
    let key = match (body.event.project(), body.event.key()) {
        (Some(project), Some(key)) => format!("{}/{}", project.name, key.name),
        _ => "unknown".to_owned(),
    };
    let mut rows = vec![("when", local_time::shown(body.time)), ("by", clean(&by)), ("key", clean(&key))];
    rows.extend(explanation.reasons.iter().map(|reason| ("reason", clean(reason))));
    if cause == Some(DenialCause::RuleFailed) {
        rows.push(("note", "a rule could not be evaluated, which denies".to_owned()));
    }
    match &explanation.rules {
        None => rows.push(("rules", "the built-in ones alone".to_owned())),
        Some(judged) => {
            let Judged { environment, project, key, decided_by, exhausted, .. } = judged;
            let version = |what: &str, version: &Option<u64>| version.map(|number| format!("{what} version {number}"));
            let versions = [version("environment", environment), version("project", project), version("key", key)];
            let versions: Vec<String> = versions.into_iter().flatten().collect();
            if !versions.is_empty() {
                rows.push(("rules", versions.join(", ")));
            }
            rows.extend(decided_by.iter().map(|id| ("decided by", clean(id))));
            rows.extend(exhausted.iter().map(|quota| ("exhausted", clean(quota))));
        }
    }
    facts(&rows);
}
