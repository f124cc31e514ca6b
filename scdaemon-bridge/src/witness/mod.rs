//! This workstation as a witness of the record's log: it remembers the newest checkpoint that it saw, and finds a log
//! that lost entries or has others than before.

use std::path::Path;

use sealcard_api::log::{LogConsistency, LogStatus};
use sealcard_transparency::{Checkpoint, Hash, Note, PolicyError, TreeHead, TrustPolicy, verify_consistency};
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, files},
    remote::{Remote, RemoteError, path},
};

/// The layout that this release writes.
const FORMAT: u32 = 1;

/// More servers than this are not remembered: the one that was seen first is forgotten.
const MAX_SERVERS: usize = 32;

/// `known-logs.json` in the state folder.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    /// The one that was seen last is the last.
    logs: Vec<KnownLog>,
}

/// A log as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLog {
    /// The address of the server.
    pub server: String,
    /// The log's name.
    pub origin: String,
    /// Its public keys.
    pub keys: Vec<String>,
    /// The newest checkpoint that was seen.
    pub checkpoint: String,
}

/// Why the log can't be trusted, or was not looked at.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The server could not be asked. Retrying may help.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The file can't be read or written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What the server showed is no checkpoint of its log. Retrying can't help.
    #[error("{0} shows a checkpoint of its record that is not valid: {1}")]
    NotValid(String, String),
    /// The log has another name or other keys than it had. Retrying can't help before a person looked.
    #[error(
        "the record of {server} is another one than before: it was {before} and is {now} now. If an administrator has \
         told you so, accept it: sealcard receipt --accept-log"
    )]
    Other {
        /// The server.
        server: String,
        /// The log's name and key.
        before: String,
        /// Those of now.
        now: String,
    },
    /// The server shows no log any more. Retrying helps within a second if the server has just begun a new one.
    #[error(
        "{server} proves its record to nobody any more, though it did under the name {before}. Tell your security officer"
    )]
    Gone {
        /// The server.
        server: String,
        /// The log's name.
        before: String,
    },
    /// Entries that were there are gone. Retrying can't help.
    #[error(
        "the record of {server} went back: it had {before} entries when this computer last saw it, and has {now} now. \
         Entries were removed, or an old copy was restored. Tell your security officer"
    )]
    WentBack {
        /// The server.
        server: String,
        /// How many entries it had.
        before: u64,
        /// How many it has.
        now: u64,
    },
    /// The server shows more entries and does not prove that those of before are among them. Retrying can't help.
    #[error(
        "{server} does not prove that its record still has the {before} entries that this computer saw. Tell your \
         security officer"
    )]
    NotProved {
        /// The server.
        server: String,
        /// How many entries were seen.
        before: u64,
    },
    /// Entries are others than before. Retrying can't help.
    #[error(
        "the record of {server} was rewritten: its first {before} entries are not those that this computer saw. Tell your \
         security officer"
    )]
    Rewritten {
        /// The server.
        server: String,
        /// How many entries were seen.
        before: u64,
    },
}

impl WitnessError {
    /// Whether the server's record is not what it was, other than that the server can't be asked.
    #[must_use]
    pub const fn is_alarm(&self) -> bool {
        !matches!(self, Self::Remote(_) | Self::Config(_))
    }
}

/// What a server says of its log, checked by its own keys.
#[derive(Debug, Clone)]
pub struct SeenLog {
    /// The log as it is remembered.
    pub known: KnownLog,
    /// Trusts the log's own keys.
    pub policy: TrustPolicy,
    /// Size and root.
    pub tree: TreeHead,
}

/// Reads what is remembered of all servers.
///
/// # Errors
/// If the file can't be read or understood.
pub fn known(file: &Path) -> Result<Vec<KnownLog>, ConfigError> {
    let Some(content) = files::read(file)? else { return Ok(Vec::new()) };
    let invalid = |reason: String| ConfigError::Invalid { path: file.to_owned(), reason };
    let File { format, logs } = serde_json::from_slice(&content).map_err(|error| invalid(error.to_string()))?;
    if format == FORMAT { Ok(logs) } else { Err(invalid(format!("has format {format}"))) }
}

