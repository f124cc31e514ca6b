//! `sealcard-audit consistency`: whether two checkpoints are of one log that only grew.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};
use sealcard_record::export::LogFile;
use serde::Serialize;

use crate::{
    cli::{FINDING, Log},
    finding::{Finding, Findings},
    output::{BAD, GOOD, clean, entries, line, show},
    tree::Tree,
    trust::{Trust, Trusted},
};

const HELP: &str = "\
OLD and NEW are files with checkpoints, in any order. LOG is where the log's tiles are, as for `sealcard-audit verify`. \
Without NEW, OLD is compared with the log's own checkpoint.

Examples:
  sealcard-audit consistency /srv/log checkpoint-of-may
  sealcard-audit consistency https://sign.example.org:8443/v1/log \\
    checkpoint-of-may checkpoint-of-june --grant auditor.token

Exit codes: 0 the log only grew, 1 it could not be checked, 2 wrong usage, 3 the log went back or was rewritten, or a \
checkpoint is not trusted.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: Log,
    /// A file with a checkpoint
    #[arg(value_name = "OLD", value_hint = ValueHint::FilePath)]
    old: PathBuf,
    /// Another one
    #[arg(value_name = "NEW", value_hint = ValueHint::FilePath)]
    new: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    consistent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// Sizes of the older and the newer checkpoint.
    sizes: Vec<u64>,
    findings: Vec<String>,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let source = arguments.log.open()?;
    let trust = Trust::load(arguments.log.policy(), None, &source).await?;
    let mut findings = Findings::default();
    let mut compared = Vec::new();
    for file in [Some(&arguments.old), arguments.new.as_ref()].into_iter().flatten() {
        match trust.check(&read(file)?) {
            Ok(checkpoint) => compared.push(checkpoint),
            Err(Finding::Checkpoint(error)) => bail!("{}: {error}", file.display()),
            Err(finding) => {
                findings.add(Finding::Malformed { file: file.display().to_string(), reason: finding.to_string() })
            }
        }
    }
    let newest = source.read(LogFile::CHECKPOINT).await?;
    let newest = newest.with_context(|| format!("{}: there is no log", arguments.log.place()))?;
    match trust.check(&newest) {
        Ok(newest) if findings.is_empty() => {
            compared.sort_by_key(|checkpoint| checkpoint.tree.size);
            compare(&source, &compared, &newest, &mut findings).await?;
            if arguments.new.is_none() {
                compared.push(newest);
            }
        }
        Ok(_) => {}
        Err(finding) => findings.add(finding),
    }
    let report = Report {
        consistent: findings.is_empty(),
        log: compared.first().map(|checkpoint| checkpoint.origin.clone()),
        sizes: compared.iter().map(|checkpoint| checkpoint.tree.size).collect(),
        findings: findings.first.iter().map(ToString::to_string).collect(),
    };
    show(arguments.json, &report, print)?;
    Ok(if report.consistent { ExitCode::SUCCESS } else { ExitCode::from(FINDING) })
}

/// Each must be what the newest one begins with.
async fn compare(
    source: &crate::source::Source,
    compared: &[Trusted],
    newest: &Trusted,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    for checkpoint in compared {
        let (known, found) = (checkpoint.tree.size, newest.tree.size);
        if checkpoint.origin != newest.origin {
            let (known, found) = (checkpoint.origin.clone(), newest.origin.clone());
            findings.add(Finding::OtherLog { known, found });
        } else if known > found {
            findings.add(Finding::WentBack { known, found });
        }
    }
    if !findings.is_empty() {
        return Ok(());
    }
    let Some(mut tree) = Tree::open(source, newest.tree, findings).await? else { return Ok(()) };
    for checkpoint in compared {
        if !tree.begins_with(&checkpoint.tree, findings).await? {
            findings.add(Finding::Rewritten { known: checkpoint.tree.size });
        }
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let content = fs::read(file).with_context(|| file.display().to_string())?;
    anyhow::ensure!(content.len() <= sealcard_transparency::MAX_NOTE, "{}: it is no checkpoint", file.display());
    Ok(content)
}

fn print(report: &Report) {
    if report.consistent {
        let sizes: Vec<String> = report.sizes.iter().map(|size| entries(*size)).collect();
        let log = clean(report.log.as_deref().unwrap_or_default());
        line(format!("{GOOD}The log only grew:{GOOD:#} {log}, from {}.", sizes.join(" to ")));
    } else {
        line(format!("{BAD}The log is not what it was:{BAD:#}"));
        report.findings.iter().for_each(|finding| line(format!("  {}", clean(finding))));
    }
}
