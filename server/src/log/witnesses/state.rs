//! How the witnesses are, for those who watch the server.

use sealcard_api::{
    Timestamp,
    status::{WitnessState, WitnessStatus},
};

use super::{Witness, Witnesses};
use crate::{
    limits,
    log::{Log, keys},
    storage::{LogKeyRow, StorageError, WitnessRow},
};

/// How the log and its witnesses are.
#[derive(Debug, Default)]
pub(crate) struct WitnessesState {
    /// How many entries the checkpoint covers that is given out.
    pub(crate) published: Option<u64>,
    pub(crate) witnesses: Vec<WitnessStatus>,
    /// What needs a person, one sentence each.
    pub(crate) attention: Vec<String>,
}

/// A witness whose attempts have failed so often, one after the other, needs attention.
const FAILING: u64 = 3;

impl Log {
    /// How they are.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn witnesses_state(&self) -> Result<WitnessesState, StorageError> {
        let Some(published) = self.published().await? else { return Ok(WitnessesState::default()) };
        let size = published.checkpoint.size;
        let mut state = WitnessesState { published: Some(size), ..WitnessesState::default() };
        let (Some(witnesses), Some(key)) = (&self.witnesses, self.store.log_key().await?) else { return Ok(state) };
        let newest = self.store.checkpoint(&key.key.origin).await?.map_or(size, |newest| newest.size);
        let rows = self.store.witnesses(&key.key.origin).await?;
        for witness in &witnesses.0.all {
            let row = rows.iter().find(|row| row.name == witness.name);
            let status = status(witness, row, newest);
            state.attention.extend(attention(&status));
            state.witnesses.push(status);
        }
        state.attention.extend(witnesses.other_keys(&key));
        let covered = if witnesses.have_cosigned(&published.checkpoint.note) { size } else { 0 };
        state.attention.extend(self.lag(covered).await?);
        Ok(state)
    }

    /// The sentence about entries that the quorum has not cosigned for too long.
    async fn lag(&self, covered: u64) -> Result<Option<String>, StorageError> {
        let Some(first) = self.store.entry(covered.saturating_add(1)).await? else { return Ok(None) };
        let age = Timestamp::now().unix().saturating_sub(first.time.unix());
        if u64::try_from(age).unwrap_or_default() < limits::WITNESS_LAG {
            return Ok(None);
        }
        let entries = match self.store.record_length().await?.saturating_sub(covered) {
            1 => "1 entry has".to_owned(),
            entries => format!("{entries} entries have"),
        };
        Ok(Some(format!(
            "The newest {entries} no receipt yet: too few witnesses have cosigned a checkpoint that covers them."
        )))
    }
}

impl Witnesses {
    /// The sentence about keys of the log that outsiders with the same file would not accept.
    fn other_keys(&self, key: &LogKeyRow) -> Option<String> {
        let (logs, own) = (self.0.policy.logs(), keys(key).ok()?);
        let is_named = logs.is_empty() || logs.iter().any(|log| own.contains(log.key()));
        (!is_named).then(|| {
            format!(
                "The file of record.witnesses has other keys than those of the log {}: those who trust by it accept no \
                 checkpoint; write the lines of log.tlog-policy of an export into it.",
                key.key.origin
            )
        })
    }
}

fn status(witness: &Witness, row: Option<&WitnessRow>, newest: u64) -> WitnessStatus {
    let state = match row {
        Some(row) if row.forked => WitnessState::Forked,
        Some(row) if row.failures > 0 => WitnessState::Failing,
        Some(row) if row.size >= newest => WitnessState::Current,
        _ => WitnessState::Behind,
    };
    let failing = row.filter(|row| row.failures > 0);
    WitnessStatus {
        name: witness.name.clone(),
        url: witness.url.to_string(),
        state,
        size: row.map_or(0, |row| row.size),
        last_success: row.and_then(|row| row.last_success).map(Timestamp::from_unix),
        failures: row.map_or(0, |row| row.failures),
        last_error: failing.and_then(|row| row.last_error.clone()),
        next_attempt: failing.map(|row| Timestamp::from_unix(row.next_attempt)),
    }
}

fn attention(witness: &WitnessStatus) -> Option<String> {
    let WitnessStatus { name, state, failures, last_error, .. } = witness;
    let why = last_error.as_deref().unwrap_or("no attempt has failed");
    match state {
        WitnessState::Forked => Some(format!(
            "THE RECORD'S LOG IS NOT THE ONE THAT THE WITNESS {name} HAS COSIGNED: {why}. Follow \"The log is not the one \
             that a witness knows\" in the handbook's page on incidents."
        )),
        WitnessState::Failing if *failures >= FAILING => {
            Some(format!("The witness {name} does not cosign the record's log: {why}."))
        }
        _ => None,
    }
}
