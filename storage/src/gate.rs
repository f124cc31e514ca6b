//! The gate that every change passes: whatever is written on behalf of somebody is judged by its own entries in the
//! record, before it is committed.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use sealcard_record::Draft;

use super::{StorageError, WriteTx};

/// Judges changes.
pub trait Gate: Send + Sync {
    /// Looks at the entries of one job, in its transaction and after it. None lets the job pass.
    ///
    /// # Errors
    /// If the database fails; the job is undone.
    fn judge(&self, tx: &mut WriteTx, entries: &[Draft]) -> Result<Option<Stopped>, StorageError>;
}

/// A job that is undone.
pub struct Stopped {
    /// What its caller is told.
    pub error: StorageError,
    /// What is written in its place, such as that somebody has to approve it.
    pub instead: Instead,
}

/// What is written in the place of a job.
pub type Instead = Box<dyn FnOnce(&mut WriteTx) -> Result<(), StorageError> + Send>;

/// The gate of a store. Cheap to clone. Without one everything passes.
#[derive(Clone, Default)]
pub(super) struct Gateway(Arc<OnceLock<Arc<dyn Gate>>>);

/// Where a stopped job leaves what is to be written instead.
pub(super) type Slot = Arc<Mutex<Option<Instead>>>;

impl Gateway {
    /// Sets the gate, once.
    pub(super) fn set(&self, gate: Arc<dyn Gate>) {
        let _ = self.0.set(gate);
    }

    /// Whether there is one.
    pub(super) fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    /// Judges what a job has appended from `first` on.
    ///
    /// # Errors
    /// What its caller is told, if the job is to be undone.
    pub(super) fn judge(&self, tx: &mut WriteTx, first: usize, slot: &Slot) -> Result<(), StorageError> {
        let Some(gate) = self.0.get() else { return Ok(()) };
        let entries = tx.appended.split_off(first);
        let judged = gate.judge(tx, &entries);
        // The approval is spent by the change: its entry comes after those of the change.
        let of_gate = tx.appended.split_off(first);
        tx.appended.extend(entries);
        tx.appended.extend(of_gate);
        match judged? {
            None => Ok(()),
            Some(Stopped { error, instead }) => {
                *slot.lock() = Some(instead);
                Err(error)
            }
        }
    }
}
