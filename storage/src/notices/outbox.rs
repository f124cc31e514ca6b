//! What is to be sent: found, claimed by one server at a time, sent at least once.
//!
//! Each delivery belongs to a message: usually it alone; several ones for one recipient when they are folded into one
//! mail. A message is claimed for a time by the server that sends it.

use sealcard_api::{Timestamp, ids::PrincipalId, notices::DeliveryState};
use uuid::Uuid;

use super::{NoticeRow, notices};
use crate::{
    StorageError, Store, WriteTx,
    sql::{FromRow, Row, params},
};

/// A way that a notice goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// The channel's name.
    pub channel: String,
    /// Whom a mail is for.
    pub principal: Option<PrincipalId>,
    /// If it is not tried: the state that it has from the start, and why.
    pub ended: Option<(DeliveryState, String)>,
}

/// What a server sends at once, and has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The id: the same in each attempt.
    pub id: Uuid,
    /// Whom a mail is for.
    pub principal: Option<PrincipalId>,
    /// Attempts that failed.
    pub attempts: u32,
    /// What it tells, oldest first. Never empty.
    pub notices: Vec<NoticeRow>,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has taken it.
    Delivered,
    /// It is tried again.
    Retry {
        /// When.
        at: Timestamp,
        /// Why it failed.
        error: String,
    },
    /// It is not tried again.
    Failed {
        /// Why.
        error: String,
        /// Whether it says something of the channel, not of this recipient alone.
        of_channel: bool,
    },
    /// The receiver wants no more: the channel is disabled until an administrator enables it.
    Gone {
        /// What the receiver said.
        error: String,
    },
    /// It is not tried at all.
    Dropped {
        /// Why.
        error: String,
    },
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// [`Message::id`].
    pub message: Uuid,
    /// The channel.
    pub channel: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// Notices that one transaction gives their deliveries.
const ADDRESSED_AT_ONCE: i64 = 50;

/// Deliveries of one recipient that are folded into one mail at most.
const FOLDED: i64 = 200;

/// Messages that are looked at for one claim.
const LOOKED_AT: i64 = 200;

/// The time within which mails of a recipient are counted, in seconds.
const WINDOW: i64 = 60;

const NEW: &str = notices!("WHERE NOT n.addressed ORDER BY n.id LIMIT $1");
const TOLD: &str = notices!(
    "JOIN notice_delivery d ON d.notice_id = n.id WHERE d.message_id = $1 AND d.state = 'pending' ORDER BY n.id"
);
const CLAIM: &str = "UPDATE notice_delivery SET leased_until = $2, node_id = $3
    WHERE message_id = $1 AND state = 'pending'";

/// A delivery that is due.
struct Due {
    message: Uuid,
    principal: Option<Uuid>,
    attempts: i64,
    held: bool,
    loud: bool,
}

impl FromRow for Due {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            message: row.get(0)?,
            principal: row.get(1)?,
            attempts: row.get(2)?,
            held: row.get(3)?,
            loud: row.get(4)?,
        })
    }
}

