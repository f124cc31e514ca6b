//! Verifying the record takes as long as the record is long, so it is a job of its own: one at a time, which anybody
//! who may read the record can watch.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use sealcard_api::{
    Timestamp,
    record::{RecordReport, RecordVerification, VerificationState},
};
use sealcard_record::verify::Report;

use super::verify::{AuditError, IsRunning, Verification, verify};
use crate::{
    signers::Signers,
    storage::{StorageError, Store},
};

/// The verifications of one server. Cheap to clone.
#[derive(Clone)]
pub struct Audit(Arc<Parts>);

struct Parts {
    store: Store,
    signers: Arc<Signers>,
    folder: PathBuf,
    is_running: Arc<IsRunning>,
    /// The one that runs, or the last one.
    last: Mutex<Option<RecordVerification>>,
}

impl Audit {
    /// With no verification so far. Temporary files are made in `folder`.
    #[must_use]
    pub fn new(store: Store, signers: Arc<Signers>, folder: PathBuf, is_running: Arc<IsRunning>) -> Self {
        Self(Arc::new(Parts { store, signers, folder, is_running, last: Mutex::new(None) }))
    }

    /// The verification that runs, or the last one. None if there was none since the server started.
    #[must_use]
    pub fn last(&self) -> Option<RecordVerification> {
        self.0.last.lock().clone()
    }

    /// Starts a verification, unless one runs. The one that runs then.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn start(&self) -> Result<RecordVerification, StorageError> {
        let total = self.0.store.record_length().await?;
        let started = RecordVerification {
            state: VerificationState::Running,
            started: Timestamp::now(),
            finished: None,
            entries: 0,
            total,
            report: None,
            error: None,
        };
        let mut last = self.0.last.lock();
        if let Some(running) = &*last
            && running.state == VerificationState::Running
        {
            return Ok(running.clone());
        }
        *last = Some(started.clone());
        drop(last);
        let this = self.clone();
        tokio::spawn(async move { this.run().await });
        Ok(started)
    }

    async fn run(self) {
        let this = self.clone();
        let work = tokio::spawn(async move {
            let Parts { store, signers, folder, is_running, .. } = &*this.0;
            verify(Verification { store, signers, folder, is_running: &**is_running }, |entries| this.progress(entries))
                .await
        });
        // A task of its own, so that a panic in it is an end too.
        let result = work.await.unwrap_or(Err(AuditError::Panicked));
        if let Err(error) = &result {
            tracing::error!(%error, "record: it could not be verified");
        }
        if let Some(last) = &mut *self.0.last.lock() {
            last.finished = Some(Timestamp::now());
            match result {
                Ok(report) => {
                    last.state = VerificationState::Finished;
                    last.entries = report.head.sequence;
                    last.report = Some(to_report(report));
                }
                Err(error) => {
                    last.state = VerificationState::Failed;
                    last.error = Some(error.to_string());
                }
            }
        }
    }

    fn progress(&self, entries: u64) {
        if let Some(last) = &mut *self.0.last.lock() {
            last.entries = entries;
            // Others append meanwhile.
            last.total = last.total.max(entries);
        }
    }
}

/// The report as it is answered.
#[must_use]
pub fn to_report(report: Report) -> RecordReport {
    RecordReport {
        entries: report.head.sequence,
        root: report.head.root.to_string(),
        unknown: report.unknown,
        findings: report.findings.iter().map(ToString::to_string).collect(),
        more_findings: report.more,
    }
}
