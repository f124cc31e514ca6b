//! What administrators see and do: notices, deliveries and channels.

use sealcard_api::{
    Timestamp,
    ids::NoticeId,
    notices::{DeliveryState, Notice, NoticeDelivery},
};
use uuid::Uuid;

use super::{NoticeRow, notices};
use crate::{
    StorageError, Store, WriteTx,
    sql::{FromRow, Row, params},
};

/// Which notices are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoticeFilter {
    /// Those alone that have a failed delivery.
    pub failed: bool,
    /// Older than this one.
    pub before: Option<NoticeId>,
    /// How many at most.
    pub limit: u32,
}

/// How a channel that was used works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRow {
    /// The name.
    pub name: String,
    /// Unix seconds.
    pub last_success: Option<i64>,
    /// Unix seconds.
    pub last_failure: Option<i64>,
    /// Why.
    pub last_error: Option<String>,
    /// Since the last success.
    pub failures: u64,
    /// Unix seconds. Nothing is sent from then on.
    pub disabled_since: Option<i64>,
}

impl FromRow for ChannelRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            name: row.get(0)?,
            last_success: row.get(1)?,
            last_failure: row.get(2)?,
            last_error: row.get(3)?,
            failures: row.get::<i64>(4)?.cast_unsigned(),
            disabled_since: row.get(5)?,
        })
    }
}

/// How many deliveries of a channel are in these states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeCounts {
    /// The channel.
    pub channel: String,
    /// Those that are tried, or tried again later.
    pub pending: u64,
    /// Those that failed, as long as they are kept.
    pub failed: u64,
    /// Those of them that failed within the last day.
    pub failed_lately: u64,
}

struct Shown(NoticeDelivery);

impl FromRow for Shown {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let name: String = row.get(2)?;
        let state = DeliveryState::ALL.into_iter().find(|state| state.name() == name);
        let state = state.ok_or_else(|| super::damaged(format_args!("a delivery in the state {name:?}")))?;
        let next: i64 = row.get(4)?;
        let delivery = NoticeDelivery {
            channel: row.get(0)?,
            recipient: row.get(1)?,
            state,
            attempts: u32::try_from(row.get::<i64>(3)?).unwrap_or(u32::MAX),
            next_attempt: (state == DeliveryState::Pending).then_some(Timestamp::from_unix(next)),
            finished: row.get::<Option<i64>>(5)?.map(Timestamp::from_unix),
            error: row.get(6)?,
        };
        Ok(Self(delivery))
    }
}

const ALL: &str = notices!("WHERE n.id < $1 ORDER BY n.id DESC LIMIT $2");
const FAILED: &str = notices!(
    "WHERE n.id < $1 AND n.id IN (SELECT notice_id FROM notice_delivery WHERE state = 'failed')
     ORDER BY n.id DESC LIMIT $2"
);
const ONE: &str = notices!("WHERE n.id = $1");
const DELIVERIES: &str = "SELECT d.channel, p.name, d.state, d.attempts, d.next_attempt, d.finished, d.error
    FROM notice_delivery d LEFT JOIN principal p ON p.id = d.principal_id WHERE d.notice_id = $1
    ORDER BY d.channel, d.id";
const CHANNELS: &str = "SELECT name, last_success, last_failure, last_error, failures, disabled_since
    FROM notice_channel ORDER BY name";
const DISABLED: &str = "SELECT name FROM notice_channel WHERE disabled_since IS NOT NULL";

