//! Waking whoever waits for an approval.
//!
//! One task of each server reads which approvals have changed, on whichever server, and wakes those who wait for them.
//! So a request that waits costs no reads of its own.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sealcard_api::ids::RequestId;
use tokio::sync::{Notify, watch};

use crate::{limits, storage::Store};

/// Wakes whoever waits for an approval. Cheap to clone.
#[derive(Clone)]
pub struct Wake(Arc<Inner>);

struct Inner {
    store: Store,
    waiting: Mutex<HashMap<RequestId, watch::Sender<()>>>,
    /// Something may have changed here, or somebody waits.
    look: Notify,
}

impl Wake {
    pub(super) fn new(store: Store) -> Self {
        Self(Arc::new(Inner { store, waiting: Mutex::default(), look: Notify::new() }))
    }

    /// Something may have changed: whoever waits need not wait for the next look.
    pub fn look_now(&self) {
        self.0.look.notify_one();
    }

    /// Waits until the approval of a request may have changed, at most until `deadline`. False if it was the deadline.
    /// A change before this call is not noticed: register first, then look, then wait.
    #[must_use]
    pub fn register(&self, id: RequestId) -> Waiting {
        let mut waiting = self.0.waiting.lock();
        let receiver = waiting.entry(id).or_insert_with(|| watch::channel(()).0).subscribe();
        let first = waiting.len() == 1;
        drop(waiting);
        if first {
            self.0.look.notify_one();
        }
        Waiting { wake: self.clone(), id, receiver }
    }

    /// Looks for changes as long as somebody waits. Runs until it is dropped.
    pub async fn run(self) {
        let mut seen = 0;
        loop {
            let mut period = limits::APPROVALS_POLL;
            if self.0.waiting.lock().is_empty() {
                self.0.look.notified().await;
            }
            match self.0.store.changed_approvals(seen).await {
                Ok((newest, changed)) => {
                    // The first time all are told: what they saw may be older.
                    let waiting = self.0.waiting.lock();
                    for sender in changed.iter().filter_map(|id| waiting.get(id)) {
                        sender.send_replace(());
                    }
                    seen = newest;
                }
                Err(error) => {
                    tracing::warn!(%error, "approvals: changes can't be read yet");
                    period = Duration::from_secs(1);
                }
            }
            let _ = tokio::time::timeout(period, self.0.look.notified()).await;
        }
    }
}

/// Somebody who waits for a request.
pub struct Waiting {
    wake: Wake,
    id: RequestId,
    receiver: watch::Receiver<()>,
}

impl Waiting {
    /// Waits for a change since [`Wake::register`] or the last call, at most until `deadline`.
    pub async fn changed(&mut self, deadline: Instant) {
        let _ = tokio::time::timeout_at(deadline.into(), self.receiver.changed()).await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.wake.0.waiting.lock();
        // This one's own receiver is still there.
        if waiting.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            waiting.remove(&self.id);
        }
    }
}
