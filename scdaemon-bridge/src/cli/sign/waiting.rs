//! Files whose signature waits for people.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use indicatif::ProgressBar;
use sealcard_api::{
    Timestamp,
    approvals::WaitingUse,
    ids::{ApprovalId, RequestId},
};
use serde::Serialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    cli::{
        App,
        output::{DIM, count, note},
    },
    config::Paths,
    last::OperationKind,
    local_time::{clock, span},
    remote::{Remote, WaitEnd, WaitObserver},
    waiting::{WaitingNote, approve_command, sentence, short_id, wanted, who_can_run},
};

/// The exit code if a signature waits and nothing failed: EX_TEMPFAIL of sysexits(3).
pub(super) const EXIT_CODE: u8 = 75;

/// How to wait.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Options {
    /// Do not wait for people: say what is missing, and end with 75
    #[arg(long, conflicts_with = "timeout")]
    no_wait: bool,
    /// Wait for people no longer than this, such as 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = limit)]
    timeout: Option<Duration>,
}

impl Options {
    pub(super) const fn limit(self) -> Option<Duration> {
        if self.no_wait { Some(Duration::ZERO) } else { self.timeout }
    }
}

fn limit(text: &str) -> Result<Duration, String> {
    let seconds = span(text).and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map(Duration::from_secs).ok_or_else(|| "must be a number with s, m or h behind it, such as 90s".to_owned())
}

/// A file whose signature waits still.
#[derive(Debug, Serialize)]
pub(super) struct Waits {
    #[serde(serialize_with = "crate::cli::output::lossy")]
    pub(super) file: std::path::PathBuf,
    pub(super) request_id: RequestId,
    pub(super) approval: ApprovalId,
    pub(super) wants: Vec<String>,
    pub(super) approvers: Vec<String>,
    pub(super) expires: Timestamp,
}

impl Waits {
    pub(super) fn new(file: std::path::PathBuf, waiting: WaitingUse) -> Self {
        let WaitingUse { request_id, approval, wants, approvers, deadline: _, expires } = waiting;
        Self { file, request_id, approval, wants, approvers, expires }
    }
}

/// Tells the person that one signature waits, and keeps the note of it.
pub(super) struct Observer {
    paths: Paths,
    key: String,
    /// Says each wait on its own.
    tell: bool,
    waits: watch::Sender<bool>,
}

impl Observer {
    /// The server, and the observer of what waits there.
    pub(super) fn of(app: &App, key: &str, options: Options, tell: bool) -> (Remote, Arc<Self>) {
        let limit = options.limit();
        let tell = tell && limit != Some(Duration::ZERO);
        let observer =
            Arc::new(Self { paths: app.paths.clone(), key: key.to_owned(), tell, waits: watch::Sender::new(false) });
        let remote = app.remote.observed_by(Arc::<Self>::clone(&observer));
        (limit.map_or_else(|| remote.clone(), |limit| remote.waiting_at_most(limit)), observer)
    }

    /// Waits for a signal that ends the command, from when on something waits for people. Before, such a signal ends the
    /// process at once, as ever.
    pub(super) async fn interrupted(&self) -> anyhow::Result<()> {
        if self.waits.subscribe().wait_for(|waits| *waits).await.is_err() {
            bail!("the wait ended");
        }
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }
}

impl WaitObserver for Observer {
    fn waits(&self, waiting: &WaitingUse, until: Timestamp) {
        // Without the note only `status --waiting` knows nothing of it.
        let _ = WaitingNote::new(waiting, until, OperationKind::Sign, Some(self.key.clone())).save(&self.paths);
        if self.tell {
            note(format!("The signature {}", sentence(waiting, until)));
        }
        self.waits.send_replace(true);
    }

    fn ended(&self, waiting: &WaitingUse, end: &WaitEnd) {
        let _ = WaitingNote::remove(&self.paths, waiting.request_id);
        if self.tell && *end == WaitEnd::Approved {
            note(format!("{DIM}Approved.{DIM:#}"));
        }
    }
}

/// Ids that are listed in one command.
const IDS: usize = 4;

/// Says that some signatures wait.
pub(super) fn announce(waiting: &[WaitingUse], bar: &ProgressBar) {
    let Some(first) = waiting.first() else { return };
    let text = match waiting {
        [only] => format!("1 signature {}", sentence(only, only.deadline)),
        several => {
            let (wanted, who) = (wanted(&first.wants, &[]), who_can_run(&first.approvers));
            let until = clock(first.deadline);
            let command = command(several.iter().map(|waiting| waiting.approval));
            format!("{} wait until {until} for {wanted}.\n{who}: {command}", count(several.len(), "signature"))
        }
    };
    bar.suspend(|| note(text));
}

/// The command that approves them.
pub(super) fn command(approvals: impl ExactSizeIterator<Item = ApprovalId>) -> String {
    if approvals.len() > IDS {
        return "sealcard approve --all".to_owned();
    }
    let ids: Vec<String> = approvals.map(short_id).collect();
    match ids.as_slice() {
        [] => "sealcard requests".to_owned(),
        ids => format!("sealcard approve {}", ids.join(" ")),
    }
}

/// What is said at the end of those that wait still.
pub(super) fn still(waits: &[Waits]) -> Option<String> {
    let first = waits.first()?;
    let (missing, who) = (wanted(&first.wants, &[]), who_can_run(&first.approvers));
    let (command, until) = match waits {
        [only] => (approve_command(only.approval), clock(only.expires)),
        several => (command(several.iter().map(|one| one.approval)), clock(first.expires)),
    };
    let (one, wait) = (count(waits.len(), "signature"), if waits.len() == 1 { "waits" } else { "wait" });
    Some(format!("{one} {wait} for {missing}.\n{who} until {until}: {command}\nThen run the same command again."))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_spans() {
        assert_eq!(limit("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(limit("0s"), Ok(Duration::ZERO));
        assert!(limit("-1s").is_err() && limit("1").is_err() && limit("").is_err());
    }

    #[test]
    fn few_approvals_are_named_and_many_are_not() {
        let ids = [ApprovalId::new(); 5];
        let two = command(ids.iter().take(2).copied());
        assert_eq!(two, format!("sealcard approve {0} {0}", short_id(ids[0])));
        assert_eq!(command(ids.iter().copied()), "sealcard approve --all");
    }
}
