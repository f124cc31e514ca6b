//! `sealcard requests`.

use std::{collections::HashMap, io::IsTerminal as _, time::Duration};

use anyhow::bail;
use clap::{Args, Subcommand};
use sealcard_api::{
    Timestamp,
    approvals::{Approval, ApprovalFilter, CloseReview},
    ids::ApprovalId,
};
use serde_json::json;
use tokio::time::sleep;

use super::{
    find::{self, Wanted},
    words::{self, Detail},
};
use crate::{
    cli::{
        App,
        output::{self, BOLD, clean, facts, line, note, show, table, warn},
    },
    local_time::clock,
    remote::path,
    waiting::short_id,
};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
An id is the last 8 digits of a longer one. Commands take it, any unique end of it with at least 4 digits, or the whole id.

Examples:
  sealcard requests --mine          what you can decide now
  sealcard requests --watch         go on, and print what is new
  sealcard requests show 1a2b3c4d   all that is known of one"
)]
pub(in crate::cli) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Also those that are over
    #[arg(long)]
    all: bool,
    /// Only those that you can decide now
    #[arg(long)]
    mine: bool,
    /// Only those of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Go on, print what is new or over, and ring the terminal's bell
    #[arg(long)]
    watch: bool,
    /// Print JSON; with --watch, a line for each that is new or has changed
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum Command {
    /// Withdraw what you asked for, or revoke what was approved
    Withdraw(Withdraw),
    /// Close the review of a break-glass that was used
    Review(Review),
    /// Show all that is known of a request: who asks for what, from where, and who decided
    Show {
        /// The request's id, or at least its last 4 digits
        #[arg(value_name = "ID", value_parser = find::wanted)]
        approval: Wanted,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Withdraw {
    /// The request's id, or at least its last 4 digits
    #[arg(value_name = "ID", value_parser = find::wanted)]
    approval: Wanted,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Review {
    /// The id of the break-glass, or at least its last 4 digits
    #[arg(value_name = "ID", value_parser = find::wanted)]
    approval: Wanted,
    /// What came of it
    #[arg(long, value_name = "TEXT")]
    finding: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

async fn withdraw(app: &App, Withdraw { approval, json }: Withdraw) -> anyhow::Result<()> {
    let found = find::approvals(app, &[approval], false).await?;
    let Some(approval) = found.first() else { bail!("there is no such request") };
    let ended: Approval = app.remote.end_approval(approval.id).await?;
    show(json, &ended, |ended| line(clean(&words::outcome(ended))))
}

async fn review(app: &App, Review { approval, finding, json }: Review) -> anyhow::Result<()> {
    let found = find::approvals(app, &[approval], true).await?;
    let Some(approval) = found.first() else { bail!("there is no such break-glass") };
    let address = path(&["approvals", &approval.id.to_string(), "review"]);
    let closed: Approval = app.remote.post(&address, &CloseReview { finding }).await?;
    show(json, &closed, |closed| line(format!("Closed the review of {}.", short_id(closed.id))))
}

/// How often the server is asked for news.
const PERIOD: Duration = Duration::from_secs(3);

pub(in crate::cli) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let shown = match arguments.command {
        Some(Command::Withdraw(arguments)) => return withdraw(app, arguments).await,
        Some(Command::Review(arguments)) => return review(app, arguments).await,
        Some(Command::Show { approval, json }) => Some((approval, json)),
        None => None,
    };
    if let Some((approval, json)) = shown {
        let found = find::approvals(app, &[approval], true).await?;
        let Some(approval) = found.first() else { bail!("there is no such request") };
        return show(json, approval, |approval| facts(&words::rows(approval, Timestamp::now(), Detail::All)));
    }
    let mut filter = super::in_project(app, arguments.project.as_deref()).await?;
    (filter.mine, filter.all) = (arguments.mine, arguments.all);
    if arguments.watch {
        return watch(app, filter, arguments.json).await;
    }
    let list = super::list(app, &filter).await?;
    show(arguments.json, &list, |list| {
        print(&list.approvals, if_empty(&filter));
        if list.more {
            warn(format!("there are more than these {}; choose with --project or --mine", list.approvals.len()));
        }
    })
}

const fn if_empty(filter: &ApprovalFilter) -> &'static str {
    if filter.mine { "Nothing waits for your decision." } else { "Nothing waits for a decision." }
}

pub(super) fn print(approvals: &[Approval], if_empty: &str) {
    let now = Timestamp::now();
    let rows: Vec<_> = approvals.iter().map(|approval| row(approval, now)).collect();
    table(HEADINGS, &rows, if_empty);
}

const HEADINGS: [&str; 6] = ["ID", "WHO", "KEY", "WHAT", "WANTS", "LEFT"];

fn row(approval: &Approval, now: Timestamp) -> [String; 6] {
    let of = approval.key.clone().or_else(|| approval.project.clone());
    [
        short_id(approval.id),
        words::who(approval),
        of.unwrap_or_else(|| "-".to_owned()),
        words::summary(approval),
        // In a table there is little room, and the heading says that somebody is wanted.
        words::wants(approval).replace("the group ", ""),
        words::left(approval, now),
    ]
}

/// Prints what there is, then what is new or over, until a signal ends it.
async fn watch(app: &App, filter: ApprovalFilter, json: bool) -> anyhow::Result<()> {
    let mut known: HashMap<ApprovalId, Approval> = HashMap::new();
    let mut first = true;
    let mut fails = false;
    loop {
        match super::list(app, &filter).await {
            Ok(list) => {
                fails = false;
                let over = take_over(app, &list.approvals, &mut known).await;
                report(&list.approvals, &mut known, (first, json), if_empty(&filter))?;
                over.iter().for_each(|(id, approval)| report_end(*id, approval.as_ref(), json));
                first = false;
            }
            // The first answer says whether it can work at all.
            Err(error) if first => return Err(error.into()),
            Err(error) => {
                if !std::mem::replace(&mut fails, true) {
                    warn(clean(&error.to_string()));
                }
            }
        }
        sleep(PERIOD).await;
    }
}

/// Takes those that are not listed any more, each as it is now, if that can be seen.
async fn take_over(
    app: &App,
    now: &[Approval],
    known: &mut HashMap<ApprovalId, Approval>,
) -> Vec<(ApprovalId, Option<Approval>)> {
    let listed = |id: &ApprovalId| now.iter().any(|approval| approval.id == *id);
    let ids: Vec<ApprovalId> = known.keys().copied().filter(|id| !listed(id)).collect();
    let mut over = Vec::with_capacity(ids.len());
    for id in ids {
        known.remove(&id);
        over.push((id, app.remote.get(&path(&["approvals", &id.to_string()])).await.ok()));
    }
    over
}

fn report_end(id: ApprovalId, approval: Option<&Approval>, json: bool) {
    if json {
        return line(json!({"id": id, "gone": true}).to_string());
    }
    let text = approval.map_or_else(|| format!("{}: over.", short_id(id)), words::standing);
    note(format!("{} {}", clock(Timestamp::now()), clean(&text)));
}

fn report(
    now: &[Approval],
    known: &mut HashMap<ApprovalId, Approval>,
    (first, json): (bool, bool),
    if_empty: &str,
) -> anyhow::Result<()> {
    let is_news = |approval: &&Approval| known.get(&approval.id).is_none_or(|seen| seen.version != approval.version);
    let news: Vec<Approval> = now.iter().filter(is_news).cloned().collect();
    if json {
        for approval in &news {
            line(serde_json::to_string(approval)?);
        }
    } else if first || !news.is_empty() {
        print(&news, if_empty);
    }
    let rings = !json && !first && news.iter().any(|approval| !known.contains_key(&approval.id));
    if rings && std::io::stdout().is_terminal() {
        output::write("\u{7}")?;
    }
    known.extend(news.into_iter().map(|approval| (approval.id, approval)));
    Ok(())
}

/// Shows one that a person is to decide about.
pub(super) fn present(approval: &Approval, number: usize, all: usize) {
    if all > 1 {
        line(format!("{BOLD}{number} of {all}{BOLD:#}"));
    }
    facts(&words::rows(approval, Timestamp::now(), Detail::Short));
}
