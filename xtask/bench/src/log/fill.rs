//! Filling a record with uses of a key, without a signer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest;
use sealcard_api::ids::RequestId;
use sealcard_record::{Draft, Event, Sha256, parse};
use sealcard_server::storage::{Database, RecordFilter, StorageError, Store};
use sealcard_tests::Playground;
use tokio::task::JoinSet;
use uuid::Uuid;
use xtask::output;

/// Uses that one transaction fills in.
const CHUNK: u64 = 2_000;

/// How long is filled between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(20);

/// Uses at once, as many as the clients that sign over HTTPS.
const CLIENTS: usize = 128;

/// The database of a playground whose server is stopped.
pub(super) async fn open(playground: &Playground) -> Result<Store> {
    Ok(Store::open(&Database::Sqlite(playground.server.data().join("sealcard.db"))).await?)
}

/// The two entries of a use, as a server wrote them.
#[derive(Clone)]
pub(super) struct Use {
    intent: Draft,
    outcome: Draft,
}

impl Use {
    /// The newest use of a record.
    pub(super) async fn newest(store: &Store) -> Result<Self> {
        let newest = RecordFilter { event: Some("use-outcome".to_owned()), limit: 1, ..RecordFilter::default() };
        let outcome = store.record(newest).await?.pop().context("no key was used")?;
        let mut entries = store.record_of_request(outcome.request_id).await?.into_iter().map(|row| {
            let body = parse(&row.body)?;
            anyhow::Ok(Draft { request_id: body.request_id, actor: body.actor, peer: body.peer, event: body.event })
        });
        let mut next = || entries.next().context("a use without its entries")?;
        let (intent, outcome): (Draft, Draft) = (next()?, next()?);
        ensure!(
            matches!((&intent.event, &outcome.event), (Event::UseIntent(_), Event::UseOutcome(_))),
            "the entries of a use are {} and {}",
            intent.event.name(),
            outcome.event.name()
        );
        Ok(Self { intent, outcome })
    }

    /// The same use again: another request, another signature.
    fn again(&self) -> [Draft; 2] {
        let request_id = RequestId::new();
        let [mut intent, mut outcome] =
            [&self.intent, &self.outcome].map(|draft| Draft { request_id, ..draft.clone() });
        if let Event::UseIntent(event) = &mut intent.event {
            event.asked.idempotency_key = Some(request_id.0);
        }
        if let Event::UseOutcome(event) = &mut outcome.event {
            let hash = digest::digest(&digest::SHA256, request_id.0.as_bytes());
            event.signature_sha256 = hash.as_ref().try_into().ok().map(Sha256);
        }
        [intent, outcome]
    }

    /// Appends uses until the record has so many entries.
    pub(super) async fn fill(&self, store: &Store, entries: u64, check: &dyn Fn() -> Result<()>) -> Result<()> {
        let (mut length, mut said) = (store.record_length().await?, Instant::now());
        while length < entries {
            check()?;
            let uses = CHUNK.min((entries - length).div_ceil(2));
            let drafts: Vec<_> = (0..uses).flat_map(|_| self.again()).collect();
            let appended = store.write(move |tx| -> Result<(), StorageError> {
                drafts.into_iter().for_each(|draft| tx.append_record(draft));
                Ok(())
            });
            appended.await?;
            length += 2 * uses;
            if said.elapsed() > PROGRESS {
                output::note(&format!("{length} of {entries} entries"));
                said = Instant::now();
            }
        }
        Ok(())
    }

    /// How many entries a second the record takes from many clients, each of which waits for its intent, then for its
    /// outcome.
    pub(super) async fn rate(&self, store: &Store, time: Duration) -> Result<f64> {
        let (before, started) = (store.record_length().await?, Instant::now());
        let end = started + time;
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (store, one) = (store.clone(), self.clone());
            clients.spawn(async move {
                while Instant::now() < end {
                    for draft in one.again() {
                        store.append_record(draft).await?;
                    }
                }
                Ok::<_, StorageError>(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        let took = started.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // counts of some seconds
        let appended = (store.record_length().await? - before) as f64;
        Ok(appended / took)
    }
}

/// A number below `limit`, each as likely as the others.
pub(super) fn any_below(limit: u64) -> u64 {
    Uuid::new_v4().as_u64_pair().0 % limit.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_below_its_limit() {
        assert!((0..1000).all(|_| any_below(7) < 7));
        assert_eq!(any_below(0), 0);
    }
}
