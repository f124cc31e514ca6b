//! Delivers entries. Each sink has a task of its own, so that none waits for another one.

use std::{sync::Arc, time::Duration};

use sealcard_api::Timestamp;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use super::{
    SinkEvent, Sinks,
    load::Target,
    metrics::Metrics,
    transports::{Fault, Sent},
};
use crate::{
    clock::waits,
    failpoint, limits,
    storage::{ParkedRow, RecordRow, SinkFailure, SinkProgress, SinkRow, StorageError, Store},
};

impl Sinks {
    /// Makes rows for new sinks, and reads how all are: before anybody may use a key.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn prepare(&self) -> Result<(), StorageError> {
        let targets = &self.0.targets.all;
        if targets.is_empty() {
            return Ok(());
        }
        for target in targets {
            if let Err(error) = target.transport.prepare() {
                tracing::error!(%error, sink = target.name, "the folder of a sink can't be made");
            }
        }
        let sinks = targets.iter().map(|target| (target.name.clone(), target.from_beginning)).collect();
        for name in self.0.store.add_sinks(sinks).await? {
            tracing::info!(sink = name, "a new sink for the record");
        }
        self.observe().await.map(drop)
    }

    /// Reads how the sinks are.
    async fn observe(&self) -> Result<(Vec<SinkRow>, u64), StorageError> {
        let store = &self.0.store;
        // Before the positions, which may grow meanwhile.
        let newest = store.record_length().await?;
        let rows = store.sinks().await?;
        self.0.required.observe(&rows, newest);
        Ok((rows, newest))
    }

    /// Delivers until it is dropped.
    pub async fn keep_delivering(self) {
        let mut tasks = JoinSet::new();
        let mut wakes: Vec<Wake> = Vec::new();
        for target in &self.0.targets.all {
            let wake = Arc::new(Notify::new());
            wakes.push(Wake { name: target.name.clone(), notify: Arc::clone(&wake), last: None });
            let (store, target) = (self.0.store.clone(), Arc::clone(target));
            let origin = self.0.targets.origin.clone();
            let task = SinkTask { store, target, origin, metrics: self.0.metrics.clone(), most: 0, parked_in_a_row: 0 };
            tasks.spawn(task.run(wake));
        }
        if tasks.is_empty() {
            return std::future::pending().await;
        }
        let mut ticks = interval(limits::SINK_POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match timeout(limits::DATABASE_DEADLINE, self.observe()).await {
                Ok(Ok((rows, newest))) => self.wake(&mut wakes, &rows, newest),
                // The database is reported where it is used.
                Ok(Err(error)) => tracing::debug!(%error, "the sinks can't be read"),
                Err(_) => tracing::debug!("the sinks can't be read in time"),
            }
        }
    }

    /// Wakes the tasks that have something to do.
    fn wake(&self, wakes: &mut [Wake], rows: &[SinkRow], newest: u64) {
        let (pause, lease) = (seconds(limits::MAX_SINK_RETRY_AFTER), seconds(limits::SINK_LEASE));
        for wake in wakes {
            let Some(row) = rows.iter().find(|row| row.name == wake.name) else { continue };
            let has_work = row.position < newest || row.retried > 0;
            if !has_work || row.stopped || waits(row.next_attempt, pause) {
                continue;
            }
            let elsewhere = row.node.is_some_and(|node| node != self.0.store.node())
                && row.leased_until.is_some_and(|until| waits(until, lease));
            // The node that has it may have ended.
            if elsewhere && wake.last.is_some_and(|last| last.elapsed() < limits::SINK_TAKEOVER_CHECK) {
                continue;
            }
            wake.last = Some(Instant::now());
            wake.notify.notify_one();
        }
    }
}

/// How a sink's task is woken.
struct Wake {
    name: String,
    notify: Arc<Notify>,
    /// When it was woken last.
    last: Option<Instant>,
}

struct SinkTask {
    store: Store,
    target: Arc<Target>,
    origin: Option<String>,
    metrics: Metrics,
    /// Entries of the next batch at most; 0: as many as there may be. Less while an entry is looked for that the
    /// receiver refuses.
    most: usize,
    /// Entries that were parked since the receiver last took one.
    parked_in_a_row: u32,
}

/// What came of one round.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    /// There may be more to do at once.
    More,
    /// Nothing to do now, or not here.
    Idle,
}

impl SinkTask {
    async fn run(mut self, wake: Arc<Notify>) {
        loop {
            wake.notified().await;
            loop {
                match self.round().await {
                    Ok(Round::More) => {}
                    Ok(Round::Idle) => break,
                    Err(error) => {
                        tracing::debug!(%error, sink = self.target.name, "the database can't be used for a sink");
                        break;
                    }
                }
            }
        }
    }

