//! Warns in the log of keys, and of the TLS certificate, that end soon or have ended: when the server starts, and once
//! a day.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use sealcard_api::{
    Timestamp,
    ids::{EnvironmentId, KeyId},
    keys::KeyState,
    life::{ENDS_SOON_DAYS, certificate_ends_soon, on_day},
};
use tokio::{
    sync::Mutex,
    time::{MissedTickBehavior, interval},
};

use crate::{
    clock::DAY,
    limits,
    storage::{KeyFilter, KeyRow, StorageError, Store},
    tls,
};

const PERIOD: Duration = Duration::from_hours(24);

/// Warns until it is dropped.
pub async fn watch(store: Store, certificate: PathBuf) {
    let mut days = interval(PERIOD);
    days.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        days.tick().await;
        let now = Timestamp::now();
        if let Some(text) = of_certificate(&certificate, now) {
            tracing::warn!("the server's certificate {} {text}", certificate.display());
        }
        match of_keys(&store, now).await {
            Ok(warnings) => warnings.iter().for_each(|text| tracing::warn!("{text}")),
            Err(error) => tracing::error!(%error, "can't look for keys that end soon"),
        }
    }
}

/// Begin and end of the first certificate in a file. One that can't be read is reported where it is used.
pub(crate) fn validity(certificate: &Path) -> Option<[Timestamp; 2]> {
    let (begin, end) = tls::validity(certificate).ok()?;
    Some([begin, end].map(|time| Timestamp::from_unix(time.unix_timestamp())))
}

/// What is to be said of the server's certificate, without its name. The server's own renews itself before; another one
/// is somebody's work.
pub(crate) fn of_certificate(certificate: &Path, now: Timestamp) -> Option<String> {
    let [begin, end] = validity(certificate)?;
    if end <= now {
        return Some(format!("expired on {}; replace it and send SIGHUP", end.day()));
    }
    let when = certificate_ends_soon(begin, end, now).then(|| on_day(end, now))?;
    Some(format!("expires {when}; replace it and send SIGHUP"))
}

/// When a key ends that is not disabled, revoked or destroyed.
#[derive(Debug, Clone)]
pub(crate) struct KeyEnd {
    pub(crate) id: KeyId,
    /// `PROJECT/NAME`.
    pub(crate) name: String,
    pub(crate) environment: EnvironmentId,
    pub(crate) end: Option<Timestamp>,
}

impl KeyEnd {
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| end <= now)
    }
}

/// The ends of all keys, read again when a key may have changed.
#[derive(Default)]
pub(crate) struct KeyEnds(Mutex<Option<Read>>);

struct Read {
    at: Instant,
    registry_version: u64,
    ends: Arc<[KeyEnd]>,
}

impl KeyEnds {
    /// The ends of all keys.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn get(&self, store: &Store) -> Result<Arc<[KeyEnd]>, StorageError> {
        let mut read = self.0.lock().await;
        let registry_version = store.registry_version();
        if let Some(Read { at, registry_version: version, ends }) = &*read
            && *version == registry_version
            && at.elapsed() < limits::KEY_ENDS_AGE
        {
            return Ok(Arc::clone(ends));
        }
        let (at, mut ends) = (Instant::now(), Vec::new());
        for_each_key(store, |key| {
            // What it would be if nothing ended by itself.
            if key.state(Timestamp::from_unix(i64::MIN)) == KeyState::Active {
                let (id, name) = (key.id, key.full_name().to_string());
                ends.push(KeyEnd { id, name, environment: key.environment_id, end: key.expires() });
            }
        })
        .await?;
        let ends = Arc::from(ends);
        *read = Some(Read { at, registry_version, ends: Arc::clone(&ends) });
        Ok(ends)
    }
}

/// What is to be said of all keys at this moment. A key that expired is forgotten after as long a time as it was warned
/// of.
///
/// # Errors
/// If the database fails.
pub async fn of_keys(store: &Store, now: Timestamp) -> Result<Vec<String>, StorageError> {
    let forgotten = Timestamp::from_unix(now.unix().saturating_sub(ENDS_SOON_DAYS.saturating_mul(DAY)));
    let mut warnings = Vec::new();
    for_each_key(store, |key| {
        warnings.extend(key.warnings(now));
        if key.state(now) == KeyState::Expired && key.expires().is_some_and(|end| end > forgotten) {
            warnings.extend(key.obstacle(now));
        }
    })
    .await?;
    Ok(warnings)
}

async fn for_each_key(store: &Store, mut look: impl FnMut(&KeyRow)) -> Result<(), StorageError> {
    let mut filter = KeyFilter { limit: limits::ENDS_PAGE, ..KeyFilter::default() };
    loop {
        let keys = store.keys(filter).await?;
        keys.iter().for_each(&mut look);
        match keys.last() {
            Some(last) if keys.len() >= limits::ENDS_PAGE as usize => filter.after = Some(last.id),
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_from_sixty_days_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tls")).unwrap();
        tls::make_authority(folder.path()).unwrap();
        let (certificate, key) = tls::default_pair(folder.path());
        tls::issue_server(folder.path(), &["localhost".to_owned()], &certificate, &key).unwrap();
        let end = tls::validity(&certificate).unwrap().1.unix_timestamp();
        let days_before = |days: i64| of_certificate(&certificate, Timestamp::from_unix(end - days * DAY));
        assert_eq!(days_before(61), None);
        assert!(days_before(60).is_some_and(|text| text.contains("in 60 days")));
        assert!(days_before(0).is_some_and(|text| text.starts_with("expired on ")));
    }
}
