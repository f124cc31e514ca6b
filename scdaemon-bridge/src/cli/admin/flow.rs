//! `sealcard admin flow`.

use clap::Subcommand;
use sealcard_api::{
    flows::{Flow, FlowStage, Flows},
    keys::Key,
};

use super::key::find;
use crate::{
    cli::{
        App,
        output::{BOLD, clean, facts, line, note, show, table, warn},
        pages,
        when::span,
    },
    remote::path,
};

const SHOW_HELP: &str = "\
For a key: who approves its uses, how long they wait, and what can be approved in advance. For a project: who approves \
changes of its members, rules and keys. Only people who are enabled now are named. A person can't approve their own request.

Examples:
  sealcard admin flow show tools/release
  sealcard admin flow show tools

The rules of the project, its keys and environments define flows: see sealcard admin policy apply --help.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the flows of all keys that you may see
    List {
        /// Only the keys of this project: name or id
        project: Option<String>,
    },
    /// Show who approves the uses of a key, or the changes of a project
    #[command(after_help = SHOW_HELP)]
    Show {
        /// A project's name, or a key: PROJECT/KEY
        #[arg(value_name = "PROJECT[/KEY]")]
        target: String,
    },
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::List { project } => list(app, project, json).await,
        Command::Show { target } if target.contains('/') => {
            let flows = of_key(app, &find(app, &target).await?).await?;
            show(json, &flows, |flows| print(flows, "No use of this key waits for approval."))
        }
        Command::Show { target } => {
            let flows: Flows = app.remote.get(&path(&["projects", &target, "flows"])).await?;
            show(json, &flows, |flows| print(flows, "No change of this project waits for approval."))
        }
    }
}

async fn of_key(app: &App, key: &Key) -> anyhow::Result<Flows> {
    Ok(app.remote.get(&path(&["keys", &key.id.to_string(), "flows"])).await?)
}

async fn list(app: &App, project: Option<String>, json: bool) -> anyhow::Result<()> {
    let keys: Vec<Key> = pages::all(&app.remote, &path(&["keys"]), &[("project", project)]).await?;
    let mut all = Vec::with_capacity(keys.len());
    for key in &keys {
        let flows = of_key(app, key).await?;
        if !flows.flows.is_empty() {
            all.push(flows);
        }
    }
    super::show_list(json, "keys", &all, |all| {
        let rows: Vec<_> = all
            .iter()
            .flat_map(|of| {
                of.flows.iter().map(|flow| [of.place.clone(), flow.asked_by.clone(), in_short(&flow.stages)])
            })
            .collect();
        table(["KEY", "ASKED BY", "WHO APPROVES"], &rows, "No key that you may see waits for approval.");
        all.iter().for_each(warn_of_too_few);
    })
}

/// `2 of the members of approvers, then 1 of the people with the role owner`.
fn in_short(stages: &[FlowStage]) -> String {
    stages.iter().map(of_the).collect::<Vec<_>>().join(", then ")
}

fn of_the(stage: &FlowStage) -> String {
    format!("{} of the {}", stage.count, stage.by)
}

/// The same with names.
fn with_names(stage: &FlowStage) -> String {
    let names = if stage.people.is_empty() { "nobody now".to_owned() } else { stage.people.join(", ") };
    format!("{}: {names}", of_the(stage))
}

fn print(of: &Flows, if_empty: &str) {
    if of.flows.is_empty() {
        note(if_empty);
        return;
    }
    for (number, flow) in of.flows.iter().enumerate() {
        if number > 0 {
            line("");
        }
        line(format!("{BOLD}{}{BOLD:#}", clean(&heading(flow))));
        facts(&rows(flow));
    }
    warn_of_too_few(of);
}

fn heading(flow: &Flow) -> String {
    let mut text = flow.asked_by.clone();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

fn rows(flow: &Flow) -> Vec<(&'static str, String)> {
    let mut rows = stage_rows("approves", &flow.stages);
    if !flow.veto.is_empty() {
        rows.push(("can reject", format!("members of {}", flow.veto.join(", "))));
    }
    rows.extend(flow.delay_seconds.map(|delay| ("delay", format!("{} after it was asked for", span(delay)))));
    let Some(uses) = &flow.uses else { return rows };
    rows.push((
        "time",
        format!(
            "the program waits {}; a request expires after {}, an approval after {}",
            span(uses.wait_seconds),
            span(uses.expires_seconds),
            span(uses.use_within_seconds)
        ),
    ));
    let most = match (uses.pre_approval_uses, uses.pre_approval_unlimited) {
        (0, _) => "not possible".to_owned(),
        (_, true) => format!("any number of uses for {}", span(uses.pre_approval_seconds)),
        (uses_now, false) => format!("at most {uses_now} uses for {}", span(uses.pre_approval_seconds)),
    };
    rows.push(("in advance", most));
    if let Some(short) = &uses.break_glass {
        rows.push(("break-glass", format!("at most {} uses for {}", short.uses, span(short.seconds))));
        rows.extend(stage_rows("", &short.stages));
    }
    rows
}

fn stage_rows(name: &'static str, stages: &[FlowStage]) -> Vec<(&'static str, String)> {
    let numbered = stages.iter().enumerate();
    numbered
        .map(|(number, stage)| if number == 0 { (name, with_names(stage)) } else { ("then", with_names(stage)) })
        .collect()
}

fn warn_of_too_few(of: &Flows) {
    for flow in &of.flows {
        let emergency = flow.uses.iter().flat_map(|uses| &uses.break_glass).flat_map(|short| &short.stages);
        for stage in flow.stages.iter().chain(emergency).filter(|stage| stage.too_few) {
            warn(clean(&format!(
                "{}: {} asks for {}, and there are only {}. Nothing can pass until more are added.",
                of.place,
                flow.asked_by,
                of_the(stage),
                stage.people.len()
            )));
        }
    }
}
