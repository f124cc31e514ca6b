//! `sealcard admin notices`.

use std::{
    io::IsTerminal as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealcard_api::{
    Timestamp,
    admin::Page,
    ids::NoticeId,
    notices::{
        DeliveryState, Notice, NoticeChannel, NoticeDelivery, NoticeQueued, NoticeRetry, NoticeTest, NoticesRetried,
    },
};

use crate::{
    cli::{
        App, local_time,
        output::{BAD, GOOD, WARN, clean, count, facts, line, note, show, table},
        pages, when,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List notices and what became of them, newest first
    List {
        /// Only those that could not be delivered
        #[arg(long)]
        failed: bool,
        /// How many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 50)]
        limit: usize,
    },
    /// Show one notice, and each delivery of it
    Show {
        /// The id, as the list shows it
        id: NoticeId,
    },
    /// Try to deliver again what could not be delivered
    #[command(after_help = "Deliveries of a disabled channel stay as they are: enable it first.")]
    Retry {
        /// The ids of notices
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<NoticeId>,
        /// All notices that could not be delivered
        #[arg(long)]
        all: bool,
    },
    /// Show the channels, and whether they work
    Channels,
    /// Use a channel again whose receiver wanted no more notices
    Enable {
        /// The name, as `channels` shows it
        channel: String,
    },
    /// Send a notice for a test, and wait for what becomes of it
    #[command(after_help = "\
It is tried once. Without a channel, all are tried. By mail it goes to you, or
to the user that --to names.

Exit codes:
  0  every delivery worked
  1  one did not, or could not be waited for any longer

Examples:
  sealcard admin notices test
  sealcard admin notices test mail --to jane")]
    Test {
        /// The name, as `channels` shows it
        channel: Option<String>,
        /// The user who gets the mail, by name or id
        #[arg(long, value_name = "USER")]
        to: Option<String>,
    },
}

/// How often the outcome of a test is asked for.
const POLL: Duration = Duration::from_millis(500);

/// How long a test is waited for: longer than a server takes for one attempt, with a pause before it.
const TEST_DEADLINE: Duration = Duration::from_secs(90);

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<ExitCode> {
    let remote = &app.remote;
    match command {
        Command::List { failed, limit } => {
            let failed = failed.then(|| "true".to_owned());
            let notices: Vec<Notice> = pages::up_to(remote, &path(&["notices"]), &[("failed", failed)], limit).await?;
            super::show_list(json, "notices", &notices, print_list)?;
        }
        Command::Show { id } => {
            let notice: Notice = remote.get(&path(&["notices", &id.to_string()])).await?;
            show(json, &notice, print)?;
        }
        Command::Retry { ids, all } => {
            let retry = NoticeRetry { notices: (!all).then_some(ids) };
            let retried: NoticesRetried = remote.post(&path(&["notices", "retry"]), &retry).await?;
            show(json, &retried, |NoticesRetried { deliveries }| match deliveries {
                0 => line("There is nothing to be tried again."),
                1 => line("1 delivery is tried again."),
                many => line(format!("{many} deliveries are tried again.")),
            })?;
        }
        Command::Channels => {
            let channels: Page<NoticeChannel> = remote.get(&path(&["notices", "channels"])).await?;
            super::show_list(json, "channels", &channels.items, print_channels)?;
        }
        Command::Enable { channel } => {
            let enabled: NoticeChannel = remote.post(&path(&["notices", "channels", &channel, "enable"]), &()).await?;
            show(json, &enabled, |enabled| {
                line(format!("Enabled the channel {}.", clean(&enabled.name)));
                if enabled.failed > 0 {
                    line("To send what it missed, run: sealcard admin notices retry --all");
                }
            })?;
        }
        Command::Test { channel, to } => return test(app, NoticeTest { channel, to }, json).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn test(app: &App, test: NoticeTest, json: bool) -> anyhow::Result<ExitCode> {
    let queued: NoticeQueued = app.remote.post(&path(&["notices", "test"]), &test).await?;
    let below = path(&["notices", &queued.id.to_string()]);
    let bar = spinner(json);
    let begin = Instant::now();
    let notice = loop {
        let notice: Notice = app.remote.get(&below).await?;
        let done = notice.deliveries.iter().filter(|one| one.state != DeliveryState::Pending).count();
        if notice.addressed && done == notice.deliveries.len() {
            break notice;
        }
        if begin.elapsed() > TEST_DEADLINE {
            bar.finish_and_clear();
            bail!("the test was not finished in time; see: sealcard admin notices show {}", queued.id);
        }
        bar.set_message(format!("{done} of {} deliveries done", notice.deliveries.len()));
        tokio::time::sleep(POLL).await;
    };
    bar.finish_and_clear();
    let worked = !notice.deliveries.is_empty()
        && notice.deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered);
    show(json, &notice, |notice| {
        for delivery in &notice.deliveries {
            line(sentence(delivery));
        }
        if notice.deliveries.is_empty() {
            note("No channel was tried.");
        }
    })?;
    Ok(if worked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn spinner(json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let bar = match ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => return ProgressBar::hidden(),
    };
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn sentence(delivery: &NoticeDelivery) -> String {
    let way = match &delivery.recipient {
        Some(recipient) => format!("{} to {}", clean(&delivery.channel), clean(recipient)),
        None => clean(&delivery.channel),
    };
    let why = delivery.error.as_deref().map(clean).unwrap_or_default();
    match delivery.state {
        DeliveryState::Delivered => format!("{GOOD}delivered{GOOD:#}  {way}"),
        DeliveryState::Pending => format!("{WARN}pending{WARN:#}  {way}: {why}"),
        DeliveryState::Failed => format!("{BAD}failed{BAD:#}  {way}: {why}"),
        DeliveryState::Dropped => format!("{BAD}not sent{BAD:#}  {way}: {why}"),
    }
}

fn print_list(notices: &[Notice]) {
    let rows: Vec<_> = notices
        .iter()
        .map(|notice| {
            [
                notice.id.to_string(),
                local_time::shown(notice.created),
                notice.kind.name().to_owned(),
                states(notice),
                notice.title.clone(),
            ]
        })
        .collect();
    table(["ID", "TIME", "KIND", "DELIVERIES", "TITLE"], &rows, "There are no notices.");
}

/// Such as `2 delivered, 1 failed`.
fn states(notice: &Notice) -> String {
    if !notice.addressed {
        return "new".to_owned();
    }
    let counted = DeliveryState::ALL.into_iter().filter_map(|state| {
        let number = notice.deliveries.iter().filter(|delivery| delivery.state == state).count();
        (number > 0).then(|| format!("{number} {}", state.name()))
    });
    let counted: Vec<String> = counted.collect();
    if counted.is_empty() { "no channel".to_owned() } else { counted.join(", ") }
}

fn print(notice: &Notice) {
    let mut rows = vec![
        ("title", notice.title.clone()),
        ("id", notice.id.to_string()),
        ("kind", notice.kind.name().to_owned()),
        ("time", local_time::shown(notice.created)),
    ];
    rows.extend(notice.project.as_ref().map(|project| ("project", project.name.clone())));
    rows.extend(notice.command.clone().map(|command| ("command", command)));
    if notice.loud {
        rows.push(("loud", "yes".to_owned()));
    }
    facts(&rows);
    if !notice.facts.is_empty() {
        line("");
        let rows: Vec<_> = notice.facts.iter().map(|fact| (fact.label.as_str(), fact.value.clone())).collect();
        facts(&rows);
    }
    line("");
    let rows: Vec<_> = notice
        .deliveries
        .iter()
        .map(|delivery| {
            let next = delivery.next_attempt.filter(|_| delivery.attempts > 0);
            [
                delivery.channel.clone(),
                delivery.recipient.clone().unwrap_or_else(|| "-".to_owned()),
                delivery.state.name().to_owned(),
                delivery.attempts.to_string(),
                next.map_or_else(|| "-".to_owned(), when::with_distance),
                delivery.error.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let if_empty = if notice.addressed { "No channel wants it." } else { "It is not known yet where it goes." };
    table(["CHANNEL", "TO", "STATE", "ATTEMPTS", "NEXT ATTEMPT", "LAST ERROR"], &rows, if_empty);
}

fn print_channels(channels: &[NoticeChannel]) {
    let now = Timestamp::now();
    let ago = |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |time| when::ago(time, now));
    let rows: Vec<_> = channels
        .iter()
        .map(|channel| {
            [
                channel.name.clone(),
                channel.kind.name().to_owned(),
                state(channel),
                ago(channel.last_success),
                ago(channel.last_failure),
                channel.pending.to_string(),
                channel.failed.to_string(),
                channel.last_error.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let headings = ["CHANNEL", "KIND", "STATE", "LAST SUCCESS", "LAST FAILURE", "PENDING", "FAILED", "LAST ERROR"];
    table(headings, &rows, "There are no channels: the server's configuration has none in [notices].");
    for channel in channels {
        for key in &channel.public_keys {
            note(format!("Public key of {}: {}", clean(&channel.name), clean(key)));
        }
    }
}

fn state(channel: &NoticeChannel) -> String {
    match (channel.disabled_since, channel.failures) {
        (Some(since), _) => format!("disabled since {}", local_time::shown(since)),
        (None, 0) if channel.last_success.is_none() => "not used yet".to_owned(),
        (None, 0) => "works".to_owned(),
        (None, failures) => count(usize::try_from(failures).unwrap_or(usize::MAX), "failure"),
    }
}
