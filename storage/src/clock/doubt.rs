//! The doubt of the clock: from a jump until a person has confirmed the time. All servers that share a database see it.

use sealcard_api::Timestamp;
use sealcard_record::{Draft, Event, event::ClockJumped};
use uuid::Uuid;

use crate::{
    StorageError, Store, WriteTx,
    sql::{FromRow, Row, params},
};

/// A jump of a clock that nobody has confirmed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockDoubt {
    /// When it was found, by the clock after the jump.
    pub since: Timestamp,
    /// By how many seconds the clock went ahead, or back if negative.
    pub seconds: i64,
    /// The run of the server whose clock it is: [`Store::node`].
    pub node: Uuid,
}

/// The columns of the doubt.
#[derive(Debug, Clone, Copy)]
struct Columns(Option<ClockDoubt>);

impl FromRow for Columns {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let Some(since) = row.get::<Option<i64>>(0)? else { return Ok(Self(None)) };
        let (seconds, node) = (row.get(1)?, row.get(2)?);
        Ok(Self(Some(ClockDoubt { since: Timestamp::from_unix(since), seconds, node })))
    }
}

const DOUBT: &str = "SELECT clock_doubt, clock_doubt_seconds, clock_doubt_node FROM server";

impl Store {
    /// The doubt of the clock that is recorded.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn recorded_clock_doubt(&self) -> Result<Option<ClockDoubt>, StorageError> {
        let columns: Option<Columns> = self.reader().optional(DOUBT, params![]).await?;
        Ok(columns.and_then(|Columns(doubt)| doubt))
    }

    /// Whether this server's clock has jumped and that is not recorded yet. Cheap: it reads two clocks.
    #[must_use]
    pub fn clock_doubt(&self) -> bool {
        self.clock.watch.look()
    }

    /// Records that this server's clock has jumped, if it has since it was last asked.
    ///
    /// # Errors
    /// If the database fails; then call it again.
    pub async fn record_clock_step(&self) -> Result<Option<i64>, StorageError> {
        let Some(seconds) = self.clock.watch.jumped() else { return Ok(None) };
        self.record_clock_jump(seconds, false).await?;
        // From here on the database tells it.
        self.clock.watch.recorded(seconds);
        Ok(Some(seconds))
    }

    /// Puts the clock in doubt: it went ahead by so many seconds, or back if negative.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record_clock_jump(&self, seconds: i64, at_start: bool) -> Result<(), StorageError> {
        const JUMPED: &str = "UPDATE server SET clock_doubt = $1, clock_doubt_seconds = $2, clock_doubt_node = $3";
        let (node, host) = (self.node(), self.host());
        self.write(move |tx| {
            let now = tx.now();
            tx.conn().execute(JUMPED, params![now.unix(), seconds, node])?;
            tx.append_record(Draft::of_server(Event::ClockJumped(ClockJumped { seconds, node, host, at_start })));
            Ok(())
        })
        .await
    }
}

impl WriteTx {
    /// Ends the doubt of the clock. None if there was none.
    ///
    /// # Errors
    /// If the database fails.
    pub fn confirm_clock(&mut self) -> Result<Option<ClockDoubt>, StorageError> {
        const CONFIRM: &str =
            "UPDATE server SET clock_doubt = NULL, clock_doubt_seconds = NULL, clock_doubt_node = NULL,
             clock_confirmations = clock_confirmations + 1";
        let doubt: Option<Columns> = self.conn().optional(DOUBT, params![])?;
        let doubt = doubt.and_then(|Columns(doubt)| doubt);
        if doubt.is_some() {
            self.conn().execute(CONFIRM, params![])?;
        }
        Ok(doubt)
    }
}