    /// Delivers one batch and notes what came of it.
    async fn round(&mut self) -> Result<Round, StorageError> {
        let lease = seconds(limits::SINK_LEASE);
        let Some(row) = self.store.claim_sink(self.target.name.clone(), lease).await? else {
            return Ok(Round::Idle);
        };
        if row.stopped || waits(row.next_attempt, seconds(limits::MAX_SINK_RETRY_AFTER)) {
            return Ok(Round::Idle);
        }
        let origin = self.origin().await?;
        let retried = self.store.parked_to_retry(&row.name, limits::SINK_RETRIED).await?;
        let progress = if retried.is_empty() {
            let entries = self.store.entries_after(row.position, limits::SINK_ENTRIES).await?;
            if entries.is_empty() {
                return Ok(Round::Idle);
            }
            self.deliver(&row, &origin, entries).await
        } else {
            self.retry_parked(&row, &origin, retried).await?
        };
        failpoint::hit("server::sink_delivered");
        let failed = progress.failure.is_some();
        if !self.store.finish_sink(row.name, progress, lease).await? {
            tracing::info!(sink = self.target.name, "another server delivers for this sink now");
            return Ok(Round::Idle);
        }
        Ok(if failed { Round::Idle } else { Round::More })
    }

    /// The name of the log, which the ids of events begin with.
    async fn origin(&self) -> Result<String, StorageError> {
        origin(&self.store, self.origin.as_deref()).await
    }

    async fn deliver(&mut self, row: &SinkRow, origin: &str, entries: Vec<RecordRow>) -> SinkProgress {
        let mut progress = SinkProgress::default();
        let most = if self.most == 0 { entries.len() } else { self.most.min(entries.len()) };
        let (mut events, mut bytes) = (Vec::new(), 0_usize);
        for entry in entries.into_iter().take(most) {
            bytes = bytes.saturating_add(entry.body.len());
            if !events.is_empty() && bytes > limits::SINK_BATCH {
                break;
            }
            match SinkEvent::of(&entry, origin, &self.target.redaction) {
                Ok(event) => events.push(event),
                Err(error) if events.is_empty() => {
                    progress.position = Some(entry.sequence);
                    self.park(&mut progress, vec![(entry.sequence, error.to_string())]);
                    return progress;
                }
                // It is the first one of the next batch.
                Err(_) => break,
            }
        }
        let Sent { taken, fault } = self.send(&events).await;
        if taken > 0 {
            progress.delivered = true;
            progress.position = Some(row.position + taken as u64);
            self.parked_in_a_row = 0;
            self.most = self.most.saturating_mul(2);
            self.metrics.delivered(&self.target.name, taken);
            if row.failures > 0 {
                tracing::info!(sink = self.target.name, "the receiver takes entries of the record again");
            }
        }
        if let Some(fault) = fault {
            let left = events.get(taken..).unwrap_or_default();
            self.handle(row, fault, left, &mut progress);
        }
        progress
    }

    async fn send(&self, events: &[SinkEvent]) -> Sent {
        let sending = self.target.transport.send(self.target.form, events);
        let late = || Sent::nothing(Fault::again("the receiver did not answer in time".to_owned()));
        timeout(limits::SINK_DEADLINE, sending).await.unwrap_or_else(|_| late())
    }

    /// What becomes of the events that were not taken.
    fn handle(&mut self, row: &SinkRow, fault: Fault, left: &[SinkEvent], progress: &mut SinkProgress) {
        let Some(first) = left.first() else { return };
        let fault = match fault {
            // One that the batch does not have.
            Fault::Event { index: Some(index), error } if index >= left.len() => Fault::Event { index: None, error },
            fault => fault,
        };
        match fault {
            // Those before it come first, alone.
            Fault::Event { index: Some(index), .. } if index > 0 => self.most = index,
            Fault::Event { index: None, .. } | Fault::TooLarge(_) if left.len() > 1 => self.most = left.len() / 2,
            Fault::Event { error, .. } | Fault::TooLarge(error) => {
                if self.parked_in_a_row >= limits::SINK_PARKED_IN_A_ROW {
                    let error = format!("the receiver refuses one entry after the other: {error}");
                    return self.fail(row, error, None, false, progress);
                }
                progress.position = Some(first.sequence);
                self.most = 0;
                self.park(progress, vec![(first.sequence, error)]);
            }
            Fault::Partial(error) if self.parked_in_a_row >= limits::SINK_PARKED_IN_A_ROW => {
                let error = format!("the receiver refuses one batch after the other: {error}");
                self.fail(row, error, None, false, progress);
            }
            Fault::Partial(error) => {
                progress.position = left.last().map(|event| event.sequence);
                self.park(progress, left.iter().map(|event| (event.sequence, error.clone())).collect());
            }
            Fault::Again { error, after } => self.fail(row, error, after, false, progress),
            Fault::Gone(error) => self.fail(row, error, None, true, progress),
        }
    }

