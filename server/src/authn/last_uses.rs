//! When and from where grants were used last: kept in memory with each request, written to the database now and then,
//! so that the use of a key waits for nothing more.

use std::{collections::HashMap, fmt, net::IpAddr, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use sealcard_api::{Timestamp, ids::GrantId};

use crate::storage::{GrantRow, StorageError, Store};

/// How often it is written: at most once in this time for each grant.
const WRITE_EVERY: Duration = Duration::from_secs(300);

/// The last use of each grant that was used since the last writing.
#[derive(Default)]
pub struct LastUses(Mutex<HashMap<GrantId, Use>>);

#[derive(Debug, Clone, Copy)]
struct Use {
    at: i64,
    address: IpAddr,
}

impl LastUses {
    /// The grant is used at this time, from this address.
    pub fn note(&self, grant: GrantId, address: IpAddr, at: Timestamp) {
        self.uses().insert(grant, Use { at: at.unix(), address: address.to_canonical() });
    }

    /// The grant as it was read, with its last use here if that was later.
    #[must_use]
    pub fn apply(&self, mut row: GrantRow) -> GrantRow {
        if let Some(last) = self.uses().get(&row.id).filter(|last| row.last_used.is_none_or(|at| at <= last.at)) {
            row.last_used = Some(last.at);
            row.last_address = Some(last.address.to_string());
        }
        row
    }

    /// Writes what was noted since the last writing.
    ///
    /// # Errors
    /// If the database fails; then what was noted is lost, and the next use is noted again.
    pub async fn write(&self, store: &Store) -> Result<(), StorageError> {
        let uses = std::mem::take(&mut *self.uses());
        if uses.is_empty() {
            return Ok(());
        }
        store
            .write(move |tx| {
                for (grant, Use { at, address }) in uses {
                    tx.note_grant_use(grant, at, &address.to_string())?;
                }
                Ok(())
            })
            .await
    }

    /// Writes it for ever, every few minutes.
    pub async fn keep_writing(&self, store: &Store) {
        loop {
            tokio::time::sleep(WRITE_EVERY).await;
            if let Err(error) = self.write(store).await {
                tracing::warn!(%error, "the last uses of logins could not be written");
            }
        }
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<GrantId, Use>> {
        self.0.lock()
    }
}

impl fmt::Debug for LastUses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastUses(…)")
    }
}
