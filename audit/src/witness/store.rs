//! What a witness has cosigned, durable before anybody gets a cosignature.

use std::{
    fs::{self, DirBuilder, File},
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, ensure};
use sealcard_transparency::{
    AddCheckpoint, Checkpoint, KnownLog, Note, Refusal, RequestError, SeedSigner, Signature, TreeHead, VerifierKey,
    judge, monitoring_path, sign,
};
use tokio::sync::Mutex;

/// The logs, the keys, and the newest checkpoint of each log.
pub(super) struct Store {
    folder: PathBuf,
    logs: Vec<VerifierKey>,
    keys: Vec<SeedSigner>,
    /// Held from reading what is known of a log to writing it: else two requests could make a log go back. No other
    /// process has the folder meanwhile.
    lock: Mutex<File>,
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub(super) enum AddError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The folder can't be used, or a key does not sign. Retrying may help.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl Store {
    /// Opens the folder, which is made if it does not exist.
    ///
    /// # Errors
    /// If it can't be used, another witness uses it, or a checkpoint in it is damaged.
    pub(super) fn open(folder: &Path, logs: Vec<VerifierKey>, keys: Vec<SeedSigner>) -> anyhow::Result<Self> {
        let name = || folder.display().to_string();
        DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(name)?;
        let lock = File::open(folder).with_context(name)?;
        ensure!(lock.try_lock().is_ok(), "{}: another witness uses it", name());
        let store = Self { folder: folder.to_owned(), logs, keys, lock: Mutex::new(lock) };
        for log in &store.logs {
            store.known(log.name().as_str())?;
        }
        Ok(store)
    }

    /// Cosigns a checkpoint that continues the newest one.
    ///
    /// # Errors
    /// See [`AddError`].
    pub(super) async fn add(&self, body: &[u8]) -> Result<Vec<Signature>, AddError> {
        let request = AddCheckpoint::parse(body).map_err(Refusal::from)?;
        let _held = self.lock.lock().await;
        let checkpoint = Checkpoint::parse(request.note.text()).map_err(RequestError::from).map_err(Refusal::from)?;
        let keys: Vec<VerifierKey> =
            self.logs.iter().filter(|log| log.name().as_str() == checkpoint.origin()).cloned().collect();
        // What is not known here is not looked for in the folder.
        let cosigned = if keys.is_empty() { TreeHead::EMPTY } else { self.known(checkpoint.origin())? };
        let checkpoint = judge(&request, |_| (!keys.is_empty()).then_some(KnownLog { keys: &keys, cosigned }))?;
        let signatures = self.sign(request.note.text())?;
        let mut note = Note::new(request.note.text().to_owned()).context("the checkpoint")?;
        let of_log =
            request.note.signatures().iter().filter(|signature| {
                keys.iter().any(|key| key.name() == signature.name() && key.id() == signature.id())
            });
        for signature in of_log.chain(&signatures) {
            note.add(signature.clone()).context("the checkpoint")?;
        }
        self.write(checkpoint.origin(), &note)?;
        Ok(signatures)
    }

    fn sign(&self, text: &str) -> anyhow::Result<Vec<Signature>> {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        self.keys.iter().map(|key| sign(text, time, key).context("a key does not sign")).collect()
    }

    /// The newest cosigned checkpoint below this path, which is [`monitoring_path`] of a log's name. None if there is none.
    ///
    /// # Errors
    /// If the folder can't be read.
    pub(super) fn newest(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(log) = self.logs.iter().find(|log| monitoring_path(log.name().as_str()) == path) else {
            return Ok(None);
        };
        self.read(log.name().as_str())
    }

    /// What was cosigned last of a log. A file that can't be read is an error, not the beginning of a log.
    fn known(&self, origin: &str) -> anyhow::Result<TreeHead> {
        let Some(note) = self.read(origin)? else { return Ok(TreeHead::EMPTY) };
        let name = || self.file(origin).display().to_string();
        let checkpoint = Checkpoint::parse(Note::parse(&note).with_context(name)?.text()).with_context(name)?;
        ensure!(checkpoint.origin() == origin, "{}: it is of another log", name());
        Ok(*checkpoint.tree())
    }

    fn file(&self, origin: &str) -> PathBuf {
        self.folder.join(monitoring_path(origin))
    }

    fn read(&self, origin: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let file = self.file(origin);
        match fs::read(&file) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| file.display().to_string()),
        }
    }

    fn write(&self, origin: &str, note: &Note) -> anyhow::Result<()> {
        let file = self.file(origin);
        let write = || -> anyhow::Result<()> {
            let folder = file.parent().context("no folder")?;
            fs::create_dir_all(folder)?;
            let mut written = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
            written.write_all(note.to_string().as_bytes())?;
            written.as_file().sync_all()?;
            written.persist(&file)?;
            File::open(folder)?.sync_all()?;
            // The folder of the log may be new.
            Ok(File::open(&self.folder)?.sync_all()?)
        };
        write().with_context(|| file.display().to_string())
    }
}
