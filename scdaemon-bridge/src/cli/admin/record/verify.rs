//! `sealcard admin record verify`.

use std::{fs::File, io::BufReader, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use sealcard_api::record::{RecordReport, RecordVerification, VerificationState};
use sealcard_record::{
    fold::{Fold, TablesFile},
    verify::{Finding, Journals, MEMORY, Options, Report, Verifier, read_journal, read_record_with},
};

use crate::{
    cli::{
        App,
        output::{BAD, GOOD, WARN, clean, clean_path, count, line, show},
        progress,
    },
    remote::path,
};

/// How often the server is asked how far it is.
const PERIOD: Duration = Duration::from_millis(300);

/// Has the server verify its record, and waits for that.
pub(super) async fn online(app: &App, json: bool) -> anyhow::Result<ExitCode> {
    let path = path(&["record", "verification"]);
    let mut state: RecordVerification = app.remote.post(&path, &()).await?;
    let bar = progress::amount(state.total, "entries", json);
    while state.state == VerificationState::Running {
        bar.set_length(state.total);
        bar.set_position(state.entries);
        tokio::time::sleep(PERIOD).await;
        state = app.remote.get(&path).await?;
    }
    bar.finish_and_clear();
    match (state.report, state.error) {
        (Some(report), _) => finish(&report, json),
        (None, error) => {
            bail!("The server could not verify the record: {}", clean(&error.unwrap_or_else(|| "unknown".to_owned())))
        }
    }
}

/// Verifies an exported record, with the signers' journals and the database's tables if there are any.
pub(super) fn offline(
    record: &Path,
    journals: &[std::path::PathBuf],
    tables: Option<&Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let compared = if journals.is_empty() { Journals::None } else { Journals::All };
    let options = Options { folder: std::env::temp_dir(), memory: MEMORY, journals: compared };
    let mut verifier = Verifier::new(options);
    let opened = |path: &Path| -> anyhow::Result<(BufReader<File>, ProgressBar)> {
        let file = File::open(path).with_context(|| clean_path(path))?;
        let bar = progress::amount(file.metadata()?.len(), "bytes", json);
        Ok((BufReader::with_capacity(1 << 16, file), bar))
    };
    for path in journals {
        let (file, bar) = opened(path)?;
        let read = read_journal(&mut verifier, &clean_path(path), file, &mut |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        read.with_context(|| clean_path(path))?;
    }
    let mut tables = match tables {
        Some(path) => {
            let (file, bar) = opened(path)?;
            bar.finish_and_clear();
            let file = TablesFile::open(file).with_context(|| clean_path(path))?;
            let head = file.head();
            verifier.expect_head(clean_path(path), head.sequence, head.root)?;
            Some((path, Fold::up_to(head.sequence), file))
        }
        None => None,
    };
    let (file, bar) = opened(record)?;
    let read = read_record_with(&mut verifier, file, &mut |bytes| bar.inc(bytes), &mut |body| {
        if let Some((_, fold, _)) = &mut tables {
            fold.entry(body);
        }
    });
    bar.finish_and_clear();
    read.with_context(|| clean_path(record))?;
    if let Some((path, fold, file)) = tables {
        let compared = file.compare(fold, |difference| verifier.add_finding(Finding::Table(difference)));
        compared.with_context(|| clean_path(path))?;
    }
    let Report { head, unknown, findings, more } = verifier.finish()?;
    let report = RecordReport {
        entries: head.sequence,
        root: head.root.to_string(),
        unknown,
        findings: findings.iter().map(ToString::to_string).collect(),
        more_findings: more,
    };
    finish(&report, json)
}

fn finish(report: &RecordReport, json: bool) -> anyhow::Result<ExitCode> {
    show(json, report, print)?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &RecordReport) {
    let entries = match report.entries {
        1 => "1 entry".to_owned(),
        several => format!("{several} entries"),
    };
    if report.findings.is_empty() {
        line(format!("{GOOD}All is well:{GOOD:#} {entries}, root {}.", clean(&report.root)));
    } else {
        line(format!("{BAD}{}{BAD:#} in {entries}:", count(report.findings.len(), "finding")));
        for finding in &report.findings {
            line(format!("  {}", clean(finding)));
        }
        if report.more_findings > 0 {
            line(format!("  and {} more", report.more_findings));
        }
    }
    if report.unknown > 0 {
        let which = format!("{} are of a newer release: only their places in the log were checked.", report.unknown);
        line(format!("{WARN}Not all was checked:{WARN:#} {which}"));
    }
}
