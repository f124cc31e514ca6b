//! What systemd is told of this process: `sd_notify(3)`. Without systemd nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::storage::{StorageError, Store};

/// Requests are accepted at this address.
pub(crate) fn ready(address: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving {address}"))]);
}

/// The server ends.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing requests")]);
}

/// Tells that the server lives as long as it does, if systemd wants to know (`WatchdogSec=`). If nothing was told for
/// that long, systemd starts the server again.
pub(crate) async fn keep_alive(store: Store) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = interval(period / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if lives(&store, period / 3).await {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Whether this task runs and something still writes to the database. A database that can't be reached is no reason to
/// start again.
async fn lives(store: &Store, patience: Duration) -> bool {
    match timeout(patience, store.check()).await {
        Ok(Err(error @ StorageError::Closed)) => {
            tracing::error!(%error, "nothing can be written: the service manager will start the server again");
            false
        }
        Ok(_) => true,
        Err(_) => {
            tracing::warn!("the database does not answer");
            true
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
