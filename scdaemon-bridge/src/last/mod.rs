//! What came of the last operation: `last.json` in the state folder, for `sealcard last`.
//!
//! libassuan throws away the text behind an error number, so gpg can only print "Forbidden" or "Network error". The
//! whole reason, with the server's request id, lies here.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use sealcard_api::{Fingerprint, Timestamp, ids::RequestId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{ConfigError, files};

/// One operation of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastOperation {
    /// When it ended.
    pub time: Timestamp,
    /// What was asked.
    pub operation: OperationKind,
    /// The key's name, if it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// The certificate's fingerprint, if it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<Fingerprint>,
    /// Whether it was done.
    pub outcome: Outcome,
    /// On failure: a stable code, the server's or one of this program (`unreachable`, `not-logged-in`, …).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// On failure: what gpg was told, such as `Forbidden`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpg_error: Option<String>,
    /// On failure: why, in full.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The request as it stands in the server's record and logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<RequestId>,
    /// On failure: what to do next.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advice: Option<String>,
}

/// What was asked of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// A signature.
    Sign,
    /// A signature by ssh's format (SSHSIG), such as git makes with `gpg.format=ssh`.
    SshSign,
    /// An ssh login.
    Authenticate,
    /// A decryption.
    Decrypt,
    /// gpg asked for a card that is not here.
    SelectCard,
}

/// Whether an operation was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was.
    Ok,
    /// It was not.
    Failed,
}

/// What the file holds: the newest operation, and the newest that failed, so that a success right after does not hide
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    newest: LastOperation,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    newest_failure: Option<LastOperation>,
}

/// The newest operation; `None` if there was none.
///
/// # Errors
/// If the file can't be read or understood.
pub fn load(path: &Path) -> Result<Option<LastOperation>, ConfigError> {
    Ok(load_stored(path)?.map(|stored| stored.newest))
}

/// The newest operation that failed; `None` if there was none.
///
/// # Errors
/// If the file can't be read or understood.
pub fn load_failure(path: &Path) -> Result<Option<LastOperation>, ConfigError> {
    Ok(load_stored(path)?.and_then(|stored| stored.newest_failure))
}

/// Notes an operation.
///
/// # Errors
/// If the file can't be written.
pub fn save(path: &Path, operation: &LastOperation) -> Result<(), ConfigError> {
    let newest_failure = match operation.outcome {
        Outcome::Failed => Some(operation.clone()),
        Outcome::Ok => load_failure(path).unwrap_or_default(),
    };
    let stored = Stored { newest: operation.clone(), newest_failure };
    let content = serde_json::to_vec_pretty(&stored)
        .map_err(|error| ConfigError::Invalid { path: path.to_owned(), reason: error.to_string() })?;
    replace(path, &content).map_err(|source| ConfigError::Io { action: "write", path: path.to_owned(), source })
}

/// Replaces the file as a whole, but does not wait for the disk: what is lost in a power failure is not worth slowing
/// down the disk that server and signer may share with this file.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    files::make_private_folder(folder).map_err(io::Error::other)?;
    let temporary = folder.join(format!(".last.{}.tmp", Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn load_stored(path: &Path) -> Result<Option<Stored>, ConfigError> {
    let Some(content) = files::read(path)? else { return Ok(None) };
    serde_json::from_slice(&content)
        .map(Some)
        .map_err(|error| ConfigError::Invalid { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn operation(outcome: Outcome, time: i64) -> LastOperation {
        LastOperation {
            time: Timestamp::from_unix(time),
            operation: OperationKind::Sign,
            key: Some("release".to_owned()),
            fingerprint: Some(Fingerprint([1; 20])),
            outcome,
            code: None,
            gpg_error: None,
            reason: None,
            request_id: Some(RequestId::new()),
            advice: None,
        }
    }

    #[test]
    fn a_success_does_not_hide_the_failure_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.json");
        assert_eq!(load(&path).unwrap(), None);
        let failure = operation(Outcome::Failed, 1);
        let success = operation(Outcome::Ok, 2);
        save(&path, &failure).unwrap();
        assert_eq!(load(&path).unwrap(), Some(failure.clone()));
        save(&path, &success).unwrap();
        assert_eq!(load(&path).unwrap(), Some(success));
        assert_eq!(load_failure(&path).unwrap(), Some(failure));
    }
}
