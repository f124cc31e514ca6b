//! What an auditor remembers of a log: its newest checkpoint, and how far it was verified.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use data_encoding::BASE64;
use sealcard_transparency::{Checkpoint, Frontier, Note, TreeHead};
use serde::{Deserialize, Serialize};

use crate::{finding::Finding, trust::Trusted};

/// The layout that this release writes.
const FORMAT: u32 = 1;

/// The file of `--state`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    format: u32,
    origin: String,
    /// The keys that the log stated when it was seen first. Absent if a policy names them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) keys: Option<String>,
    /// The newest checkpoint that was seen.
    checkpoint: String,
    /// The frontier of the part that was verified, in base64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    verified: Option<String>,
    /// Whether the entries themselves were verified too.
    #[serde(default)]
    entries: bool,
}

impl State {
    /// What is remembered of a log that was seen for the first time.
    pub(crate) fn new(seen: &Trusted, keys: Option<String>) -> Self {
        let (origin, checkpoint) = (seen.origin.clone(), seen.note.to_string());
        Self { format: FORMAT, origin, keys, checkpoint, verified: None, entries: false }
    }

    /// Reads a file. None if it does not exist.
    ///
    /// # Errors
    /// If it can't be read, or is no such file.
    pub(crate) fn load(file: &Path) -> anyhow::Result<Option<Self>> {
        let name = || file.display().to_string();
        let text = match fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(name),
        };
        let state: Self = serde_json::from_slice(&text).with_context(|| format!("{}: no state of a log", name()))?;
        ensure!(state.format == FORMAT, "{}: it was written by another release", name());
        state.tree().with_context(name)?;
        ensure!(state.verified.is_none() || state.frontier().is_some(), "{}: it is damaged", name());
        Ok(Some(state))
    }

    /// Puts it in the place of a file, whole and durable.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn save(&self, file: &Path) -> anyhow::Result<()> {
        let write = || -> anyhow::Result<()> {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
            let mut written = tempfile::Builder::new().prefix(".new-").tempfile_in(&folder)?;
            written.write_all(&serde_json::to_vec_pretty(self)?)?;
            written.as_file().sync_all()?;
            written.persist(file)?;
            Ok(File::open(folder)?.sync_all()?)
        };
        write().with_context(|| file.display().to_string())
    }

    /// Size and root of the newest checkpoint that was seen.
    pub(crate) fn tree(&self) -> anyhow::Result<TreeHead> {
        Ok(*Checkpoint::parse(Note::parse(self.checkpoint.as_bytes())?.text())?.tree())
    }

    /// The newest checkpoint that was seen.
    pub(crate) fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// The log goes on: it is the same one and did not shrink. What remains is to prove that it only grew.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn expect(&self, seen: &Trusted) -> Result<TreeHead, Finding> {
        if self.origin != seen.origin {
            return Err(Finding::OtherLog { known: self.origin.clone(), found: seen.origin.clone() });
        }
        let known = self.tree().map_err(|error| Finding::Checkpoint(error.to_string()))?;
        if known.size > seen.tree.size {
            return Err(Finding::WentBack { known: known.size, found: seen.tree.size });
        }
        Ok(known)
    }

    /// Remembers a newer checkpoint.
    pub(crate) fn advance(&mut self, seen: &Trusted) {
        self.checkpoint = seen.note.to_string();
    }

    /// The part that was verified, whose entries were verified too if they are to be.
    pub(crate) fn verified(&self, with_entries: bool) -> Option<Frontier> {
        self.frontier().filter(|_| self.entries || !with_entries)
    }

    /// Whether the entries were there.
    pub(crate) const fn had_entries(&self) -> bool {
        self.entries
    }

    fn frontier(&self) -> Option<Frontier> {
        Frontier::from_bytes(&BASE64.decode(self.verified.as_ref()?.as_bytes()).ok()?)
    }

    /// Remembers how far the log was verified.
    pub(crate) fn set_verified(&mut self, verified: &Frontier, with_entries: bool) {
        self.verified = Some(BASE64.encode(&verified.to_bytes()));
        self.entries = with_entries;
    }
}
