//! Whether the server can work: found at most once a second, however often it is asked.

use std::{future::Future, sync::Arc, time::Instant};

use parking_lot::RwLock;
use sealcard_api::{
    Timestamp,
    admin::{EnvironmentKind, EnvironmentState, Readiness},
    ids::EnvironmentId,
};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{error::Elapsed, timeout},
};

use super::Disk;
use crate::{
    limits,
    signers::Signers,
    storage::{ClockDoubt, StorageError, Store},
};

/// What was found last, and how to look again.
pub(crate) struct Health {
    cache: Cache,
    look: Look,
}

/// What was found last. Cheap to clone.
#[derive(Clone, Default)]
struct Cache {
    last: Arc<RwLock<Last>>,
    /// Held by the one that looks.
    looking: Arc<Mutex<()>>,
}

/// When it was found. Nothing before the first time.
type Last = Option<(Instant, Arc<Found>)>;

/// Whether the server is ready, and what prevents it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(super) ready: bool,
    pub(super) environments: Vec<EnvironmentFound>,
    pub(super) clock_doubt: Option<ClockDoubt>,
    reasons: Vec<Reason>,
}

/// An environment and its signer's state.
#[derive(Debug, Clone)]
pub(super) struct EnvironmentFound {
    pub(super) id: EnvironmentId,
    pub(super) name: String,
    pub(super) kind: EnvironmentKind,
    pub(super) state: EnvironmentState,
    /// In the signer's own words, which may name files.
    pub(super) note: Option<String>,
}

/// What prevents it or needs a look.
#[derive(Debug, Clone)]
struct Reason {
    /// For everyone: without names, and without the text of an error.
    public: &'static str,
    /// For those who may read everything.
    full: String,
}

impl Found {
    /// The answer, with names and causes for those who may read everything.
    pub(crate) fn readiness(&self, told_all: bool) -> Readiness {
        let mut reasons: Vec<String> = Vec::new();
        for Reason { public, full } in &self.reasons {
            let text = if told_all { full.clone() } else { (*public).to_owned() };
            // Environments without their names may read alike.
            if !reasons.contains(&text) {
                reasons.push(text);
            }
        }
        Readiness { ready: self.ready, reasons }
    }
}

impl Health {
    pub(super) fn new(store: Store, signers: Arc<Signers>, disk: Disk) -> Self {
        Self { cache: Cache::default(), look: Look { store, signers, disk } }
    }

    /// What is the case now, or was within the last second. While one request looks, others get what was found before.
    pub(crate) async fn get(&self) -> Arc<Found> {
        let look = self.look.clone();
        self.cache.get_or(move || async move { look.look().await }).await
    }
}

impl Cache {
    async fn get_or<F>(&self, look: impl FnOnce() -> F + Send + 'static) -> Arc<Found>
    where
        F: Future<Output = Found> + Send,
    {
        let looking = match (self.last(), Arc::clone(&self.looking).try_lock_owned()) {
            (Some((since, found)), _) if since.elapsed() < limits::READINESS_AGE => return found,
            (_, Ok(looking)) => looking,
            (Some((_, found)), Err(_)) => return found,
            // The very first one is waited for.
            (None, Err(_)) => Arc::clone(&self.looking).lock_owned().await,
        };
        if let Some((_, found)) = self.last().filter(|(since, _)| since.elapsed() < limits::READINESS_AGE) {
            return found;
        }
        // It goes on when the caller hangs up, or callers that hang up could make it begin again and again.
        let this = self.clone();
        let looked = tokio::spawn(async move {
            let found = Arc::new(look().await);
            *this.last.write() = Some((Instant::now(), Arc::clone(&found)));
            drop(looking);
            found
        });
        looked.await.unwrap_or_default()
    }

    fn last(&self) -> Last {
        self.last.read().clone()
    }
}

/// What is looked at.
#[derive(Clone)]
struct Look {
    store: Store,
    signers: Arc<Signers>,
    disk: Disk,
}

impl Look {
    async fn look(&self) -> Found {
        let mut reasons = Vec::new();
        let mut add = |public: &'static str, result: Result<Result<(), StorageError>, Elapsed>| {
            let why = match result {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it took too long".to_owned(),
            };
            reasons.push(reason(public, why));
        };
        let written = self.store.write(|_| Ok::<_, StorageError>(()));
        add("The database can't be read.", timeout(limits::DATABASE_DEADLINE, self.store.check()).await);
        add("The database can't be written.", timeout(limits::DATABASE_DEADLINE, written).await);
        if self.disk.is_full() {
            reasons.push(reason("The server's disk is full.", self.disk.folder().display()));
        }
        let database = reasons.is_empty();
        reasons.extend(self.clock_reason().await);
        let clock_doubt = in_time(self.store.recorded_clock_doubt()).await.flatten();
        reasons.extend(clock_doubt.map(clock_doubt_reason));
        let environments = self.environments().await;
        let before = reasons.len();
        reasons.extend(environments.iter().filter_map(signer_reason));
        // One token that is away must not take the other environments' keys from their users.
        let usable = environments.is_empty() || reasons.len() - before < environments.len();
        Found { ready: database && usable, environments, clock_doubt, reasons }
    }