    fn park(&mut self, progress: &mut SinkProgress, entries: Vec<(u64, String)>) {
        self.parked_in_a_row = self.parked_in_a_row.saturating_add(1);
        self.metrics.parked(&self.target.name, entries.len());
        for (sequence, error) in &entries {
            tracing::error!(
                sink = self.target.name,
                entry = sequence,
                error,
                "the receiver refuses an entry of the record: it is parked, see sealcard admin sinks show"
            );
        }
        progress.parked.extend(entries);
    }

    fn fail(&self, row: &SinkRow, error: String, after: Option<Duration>, stop: bool, progress: &mut SinkProgress) {
        self.metrics.failed(&self.target.name);
        let failures = if progress.delivered { 0 } else { row.failures };
        let next_attempt = Timestamp::from_unix(Timestamp::now().unix().saturating_add(pause(failures, after)));
        if stop {
            tracing::error!(
                sink = self.target.name,
                error,
                "the receiver of the record wants no more: nothing is sent until an administrator runs sealcard admin \
                 sinks retry"
            );
        } else if failures == 0 {
            // Said once: the state is in sealcard admin sinks.
            tracing::warn!(sink = self.target.name, error, "a receiver does not take entries of the record");
        } else {
            tracing::debug!(sink = self.target.name, error, failures, %next_attempt, "still not");
        }
        progress.failure = Some(SinkFailure { error, next_attempt, stop });
    }

    /// Tries parked entries again, each alone.
    async fn retry_parked(
        &mut self,
        row: &SinkRow,
        origin: &str,
        parked: Vec<ParkedRow>,
    ) -> Result<SinkProgress, StorageError> {
        let mut progress = SinkProgress::default();
        let begin = Instant::now();
        for ParkedRow { sequence, .. } in parked {
            if begin.elapsed() > limits::SINK_ROUND {
                break;
            }
            let entry = self.store.entry(sequence).await?.filter(|entry| entry.sequence == sequence);
            let Some(entry) = entry else {
                progress.unparked.push(sequence);
                continue;
            };
            let event = match SinkEvent::of(&entry, origin, &self.target.redaction) {
                Ok(event) => event,
                Err(error) => {
                    progress.parked.push((sequence, error.to_string()));
                    continue;
                }
            };
            match self.send(&[event]).await.fault {
                None => {
                    progress.delivered = true;
                    self.parked_in_a_row = 0;
                    self.metrics.delivered(&self.target.name, 1);
                    progress.unparked.push(sequence);
                }
                Some(Fault::Event { error, .. } | Fault::TooLarge(error) | Fault::Partial(error)) => {
                    progress.parked.push((sequence, error));
                }
                Some(Fault::Again { error, after }) => {
                    self.fail(row, error, after, false, &mut progress);
                    break;
                }
                Some(Fault::Gone(error)) => {
                    self.fail(row, error, None, true, &mut progress);
                    break;
                }
            }
        }
        Ok(progress)
    }
}

/// The name of the record's log: that of its key, the configured one as long as it has none, or one made of the server's
/// id.
pub(super) async fn origin(store: &Store, configured: Option<&str>) -> Result<String, StorageError> {
    let key = match configured {
        Some(_) => store.log_key().await?,
        None => None,
    };
    let named = key.map(|row| row.key.origin).or_else(|| configured.map(str::to_owned));
    Ok(named.unwrap_or_else(|| store.server_id().to_string()))
}

/// Seconds until the next attempt, after so many failures before this one.
fn pause(failures: u64, asked: Option<Duration>) -> i64 {
    let longest = seconds(limits::MAX_SINK_PAUSE);
    let pause = 1_i64.checked_shl(u32::try_from(failures).unwrap_or(u32::MAX)).filter(|pause| *pause > 0);
    let pause = pause.unwrap_or(longest).min(longest);
    // Sinks that failed together are not tried again together.
    let jitter = i64::from(Uuid::new_v4().as_fields().0 % 1000) * pause / 4000;
    let asked = asked.map_or(0, |asked| seconds(asked.min(limits::MAX_SINK_RETRY_AFTER)));
    (pause + jitter).max(asked)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_the_receiver_may_ask_for_longer_ones() {
        for (failures, shortest, longest) in [(0, 1, 1), (1, 2, 2), (4, 16, 20), (6, 60, 75), (1000, 60, 75)] {
            let pause = pause(failures, None);
            assert!((shortest..=longest).contains(&pause), "{failures}: {pause}");
        }
        assert_eq!(pause(0, Some(Duration::from_mins(2))), 120);
        assert_eq!(pause(0, Some(Duration::MAX)), seconds(limits::MAX_SINK_RETRY_AFTER));
    }
}
