//! Warns in the log of a clock that can't be right: when the server starts, and within a minute after it was set.

use std::time::Duration;

use sealcard_api::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use crate::storage::Store;

const MINUTE: Duration = Duration::from_mins(1);

/// Warns until it is dropped, and once of each fault.
pub async fn watch(store: Store) {
    let mut minutes = interval(MINUTE);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warned = false;
    loop {
        minutes.tick().await;
        match store.clock_fault(Timestamp::now()).await {
            Ok(Some(fault)) if !warned => {
                warned = true;
                tracing::error!("{fault}; signatures get the time that it shows");
            }
            Ok(Some(_)) => {}
            Ok(None) => warned = false,
            // The database is reported where it is used.
            Err(error) => tracing::debug!(%error, "can't compare the clock with the record"),
        }
    }
}
