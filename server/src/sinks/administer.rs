//! What administrators see of sinks, and do with them.

use sealcard_api::{
    Timestamp,
    sinks::{ParkedEntry, Sink, SinkDetail, SinkRetried, SinkRetry, SinkSkip, SinkSkipped, SinkState, SinkTested},
};
use sealcard_policy::Action;
use sealcard_record::{Event, event};
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    SinkEvent, Sinks,
    load::Target,
    required::lag,
    transports::{Fault, Sent},
    worker::origin,
};
use crate::{
    authn::{AuthorizationError, Caller},
    limits,
    storage::{SinkRow, StorageError},
};

/// Why something can't be done with a sink.
#[derive(Debug, thiserror::Error)]
pub enum SinksError {
    /// There is no such sink. Retrying can't help.
    #[error("{0}")]
    NotFound(String),
    /// It can't be done as things are. Retrying can't help.
    #[error("{0}")]
    Conflict(String),
    /// The caller may not do it. Retrying can't help.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

type Result<T> = std::result::Result<T, SinksError>;

const MANAGE_SERVER: &[Action] = &[Action::ManageServer];

impl Sinks {
    /// The configured sinks.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(&self) -> std::result::Result<Vec<Sink>, StorageError> {
        if self.0.targets.all.is_empty() {
            return Ok(Vec::new());
        }
        let newest = self.0.store.record_length().await?;
        let (rows, now) = (self.0.store.sinks().await?, Timestamp::now());
        let blocking = self.0.required.all_behind(now);
        let shown = self.0.targets.all.iter().filter_map(|target| {
            let row = rows.iter().find(|row| row.name == target.name)?;
            let mut sink = shown(target, row, newest, now);
            sink.blocks = blocking.iter().any(|behind| behind.sink == sink.name);
            Some(sink)
        });
        Ok(shown.collect())
    }

    /// One sink, with its parked entries.
    ///
    /// # Errors
    /// [`SinksError::NotFound`] if there is none.
    pub async fn show(&self, name: &str) -> Result<SinkDetail> {
        self.known(name)?;
        let sink = self.list().await?.into_iter().find(|sink| sink.name == name);
        let sink = sink.ok_or_else(|| no_sink(name))?;
        let parked = self.0.store.parked(name, 0, limits::LISTED_PARKED).await?;
        let parked_entries = parked.into_iter().map(|row| ParkedEntry {
            entry: row.sequence,
            parked: Timestamp::from_unix(row.parked),
            error: row.error,
            retried: row.retry,
        });
        Ok(SinkDetail { sink, parked_entries: parked_entries.collect() })
    }

    /// Has a sink tried again now.
    ///
    /// # Errors
    /// [`SinksError::NotFound`] if there is none.
    pub async fn retry(&self, caller: Caller, name: String, retry: SinkRetry) -> Result<SinkRetried> {
        self.known(&name)?;
        self.0
            .store
            .write(move |tx| {
                caller.authorization(MANAGE_SERVER).check(tx, None)?;
                if !tx.retry_sink(&name)? {
                    return Err(no_sink(&name));
                }
                let parked = if retry.parked { tx.retry_parked(&name)? } else { 0 };
                tx.append_record(caller.draft(Event::SinkRetried(event::SinkRetry { sink: name, parked })));
                Ok(SinkRetried { parked })
            })
            .await
    }

    /// Decides that entries are never sent by a sink.
    ///
    /// # Errors
    /// [`SinksError::NotFound`] if there is none, [`SinksError::Conflict`] if nothing would be skipped.
    pub async fn skip(&self, caller: Caller, name: String, skip: SinkSkip) -> Result<SinkSkipped> {
        self.known(&name)?;
        self.0
            .store
            .write(move |tx| {
                caller.authorization(MANAGE_SERVER).check(tx, None)?;
                let (before, after) =
                    tx.skip_in_sink(&name, skip.until.unwrap_or_default())?.ok_or_else(|| no_sink(&name))?;
                let parked = if skip.parked { tx.forget_parked(&name)? } else { 0 };
                let entries = after.saturating_sub(before);
                if entries == 0 && parked == 0 {
                    return Err(SinksError::Conflict(format!(
                        "There is nothing to skip: the sink {name} is at entry {before}."
                    )));
                }
                let until = (entries > 0).then_some(after);
                let skipped = event::SinkSkip { sink: name, position: before, until, parked };
                tx.append_record(caller.draft(Event::SinkSkipped(skipped)));
                Ok(SinkSkipped { position: after, entries, parked })
            })
            .await
    }

