//! The record and the journals of this server's signers, as a running server has them.

use std::path::Path;

use sealcard_api::{
    ids::{EnvironmentId, RequestId},
    record::RecordKind,
};
use sealcard_record::verify::{Finding, Journal, Journals, MEMORY, Options, Report, Verifier};

use crate::{
    limits,
    signers::{Signer, Signers, UseError},
    storage::{RecordFilter, StorageError, Store},
};

/// What a verification reads.
pub struct Verification<'a> {
    /// The record.
    pub store: &'a Store,
    /// The journals.
    pub signers: &'a Signers,
    /// Where the temporary file is made.
    pub folder: &'a Path,
    /// Whether this server works on a use.
    pub is_running: &'a IsRunning,
}

/// Whether this server works on the use with this id.
pub type IsRunning = dyn Fn(RequestId) -> bool + Send + Sync;

/// Why the record could not be verified. Retrying helps once that is put right.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The temporary file can't be written or read.
    #[error("the temporary file: {0}")]
    File(#[from] std::io::Error),
    /// A fault of this program.
    #[error("the work failed inside the server")]
    Panicked,
}

/// Verifies the whole record, alone and against the journals of all signers that answer. `progress` is told how many
/// entries of the record were read.
///
/// # Errors
/// If the database or the temporary file fails. What is wrong with the record is no error but a finding.
pub async fn verify(parts: Verification<'_>, progress: impl Fn(u64)) -> Result<Report, AuditError> {
    let Verification { store, signers, folder, is_running } = parts;
    let journals = Journals::OfHost(store.host());
    let mut verifier = Verifier::new(Options { folder: folder.to_owned(), memory: MEMORY, journals });
    let names = store.environments().await?;
    let name = |id: EnvironmentId| names.iter().find(|row| row.id == id).map_or(id.to_string(), |row| row.name.clone());
    // First the journals, then the record: every use that is in a journal by now has its intent in the record by now.
    let mut read = Vec::new();
    for (environment, signer) in signers.all() {
        let name = name(environment);
        let mut journal = verifier.journal(name.clone());
        match read_journal(&mut verifier, &mut journal, &signer, false).await? {
            Ok(head) => {
                expect_length(&mut verifier, &name, &journal, head);
                read.push((signer, journal));
            }
            Err(error) => {
                verifier.add_finding(Finding::NotCompared { journal: name, error: error.to_string() });
                verifier.expect_no_journal();
            }
        }
    }
    read_record(store, &mut verifier, progress).await?;
    // Outcomes that came while the record was read have their entries in the journals' newest part.
    for (signer, mut journal) in read {
        let _ = read_journal(&mut verifier, &mut journal, &signer, true).await?;
    }
    let compared = tokio::task::spawn_blocking(move || verifier.finish()).await;
    let mut report = compared.map_err(|_| AuditError::Panicked)??;
    let mut findings = Vec::with_capacity(report.findings.len());
    for finding in report.findings {
        let is_open = match &finding {
            Finding::NoOutcome { request, .. } => is_in_work(store, is_running, *request).await?,
            _ => false,
        };
        if !is_open {
            findings.push(finding);
        }
    }
    report.findings = findings;
    Ok(report)
}

/// Reads a journal up to what is its end at the first answer, which is given back.
async fn read_journal(
    verifier: &mut Verifier,
    journal: &mut Journal,
    signer: &Signer,
    later: bool,
) -> Result<Result<u64, UseError>, AuditError> {
    let mut end = None;
    loop {
        let (head, entries) = match signer.journal(journal.sequence().saturating_add(1)).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        let end = *end.get_or_insert(head.sequence);
        for entry in &entries {
            verifier.journal_entry(journal, entry, later)?;
        }
        if journal.sequence() >= end || entries.is_empty() {
            return Ok(Ok(end));
        }
    }
}

fn expect_length(verifier: &mut Verifier, name: &str, journal: &Journal, expected: u64) {
    let has = journal.sequence();
    if has < expected {
        verifier.add_finding(Finding::JournalShort { journal: name.to_owned(), has, expected });
    }
}

async fn read_record(store: &Store, verifier: &mut Verifier, progress: impl Fn(u64)) -> Result<(), AuditError> {
    loop {
        let after = Some(verifier.sequence());
        let rows =
            store.record(RecordFilter { after, limit: limits::VERIFIED_PAGE, ..RecordFilter::default() }).await?;
        if rows.is_empty() {
            match store.log_head_at(verifier.sequence()).await {
                Ok(Some(head)) => verifier.expect_root(head.sequence, head.root),
                Ok(None) => {}
                Err(StorageError::Damaged(what)) => verifier.add_finding(Finding::Log(what)),
                Err(error) => return Err(error.into()),
            }
            return Ok(());
        }
        for row in &rows {
            if let Some(body) = verifier.entry(&row.body, &row.salt, row.hash)? {
                // The columns serve searching; a filter must not miss what the entry tells.
                if !row.agrees_with(&body) {
                    verifier.add_finding(Finding::Columns(row.sequence));
                }
            }
        }
        progress(verifier.sequence());
        tokio::task::yield_now().await;
    }
}

/// Whether a use without an outcome has got one since the record was read, or a server works on it.
async fn is_in_work(store: &Store, is_running: &IsRunning, request: RequestId) -> Result<bool, StorageError> {
    let entries = store.record_of_request(request).await?;
    if entries.iter().any(|row| row.kind == RecordKind::Outcome.name()) {
        return Ok(true);
    }
    let unfinished = store.unfinished_requests().await?;
    match unfinished.iter().find(|unfinished| unfinished.id == request) {
        Some(unfinished) if unfinished.node == store.node() => Ok(is_running(request)),
        Some(unfinished) => Ok(!store.node_has_ended(unfinished.node).await?),
        None => Ok(false),
    }
}
