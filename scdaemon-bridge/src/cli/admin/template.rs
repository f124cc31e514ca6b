//! `sealcard admin template`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use sealcard_api::key_rules::{
    CheckedKind, RulesCheck, RulesChecked, RulesPlace, RulesRevert, Template, TemplateAct, TemplateBase, TemplateText,
    TemplateVersion, TemplatesChange, Written,
};
use serde::Serialize;

use super::{
    policy::RulesFile,
    rules::{
        History, Options, Source, Version, counted, mistakes, print_diagnostics, print_history, print_text, show_diff,
        show_version_diff,
    },
};
use crate::{
    cli::{
        App,
        ask::Yes,
        done, local_time,
        output::{clean, line, note, show, table},
        pages,
    },
    remote::{RemoteError, path, query},
};

const APPLY_HELP: &str = "\
A file may have several templates: all of them are applied, or none. Templates that are not in the file stay as they \
are. Rules link to a template with template = \"NAME\"; a change of it counts for all of them from the next request on.

Example of a file:
  [template.office-hours]
  operations = [\"sign\"]
  visible-to = [\"release-managers\"]

  [template.office-hours.hours]
  days = \"mon-fri\"
  from = \"06:00\"
  to   = \"20:00\"
  zone = \"Europe/Berlin\"

Example:
  sealcard admin template apply templates.toml --note 'ticket 12'

Without a terminal nothing is asked.
Exit codes: 0 applied or nothing to change, 1 mistakes or a failure, 2 wrong usage.";

const CHECK_HELP: &str = "\
Says what applying the file would say, and changes nothing.

Exit codes: 0 no mistakes, 1 mistakes or a failure, 2 wrong usage.";

const WITHDRAW_HELP: &str = "\
Every use of a key whose rules link to the template is denied, until it is restored or the link is removed.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the templates that you may link to
    List,
    /// Show a template
    Show {
        /// Its name
        name: String,
        /// Show what a link to it is in Cedar
        #[arg(long)]
        cedar: bool,
    },
    /// Say what is wrong with a file of templates, and change nothing
    #[command(after_help = CHECK_HELP)]
    Check(RulesFile),
    /// Add and change templates; it counts from the next request on
    #[command(after_help = APPLY_HELP)]
    Apply {
        #[command(flatten)]
        file: RulesFile,
        #[command(flatten)]
        options: Options,
    },
    /// List the versions of a template, newest first
    History {
        /// Its name
        name: String,
        #[command(flatten)]
        history: History,
    },
    /// Put an older version of a template in force again, as a new version
    Revert {
        /// Its name
        name: String,
        /// The number of the version, as `history` shows it
        version: u64,
        #[command(flatten)]
        options: Options,
    },
    /// Stop all uses of keys whose rules link to a template
    #[command(after_help = WITHDRAW_HELP)]
    Withdraw {
        /// Its name
        name: String,
        /// Why, for the history and the record
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        yes: Yes,
    },
    /// Allow rules to use a withdrawn template again
    Restore {
        /// Its name
        name: String,
        /// Why, for the history and the record
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

impl Version for TemplateVersion {
    fn number(&self) -> u64 {
        self.version
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn written(&self) -> &Written {
        &self.written
    }

    fn act(&self, before: Option<&Self>) -> Option<&'static str> {
        match (before.map(|before| before.withdrawn), self.withdrawn) {
            (Some(false), true) => Some("withdrawn"),
            (Some(true), false) => Some("restored"),
            _ => None,
        }
    }
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<ExitCode> {
    match command {
        Command::List => list(app, json).await.map(done),
        Command::Show { name, cedar } => show_template(app, &name, cedar, json).await.map(done),
        Command::Check(file) => check(app, &Source::read(&file.file)?, json).await,
        Command::Apply { file, options } => apply(app, &Source::read(&file.file)?, options, json).await,
        Command::History { name, history } => show_history(app, &name, &history, json).await.map(done),
        Command::Revert { name, version, options } => revert(app, &name, version, options, json).await,
        Command::Withdraw { name, note, yes } => withdraw(app, &name, note, yes, json).await.map(done),
        Command::Restore { name, note } => restore(app, &name, note, json).await,
    }
}

async fn list(app: &App, json: bool) -> anyhow::Result<()> {
    let templates: Vec<Template> = pages::all(&app.remote, &path(&["templates"]), &[]).await?;
    super::show_list(json, "templates", &templates, |templates| {
        let row = |template: &Template| {
            let Template { name, version, withdrawn, visible_to, written, .. } = template;
            let visible_to = if visible_to.is_empty() { "everyone".to_owned() } else { visible_to.join(", ") };
            let state = if *withdrawn { "withdrawn" } else { "in force" }.to_owned();
            let time = local_time::shown(written.time);
            [name.clone(), version.to_string(), state, visible_to, written.by.clone(), time]
        };
        let rows: Vec<_> = templates.iter().map(row).collect();
        let headings = ["NAME", "VERSION", "STATE", "VISIBLE TO", "BY", "TIME"];
        table(headings, &rows, "There are no templates that you may link to.");
    })
}

async fn show_template(app: &App, name: &str, cedar: bool, json: bool) -> anyhow::Result<()> {
    let wanted = query(&[("cedar", cedar.then(|| "true".to_owned()))]);
    let template: Template = app.remote.get(&format!("{}{wanted}", path(&["templates", name]))).await?;
    if json {
        return show(json, &template, |_| {});
    }
    if template.withdrawn {
        note(format!("The template {} is withdrawn: rules that link to it deny every use.", clean(name)));
    }
    print_text(template.cedar.as_ref().unwrap_or(&template.text))
}

async fn checked(app: &App, source: &Source) -> Result<RulesChecked, RemoteError> {
    let check = RulesCheck { kind: CheckedKind::Templates, name: None, text: source.text.clone() };
    app.remote.post(&path(&["rules", "check"]), &check).await
}

async fn check(app: &App, source: &Source, json: bool) -> anyhow::Result<ExitCode> {
    let checked = checked(app, source).await?;
    let ok = checked.diagnostics.is_empty();
    show(json, &checked, |checked| {
        if ok {
            let names: Vec<String> = checked.templates.iter().map(|template| clean(&template.name)).collect();
            line(format!("{} has no mistakes: {}.", source.name, names.join(", ")));
        } else {
            print_diagnostics(source, &checked.diagnostics);
        }
    })?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What became of the templates of a file, in JSON.
#[derive(Debug, Serialize)]
struct Applied {
    /// Those that have a new version.
    applied: Vec<Template>,
    /// Those that were so already.
    unchanged: Vec<String>,
}

async fn apply(app: &App, source: &Source, options: Options, json: bool) -> anyhow::Result<ExitCode> {
    let checked = checked(app, source).await?;
    if !checked.diagnostics.is_empty() {
        print_diagnostics(source, &checked.diagnostics);
        return Ok(ExitCode::FAILURE);
    }
    let known: Vec<Template> = pages::all(&app.remote, &path(&["templates"]), &[]).await?;
    let of = |name: &str| known.iter().find(|template| template.name == name);
    let (unchanged, changed): (Vec<TemplateText>, Vec<TemplateText>) = checked
        .templates
        .into_iter()
        .partition(|template| of(&template.name).is_some_and(|known| known.text == template.text));
    let unchanged: Vec<String> = unchanged.into_iter().map(|template| template.name).collect();
    if changed.is_empty() {
        return done_with(&Applied { applied: Vec::new(), unchanged }, json);
    }
    let mut bases = Vec::new();
    for template in &changed {
        let current = of(&template.name);
        if let Some(Template { name, version, .. }) = current {
            bases.push(TemplateBase { name: name.clone(), version: *version });
        }
        if !json {
            print_change(template, current);
        }
    }
    let names: Vec<String> = changed.iter().map(|template| clean(&template.name)).collect();
    let what = if names.len() == 1 { "template" } else { "templates" };
    if !options.go_on(&format!("Apply the {what} {}?", names.join(", ")))? {
        return Ok(ExitCode::FAILURE);
    }
    let change = TemplatesChange { text: source.text.clone(), bases, note: options.note };
    if let Err(error) = app.remote.post::<_, ()>(&path(&["templates"]), &change).await {
        let Some(found) = mistakes(&error) else { return Err(error.into()) };
        print_diagnostics(source, found);
        return Ok(ExitCode::FAILURE);
    }
    let mut applied = Vec::new();
    for template in &changed {
        applied.push(current(app, &template.name).await?);
    }
    done_with(&Applied { applied, unchanged }, json)
}

/// Prints what changes of a template, and whom it concerns.
fn print_change(template: &TemplateText, current: Option<&Template>) {
    let name = clean(&template.name);
    let (old_name, old) = match current {
        Some(current) => (format!("{name}, version {}", current.version), current.text.as_str()),
        None => ("nothing".to_owned(), ""),
    };
    show_diff((&old_name, old), (&name, &template.text));
    let Some(current) = current else { return };
    if current.withdrawn {
        note(format!("The template {name} is withdrawn, and stays so."));
    }
    if !current.used_by.is_empty() {
        note(format!("Used by {}.", places(&current.used_by)));
    }
}

fn done_with(applied: &Applied, json: bool) -> anyhow::Result<ExitCode> {
    show(json, applied, |Applied { applied, unchanged }| {
        for Template { name, version, .. } in applied {
            line(format!("Applied the template {} (version {version}).", clean(name)));
        }
        for name in unchanged {
            line(format!("Nothing to change: the template {} is so already.", clean(name)));
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn revert(app: &App, name: &str, version: u64, options: Options, json: bool) -> anyhow::Result<ExitCode> {
    let (_, wanted) = find_version(app, name, version).await?;
    let before = current(app, name).await?;
    if before.text == wanted.text {
        return done_with(&Applied { applied: Vec::new(), unchanged: vec![name.to_owned()] }, json);
    }
    let source = Source { name: format!("version {version}"), text: wanted.text };
    if !json {
        print_change(&TemplateText { name: name.to_owned(), text: source.text.clone() }, Some(&before));
    }
    if !options.go_on(&format!("Apply this to the template {}?", clean(name)))? {
        return Ok(ExitCode::FAILURE);
    }
    let wanted = RulesRevert { version, base: before.version, note: options.note };
    match app.remote.post::<_, Template>(&path(&["templates", name, "revert"]), &wanted).await {
        Ok(template) => done_with(&Applied { applied: vec![template], unchanged: Vec::new() }, json),
        Err(error) => {
            let Some(found) = mistakes(&error) else { return Err(error.into()) };
            print_diagnostics(&source, found);
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn withdraw(app: &App, name: &str, reason: Option<String>, yes: Yes, json: bool) -> anyhow::Result<()> {
    let template = current(app, name).await?;
    if template.withdrawn {
        let text = format!("Nothing to change: the template {} is withdrawn already.", clean(name));
        return show(json, &template, |_| line(text));
    }
    let uses = if template.used_by.is_empty() {
        "No rules link to it.".to_owned()
    } else {
        format!("Every use of their keys will be denied: {}.", places(&template.used_by))
    };
    note(uses);
    yes.confirm(&format!("Withdraw the template {}?", clean(name)))?;
    let act = TemplateAct { base: template.version, note: reason };
    let template: Template = app.remote.post(&path(&["templates", name, "withdraw"]), &act).await?;
    show(json, &template, |template| {
        line(format!("Withdrew the template {} (version {}).", clean(name), template.version));
    })
}

async fn restore(app: &App, name: &str, reason: Option<String>, json: bool) -> anyhow::Result<ExitCode> {
    let template = current(app, name).await?;
    if !template.withdrawn {
        let text = format!("Nothing to change: the template {} is not withdrawn.", clean(name));
        show(json, &template, |_| line(text))?;
        return Ok(ExitCode::SUCCESS);
    }
    let act = TemplateAct { base: template.version, note: reason };
    match app.remote.post::<_, Template>(&path(&["templates", name, "restore"]), &act).await {
        Ok(template) => show(json, &template, |template| {
            line(format!("Restored the template {} (version {}).", clean(name), template.version));
        })
        .map(|()| ExitCode::SUCCESS),
        Err(error) => {
            let Some(found) = mistakes(&error) else { return Err(error.into()) };
            print_diagnostics(&Source { name: format!("the template {}", clean(name)), text: template.text }, found);
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn show_history(app: &App, name: &str, history: &History, json: bool) -> anyhow::Result<()> {
    if let Some(version) = history.diff {
        let (before, version) = find_version(app, name, version).await?;
        return show_version_diff(before.as_ref(), &version, json);
    }
    let wanted = history.limit as usize;
    let versions = path(&["templates", name, "versions"]);
    let versions: Vec<TemplateVersion> = pages::up_to(&app.remote, &versions, &[], wanted.saturating_add(1)).await?;
    let versions = counted(versions, wanted);
    super::show_list(json, "versions", &versions, |versions| print_history(versions, "There are no versions."))
}

async fn find_version(
    app: &App,
    name: &str,
    version: u64,
) -> anyhow::Result<(Option<TemplateVersion>, TemplateVersion)> {
    let parameters = [("after", Some(version.saturating_add(1).to_string()))];
    let versions: Vec<TemplateVersion> =
        pages::up_to(&app.remote, &path(&["templates", name, "versions"]), &parameters, 2).await?;
    let mut versions = versions.into_iter();
    match versions.next().filter(|found| found.version == version) {
        Some(found) => Ok((versions.next(), found)),
        None => bail!("there is no version {version} of the template {}", clean(name)),
    }
}

async fn current(app: &App, name: &str) -> Result<Template, RemoteError> {
    app.remote.get(&path(&["templates", name])).await
}

fn places(places: &[RulesPlace]) -> String {
    let place = |place: &RulesPlace| format!("{} {}", place.kind.name(), clean(&place.name));
    places.iter().map(place).collect::<Vec<_>>().join(", ")
}
