//! Whether the server can work: found at most once a second, however often it is asked.

use std::{future::Future, sync::Arc, time::Instant};

use parking_lot::RwLock;
use sealcard_api::{
    Timestamp,
    admin::{EnvironmentState, Readiness},
};
use tokio::{sync::Mutex, time::timeout};

use super::{AppState, error::sentence};
use crate::{
    limits,
    storage::{ClockDoubt, EnvironmentRow, StorageError},
};

/// What was found last. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ReadinessCache {
    last: Arc<RwLock<Last>>,
    /// Held by the one that looks.
    looking: Arc<Mutex<()>>,
}

/// When it was found. Nothing before the first time.
type Last = Option<(Instant, Arc<Found>)>;

/// Whether the server is ready, and what prevents it.
#[derive(Debug, Default)]
pub(super) struct Found {
    ready: bool,
    reasons: Vec<Reason>,
}

/// What prevents it or needs a look.
#[derive(Debug, Clone)]
struct Reason {
    /// For everyone: without names, and without the text of an error.
    public: &'static str,
    /// For administrators.
    full: String,
}

impl Found {
    /// The answer, with names and causes for administrators.
    pub(super) fn readiness(&self, administrator: bool) -> Readiness {
        let mut reasons: Vec<String> = Vec::new();
        for Reason { public, full } in &self.reasons {
            let text = if administrator { full.clone() } else { (*public).to_owned() };
            // Environments without their names may read alike.
            if !reasons.contains(&text) {
                reasons.push(text);
            }
        }
        Readiness { ready: self.ready, reasons }
    }
}

impl ReadinessCache {
    /// What is the case now, or was within the last second. While one request looks, others get what was found before.
    pub(super) async fn get(&self, state: &AppState) -> Arc<Found> {
        let state = state.clone();
        self.get_or(move || async move { look(&state).await }).await
    }

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
            let mut last = this.last.write();
            *last = Some((Instant::now(), Arc::clone(&found)));
            drop(looking);
            found
        });
        looked.await.unwrap_or_default()
    }

    fn last(&self) -> Last {
        self.last.read().clone()
    }
}

async fn look(state: &AppState) -> Found {
    let mut reasons = Vec::new();
    let mut add = |public, why: String| {
        reasons.push(Reason { public, full: format!("{}: {why}.", public.trim_end_matches('.')) });
    };
    let deadline = || "it took too long".to_owned();
    match timeout(limits::DATABASE_DEADLINE, state.store.check()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => add("The database can't be read.", error.to_string()),
        Err(_) => add("The database can't be read.", deadline()),
    }
    let written = state.store.write(|_| Ok::<_, StorageError>(()));
    match timeout(limits::DATABASE_DEADLINE, written).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => add("The database can't be written.", error.to_string()),
        Err(_) => add("The database can't be written.", deadline()),
    }
    if state.disk.is_full() {
        add("The server's disk is full.", state.disk.folder().display().to_string());
    }
    let database = reasons.is_empty();
    reasons.extend(clock_reason(state).await);
    reasons.extend(clock_doubt_reason(state).await);
    let mut usable = true;
    if let Ok(Ok(environments)) = timeout(limits::DATABASE_DEADLINE, state.store.environments()).await {
        let all = environments.len();
        let before = reasons.len();
        for environment in environments {
            reasons.extend(signer_reason(state, environment).await);
        }
        // One token that is away must not take the other environments' keys from their users.
        usable = all == 0 || reasons.len() - before < all;
    }
    Found { ready: database && usable, reasons }
}

/// Signatures that are dated before others are worth a warning, but a clock that was ahead once must not stop the
/// server.
async fn clock_reason(state: &AppState) -> Option<Reason> {
    let fault = timeout(limits::DATABASE_DEADLINE, state.store.clock_fault(Timestamp::now())).await;
    let fault = fault.ok()?.ok().flatten()?;
    Some(Reason { public: "The server's clock does not fit its record.", full: sentence(&fault.to_string()) })
}

/// Only rules about the time of day depend on it.
async fn clock_doubt_reason(state: &AppState) -> Option<Reason> {
    let doubt = timeout(limits::DATABASE_DEADLINE, state.store.recorded_clock_doubt()).await;
    let ClockDoubt { since, seconds, .. } = doubt.ok()?.ok().flatten()?;
    let direction = if seconds < 0 { "back" } else { "ahead" };
    let full = format!(
        "The server's clock went {} seconds {direction} ({since}); check it, then run sealcard admin clock confirm.",
        seconds.unsigned_abs()
    );
    Some(Reason { public: "The server's clock is in doubt.", full })
}

/// Why keys of the environment can't be used; for administrators also in the signer's own words, which may name files.
async fn signer_reason(state: &AppState, environment: EnvironmentRow) -> Option<Reason> {
    let (signer, note) = match state.signers.get(environment.id) {
        Some(signer) => (signer.state().await, signer.note()),
        None => (EnvironmentState::Unavailable, None),
    };
    let name = environment.name;
    let (public, reason) = match signer {
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
    let why = note.map_or_else(String::new, |note| format!(": {note}"));
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
        Found { ready: true, reasons: vec![reason("one"), reason("two")] }
    }

    #[test]
    fn names_are_told_to_administrators_only() {
        assert_eq!(found().readiness(false).reasons, ["An environment is sealed."]);
        assert_eq!(found().readiness(true).reasons, ["one is sealed.", "two is sealed."]);
    }

    #[tokio::test]
    async fn many_requests_look_once_even_if_the_first_hangs_up() {
        let (cache, looks, go) = (ReadinessCache::default(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
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