    /// All environments, or those with a signer here if the database does not tell.
    async fn environments(&self) -> Vec<EnvironmentFound> {
        let mut known: Vec<(EnvironmentId, String, EnvironmentKind)> = match in_time(self.store.environments()).await {
            Some(rows) => rows.into_iter().map(|row| (row.id, row.name, row.kind)).collect(),
            None => self
                .signers
                .all()
                .into_iter()
                .map(|(id, signer)| (id, signer.name().to_owned(), signer.kind()))
                .collect(),
        };
        known.sort_unstable_by_key(|(id, ..)| *id);
        let mut asked = JoinSet::new();
        for (place, (id, name, kind)) in known.into_iter().enumerate() {
            let signers = Arc::clone(&self.signers);
            asked.spawn(async move {
                let (state, note) = signers.state_of(id).await;
                (place, EnvironmentFound { id, name, kind, state, note })
            });
        }
        let mut found = Vec::new();
        while let Some(one) = asked.join_next().await {
            found.extend(one);
        }
        found.sort_unstable_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, environment)| environment).collect()
    }

    /// Signatures that are dated before others are worth a warning, but a clock that was ahead once must not stop the
    /// server.
    async fn clock_reason(&self) -> Option<Reason> {
        let fault = in_time(self.store.clock_fault(Timestamp::now())).await.flatten()?;
        Some(reason("The server's clock does not fit its record.", fault))
    }
}

/// The answer of the database, if it answers.
async fn in_time<T>(question: impl Future<Output = Result<T, StorageError>>) -> Option<T> {
    timeout(limits::DATABASE_DEADLINE, question).await.ok()?.ok()
}

fn reason(public: &'static str, why: impl std::fmt::Display) -> Reason {
    Reason { public, full: format!("{}: {why}.", public.trim_end_matches('.')) }
}

/// Only rules about the time of day depend on it.
fn clock_doubt_reason(ClockDoubt { since, seconds, .. }: ClockDoubt) -> Reason {
    let direction = if seconds < 0 { "back" } else { "ahead" };
    let full = format!(
        "The server's clock went {} seconds {direction} ({since}); check it, then run sealcard admin clock confirm.",
        seconds.unsigned_abs()
    );
    Reason { public: "The server's clock is in doubt.", full }
}

/// Why keys of the environment can't be used; for administrators also in the signer's own words, which may name files.
fn signer_reason(EnvironmentFound { name, state, note, .. }: &EnvironmentFound) -> Option<Reason> {
    let (public, reason) = match state {
        EnvironmentState::Ready => return None,
        EnvironmentState::Sealed => {
            ("An environment is sealed.", format!("The environment {name} is sealed; run sealcard-signer unseal"))
        }
        EnvironmentState::TokenAbsent => {
            ("The token of an environment is not there.", format!("The token of the environment {name} is not there"))
        }
        EnvironmentState::Unavailable => (
            "The signer of an environment does not answer.",
            format!("The signer of the environment {name} does not answer"),
        ),
    };
    let why = note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
    Some(Reason { public, full: format!("{reason}{why}.") })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::{sync::Notify, task::JoinSet};

    use super::*;

    fn found() -> Found {
        let reason = |name: &str| Reason { public: "An environment is sealed.", full: format!("{name} is sealed.") };
        Found { ready: true, reasons: vec![reason("one"), reason("two")], ..Found::default() }
    }

    #[test]
    fn names_are_told_to_administrators_only() {
        assert_eq!(found().readiness(false).reasons, ["An environment is sealed."]);
        assert_eq!(found().readiness(true).reasons, ["one is sealed.", "two is sealed."]);
    }

    #[tokio::test]
    async fn many_requests_look_once_even_if_the_first_hangs_up() {
        let (cache, looks, go) = (Cache::default(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let get = || {
            let (cache, looks, go) = (cache.clone(), Arc::clone(&looks), Arc::clone(&go));
            async move {
                let look = move || async move {
                    looks.fetch_add(1, Ordering::SeqCst);
                    go.notified().await;
                    found()
                };
                cache.get_or(look).await.ready
            }
        };
        let mut first = Box::pin(get());
        assert!(timeout(Duration::from_millis(20), &mut first).await.is_err());
        drop(first);
        let mut others = JoinSet::new();
        (0..100).for_each(|_| drop(others.spawn(get())));
        tokio::task::yield_now().await;
        go.notify_one();
        assert!(others.join_all().await.into_iter().all(|ready| ready));
        assert_eq!(looks.load(Ordering::SeqCst), 1);
        // What is old is answered while one looks again.
        cache.last.write().as_mut().unwrap().0 -= limits::READINESS_AGE;
        let again = tokio::spawn(get());
        while looks.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        assert!(get().await);
        go.notify_one();
        assert!(again.await.unwrap());
        assert_eq!(looks.load(Ordering::SeqCst), 2);
    }
}
