//! The uses that this process works on, so that a repeated request can wait for the first one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sealcard_api::ids::RequestId;
use tokio::sync::watch;

/// All uses in work. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<Mutex<HashMap<RequestId, watch::Receiver<()>>>>);

impl Running {
    /// Notes a use for as long as the guard lives.
    pub(super) fn begin(&self, id: RequestId) -> RunningGuard {
        let (sender, receiver) = watch::channel(());
        self.lock().insert(id, receiver);
        RunningGuard { running: self.clone(), id, _sender: sender }
    }

    /// Whether this process works on the use.
    pub(crate) fn contains(&self, id: RequestId) -> bool {
        self.lock().contains_key(&id)
    }

    /// Waits until the use has ended. `false` at once if this process does not work on it.
    pub(super) async fn ended(&self, id: RequestId) -> bool {
        let Some(mut receiver) = self.lock().get(&id).cloned() else { return false };
        // Nothing is ever sent: the error says that the guard has gone.
        while receiver.changed().await.is_ok() {}
        true
    }

    /// Nothing in the map depends on two steps, so a panic elsewhere leaves it whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, watch::Receiver<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A use in work.
pub(super) struct RunningGuard {
    running: Running,
    id: RequestId,
    _sender: watch::Sender<()>,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}
