//! Notes of uses that wait: a file for each of them in the folder `waiting` of the state folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sealcard_api::{
    Timestamp,
    approvals::WaitingUse,
    ids::{ApprovalId, RequestId},
};
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, Paths, files},
    last::OperationKind,
    os,
};

/// A use of a key by a process of this user that waits for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingNote {
    /// The request that waits.
    pub request_id: RequestId,
    /// The approval that it waits for.
    pub approval: ApprovalId,
    /// The key's name, if it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// What the key is to do.
    pub operation: OperationKind,
    /// What is missing, as phrases.
    pub wants: Vec<String>,
    /// Names of people who can give it.
    pub approvers: Vec<String>,
    /// When it began to wait.
    pub since: Timestamp,
    /// Until when it waits.
    pub deadline: Timestamp,
    /// Until when it can be approved.
    pub expires: Timestamp,
    /// The process that waits.
    pub process: u32,
}

impl WaitingNote {
    /// A note of this process, of the present time.
    #[must_use]
    pub fn new(waiting: &WaitingUse, until: Timestamp, operation: OperationKind, key: Option<String>) -> Self {
        Self {
            request_id: waiting.request_id,
            approval: waiting.approval,
            key,
            operation,
            wants: waiting.wants.clone(),
            approvers: waiting.approvers.clone(),
            since: Timestamp::now(),
            deadline: until,
            expires: waiting.expires,
            process: std::process::id(),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn save(&self, paths: &Paths) -> Result<(), ConfigError> {
        let path = file(paths, self.request_id);
        let content = serde_json::to_vec(self).map_err(|error| ConfigError::invalid(&path, error))?;
        files::write_private(&path, &content)
    }

    /// Removes the note of a request.
    ///
    /// # Errors
    /// When the file can't be removed.
    pub fn remove(paths: &Paths, request: RequestId) -> Result<(), ConfigError> {
        files::remove(&file(paths, request)).map(drop)
    }

    /// The notes in force, the one that ends first in front. Those whose process or time ended are removed.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn list(paths: &Paths) -> Result<Vec<Self>, ConfigError> {
        let folder = paths.waiting_folder();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ConfigError::io("read", folder, error)),
        };
        let now = Timestamp::now();
        let mut notes = Vec::new();
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| is_note(path)) {
            match Self::load(&path).filter(|note| note.deadline > now && os::process_lives(note.process)) {
                Some(note) => notes.push(note),
                None => drop(files::remove(&path)?),
            }
        }
        notes.sort_by_key(|note: &Self| (note.deadline, note.request_id));
        Ok(notes)
    }

    fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&files::read(path).ok()??).ok()
    }
}

fn file(paths: &Paths, request: RequestId) -> PathBuf {
    paths.waiting_folder().join(format!("{request}.json"))
}

/// A file that is being written has another ending.
fn is_note(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::waiting::tests::waiting_use;

    #[test]
    fn notes_are_listed_until_their_process_or_time_ends() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("config"), folder.path().join("state")).unwrap();
        assert_eq!(WaitingNote::list(&paths).unwrap(), []);
        let waiting = waiting_use();
        let note = WaitingNote::new(&waiting, waiting.deadline, OperationKind::Sign, Some("tools/tags".to_owned()));
        note.save(&paths).unwrap();
        let other = |note: WaitingNote| WaitingNote { request_id: RequestId::new(), ..note };
        let past = Timestamp::from_unix(Timestamp::now().unix() - 1);
        other(WaitingNote { deadline: past, ..note.clone() }).save(&paths).unwrap();
        other(WaitingNote { process: u32::MAX - 1, ..note.clone() }).save(&paths).unwrap();
        fs::write(paths.waiting_folder().join("damaged.json"), "{").unwrap();
        fs::write(paths.waiting_folder().join("foreign"), "{").unwrap();
        assert_eq!(WaitingNote::list(&paths).unwrap(), std::slice::from_ref(&note));
        assert_eq!(fs::read_dir(paths.waiting_folder()).unwrap().count(), 2);
        WaitingNote::remove(&paths, note.request_id).unwrap();
        WaitingNote::remove(&paths, note.request_id).unwrap();
        assert_eq!(WaitingNote::list(&paths).unwrap(), []);
    }
}
