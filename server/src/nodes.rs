//! The servers that share a database know of one another, so that none changes the schema under another one.

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    limits,
    storage::{StorageError, Store},
};

/// Says again and again that this server runs, and applies postponed steps of the schema when that can be done. Returns
/// only if the server must end, because the schema does not work with it any more.
pub(crate) async fn stay_announced(store: Store) -> StorageError {
    let mut periods = interval(limits::NODE_PERIOD);
    periods.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        periods.tick().await;
        match store.stay_announced().await {
            Ok(()) => {}
            Err(error @ StorageError::NewerSchema { .. }) => return error,
            // The database is reported where it is used, too.
            Err(error) => tracing::warn!(%error, "the other servers can't be told that this one runs, or a postponed \
                step of the schema can't be applied yet"),
        }
    }
}