impl Store {
    /// Whether there are notices without their deliveries.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn has_new_notices(&self) -> Result<bool, StorageError> {
        const ANY: &str = "SELECT id FROM notice WHERE NOT addressed LIMIT 1";
        Ok(self.reader().optional::<(Uuid,)>(ANY, params![]).await?.is_some())
    }

    /// Gives new notices their deliveries, as `address` says.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn address_notices(
        &self,
        address: impl Fn(&NoticeRow, &mut WriteTx) -> Result<Vec<NewDelivery>, StorageError> + Send + 'static,
    ) -> Result<(), StorageError> {
        self.write(move |tx| tx.address_notices(address)).await
    }

    /// Channels that have something to send now.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn due_channels(&self, now: Timestamp) -> Result<Vec<String>, StorageError> {
        const DUE: &str = "SELECT DISTINCT channel FROM notice_delivery
            WHERE state = 'pending' AND next_attempt <= $1 AND (leased_until IS NULL OR leased_until <= $1)";
        let channels: Vec<(String,)> = self.reader().all(DUE, params![now.unix()]).await?;
        Ok(channels.into_iter().map(|(channel,)| channel).collect())
    }

    /// Claims up to `most` messages of the channel for `seconds`. `fold` is for mail: how many messages a recipient
    /// gets within a minute, before further ones wait until they are sent as one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn claim_messages(
        &self,
        channel: String,
        seconds: i64,
        most: usize,
        fold: Option<u32>,
    ) -> Result<Vec<Message>, StorageError> {
        let node = self.node();
        self.write(move |tx| tx.claim_messages(&channel, (node, seconds), most, fold)).await
    }

    /// Notes what became of an attempt, or of an attempt that was not made.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn finish_attempt_of_notice(&self, attempted: Attempted) -> Result<(), StorageError> {
        self.write(move |tx| tx.finish_attempt_of_notice(&attempted)).await
    }

    /// Lets others have what servers that have ended had in work.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn release_messages(&self) -> Result<(), StorageError> {
        const HOLDERS: &str = "SELECT DISTINCT node_id FROM notice_delivery
            WHERE state = 'pending' AND leased_until IS NOT NULL AND node_id <> $1";
        const RELEASE: &str = "UPDATE notice_delivery SET leased_until = NULL WHERE state = 'pending' AND node_id = $1";
        let holders: Vec<(Uuid,)> = self.reader().all(HOLDERS, params![self.node()]).await?;
        if holders.is_empty() {
            return Ok(());
        }
        self.write(move |tx| {
            for (holder,) in holders {
                if tx.node_has_ended(holder)? {
                    tx.conn_for_uses().execute(RELEASE, params![holder])?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Gives up deliveries that were due before `before` in channels that are not `known`. Returns how many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn drop_unknown_channels(&self, known: Vec<String>, before: Timestamp) -> Result<u64, StorageError> {
        const OLD: &str = "SELECT DISTINCT channel FROM notice_delivery WHERE state = 'pending' AND next_attempt < $1";
        const DROP: &str = "UPDATE notice_delivery SET state = 'dropped', finished = $2, leased_until = NULL,
                error = 'The channel is not configured any more.'
            WHERE channel = $1 AND state = 'pending' AND next_attempt < $3";
        let old: Vec<(String,)> = self.reader().all(OLD, params![before.unix()]).await?;
        let unknown: Vec<String> =
            old.into_iter().map(|(channel,)| channel).filter(|one| !known.contains(one)).collect();
        if unknown.is_empty() {
            return Ok(0);
        }
        self.write(move |tx| {
            let now = tx.now().unix();
            let mut dropped = 0;
            for channel in unknown {
                dropped += tx.conn_for_uses().execute(DROP, params![channel, now, before.unix()])?;
            }
            Ok(dropped)
        })
        .await
    }
}

impl WriteTx {
    fn address_notices(
        &mut self,
        address: impl Fn(&NoticeRow, &mut Self) -> Result<Vec<NewDelivery>, StorageError>,
    ) -> Result<(), StorageError> {
        const INSERT: &str = "INSERT INTO notice_delivery
            (id, notice_id, channel, principal_id, state, message_id, next_attempt, finished, error)
            VALUES ($1, $2, $3, $4, $5, $1, $6, $7, $8)";
        const ADDRESSED: &str = "UPDATE notice SET addressed = TRUE WHERE id = $1";
        let now = self.now().unix();
        let new: Vec<NoticeRow> = self.conn_for_uses().all(NEW, params![ADDRESSED_AT_ONCE])?;
        for notice in new {
            for NewDelivery { channel, principal, ended } in address(&notice, self)? {
                let (state, error) = match ended {
                    None => (DeliveryState::Pending, None),
                    Some((state, why)) => (state, Some(why)),
                };
                let (id, principal, finished) =
                    (Uuid::now_v7(), principal.map(|id| id.0), error.is_some().then_some(now));
                let values = params![id, notice.id.0, channel, principal, state.name(), now, finished, error];
                self.conn_for_uses().execute(INSERT, values)?;
            }
            self.conn_for_uses().execute(ADDRESSED, params![notice.id.0])?;
        }
        Ok(())
    }

    /// The e-mail address of a user who may log in.
    ///
    /// # Errors
    /// If the database fails.
    pub fn notice_address(&mut self, id: PrincipalId) -> Result<Option<String>, StorageError> {
        Ok(self.conn_for_uses().scalar::<Option<String>>(ADDRESS, params![id.0])?.flatten())
    }

    fn claim_messages(
        &mut self,
        channel: &str,
        (node, seconds): (Uuid, i64),
        most: usize,
        fold: Option<u32>,
    ) -> Result<Vec<Message>, StorageError> {
        const DUE: &str = "SELECT d.message_id, d.principal_id, d.attempts, d.held, n.loud
            FROM notice_delivery d JOIN notice n ON n.id = d.notice_id
            WHERE d.channel = $1 AND d.state = 'pending' AND d.next_attempt <= $2
                AND (d.leased_until IS NULL OR d.leased_until <= $2)
            ORDER BY d.next_attempt, d.id LIMIT $3";
        let now = self.now().unix();
        let due: Vec<Due> = self.conn_for_uses().all(DUE, params![channel, now, LOOKED_AT])?;
        let mut claimed: Vec<Message> = Vec::new();
        for Due { message, principal, attempts, held, loud } in due {
            if claimed.len() >= most {
                break;
            }
            // Others of the same mail come along with the first.
            if claimed.iter().any(|one| one.id == message) || self.is_leased(message, now)? {
                continue;
            }
            if let (Some(fold), Some(principal)) = (fold, principal) {
                if held {
                    self.fold(channel, principal, message, now)?;
                } else if !loud && let Some(until) = self.full_until(channel, principal, fold, now)? {
                    self.hold(message, until)?;
                    continue;
                }
            }
            self.conn_for_uses().execute(CLAIM, params![message, now + seconds, node])?;
            let notices = self.conn_for_uses().all(TOLD, params![message])?;
            claimed.push(Message {
                id: message,
                principal: principal.map(PrincipalId),
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                notices,
            });
        }
        Ok(claimed)
    }

    /// Whether the message was claimed meanwhile: as a part of another one.
    fn is_leased(&mut self, message: Uuid, now: i64) -> Result<bool, StorageError> {
        const FREE: &str = "SELECT count(*) FROM notice_delivery WHERE message_id = $1 AND state = 'pending'
            AND (leased_until IS NULL OR leased_until <= $2)";
        Ok(self.conn_for_uses().scalar::<i64>(FREE, params![message, now])? == Some(0))
    }

    /// Makes all held deliveries of a recipient one message, unless it is one that has several already: what is tried
    /// again says the same.
    fn fold(&mut self, channel: &str, principal: Uuid, message: Uuid, now: i64) -> Result<(), StorageError> {
        const FOLD: &str = "UPDATE notice_delivery SET message_id = $3 WHERE id IN (SELECT id FROM notice_delivery
            WHERE channel = $1 AND principal_id = $2 AND state = 'pending' AND held
                AND (leased_until IS NULL OR leased_until <= $4) ORDER BY id LIMIT $5)";
        const SIZE: &str = "SELECT count(*) FROM notice_delivery WHERE message_id = $1 AND state = 'pending'";
        if self.conn_for_uses().scalar::<i64>(SIZE, params![message])?.is_some_and(|size| size > 1) {
            return Ok(());
        }
        self.conn_for_uses().execute(FOLD, params![channel, principal, message, now, FOLDED]).map(drop)
    }

    /// Until when the recipient gets no further message, if there were as many as `most` within the last minute.
    fn full_until(&mut self, channel: &str, principal: Uuid, most: u32, now: i64) -> Result<Option<i64>, StorageError> {
        const SENT: &str = "SELECT count(DISTINCT message_id), min(finished) FROM notice_delivery
            WHERE principal_id = $1 AND channel = $2 AND state = 'delivered' AND finished > $3";
        const IN_WORK: &str = "SELECT count(DISTINCT message_id) FROM notice_delivery
            WHERE principal_id = $1 AND channel = $2 AND state = 'pending' AND leased_until > $3";
        let sent: Option<(i64, Option<i64>)> =
            self.conn_for_uses().optional(SENT, params![principal, channel, now - WINDOW])?;
        let (sent, first) = sent.unwrap_or_default();
        let in_work: Option<i64> = self.conn_for_uses().scalar(IN_WORK, params![principal, channel, now])?;
        let full = sent + in_work.unwrap_or_default() >= i64::from(most);
        Ok(full.then(|| first.unwrap_or(now).clamp(now - WINDOW + 1, now) + WINDOW))
    }

    fn hold(&mut self, message: Uuid, until: i64) -> Result<(), StorageError> {
        const HOLD: &str = "UPDATE notice_delivery SET held = TRUE, next_attempt = $2
            WHERE message_id = $1 AND state = 'pending'";
        self.conn_for_uses().execute(HOLD, params![message, until]).map(drop)
    }

    fn finish_attempt_of_notice(&mut self, attempted: &Attempted) -> Result<(), StorageError> {
        const SUCCEEDED: &str = "INSERT INTO notice_channel (name, last_success) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET last_success = excluded.last_success, failures = 0";
        const FAILED: &str =
            "INSERT INTO notice_channel (name, last_failure, last_error, failures) VALUES ($1, $2, $3, 1)
            ON CONFLICT (name) DO UPDATE SET last_failure = excluded.last_failure, last_error = excluded.last_error,
                failures = notice_channel.failures + 1";
        const RETRY: &str = "UPDATE notice_delivery SET attempts = attempts + 1, next_attempt = $2, error = $3,
                leased_until = NULL WHERE message_id = $1 AND state = 'pending'";
        const END: &str = "UPDATE notice_delivery SET attempts = attempts + $2, state = $3, finished = $4, error = $5,
                leased_until = NULL WHERE message_id = $1 AND state = 'pending'";
        const DISABLE: &str =
            "UPDATE notice_channel SET disabled_since = $2 WHERE name = $1 AND disabled_since IS NULL";
        const FAIL_ALL: &str = "UPDATE notice_delivery SET state = 'failed', finished = $2, leased_until = NULL,
                error = 'The channel is disabled.' WHERE channel = $1 AND state = 'pending'";
        let Attempted { message, channel, outcome } = attempted;
        let now = self.now().unix();
        let conn = self.conn_for_uses();
        let (state, attempts, error) = match outcome {
            Outcome::Delivered => (DeliveryState::Delivered, 1_i64, None),
            Outcome::Failed { error, .. } | Outcome::Gone { error } => (DeliveryState::Failed, 1, Some(error)),
            Outcome::Dropped { error } => (DeliveryState::Dropped, 0, Some(error)),
            Outcome::Retry { at, error } => {
                conn.execute(RETRY, params![message, at.unix(), error])?;
                conn.execute(FAILED, params![channel, now, error])?;
                return Ok(());
            }
        };
        conn.execute(END, params![message, attempts, state.name(), now, error])?;
        match outcome {
            Outcome::Delivered => conn.execute(SUCCEEDED, params![channel, now])?,
            Outcome::Failed { error, of_channel: true } => conn.execute(FAILED, params![channel, now, error])?,
            Outcome::Gone { error } => {
                conn.execute(FAILED, params![channel, now, error])?;
                conn.execute(DISABLE, params![channel, now])?;
                conn.execute(FAIL_ALL, params![channel, now])?
            }
            Outcome::Failed { .. } | Outcome::Dropped { .. } | Outcome::Retry { .. } => 0,
        };
        Ok(())
    }
}

const ADDRESS: &str = "SELECT email FROM principal WHERE id = $1 AND removed IS NULL AND NOT disabled";

impl Store {
    /// As [`WriteTx::notice_address`].
    ///
    /// # Errors
    /// If the database fails.
    pub async fn notice_address(&self, id: PrincipalId) -> Result<Option<String>, StorageError> {
        let found: Option<(Option<String>,)> = self.reader().optional(ADDRESS, params![id.0]).await?;
        Ok(found.and_then(|(address,)| address))
    }
}
