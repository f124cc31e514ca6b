//! Watches the clock: warns in the log of one that can't be right, and puts one that jumped in doubt, until a person has
//! confirmed it.

use std::time::Duration;

use sealcard_api::Timestamp;
use sealcard_policy::Action;
use sealcard_record::{Event, event::ClockConfirmed};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    authn::{AuthorizationError, Caller},
    storage::{StorageError, Store},
};

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// How often the clock is compared with one that can't be set.
const PERIOD: Duration = Duration::from_secs(1);

/// It is compared with the record once in so many periods.
const WITH_RECORD: u64 = 60;

/// Whether a time is still to come that was set at most `longest` seconds ahead. One that is more than twice as far away was
/// set while the clock was ahead, and counts no more.
pub(crate) fn waits(until: i64, longest: i64) -> bool {
    let left = until.saturating_sub(Timestamp::now().unix());
    (1..=longest.saturating_mul(2)).contains(&left)
}

/// Why a doubt was not ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfirmError {
    /// There is another doubt than the confirmed one, or none. Retrying can't help.
    #[error("{0}")]
    Outdated(&'static str),
    /// The caller may not do it. Retrying can't help.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Ends the doubt that there is since `since`: the caller says that the clocks of all nodes are right.
pub(crate) async fn confirm(store: &Store, caller: Caller, since: Timestamp) -> Result<(), ConfirmError> {
    const NOTHING: ConfirmError = ConfirmError::Outdated("The clock is not in doubt, so there is nothing to confirm.");
    const ANOTHER: ConfirmError =
        ConfirmError::Outdated("The clock has jumped once more since you looked at it. Look again, then confirm.");
    store
        .write(move |tx| {
            caller.authorization(&[Action::ManageServer]).check(tx, None)?;
            let doubt = tx.confirm_clock()?.ok_or(NOTHING)?;
            if doubt.since != since {
                // The transaction's job fails, so the doubt stays.
                return Err(ANOTHER);
            }
            let confirmed = ClockConfirmed { since: doubt.since, seconds: doubt.seconds };
            tx.append_record(caller.draft(Event::ClockConfirmed(confirmed)));
            Ok(())
        })
        .await
}

/// Compares the clock with the record when the server starts.
///
/// # Errors
/// If the database fails.
pub(crate) async fn check_at_start(store: &Store) -> Result<(), StorageError> {
    let fault = store.clock_fault(Timestamp::now()).await?;
    let Some(seconds) = fault.as_ref().and_then(crate::storage::ClockFault::jump) else { return Ok(()) };
    if store.recorded_clock_doubt().await?.is_none() {
        store.record_clock_jump(seconds, true).await?;
        warn(seconds);
    }
    Ok(())
}

/// Watches until it is dropped. Warns once of each fault.
pub(crate) async fn watch(store: Store) {
    let mut periods = interval(PERIOD);
    periods.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut period, mut warned) = (0_u64, false);
    loop {
        periods.tick().await;
        match store.record_clock_step().await {
            Ok(Some(seconds)) => warn(seconds),
            Ok(None) => {}
            // The database is reported where it is used, and until it works again this server knows of the jump.
            Err(error) => tracing::debug!(%error, "a jump of the clock can't be recorded yet"),
        }
        if period.is_multiple_of(WITH_RECORD) {
            match store.clock_fault(Timestamp::now()).await {
                Ok(Some(fault)) if !warned => {
                    warned = true;
                    tracing::error!("{fault}; signatures get the time that it shows");
                }
                Ok(Some(_)) => {}
                Ok(None) => warned = false,
                Err(error) => tracing::debug!(%error, "can't compare the clock with the record"),
            }
        }
        period = period.wrapping_add(1);
    }
}

fn warn(seconds: i64) {
    let direction = if seconds < 0 { "back" } else { "ahead" };
    tracing::error!(
        "the server's clock went {} seconds {direction}: it is in doubt until an administrator runs sealcard admin clock \
         confirm",
        seconds.unsigned_abs()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_too_far_away_counts_no_more() {
        let now = Timestamp::now().unix();
        assert!(waits(now + 30, 30) && waits(now + 50, 30));
        assert!(!waits(now + 86_400, 30) && !waits(now - 1, 30) && !waits(i64::MAX, 30) && !waits(i64::MIN, 30));
    }
}