/// Checks a checkpoint by the keys that come with it.
///
/// # Errors
/// If it is not valid.
pub fn read(server: &str, status: LogStatus) -> Result<SeenLog, WitnessError> {
    let not_valid = |error: &dyn std::fmt::Display| WitnessError::NotValid(server.to_owned(), error.to_string());
    let policy = trust(&status.keys).map_err(|error| not_valid(&error))?;
    let note = Note::parse(status.checkpoint.as_bytes()).map_err(|error| not_valid(&error))?;
    let tree = {
        let accepted = policy.check(&note).map_err(|error| not_valid(&error))?;
        if accepted.checkpoint.origin() != status.origin {
            return Err(not_valid(&"it is of another log"));
        }
        *accepted.checkpoint.tree()
    };
    let known =
        KnownLog { server: server.to_owned(), origin: status.origin, keys: status.keys, checkpoint: status.checkpoint };
    Ok(SeenLog { known, policy, tree })
}

/// Trusts the logs with these keys, without witnesses.
///
/// # Errors
/// If they are none.
pub fn trust<'a>(keys: impl IntoIterator<Item = &'a String>) -> Result<TrustPolicy, PolicyError> {
    let logs: String = keys.into_iter().map(|key| format!("log {key}\n")).collect();
    TrustPolicy::parse(format!("{logs}quorum none\n").as_bytes())
}

/// Asks the server for its newest checkpoint, compares it with the one that is remembered, and remembers it. `None` if
/// the server publishes no log and none was known.
///
/// # Errors
/// See [`WitnessError`].
pub async fn witness(remote: &Remote, server: &str, file: &Path) -> Result<Option<SeenLog>, WitnessError> {
    let before = known(file)?.into_iter().find(|known| known.server == server);
    let status: LogStatus = match remote.get(&path(&["log"])).await {
        Ok(status) => status,
        // A log that was there does not vanish unseen.
        Err(RemoteError::Problem(problem)) if problem.status == 404 => {
            return match before {
                None => Ok(None),
                Some(before) => Err(WitnessError::Gone { server: server.to_owned(), before: before.origin }),
            };
        }
        Err(error) => return Err(error.into()),
    };
    let seen = read(server, status)?;
    if let Some(before) = before {
        let older = tree_of(&before)
            .ok_or_else(|| ConfigError::Invalid { path: file.to_owned(), reason: "holds no checkpoint".to_owned() })?;
        if before.origin != seen.known.origin || before.keys != seen.known.keys {
            return Err(WitnessError::Other {
                server: server.to_owned(),
                before: before.origin,
                now: seen.known.origin,
            });
        }
        compare(remote, server, &older, &seen.tree).await?;
    }
    remember(file, &seen)?;
    Ok(Some(seen))
}

/// Remembers a server's log, whatever was known of it before.
///
/// # Errors
/// If the file can't be read or written.
pub fn remember(file: &Path, seen: &SeenLog) -> Result<(), ConfigError> {
    let mut logs = known(file)?;
    if logs.last() == Some(&seen.known) {
        return Ok(());
    }
    logs.retain(|log| log.server != seen.known.server);
    logs.push(seen.known.clone());
    let surplus = logs.len().saturating_sub(MAX_SERVERS);
    let content = serde_json::to_vec(&File { format: FORMAT, logs: logs.split_off(surplus) })
        .map_err(|error| ConfigError::Invalid { path: file.to_owned(), reason: error.to_string() })?;
    files::write_private(file, &content)
}

async fn compare(remote: &Remote, server: &str, older: &TreeHead, newer: &TreeHead) -> Result<(), WitnessError> {
    let rewritten = || WitnessError::Rewritten { server: server.to_owned(), before: older.size };
    if newer.size < older.size {
        return Err(WitnessError::WentBack { server: server.to_owned(), before: older.size, now: newer.size });
    }
    if newer.size == older.size {
        return if newer.root == older.root { Ok(()) } else { Err(rewritten()) };
    }
    let route = format!("{}?from={}&to={}", path(&["log", "consistency"]), older.size, newer.size);
    let answer: LogConsistency = match remote.get(&route).await {
        Ok(answer) => answer,
        // It has shown a newer checkpoint and does not prove it. Only a server that is too busy is asked again later.
        Err(RemoteError::Problem(problem)) if !matches!(problem.status, 401 | 429 | 503) => {
            return Err(WitnessError::NotProved { server: server.to_owned(), before: older.size });
        }
        Err(error) => return Err(error.into()),
    };
    let proof: Option<Vec<Hash>> = answer.proof.iter().map(|hash| Hash::from_base64(hash)).collect();
    let proof = proof.ok_or_else(rewritten)?;
    verify_consistency(older, newer, &proof).map_err(|_| rewritten())
}

/// The tree of a checkpoint that was checked when it was written.
fn tree_of(known: &KnownLog) -> Option<TreeHead> {
    let note = Note::parse(known.checkpoint.as_bytes()).ok()?;
    Some(*Checkpoint::parse(note.text()).ok()?.tree())
}
