//! `sealcard admin policy`.

use std::{path::PathBuf, process::ExitCode};

mod trial;

use super::rules::{
    History, Options, Source, Version, counted, mistakes, print_diagnostics, print_history, print_text, show_diff,
    show_version_diff,
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
use anyhow::bail;
use clap::{Args, Subcommand, ValueHint};
use sealcard_api::key_rules::{
    CheckedKind, Rules, RulesChange, RulesCheck, RulesChecked, RulesKind, RulesRevert, RulesSummary, RulesVersion,
    Written,
};

const APPLY_HELP: &str = "\
Rules only narrow what roles and the key's state allow. The rules of a key, of its project and of its environment apply \
together.

Example of a file:
  [rule.tags]
  operations = [\"sign\"]
  hashes     = [\"sha256\", \"sha512\"]
  who        = { groups = [\"release-managers\"] }
  tools      = [\"git\"]

  [tool.git]
  path = [\"/usr/bin/git\"]

  [rule.office-hours]
  template = \"office-hours\"

Examples:
  sealcard admin policy apply tools rules.toml --note 'ticket 12'
  sealcard admin policy apply tools/release rules.toml
  sealcard admin policy apply --environment hsm rules.toml --yes

Without a terminal nothing is asked.
Exit codes: 0 applied or nothing to change, 1 mistakes or a failure, 2 wrong usage.";

const CHECK_HELP: &str = "\
Says what applying the file would say, and changes nothing.

Example:
  sealcard admin policy check tools rules.toml

Exit codes: 0 no mistakes, 1 mistakes or a failure, 2 wrong usage.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what has rules
    List,
    /// Show the rules of a project, key or environment
    Show {
        #[command(flatten)]
        target: Target,
        /// Show what they are in Cedar; for a key with the rules of its project and environment
        #[arg(long)]
        cedar: bool,
    },
    /// Say what is wrong with a file of rules, and change nothing
    #[command(after_help = CHECK_HELP, allow_missing_positional = true)]
    Check {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        file: RulesFile,
    },
    /// Put the rules in a file in place of those in force; it counts from the next request on
    #[command(after_help = APPLY_HELP, allow_missing_positional = true)]
    Apply {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        file: RulesFile,
        #[command(flatten)]
        options: Options,
    },
    /// Remove all rules, so that roles and the key's state alone decide
    Remove {
        #[command(flatten)]
        target: Target,
        /// Why, for the history and the record
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        yes: Yes,
    },
    /// List the versions of rules, newest first
    History {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        history: History,
    },
    /// Judge examples by the rules in force, or by those in a file
    #[command(after_help = trial::TEST_HELP, allow_missing_positional = true)]
    Test {
        #[command(flatten)]
        target: Target,
        /// The examples, in TOML
        #[arg(value_hint = ValueHint::FilePath)]
        examples: PathBuf,
        /// Judge by these rules in place of those in force
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        rules: Option<PathBuf>,
    },
    /// Compare rules, and say which recorded uses they decide differently
    #[command(after_help = trial::DIFF_HELP, allow_missing_positional = true)]
    Diff {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        compared: trial::Compared,
    },
    /// Say why a request was denied, or what somebody may do
    #[command(after_help = trial::EXPLAIN_HELP)]
    Explain(trial::Explained),
    /// Put the rules of an older version in force again, as a new version
    #[command(allow_missing_positional = true)]
    Revert {
        #[command(flatten)]
        target: Target,
        /// The number of the version, as `history` shows it
        version: u64,
        #[command(flatten)]
        options: Options,
    },
}

/// Whose rules.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// A project's name, or a key: PROJECT/KEY
    #[arg(value_name = "PROJECT[/KEY]", required_unless_present = "environment", conflicts_with = "environment")]
    target: Option<String>,
    /// The rules of this environment: name or id
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

/// Where rules are read from.
#[derive(Debug, Args)]
pub(super) struct RulesFile {
    /// The rules, in TOML; - is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
}

impl Target {
    fn kind(&self) -> RulesKind {
        match &self.target {
            None => RulesKind::Environment,
            Some(name) if name.contains('/') => RulesKind::Key,
            Some(_) => RulesKind::Project,
        }
    }

    fn name(&self) -> &str {
        self.target.as_deref().or(self.environment.as_deref()).unwrap_or_default()
    }

    /// The address of the rules, or of what is below.
    fn path(&self, below: &[&str]) -> String {
        let collection = match self.kind() {
            RulesKind::Environment => "environments",
            RulesKind::Project => "projects",
            RulesKind::Key => "keys",
        };
        path(&[&[collection, self.name(), "rules"], below].concat())
    }

    /// For messages.
    fn text(&self) -> String {
        format!("the rules of the {} {}", self.kind().name(), clean(self.name()))
    }

    async fn current(&self, app: &App) -> Result<Rules, RemoteError> {
        app.remote.get(&self.path(&[])).await
    }

    async fn version(&self, app: &App, version: u64) -> anyhow::Result<(Option<RulesVersion>, RulesVersion)> {
        let parameters = [("after", Some(version.saturating_add(1).to_string()))];
        let versions: Vec<RulesVersion> = pages::up_to(&app.remote, &self.path(&["versions"]), &parameters, 2).await?;
        let mut versions = versions.into_iter();
        match versions.next().filter(|found| found.version == version) {
            Some(found) => Ok((versions.next(), found)),
            None => bail!("there is no version {version} of {}", self.text()),
        }
    }
}

impl Version for RulesVersion {
    fn number(&self) -> u64 {
        self.version
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn written(&self) -> &Written {
        &self.written
    }

    fn act(&self, _: Option<&Self>) -> Option<&'static str> {
        self.text.is_empty().then_some("removed")
    }
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<ExitCode> {
    match command {
        Command::List => list(app, json).await.map(done),
        Command::Show { target, cedar } => show_rules(app, &target, cedar, json).await.map(done),
        Command::Check { target, file } => check(app, &target, &Source::read(&file.file)?, json).await,
        Command::Apply { target, file, options } => {
            apply(app, &target, &Source::read(&file.file)?, options, json).await
        }
        Command::Remove { target, note, yes } => remove(app, &target, note, yes, json).await.map(done),
        Command::History { target, history } => show_history(app, &target, &history, json).await.map(done),
        Command::Test { target, examples, rules } => {
            trial::test(app, &target, (&examples, rules.as_deref()), json).await
        }
        Command::Diff { target, compared } => trial::diff(app, &target, compared, json).await,
        Command::Explain(explained) => trial::explain(app, explained, json).await.map(done),
        Command::Revert { target, version, options } => revert(app, &target, version, options, json).await,
    }
}

async fn list(app: &App, json: bool) -> anyhow::Result<()> {
    let rules: Vec<RulesSummary> = pages::all(&app.remote, &path(&["rules"]), &[]).await?;
    super::show_list(json, "rules", &rules, |rules| {
        let row = |rules: &RulesSummary| {
            let RulesSummary { place, version, templates, written } = rules;
            let templates = if templates.is_empty() { "-".to_owned() } else { templates.join(", ") };
            let time = local_time::shown(written.time);
            [place.name.clone(), place.kind.name().to_owned(), version.to_string(), templates, written.by.clone(), time]
        };
        let rows: Vec<_> = rules.iter().map(row).collect();
        table(["NAME", "KIND", "VERSION", "TEMPLATES", "BY", "TIME"], &rows, "Nothing that you may see has rules.");
    })
}

async fn show_rules(app: &App, target: &Target, cedar: bool, json: bool) -> anyhow::Result<()> {
    let wanted = query(&[("cedar", cedar.then(|| "true".to_owned()))]);
    let rules: Rules = app.remote.get(&format!("{}{wanted}", target.path(&[]))).await?;
    if json {
        return show(json, &rules, |_| {});
    }
    match &rules.cedar {
        Some(cedar) if !cedar.trim().is_empty() => print_text(cedar),
        None if !rules.text.is_empty() => print_text(&rules.text),
        _ => {
            note(format!("There are none: {} are empty, so roles and the key's state alone decide.", target.text()));
            Ok(())
        }
    }
}

async fn checked(app: &App, target: &Target, source: &Source) -> Result<RulesChecked, RemoteError> {
    let kind = match target.kind() {
        RulesKind::Environment => CheckedKind::Environment,
        RulesKind::Project => CheckedKind::Project,
        RulesKind::Key => CheckedKind::Key,
    };
    let check = RulesCheck { kind, name: Some(target.name().to_owned()), text: source.text.clone() };
    app.remote.post(&path(&["rules", "check"]), &check).await
}

async fn check(app: &App, target: &Target, source: &Source, json: bool) -> anyhow::Result<ExitCode> {
    let checked = checked(app, target, source).await?;
    let ok = checked.diagnostics.is_empty();
    show(json, &checked, |checked| {
        if ok {
            line(format!("{} has no mistakes.", source.name));
        } else {
            print_diagnostics(source, &checked.diagnostics);
        }
    })?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn apply(app: &App, target: &Target, source: &Source, options: Options, json: bool) -> anyhow::Result<ExitCode> {
    let current = target.current(app).await?;
    if current.text == source.text {
        return unchanged(target, &current, json);
    }
    if source.text.trim().is_empty() {
        let remove = match &target.environment {
            Some(name) => format!("--environment {}", clean(name)),
            None => clean(target.name()),
        };
        bail!("{} has no rules. Remove those in force with: sealcard admin policy remove {remove}", source.name);
    }
    let found = checked(app, target, source).await?.diagnostics;
    if !found.is_empty() {
        print_diagnostics(source, &found);
        return Ok(ExitCode::FAILURE);
    }
    if !json {
        show_diff((&version_name(&current), &current.text), (&source.name, &source.text));
    }
    if !options.go_on(&format!("Apply this to {}?", target.text()))? {
        return Ok(ExitCode::FAILURE);
    }
    let change = RulesChange { text: source.text.clone(), base: current.version, note: options.note };
    let put = app.remote.put(&target.path(&[]), Some(&change)).await;
    finish(app, target, put, (source, "Applied"), json).await
}

async fn remove(app: &App, target: &Target, note: Option<String>, yes: Yes, json: bool) -> anyhow::Result<()> {
    let current = target.current(app).await?;
    if current.text.is_empty() {
        return unchanged(target, &current, json).map(drop);
    }
    yes.confirm(&format!("Remove {}, so that roles and the key's state alone decide?", target.text()))?;
    let change = RulesChange { text: String::new(), base: current.version, note };
    app.remote.put(&target.path(&[]), Some(&change)).await?;
    let rules = target.current(app).await?;
    show(json, &rules, |rules| line(format!("Removed {} (version {}).", target.text(), rules.version)))
}

async fn revert(app: &App, target: &Target, version: u64, options: Options, json: bool) -> anyhow::Result<ExitCode> {
    let (_, wanted) = target.version(app, version).await?;
    let current = target.current(app).await?;
    if current.text == wanted.text {
        return unchanged(target, &current, json);
    }
    let source = Source { name: format!("version {version}"), text: wanted.text };
    if !json {
        show_diff((&version_name(&current), &current.text), (&source.name, &source.text));
    }
    if !options.go_on(&format!("Apply this to {}?", target.text()))? {
        return Ok(ExitCode::FAILURE);
    }
    let wanted = RulesRevert { version, base: current.version, note: options.note };
    let posted = app.remote.post::<_, Rules>(&target.path(&["revert"]), &wanted).await.map(drop);
    finish(app, target, posted, (&source, "Reverted"), json).await
}

async fn finish(
    app: &App,
    target: &Target,
    result: Result<(), RemoteError>,
    (source, did): (&Source, &str),
    json: bool,
) -> anyhow::Result<ExitCode> {
    if let Err(error) = result {
        let Some(found) = mistakes(&error) else { return Err(error.into()) };
        print_diagnostics(source, found);
        return Ok(ExitCode::FAILURE);
    }
    let rules = target.current(app).await?;
    show(json, &rules, |rules| line(format!("{did} {} (version {}).", target.text(), rules.version)))?;
    Ok(ExitCode::SUCCESS)
}

async fn show_history(app: &App, target: &Target, history: &History, json: bool) -> anyhow::Result<()> {
    if let Some(version) = history.diff {
        let (before, version) = target.version(app, version).await?;
        return show_version_diff(before.as_ref(), &version, json);
    }
    let wanted = history.limit as usize;
    let versions: Vec<RulesVersion> =
        pages::up_to(&app.remote, &target.path(&["versions"]), &[], wanted.saturating_add(1)).await?;
    let versions = counted(versions, wanted);
    super::show_list(json, "versions", &versions, |versions| {
        print_history(versions, &format!("There never were any: {} are empty.", target.text()));
    })
}

fn unchanged(target: &Target, current: &Rules, json: bool) -> anyhow::Result<ExitCode> {
    show(json, current, |_| line(format!("Nothing to change: {} are so already.", target.text())))?;
    Ok(ExitCode::SUCCESS)
}

fn version_name(current: &Rules) -> String {
    if current.version == 0 { "no rules".to_owned() } else { format!("version {}, in force", current.version) }
}
