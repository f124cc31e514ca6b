//! The tasks that ask witnesses, one for each.

use std::sync::Arc;

use sealcard_api::Timestamp;
use sealcard_transparency::Note;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Witness, Witnesses,
    ask::{Asked, Fault},
};
use crate::{
    clock::waits,
    limits,
    log::Log,
    storage::{StorageError, Store, WitnessFailure, WitnessRow, WriteTx},
};

impl Log {
    /// Asks the witnesses to cosign checkpoints until it is dropped.
    pub async fn keep_asking_witnesses(self) {
        let mut tasks = JoinSet::new();
        for witness in self.witnesses.iter().flat_map(|witnesses| &witnesses.0.all) {
            let (store, witness) = (self.store.clone(), Arc::clone(witness));
            let Some(witnesses) = self.witnesses.clone() else { continue };
            tasks.spawn(Task { store, witnesses, witness, looked: None }.run());
        }
        // A task ends only by a fault of this program, which is logged where it happens.
        while tasks.join_next().await.is_some() {}
        std::future::pending().await
    }
}

struct Task {
    store: Store,
    witnesses: Witnesses,
    witness: Arc<Witness>,
    /// When it was looked last whether the node that asks has ended.
    looked: Option<Instant>,
}

impl Task {
    async fn run(mut self) {
        let mut ticks = interval(limits::WITNESS_POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.round().await {
                tracing::debug!(%error, witness = self.witness.name, "the database can't be used for a witness");
            }
        }
    }

    /// Asks for the newest checkpoint, if the witness has not cosigned it and its time has come.
    async fn round(&mut self) -> Result<(), StorageError> {
        let Self { store, witness, .. } = &*self;
        let Some(key) = store.log_key().await? else { return Ok(()) };
        let origin = key.key.origin;
        let Some(newest) = store.checkpoint(&origin).await? else { return Ok(()) };
        let note = Note::parse(newest.note.as_bytes());
        let note = note.map_err(|error| StorageError::Damaged(format!("the newest checkpoint: {error}")))?;
        if witness.has_cosigned(&note) {
            return Ok(());
        }
        let row = store.witness(&origin, &witness.name).await?;
        if row.is_some_and(|row| !self.is_due(&row)) {
            return Ok(());
        }
        let Self { store, witnesses, witness, .. } = &*self;
        let lease = i64::try_from(limits::WITNESS_LEASE.as_secs()).unwrap_or(i64::MAX);
        let claimed = store.claim_witness(origin.clone(), witness.name.clone(), lease).await?;
        let Some(row) = claimed.filter(|row| !waits(row.next_attempt, limits::MAX_WITNESS_PAUSE)) else {
            return Ok(());
        };
        let Asked { cosignatures, fault } = witness.ask(store, &newest, row.size).await?;
        let failure = fault.and_then(|fault| self.failure(&row, fault));
        if failure.is_none() && row.failures > 0 && !cosignatures.is_empty() {
            tracing::info!(witness = row.name, "the witness cosigns the record's log again");
        }
        let (witnesses, node, text) = (witnesses.clone(), store.node(), note.text().to_owned());
        let work = move |tx: &mut WriteTx| {
            if !cosignatures.is_empty() {
                witnesses.keep(tx, &origin, &text, &cosignatures)?;
            }
            match failure {
                Some(failure) => tx.witness_failed(&origin, &row.name, node, &failure),
                None if cosignatures.is_empty() => Ok(()),
                None => tx.witness_cosigned(&origin, &row.name, newest.size),
            }
        };
        store.write(work).await
    }

    /// Whether this node may ask now.
    fn is_due(&mut self, row: &WitnessRow) -> bool {
        if waits(row.next_attempt, limits::MAX_WITNESS_PAUSE) {
            return false;
        }
        let lease = i64::try_from(limits::WITNESS_LEASE.as_secs()).unwrap_or(i64::MAX);
        let elsewhere = row.node.is_some_and(|node| node != self.store.node())
            && row.leased_until.is_some_and(|until| waits(until, lease));
        // The node that has it may have ended.
        if elsewhere && self.looked.is_some_and(|looked| looked.elapsed() < limits::WITNESS_TAKEOVER_CHECK) {
            return false;
        }
        self.looked = Some(Instant::now());
        true
    }

    /// What is noted of a fault, which is logged once.
    fn failure(&self, row: &WitnessRow, fault: Fault) -> Option<WitnessFailure> {
        let (error, forked) = match fault {
            Fault::Again(error) => (error, false),
            Fault::Forked(error) => (error, true),
            Fault::Overtaken => return None,
        };
        let next_attempt = Timestamp::from_unix(Timestamp::now().unix().saturating_add(pause(row.failures)));
        let witness = &self.witness.name;
        if forked && !row.forked {
            tracing::error!(
                witness,
                error,
                "THE RECORD'S LOG IS NOT THE ONE THAT A WITNESS HAS COSIGNED: see \"The log \
                is not the one that a witness knows\" in docs/incidents.md"
            );
        } else if row.failures == 0 || row.forked != forked {
            // Said once: the state is in sealcard admin status.
            tracing::warn!(witness, error, "a witness does not cosign the record's log");
        } else {
            tracing::debug!(witness, error, failures = row.failures, "still not");
        }
        Some(WitnessFailure { error, next_attempt, forked })
    }
}

/// Seconds until the next attempt, after so many failures before this one.
fn pause(failures: u64) -> i64 {
    let pause = u32::try_from(failures).ok().and_then(|failures| 1_i64.checked_shl(failures));
    pause.filter(|pause| (1..limits::MAX_WITNESS_PAUSE).contains(pause)).unwrap_or(limits::MAX_WITNESS_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute() {
        let pauses: Vec<i64> = [0, 1, 4, 5, 62, 63, 64, u64::MAX].map(pause).into();
        assert_eq!(pauses, [1, 2, 16, 30, 30, 30, 30, 30]);
    }
}
