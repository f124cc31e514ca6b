//! Sends what is in the outbox. Each channel has a task of its own, so that none waits for another one.

use std::{sync::Arc, time::Duration};

use sealcard_api::{Timestamp, notices::NoticeKind};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    Notices,
    channel::{Channel, NO_ADDRESS, Sender},
    metrics::Metrics,
    schedule,
};
use crate::{
    clock::DAY,
    limits,
    storage::{Attempted, Message, Outcome, StorageError, Store},
};

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The receiver has taken it.
    Delivered,
    /// It may work later.
    Again {
        /// Why it failed.
        error: String,
        /// What the receiver asks to wait.
        after: Option<Duration>,
    },
    /// The receiver could not be reached: others would fail too. It may work later.
    Unreachable(String),
    /// The receiver does not want this one. Trying it again can't help.
    Refused(String),
    /// This recipient can't be reached; others may.
    Undeliverable(String),
    /// The receiver wants no more at all.
    Gone(String),
}

impl Notices {
    /// Sends until it is dropped.
    pub async fn keep_sending(self) {
        let mut tasks = JoinSet::new();
        let mut wakes = Vec::new();
        for channel in &self.0.channels.all {
            let wake = Arc::new(Notify::new());
            wakes.push((channel.name.clone(), Arc::clone(&wake)));
            let task = ChannelTask {
                store: self.0.store.clone(),
                channel: Arc::clone(channel),
                metrics: self.0.metrics.clone(),
                fold: matches!(channel.sender, Sender::Mail(_)).then_some(self.0.channels.digest_after),
            };
            tasks.spawn(task.run(wake));
        }
        let mut ticks = interval(limits::NOTICE_POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut released, mut pruned): (Option<Instant>, Option<Instant>) = (None, None);
        loop {
            ticks.tick().await;
            if let Err(error) = self.look(&wakes, &mut released, &mut pruned).await {
                // The database is reported where it is used.
                tracing::debug!(%error, "the outbox of notices can't be read");
            }
        }
    }

    async fn look(
        &self,
        wakes: &[(String, Arc<Notify>)],
        released: &mut Option<Instant>,
        pruned: &mut Option<Instant>,
    ) -> Result<(), StorageError> {
        let store = &self.0.store;
        if is_due(*released, limits::NOTICE_LEASE_CHECK) {
            store.release_messages().await?;
            *released = Some(Instant::now());
        }
        if is_due(*pruned, limits::PRUNE_PERIOD) {
            let now = Timestamp::now().unix();
            store.prune_notices(Timestamp::from_unix(now - limits::NOTICE_DAYS * DAY)).await?;
            let known = wakes.iter().map(|(name, _)| name.clone()).collect();
            store.drop_unknown_channels(known, Timestamp::from_unix(now - DAY)).await?;
            *pruned = Some(Instant::now());
        }
        if store.has_new_notices().await? {
            let channels = self.0.channels.clone();
            store
                .address_notices(move |notice, tx| {
                    let disabled = tx.disabled_channels()?;
                    channels.ways(notice, &disabled, |id| tx.notice_address(id).map(|address| address.is_some()))
                })
                .await?;
        }
        for due in store.due_channels(Timestamp::now()).await? {
            if let Some((_, wake)) = wakes.iter().find(|(name, _)| *name == due) {
                wake.notify_one();
            }
        }
        Ok(())
    }
}

fn is_due(last: Option<Instant>, period: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= period)
}

struct ChannelTask {
    store: Store,
    channel: Arc<Channel>,
    metrics: Metrics,
    fold: Option<u32>,
}

impl ChannelTask {
    async fn run(self, wake: Arc<Notify>) {
        let this = Arc::new(self);
        let mut pause = Duration::ZERO;
        loop {
            wake.notified().await;
            loop {
                // A receiver that is away costs each message its time limit.
                sleep(pause).await;
                match this.send_some().await {
                    Ok(Sent::Nothing) => break,
                    Ok(Sent::Some) => pause = Duration::ZERO,
                    Ok(Sent::Unreachable) => {
                        pause = (pause * 2).clamp(limits::CHANNEL_PAUSE, limits::MAX_CHANNEL_PAUSE)
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the outbox of notices can't be used");
                        break;
                    }
                }
            }
        }
    }