    /// Sends an event that is no entry, from this node, and waits for what becomes of it.
    ///
    /// # Errors
    /// [`SinksError::NotFound`] if there is none.
    pub async fn test(&self, caller: &Caller, name: &str) -> Result<SinkTested> {
        let target = self.known(name)?;
        let origin = origin(&self.0.store, self.0.targets.origin.as_deref()).await?;
        let event = SinkEvent::test(&origin, &Uuid::now_v7().to_string(), &caller.name, Timestamp::now());
        let id = event.id.clone();
        let events = [event];
        let sending = target.transport.send(target.form, &events);
        let sent = timeout(limits::SINK_TEST_DEADLINE, sending).await;
        let error = match sent {
            Err(_) => Some("the receiver did not answer in time".to_owned()),
            Ok(Sent { fault: None, .. }) => None,
            Ok(Sent { fault: Some(fault), .. }) => Some(match fault {
                Fault::Again { error, .. }
                | Fault::Event { error, .. }
                | Fault::TooLarge(error)
                | Fault::Partial(error)
                | Fault::Gone(error) => error,
            }),
        };
        Ok(SinkTested { delivered: error.is_none(), id, error })
    }

    fn known(&self, name: &str) -> Result<&Target> {
        self.0.targets.named(name).map(|target| &**target).ok_or_else(|| no_sink(name))
    }
}

fn no_sink(name: &str) -> SinksError {
    SinksError::NotFound(format!("This server has no sink {name}. server.toml would have it as [sinks.{name}]."))
}

fn shown(target: &Target, row: &SinkRow, newest: u64, now: Timestamp) -> Sink {
    let (lag_entries, lag_seconds) = lag(row.position, row.waiting_since, newest, now);
    let state = match (row.stopped, row.failures, lag_entries) {
        (true, ..) => SinkState::Stopped,
        (false, 1.., _) => SinkState::Failing,
        (false, 0, 0) => SinkState::UpToDate,
        (false, 0, _) => SinkState::Delivering,
    };
    let time = |seconds: Option<i64>| seconds.map(Timestamp::from_unix);
    Sink {
        name: target.name.clone(),
        kind: target.kind.name().to_owned(),
        form: target.form.0.name().to_owned(),
        to: target.to.clone(),
        state,
        required: target.required.is_some(),
        blocks: false,
        position: row.position,
        lag_entries,
        lag_seconds,
        parked: row.parked,
        last_success: time(row.last_success),
        last_failure: time(row.last_failure),
        last_error: row.last_error.clone(),
        failures: row.failures,
        next_attempt: (row.next_attempt > 0 && !row.stopped).then(|| Timestamp::from_unix(row.next_attempt)),
        redacted: target.redaction.fields().to_vec(),
        public_keys: target.transport.public_keys(),
    }
}

/// How the sinks are, for those who watch the server.
#[derive(Debug, Default)]
pub(crate) struct SinksState {
    pub(crate) sinks: Vec<Sink>,
    /// What needs a person, one sentence each.
    pub(crate) attention: Vec<String>,
}

impl Sinks {
    /// How they are.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn state(&self) -> std::result::Result<SinksState, StorageError> {
        let sinks = self.list().await?;
        let attention = sinks.iter().flat_map(attention).collect();
        Ok(SinksState { sinks, attention })
    }
}

/// A sink whose attempts have failed so often, one after the other, needs attention.
const FAILING: u64 = 3;

fn attention(sink: &Sink) -> Vec<String> {
    let Sink { name, lag_entries, lag_seconds, parked, .. } = sink;
    let why = sink.last_error.as_deref().unwrap_or("no attempt has failed");
    let mut sentences = Vec::new();
    if sink.blocks {
        sentences.push(format!(
            "No key is used: the required sink {name} of the record is {lag_entries} entries and {lag_seconds} seconds \
             behind ({why}); mend its receiver, or see sealcard admin sinks show {name}."
        ));
    } else if sink.state == SinkState::Stopped {
        sentences.push(format!(
            "The receiver of the sink {name} wants no more entries of the record ({why}); once it does, run sealcard \
             admin sinks retry {name}."
        ));
    } else if sink.state == SinkState::Failing && sink.failures >= FAILING {
        sentences.push(format!(
            "The sink {name} of the record is {lag_entries} entries behind: {why}; see sealcard admin sinks show {name}."
        ));
    }
    if *parked > 0 {
        let entries = if *parked == 1 { "1 entry".to_owned() } else { format!("{parked} entries") };
        sentences.push(format!(
            "The receiver of the sink {name} refused {entries} of the record: see sealcard admin sinks show {name}."
        ));
    }
    sentences
}
