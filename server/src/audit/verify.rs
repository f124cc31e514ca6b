//! The record and the journals of this server's signers, as a running server has them.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use sealcard_api::{
    ids::{EnvironmentId, RequestId},
    record::RecordKind,
};
use sealcard_record::{
    Sha256,
    fold::{Difference, Fold},
    verify::{self as files, FileError, Finding, Journal, Journals, MEMORY, Options, Report, Verifier},
};
use sealcard_transparency::{Checkpoint, Note, TreeHead};
use uuid::Uuid;

use crate::{
    limits,
    signers::{Signer, Signers, UseError},
    storage::{CheckpointRow, RecordFilter, RecordRow, StorageError, Store, TableRow, Tables},
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
    File(#[from] io::Error),
    /// A copy of a journal of another server can't be read.
    #[error("the folder journals: {0}")]
    Copies(io::Error),
    /// A fault of this program.
    #[error("the work failed inside the server")]
    Panicked,
}

/// Verifies the whole record, alone, against the journals of all signers that answer, and against the tables.
/// `progress` is told how many entries of the record were read.
///
/// # Errors
/// If the database or the temporary file fails. What is wrong with the record is no error but a finding.
pub async fn verify(parts: Verification<'_>, progress: impl Fn(u64)) -> Result<Report, AuditError> {
    let Verification { store, signers, folder, is_running } = parts;
    let others: BTreeSet<Uuid> =
        store.nodes().await?.into_iter().filter(|node| node.live).map(|node| node.host).collect();
    let others: BTreeSet<Uuid> = others.into_iter().filter(|host| Some(*host) != store.host()).collect();
    let copies = copies(folder)?;
    let journals = match copies.as_slice() {
        [] => Journals::OfHost(store.host()),
        // They are of all servers that are gone.
        _ => Journals::AllBut(others.clone()),
    };
    let verifier = Verifier::new(Options { folder: folder.to_owned(), memory: MEMORY, journals });
    let names = store.environments().await?;
    let name = |id: EnvironmentId| names.iter().find(|row| row.id == id).map_or(id.to_string(), |row| row.name.clone());
    let mut verifier = read_copies(verifier, copies).await?;
    // What is known of the record comes before the record, which grows.
    for CheckpointRow { origin, note, .. } in store.checkpoints().await? {
        let name = format!("checkpoint of {origin}");
        match head_of(&note) {
            Some(TreeHead { size, root }) => verifier.expect_head(name, size, Sha256(root.0))?,
            None => verifier.add_finding(Finding::Log(format!("the {name} in the database can't be read"))),
        }
    }
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
    let mut fold = Fold::new();
    read_record(store, &mut verifier, &mut fold, progress).await?;
    let mut verifier = store.read_tables(move |tables| Ok(compare_tables(tables, verifier, fold))).await??;
    for (host, uses) in verifier.uses_elsewhere() {
        if !others.contains(&host) && Some(host) != store.host() {
            verifier.add_finding(Finding::HostNotCompared { host, uses });
        }
    }
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

/// What a checkpoint covers.
fn head_of(note: &str) -> Option<TreeHead> {
    let note = Note::parse(note.as_bytes()).ok()?;
    Checkpoint::parse(note.text()).ok().map(|checkpoint| *checkpoint.tree())
}

/// The folder in the data folder for journals of servers that are gone. A person puts copies there.
const COPIES: &str = "journals";

/// The journals that a person has put there.
fn copies(data: &Path) -> Result<Vec<PathBuf>, AuditError> {
    let files = match fs::read_dir(data.join(COPIES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.map_err(AuditError::Copies)?,
    };
    let mut copies = Vec::new();
    for file in files {
        let path = file.map_err(AuditError::Copies)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            copies.push(path);
        }
    }
    copies.sort();
    Ok(copies)
}

async fn read_copies(mut verifier: Verifier, copies: Vec<PathBuf>) -> Result<Verifier, AuditError> {
    if copies.is_empty() {
        return Ok(verifier);
    }
    let read = tokio::task::spawn_blocking(move || {
        for path in copies {
            let name = format!("{COPIES}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            let file = BufReader::with_capacity(1 << 16, File::open(&path).map_err(AuditError::Copies)?);
            match files::read_journal(&mut verifier, &name, file, &mut |_| ()) {
                Ok(()) => {}
                Err(FileError::Io(error)) => return Err(AuditError::Copies(error)),
                Err(error) => {
                    verifier.add_finding(Finding::NotCompared { journal: name, error: error.to_string() });
                    verifier.expect_no_journal();
                }
            }
        }
        Ok(verifier)
    });
    read.await.map_err(|_| AuditError::Panicked)?
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

async fn read_record(
    store: &Store,
    verifier: &mut Verifier,
    fold: &mut Fold,
    progress: impl Fn(u64),
) -> Result<(), AuditError> {
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
            take_entry(verifier, fold, row)?;
        }
        progress(verifier.sequence());
        tokio::task::yield_now().await;
    }
}

fn take_entry(verifier: &mut Verifier, fold: &mut Fold, row: &RecordRow) -> Result<(), AuditError> {
    if let Some(body) = verifier.entry(&row.body, &row.salt, row.hash)? {
        // The columns serve searching; a filter must not miss what the entry tells.
        if !row.agrees_with(&body) {
            verifier.add_finding(Finding::Columns(row.sequence));
        }
        fold.entry(&body);
    }
    Ok(())
}

/// Takes the entries that came since, and compares the tables as they are after them.
fn compare_tables(mut tables: Tables<'_>, mut verifier: Verifier, mut fold: Fold) -> Result<Verifier, AuditError> {
    let read = verifier.sequence();
    loop {
        let rows = tables.entries(verifier.sequence(), limits::VERIFIED_PAGE)?;
        if rows.is_empty() {
            break;
        }
        rows.iter().try_for_each(|row| take_entry(&mut verifier, &mut fold, row))?;
    }
    if verifier.sequence() > read {
        match tables.head() {
            Ok(head) => verifier.expect_root(head.sequence, head.root),
            Err(StorageError::Damaged(what)) => verifier.add_finding(Finding::Log(what)),
            Err(error) => return Err(error.into()),
        }
    }
    let mut comparison = fold.compare();
    tables.rows(|row| {
        let difference = match row {
            TableRow::Row(row) => comparison.row(&row),
            TableRow::Unreadable { table, error } => Some(Difference::Unreadable { table, error }),
        };
        difference.into_iter().for_each(|difference| verifier.add_finding(difference.into()));
        Ok::<_, AuditError>(())
    })?;
    comparison.finish().into_iter().for_each(|difference| verifier.add_finding(difference.into()));
    Ok(verifier)
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
