//! Signatures of files that were asked for and still wait when the command ends. The next command for the same content
//! sends the same request again, so that people are not asked twice.

use std::{fs, path::PathBuf};

use data_encoding::HEXLOWER;
use sealcard_api::{Timestamp, ids::KeyId};
use sealcard_openpgp::Seed;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{ConfigError, Paths, files};

/// A signature that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// By which the server knows the request.
    pub idempotency_key: Uuid,
    /// What the signature was asked for with.
    pub seed: Seed,
    /// Until when people can approve it.
    pub expires: Timestamp,
}

/// An attempt as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    idempotency_key: Uuid,
    time: Timestamp,
    salt: String,
    expires: Timestamp,
}

/// The attempts of this user.
#[derive(Debug, Clone)]
pub struct Attempts(PathBuf);

impl Attempts {
    /// Those in the state folder.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        Self(paths.attempts_folder())
    }

    /// What the attempt for a content is called. The second file with this content has the place 1.
    #[must_use]
    pub fn name(key: KeyId, content_digest: &[u8], place: usize) -> String {
        format!("{key}-{}-{place}", HEXLOWER.encode(content_digest))
    }

    /// The attempt of this name, if it can still be approved. A damaged file is none.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Attempt> {
        let stored: Stored = serde_json::from_slice(&files::read(&self.file(name)).ok()??).ok()?;
        let salt = HEXLOWER.decode(stored.salt.as_bytes()).ok()?.try_into().ok()?;
        let Stored { idempotency_key, time, expires, .. } = stored;
        (expires > Timestamp::now()).then_some(Attempt { idempotency_key, seed: Seed { time, salt }, expires })
    }

    /// Notes an attempt, and removes those that nobody can approve any more.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn save(&self, name: &str, attempt: &Attempt) -> Result<(), ConfigError> {
        let Attempt { idempotency_key, seed, expires } = *attempt;
        let stored = Stored { idempotency_key, time: seed.time, salt: HEXLOWER.encode(&seed.salt), expires };
        let path = self.file(name);
        let content = serde_json::to_vec(&stored).map_err(|error| ConfigError::invalid(&path, error))?;
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let path = entry.path();
            let known = path.file_stem().and_then(|stem| stem.to_str()).and_then(|name| self.find(name));
            // A file that is being written has another ending.
            if known.is_none() && path.extension().is_some_and(|extension| extension == "json") {
                // One that stays is found to be over by its time.
                let _ = files::remove(&path);
            }
        }
        files::write_private(&path, &content)
    }

    /// Forgets an attempt.
    pub fn remove(&self, name: &str) {
        // One that stays is found to be over by its time.
        let _ = files::remove(&self.file(name));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn attempt_is_found_by_key_and_content_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("config"), folder.path().join("state")).unwrap();
        let attempts = Attempts::of(&paths);
        let (key, now) = (KeyId(Uuid::from_u128(1)), Timestamp::now().unix());
        let name = Attempts::name(key, &[1, 2], 0);
        assert_eq!(attempts.find(&name), None);
        let seed = Seed { time: Timestamp::from_unix(now), salt: [7; 32] };
        let attempt = Attempt { idempotency_key: Uuid::from_u128(9), seed, expires: Timestamp::from_unix(now + 600) };
        attempts.save(&name, &attempt).unwrap();
        assert_eq!(attempts.find(&name), Some(attempt));
        assert_eq!(attempts.find(&Attempts::name(key, &[1, 3], 0)), None);
        assert_eq!(attempts.find(&Attempts::name(key, &[1, 2], 1)), None);
        assert_eq!(attempts.find(&Attempts::name(KeyId(Uuid::from_u128(2)), &[1, 2], 0)), None);
        // Those that are over, or damaged, go with the next one.
        let over = Attempts::name(key, &[4], 0);
        attempts.save(&over, &Attempt { expires: Timestamp::from_unix(now - 1), ..attempt }).unwrap();
        fs::write(paths.attempts_folder().join("damaged.json"), "{").unwrap();
        assert_eq!(attempts.find(&over), None);
        attempts.save(&name, &attempt).unwrap();
        assert_eq!(fs::read_dir(paths.attempts_folder()).unwrap().count(), 1);
        attempts.remove(&name);
        assert_eq!(attempts.find(&name), None);
    }
}
