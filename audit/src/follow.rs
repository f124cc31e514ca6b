//! `sealcard-audit follow`: sees a log that goes back or is rewritten as soon as that is published.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use sealcard_record::export::LogFile;
use sealcard_transparency::TrustError;
use serde::Serialize;

use crate::{
    cli::{FINDING, Log},
    finding::{Finding, Findings},
    output::{BAD, clean, clean_path, entries, line, note, warn},
    source::Source,
    state::State,
    tree::Tree,
    trust::{Trust, Trusted},
};

const HELP: &str = "\
The newest checkpoint is kept in the file of --state. Each checkpoint must be of a log that begins with the one before. If \
it is not, both are written to FILE.alarm, which proves it to others, the command of --on-alarm runs with the message in \
SEALCARD_ALARM, and follow ends with 3. A log that can't be reached is asked again.

Examples:
  sealcard-audit follow https://sign.example.org:8443/v1/log \\
    --policy trusted.tlog-policy --state log.state \\
    --on-alarm 'echo \"$SEALCARD_ALARM\" | mail -s alarm security@example.org'
  sealcard-audit follow /srv/log --state log.state --once

Exit codes: 0 the log only grew (--once), 1 it could not be checked, 2 wrong usage, 3 the log went back or was rewritten, \
or its checkpoint is not trusted.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: Log,
    /// The file with the newest checkpoint
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    state: PathBuf,
    /// Seconds between two looks at the log
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// Look once
    #[arg(long)]
    once: bool,
    /// A command for the shell, to be run on an alarm
    #[arg(long, value_name = "COMMAND")]
    on_alarm: Option<String>,
}

/// What proves an alarm to others.
#[derive(Debug, Serialize)]
struct Evidence<'a> {
    alarm: &'a str,
    known: Option<&'a str>,
    found: &'a str,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let source = arguments.log.open()?;
    let mut said = None;
    loop {
        match look(arguments, &source).await {
            Ok(Some(alarm)) => return raise(arguments, &alarm).map(|()| ExitCode::from(FINDING)),
            Ok(None) => {
                if said.take().is_some() {
                    note("The log can be read again.");
                }
            }
            Err(error) if arguments.once => return Err(error),
            Err(error) => {
                let text = format!("{error:#}");
                // Said once, not every time.
                if said.as_ref() != Some(&text) {
                    warn(clean(&text));
                    said = Some(text);
                }
            }
        }
        if arguments.once {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(arguments.interval)) => {}
            ended = tokio::signal::ctrl_c() => return Ok(ended.map(|()| ExitCode::SUCCESS)?),
        }
    }
}

/// Compares the log's checkpoint with the one that is remembered, and remembers it. The alarm if there is one.
async fn look(arguments: &Arguments, source: &Source) -> anyhow::Result<Option<String>> {
    let state = State::load(&arguments.state)?;
    let trust = Trust::load(arguments.log.policy(), state.as_ref(), source).await?;
    let found = source.read(LogFile::CHECKPOINT).await?;
    let found = found.with_context(|| format!("{}: there is no log", arguments.log.place()))?;
    let mut findings = Findings::default();
    let seen = match trust.check(&found) {
        Ok(seen) => Some(seen),
        // Witnesses may still be asked.
        Err(Finding::Untrusted(error @ TrustError::Quorum(_))) => return Err(error.into()),
        Err(finding) => {
            findings.add(finding);
            None
        }
    };
    if let Some(seen) = &seen {
        compare(source, state.as_ref(), seen, &mut findings).await?;
    }
    let Some(seen) = seen.filter(|_| findings.is_empty()) else {
        let alarm: Vec<String> = findings.first.iter().map(ToString::to_string).collect();
        let alarm = alarm.join("; ");
        keep_evidence(arguments, &alarm, state.as_ref(), &found)?;
        return Ok(Some(alarm));
    };
    let is_new = state.as_ref().is_none_or(|state| state.checkpoint() != seen.note.to_string());
    if is_new {
        let size = seen.tree.size;
        let mut state = state.unwrap_or_else(|| State::new(&seen, trust.own_keys.clone()));
        state.advance(&seen);
        state.save(&arguments.state)?;
        note(format!("{} has {}.", clean(&seen.origin), entries(size)));
    }
    Ok(None)
}

async fn compare(
    source: &Source,
    state: Option<&State>,
    seen: &Trusted,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let Some(state) = state else { return Ok(()) };
    let known = match state.expect(seen) {
        Ok(known) => known,
        Err(finding) => {
            findings.add(finding);
            return Ok(());
        }
    };
    if known == seen.tree {
        return Ok(());
    }
    if known.size == seen.tree.size {
        findings.add(Finding::Rewritten { known: known.size });
        return Ok(());
    }
    if let Some(mut tree) = Tree::open(source, seen.tree, findings).await?
        && !tree.begins_with(&known, findings).await?
    {
        findings.add(Finding::Rewritten { known: known.size });
    }
    Ok(())
}

fn alarm_file(arguments: &Arguments) -> PathBuf {
    let mut name = arguments.state.clone().into_os_string();
    name.push(".alarm");
    name.into()
}

fn keep_evidence(arguments: &Arguments, alarm: &str, known: Option<&State>, found: &[u8]) -> anyhow::Result<()> {
    let file = alarm_file(arguments);
    let found = String::from_utf8_lossy(found);
    let evidence = Evidence { alarm, known: known.map(State::checkpoint), found: &found };
    let text = serde_json::to_vec_pretty(&evidence)?;
    std::fs::write(&file, text).with_context(|| file.display().to_string())
}

fn raise(arguments: &Arguments, alarm: &str) -> anyhow::Result<()> {
    line(format!("{BAD}Alarm:{BAD:#} {}", clean(alarm)));
    note(format!("Both checkpoints are in {}. Tell your security officer.", clean_path(&alarm_file(arguments))));
    let Some(command) = &arguments.on_alarm else { return Ok(()) };
    let mut shell = std::process::Command::new("sh");
    let status = shell.args(["-c", command]).env("SEALCARD_ALARM", alarm).status();
    match status.context("the command of --on-alarm")? {
        status if status.success() => Ok(()),
        status => {
            warn(format!("the command of --on-alarm failed: {status}"));
            Ok(())
        }
    }
}
