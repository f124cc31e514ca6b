//! `sealcard preapprove` and `sealcard break-glass`: asking for uses in advance, and in an emergency.

use std::{process::ExitCode, time::Duration};

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use sealcard_api::{
    Timestamp,
    approvals::{Approval, ApprovalKind, ApprovalState, InAdvance, NewApproval, Terms},
    decisions::UseKind,
    rules::Justification,
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    find::{self, Wanted},
    requests::print,
    words,
};
use crate::{
    cli::{
        App,
        admin::find_key,
        output::{GOOD, clean, line, note, show},
        when,
    },
    local_time::{parse_later, span},
    remote::path,
    waiting::{short_id, who_can_run},
};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
A pre-approval allows uses that will be asked for, without anybody waiting. The rules of the key say who must approve \
it, how many uses it may have and for how long. Your own approval counts if it is for somebody else.

Examples:
  sealcard preapprove tools/nightly --for nightly-build --uses 30 \\
      --for-time 12h --network 10.1.0.0/16 --reason 'Rebuild of 1.0'
  sealcard preapprove list
  sealcard preapprove revoke 1a2b3c4d"
)]
pub(in crate::cli) struct PreapproveArguments {
    #[command(subcommand)]
    command: Option<PreapproveCommand>,
    /// The key's name, PROJECT/NAME or fingerprint
    #[arg(required = true)]
    key: Option<String>,
    /// The user or service account that may use the key then (default: you)
    #[arg(long = "for", value_name = "USER", conflicts_with = "group")]
    principal: Option<String>,
    /// The group whose members may use the key then
    #[arg(long = "for-group", value_name = "GROUP")]
    group: Option<String>,
    #[command(flatten)]
    asked: Asked,
    /// How many uses
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "unlimited", value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// Any number of uses, if the key's rules allow that
    #[arg(long)]
    unlimited: bool,
    /// From when on, such as 2h or 2026-12-01T20:00 (default: at once)
    #[arg(long = "from", value_name = "TIME", value_parser = parse_later)]
    not_before: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum PreapproveCommand {
    /// List pre-approvals that are open
    List {
        /// Also those that are over
        #[arg(long)]
        all: bool,
        /// Only those of this project
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a pre-approval, or withdraw one that is not approved yet; it counts from the next use on
    Revoke {
        /// The pre-approval's id, or at least its last 4 digits
        #[arg(value_name = "ID", value_parser = find::wanted)]
        approval: Wanted,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What both kinds have in common.
#[derive(Debug, Args)]
struct Asked {
    /// What the key may do
    #[arg(long, value_name = "OPERATION", default_value = "sign")]
    operation: OperationName,
    /// How long, such as 30m or 24h (default: as long as the key's rules allow)
    #[arg(long = "for-time", value_name = "TIME", value_parser = period)]
    seconds: Option<u32>,
    /// Only from this network, such as 10.1.0.0/16; may be repeated
    #[arg(long = "network", value_name = "CIDR")]
    networks: Vec<String>,
    /// Only if the workstation claims this name
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Only if this executable asked, as the workstation claims: a path, or its SHA-256
    #[arg(long, value_name = "PATH|SHA256")]
    tool: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT", required = true)]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Break-glass lets you use a key in an emergency with fewer approvers than usual and for a short time, as the rules of the \
key say. Everybody concerned is told. Somebody else has to review it afterwards; until then nobody of the project can do \
it again.

Example:
  sealcard break-glass tools/hotfix --wait --reason 'Incident 4711'

Exit codes: 0 asked for or, with --wait, approved; 1 failed; 75 nobody decided within --timeout.")]
pub(in crate::cli) struct BreakGlassArguments {
    /// The key's name, PROJECT/NAME or fingerprint
    key: String,
    #[command(flatten)]
    asked: Asked,
    /// Wait until it is approved or rejected
    #[arg(long)]
    wait: bool,
    /// With --wait, how long
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = period)]
    timeout: u32,
}

/// What a key may do, as options name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OperationName {
    Sign,
    Decrypt,
    Authenticate,
}

impl From<OperationName> for UseKind {
    fn from(name: OperationName) -> Self {
        match name {
            OperationName::Sign => Self::Sign,
            OperationName::Decrypt => Self::Decrypt,
            OperationName::Authenticate => Self::Authenticate,
        }
    }
}

/// A span, in seconds.
fn period(text: &str) -> Result<u32, String> {
    let seconds = span(text).and_then(|seconds| u32::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| "must be a number with s, m, h, d or w behind it, such as 24h".to_owned())
}

pub(in crate::cli) async fn preapprove(app: &App, arguments: PreapproveArguments) -> anyhow::Result<()> {
    let PreapproveArguments { command, key, principal, group, asked, uses, unlimited, not_before } = arguments;
    match command {
        Some(PreapproveCommand::List { all, project, json }) => list(app, all, project.as_deref(), json).await,
        Some(PreapproveCommand::Revoke { approval, json }) => revoke(app, approval, json).await,
        None => {
            let terms = Terms {
                requester: principal,
                group,
                uses: (!unlimited).then_some(uses),
                not_before,
                ..Terms::default()
            };
            let json = asked.json;
            let made = ask(app, InAdvance::PreApproval, key.as_deref().unwrap_or_default(), asked, terms).await?;
            show(json, &made, print_made)
        }
    }
}

async fn list(app: &App, all: bool, project: Option<&str>, json: bool) -> anyhow::Result<()> {
    let mut filter = super::in_project(app, project).await?;
    filter.all = all;
    let mut list = super::list(app, &filter).await?;
    list.approvals.retain(|approval| matches!(approval.kind, ApprovalKind::PreApproval | ApprovalKind::BreakGlass));
    show(json, &list, |list| print(&list.approvals, "There are no pre-approvals."))
}

async fn revoke(app: &App, wanted: Wanted, json: bool) -> anyhow::Result<()> {
    let found = find::approvals(app, &[wanted], false).await?;
    let Some(approval) = found.first() else { bail!("there is no such pre-approval") };
    if !matches!(approval.kind, ApprovalKind::PreApproval | ApprovalKind::BreakGlass) {
        bail!("{} is no pre-approval; `sealcard reject` rejects it", short_id(approval.id));
    }
    let ended: Approval = app.remote.end_approval(approval.id).await?;
    show(json, &ended, |ended| line(clean(&words::outcome(ended))))
}

async fn ask(app: &App, kind: InAdvance, key: &str, asked: Asked, terms: Terms) -> anyhow::Result<Approval> {
    let Asked { operation, seconds, networks, host, tool, reason, json: _ } = asked;
    let reason = reason.unwrap_or_default();
    if let Err(why) = Justification::check(&reason) {
        bail!("the reason can't be sent: {why}");
    }
    let terms = Terms { networks, host, tool, ..terms };
    if let Err(why) = terms.check() {
        bail!("{why}");
    }
    let key = find_key(app, key).await?.id;
    let new = NewApproval { kind, key, operation: operation.into(), terms, seconds, reason };
    Ok(app.remote.post(&path(&["approvals"]), &new).await?)
}

fn print_made(approval: &Approval) {
    let id = short_id(approval.id);
    if approval.state == ApprovalState::Approved {
        line(format!(
            "{GOOD}{id} is approved{GOOD:#} and can be used until {}.",
            when::with_distance(approval.expires)
        ));
        return;
    }
    line(clean(&format!("{id} waits for an approval: {}.", words::wants(approval))));
    let waits_for: Vec<String> = waits_for(approval);
    if !waits_for.is_empty() {
        note(format!("{}: sealcard approve {id}", who_can_run(&waits_for)));
    }
}

/// Those who can decide now.
fn waits_for(approval: &Approval) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in approval.flows.iter().flat_map(|flow| &flow.stages).flat_map(|stage| &stage.waits_for) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// How often the server is asked whether it is decided.
const PERIOD: Duration = Duration::from_secs(2);

pub(in crate::cli) async fn break_glass(app: &App, arguments: BreakGlassArguments) -> anyhow::Result<ExitCode> {
    let BreakGlassArguments { key, asked, wait, timeout } = arguments;
    let json = asked.json;
    let terms = Terms::default();
    let mut approval = ask(app, InAdvance::BreakGlass, &key, asked, terms).await?;
    if wait && approval.state == ApprovalState::Pending {
        if !json {
            print_made(&approval);
        }
        let end = Instant::now() + Duration::from_secs(timeout.into());
        match timeout_at(end, decision(app, approval.clone())).await {
            Ok(decided) => approval = decided?,
            Err(_) => {
                note(format!("Nobody decided in time. {} can still be approved.", short_id(approval.id)));
                return Ok(ExitCode::from(75));
            }
        }
    }
    let is_open = approval.state.is_open();
    show(
        json,
        &approval,
        |approval| if is_open { print_made(approval) } else { line(clean(&words::standing(approval))) },
    )?;
    Ok(if is_open { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The approval once it is decided.
async fn decision(app: &App, mut approval: Approval) -> anyhow::Result<Approval> {
    let route = path(&["approvals", &approval.id.to_string()]);
    while approval.state == ApprovalState::Pending {
        sleep(PERIOD).await;
        match app.remote.get(&route).await {
            Ok(now) => approval = now,
            Err(error) if error.may_pass() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(approval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_longer_than_nothing() {
        assert_eq!(period("24h"), Ok(86_400));
        assert_eq!(period("1w"), Ok(604_800));
        for wrong in ["", "0m", "-1m", "24", "99999w"] {
            assert!(period(wrong).is_err(), "{wrong}");
        }
    }
}