impl Store {
    /// Notices with their deliveries, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn notices(&self, filter: NoticeFilter) -> Result<Vec<Notice>, StorageError> {
        let NoticeFilter { failed, before, limit } = filter;
        let before = before.map_or(Uuid::max(), |id| id.0);
        let sql = if failed { FAILED } else { ALL };
        let rows: Vec<NoticeRow> = self.reader().all(sql, params![before, i64::from(limit)]).await?;
        let mut notices = Vec::with_capacity(rows.len());
        for row in rows {
            notices.push(self.with_deliveries(row).await?);
        }
        Ok(notices)
    }

    /// One notice with its deliveries.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn notice(&self, id: NoticeId) -> Result<Option<Notice>, StorageError> {
        let row: Option<NoticeRow> = self.reader().optional(ONE, params![id.0]).await?;
        match row {
            Some(row) => self.with_deliveries(row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn with_deliveries(&self, row: NoticeRow) -> Result<Notice, StorageError> {
        let shown: Vec<Shown> = self.reader().all(DELIVERIES, params![row.id.0]).await?;
        let NoticeRow { id, kind, created, project, title, facts, command, loud, addressed, .. } = row;
        Ok(Notice {
            id,
            kind,
            created: Timestamp::from_unix(created),
            project,
            title,
            facts,
            command,
            loud,
            addressed,
            deliveries: shown.into_iter().map(|Shown(delivery)| delivery).collect(),
        })
    }

    /// Channels that were used.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn notice_channels(&self) -> Result<Vec<ChannelRow>, StorageError> {
        self.reader().all(CHANNELS, params![]).await
    }

    /// How many deliveries of each channel are pending or failed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn notice_counts(&self, now: Timestamp) -> Result<Vec<NoticeCounts>, StorageError> {
        const PENDING: &str = "SELECT channel, count(*) FROM notice_delivery WHERE state = 'pending' GROUP BY channel";
        const FAILED: &str = "SELECT channel, count(*) FROM notice_delivery WHERE state = 'failed' GROUP BY channel";
        const LATELY: &str = "SELECT channel, count(*) FROM notice_delivery WHERE state = 'failed' AND finished > $1
            GROUP BY channel";
        const DAY: i64 = 86_400;
        let mut counts: Vec<NoticeCounts> = Vec::new();
        let mut add = |rows: Vec<(String, i64)>, into: fn(&mut NoticeCounts) -> &mut u64| {
            for (channel, count) in rows {
                let index = counts.iter().position(|one| one.channel == channel).unwrap_or(counts.len());
                if index == counts.len() {
                    counts.push(NoticeCounts { channel, pending: 0, failed: 0, failed_lately: 0 });
                }
                if let Some(one) = counts.get_mut(index) {
                    *into(one) = count.cast_unsigned();
                }
            }
        };
        add(self.reader().all(PENDING, params![]).await?, |one| &mut one.pending);
        add(self.reader().all(FAILED, params![]).await?, |one| &mut one.failed);
        add(self.reader().all(LATELY, params![now.unix() - DAY]).await?, |one| &mut one.failed_lately);
        Ok(counts)
    }
}

impl WriteTx {
    /// The channels that are disabled.
    ///
    /// # Errors
    /// If the database fails.
    pub fn disabled_channels(&mut self) -> Result<Vec<String>, StorageError> {
        let names: Vec<(String,)> = self.conn_for_uses().all(DISABLED, params![])?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }

    /// Whether there is this notice.
    ///
    /// # Errors
    /// If the database fails.
    pub fn has_notice(&mut self, id: NoticeId) -> Result<bool, StorageError> {
        let found: Option<Uuid> = self.conn_for_uses().scalar("SELECT id FROM notice WHERE id = $1", params![id.0])?;
        Ok(found.is_some())
    }

    /// Lets a channel be used again. False if it was not disabled.
    ///
    /// # Errors
    /// If the database fails.
    pub fn enable_channel(&mut self, channel: &str) -> Result<bool, StorageError> {
        const ENABLE: &str = "UPDATE notice_channel SET disabled_since = NULL, failures = 0
            WHERE name = $1 AND disabled_since IS NOT NULL";
        Ok(self.conn_for_uses().execute(ENABLE, params![channel])? == 1)
    }

    /// Tries failed and dropped deliveries of a notice again; failed ones of all notices without one. Those of disabled
    /// channels stay. Returns how many there are.
    ///
    /// # Errors
    /// If the database fails.
    pub fn retry_notices(&mut self, notice: Option<NoticeId>) -> Result<u64, StorageError> {
        // Each is a message again: those that were folded may have failed for one of them.
        const ONE: &str = "UPDATE notice_delivery SET state = 'pending', attempts = 0, next_attempt = $1,
                finished = NULL, held = FALSE, leased_until = NULL, message_id = id
            WHERE notice_id = $2 AND state IN ('failed', 'dropped')
                AND channel NOT IN (SELECT name FROM notice_channel WHERE disabled_since IS NOT NULL)";
        const ALL: &str = "UPDATE notice_delivery SET state = 'pending', attempts = 0, next_attempt = $1,
                finished = NULL, held = FALSE, leased_until = NULL, message_id = id
            WHERE state = 'failed'
                AND channel NOT IN (SELECT name FROM notice_channel WHERE disabled_since IS NOT NULL)";
        let now = self.now().unix();
        match notice {
            Some(notice) => self.conn_for_uses().execute(ONE, params![now, notice.0]),
            None => self.conn_for_uses().execute(ALL, params![now]),
        }
    }
}