    async fn send_some(self: &Arc<Self>) -> Result<Sent, StorageError> {
        let name = self.channel.name.clone();
        let lease = i64::try_from(limits::NOTICE_LEASE.as_secs()).unwrap_or(i64::MAX);
        let messages = self.store.claim_messages(name, lease, limits::MESSAGES_AT_ONCE, self.fold).await?;
        if messages.is_empty() {
            return Ok(Sent::Nothing);
        }
        let mut tasks = JoinSet::new();
        for message in messages {
            let this = Arc::clone(self);
            tasks.spawn(async move { this.send(message).await });
        }
        let (mut unreachable, mut failure) = (true, None);
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok(Ok(reached)) => unreachable &= !reached,
                Ok(Err(error)) => failure = Some(error),
                // It is tried again when its lease has ended.
                Err(error) => tracing::error!(%error, "sending a notice ended with a fault"),
            }
        }
        match failure {
            Some(error) => Err(error),
            None if unreachable => Ok(Sent::Unreachable),
            None => Ok(Sent::Some),
        }
    }

    /// Sends one message and notes what came of it. Whether the receiver could be reached.
    async fn send(&self, message: Message) -> Result<bool, StorageError> {
        let attempt = match &self.channel.sender {
            Sender::Webhook(sender) => {
                timeout(limits::NOTICE_DEADLINE, sender.attempt(&message, Timestamp::now())).await
            }
            Sender::Mail(sender) => {
                // As it is now: it may have been changed, or taken away, since the notice was written.
                let address = match message.principal {
                    Some(principal) => self.store.notice_address(principal).await?,
                    None => None,
                };
                let Some(address) = address else {
                    return self
                        .finish(&message, Outcome::Dropped { error: NO_ADDRESS.to_owned() })
                        .await
                        .map(|()| true);
                };
                timeout(limits::NOTICE_DEADLINE, sender.attempt(&message, &address)).await
            }
        };
        let attempt = attempt.unwrap_or_else(|_| Attempt::Unreachable("it took too long".to_owned()));
        let reached = !matches!(attempt, Attempt::Unreachable(_));
        self.finish(&message, outcome(attempt, &message, Timestamp::now())).await?;
        Ok(reached)
    }

    async fn finish(&self, message: &Message, outcome: Outcome) -> Result<(), StorageError> {
        self.metrics.count(self.channel.kind, &outcome);
        let notice = message.notices.first().map(|notice| notice.id.to_string()).unwrap_or_default();
        let channel = &self.channel.name;
        match &outcome {
            Outcome::Delivered => tracing::debug!(channel, notice, "delivered a notice"),
            Outcome::Retry { at, error } => {
                tracing::info!(channel, notice, error, next_attempt = %at, "a notice was not delivered yet");
            }
            Outcome::Failed { error, .. } => tracing::warn!(channel, notice, error, "a notice can't be delivered"),
            Outcome::Gone { error } => tracing::error!(
                channel,
                notice,
                error,
                "the receiver of notices wants no more: the channel is disabled until an administrator runs sealcard \
                 admin notices enable"
            ),
            Outcome::Dropped { error } => tracing::info!(channel, notice, error, "a notice is not sent"),
        }
        let attempted = Attempted { message: message.id, channel: channel.clone(), outcome };
        self.store.finish_attempt_of_notice(attempted).await
    }
}

/// What was sent at once.
enum Sent {
    Nothing,
    Some,
    Unreachable,
}

/// What becomes of a message after an attempt.
fn outcome(attempt: Attempt, message: &Message, now: Timestamp) -> Outcome {
    let (error, after) = match attempt {
        Attempt::Delivered => return Outcome::Delivered,
        Attempt::Gone(error) => return Outcome::Gone { error },
        Attempt::Refused(error) => return Outcome::Failed { error, of_channel: true },
        Attempt::Undeliverable(error) => return Outcome::Failed { error, of_channel: false },
        Attempt::Unreachable(error) => (error, None),
        Attempt::Again { error, after } => (error, after),
    };
    // Somebody waits for a test, and can try again.
    let test = message.notices.iter().all(|notice| notice.kind == NoticeKind::Test);
    match schedule::next_attempt(now, message.attempts, after).filter(|_| !test) {
        Some(at) => Outcome::Retry { at, error },
        None => Outcome::Failed { error, of_channel: true },
    }
}
