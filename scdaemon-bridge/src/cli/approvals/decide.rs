//! `sealcard approve` and `sealcard reject`.

use anyhow::bail;
use clap::Args;
use sealcard_api::{
    approvals::{Approval, ApprovalFilter, ApprovalList, DecideRequest, Decided, MAX_DECISIONS, Verdict},
    rules::Justification,
};

use super::{
    find::{self, Wanted},
    requests::present,
    words,
};
use crate::{
    cli::{
        App, ask,
        output::{GOOD, clean, count, line, note, show},
    },
    remote::path,
    waiting::short_id,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Each request is shown before it is approved. On a terminal each is asked about, unless --yes is given. All are approved \
by one call, or none: if one has changed since it was shown, the command says so.

Examples:
  sealcard approve 1a2b3c4d
  sealcard approve 1a2b3c4d 5e6f7a8b --comment 'Checked the tags'
  sealcard approve --all --project tools")]
pub(in crate::cli) struct ApproveArguments {
    /// The requests' ids, each with at least its last 4 digits
    #[arg(value_name = "ID", value_parser = find::wanted, required_unless_present = "all")]
    approvals: Vec<Wanted>,
    /// All that you can decide now
    #[arg(long, conflicts_with = "approvals")]
    all: bool,
    /// With --all, only those of this project
    #[arg(long, value_name = "NAME", requires = "all")]
    project: Option<String>,
    /// What you want to say about it
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Print JSON; then nothing is asked, so --all needs --yes
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The requester is told who rejected it and why. A request that was rejected stays so.

Example:
  sealcard reject 1a2b3c4d --reason 'The tag is on the wrong commit'")]
pub(in crate::cli) struct RejectArguments {
    /// The requests' ids, each with at least its last 4 digits
    #[arg(value_name = "ID", value_parser = find::wanted, required = true)]
    approvals: Vec<Wanted>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn approve(app: &App, arguments: ApproveArguments) -> anyhow::Result<()> {
    check(arguments.comment.as_deref())?;
    let asks = !arguments.yes && !arguments.json && ask::can_ask();
    if arguments.all && !arguments.yes && !asks {
        bail!("there is no terminal to ask on: pass --yes to approve all without a question");
    }
    let mut shown = if arguments.all {
        let filter = super::in_project(app, arguments.project.as_deref()).await?;
        let filter = ApprovalFilter { mine: true, limit: Some(MAX), ..filter };
        let list = super::list(app, &filter).await?;
        if list.more {
            note(format!("There are more than {}: run the command again for the others.", list.approvals.len()));
        }
        list.approvals
    } else {
        decidable(find::approvals(app, &arguments.approvals, false).await?)?
    };
    let all = shown.len();
    if !arguments.json {
        let mut chosen = Vec::with_capacity(all);
        for (number, approval) in shown.into_iter().enumerate() {
            if number > 0 {
                line("");
            }
            present(&approval, number + 1, all);
            if !asks || ask::confirm("Approve it?")? {
                chosen.push(approval);
            }
        }
        shown = chosen;
    }
    if shown.is_empty() {
        if arguments.json {
            return show(true, &ApprovalList { approvals: Vec::new(), more: false }, |_| {});
        }
        note(if all == 0 { "Nothing waits for your decision." } else { "Nothing was approved." });
        return Ok(());
    }
    decide(app, Verdict::Approve, &shown, arguments.comment, arguments.json).await
}

pub(in crate::cli) async fn reject(app: &App, arguments: RejectArguments) -> anyhow::Result<()> {
    check(Some(&arguments.reason))?;
    // Also before one's turn, and by a veto: the server knows.
    let found = find::approvals(app, &arguments.approvals, false).await?;
    decide(app, Verdict::Reject, &found, Some(arguments.reason), arguments.json).await
}

/// The most that one call decides about.
const MAX: u32 = MAX_DECISIONS as u32;

fn check(comment: Option<&str>) -> anyhow::Result<()> {
    match comment.map(Justification::check) {
        Some(Err(why)) => bail!("the text can't be sent: {why}"),
        _ => Ok(()),
    }
}

/// Refuses those that are not the caller's to decide, before anything is asked or sent.
fn decidable(approvals: Vec<Approval>) -> anyhow::Result<Vec<Approval>> {
    if approvals.len() > MAX_DECISIONS {
        bail!("at most {MAX_DECISIONS} can be decided at once");
    }
    let not_yours = approvals.iter().find(|approval| !approval.yours_to_decide);
    let Some(approval) = not_yours else { return Ok(approvals) };
    let id = short_id(approval.id);
    match &approval.not_yours {
        Some(why) => bail!("you can't decide about {id}: {}", clean(why)),
        None if approval.state.is_open() => bail!("you can't decide about {id}: {}", clean(&words::wants(approval))),
        None => bail!("nothing can be decided about {id} any more: it is {}", approval.state.name()),
    }
}

/// One call for all, with the versions that were shown.
async fn decide(
    app: &App,
    verdict: Verdict,
    approvals: &[Approval],
    comment: Option<String>,
    json: bool,
) -> anyhow::Result<()> {
    let decided = approvals.iter().map(|approval| Decided { id: approval.id, version: approval.version }).collect();
    let body = DecideRequest { verdict, approvals: decided, comment };
    let list: ApprovalList = app.remote.post(&path(&["approvals", "decisions"]), &body).await?;
    show(json, &list, |list| {
        list.approvals.iter().for_each(|approval| line(clean(&words::outcome(approval))));
        let did = match verdict {
            Verdict::Approve => "Approved",
            Verdict::Reject => "Rejected",
        };
        if list.approvals.len() > 1 {
            line(format!("{GOOD}{did} {}.{GOOD:#}", count(list.approvals.len(), "request")));
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealcard_api::approvals::ApprovalState;

    use super::*;
    use crate::cli::approvals::words::tests::approval;

    #[test]
    fn what_is_not_yours_is_refused_before_it_is_sent() {
        assert_eq!(decidable(vec![approval(), approval()]).unwrap().len(), 2);
        let other =
            Approval { yours_to_decide: false, not_yours: Some("you asked for it\u{1b}".to_owned()), ..approval() };
        let text = decidable(vec![approval(), other.clone()]).unwrap_err().to_string();
        assert!(text.ends_with("you asked for it?"), "{text}");
        let over = Approval { not_yours: None, state: ApprovalState::Spent, ..other };
        assert!(decidable(vec![over]).unwrap_err().to_string().ends_with("it is spent"));
        assert!(decidable(vec![approval(); 101]).is_err());
    }
}
