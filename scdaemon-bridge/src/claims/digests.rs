//! SHA-256 of executables: each is computed once for as long as this process runs.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    sync::Arc,
    thread,
};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Executables that are remembered. With more, all are forgotten.
const MAX_KNOWN: usize = 1024;

/// A larger executable has no digest, in bytes.
const MAX_SIZE: u64 = 1024 * 1024 * 1024;

/// Bytes that are read at once.
const BLOCK: usize = 128 * 1024;

/// The digests that are known or being computed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digests {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<HashMap<FileId, State>>,
    computed: Notify,
}

#[derive(Debug, Clone)]
enum State {
    BeingComputed,
    Known(String),
    /// It can't be read.
    Unreadable,
}

/// What tells one state of one file from any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileId {
    fn of(facts: &Metadata) -> Self {
        Self {
            device: facts.dev(),
            inode: facts.ino(),
            size: facts.size(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        }
    }
}

impl Digests {
    /// Begins to compute the file's digest on another thread, unless it is known.
    pub(crate) fn begin(&self, file: File) -> Option<FileId> {
        let id = FileId::of(&file.metadata().ok()?);
        if id.size > MAX_SIZE {
            return None;
        }
        {
            let mut known = self.shared.known.lock();
            if known.contains_key(&id) {
                return Some(id);
            }
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(id, State::BeingComputed);
        }
        let shared = Arc::clone(&self.shared);
        let begun = thread::Builder::new().name("digest".to_owned()).spawn(move || {
            let state = digest(file, id).map_or(State::Unreadable, State::Known);
            shared.known.lock().insert(id, state);
            shared.computed.notify_waiters();
        });
        if begun.is_err() {
            self.shared.known.lock().remove(&id);
            return None;
        }
        Some(id)
    }

    /// The digest in hexadecimal, if it has been computed.
    pub(crate) fn get(&self, id: &FileId) -> Option<String> {
        match self.shared.known.lock().get(id) {
            Some(State::Known(digest)) => Some(digest.clone()),
            _ => None,
        }
    }

    /// Waits until nothing of these files is being computed.
    pub(crate) async fn wait_for(&self, files: &[FileId]) {
        loop {
            let computed = self.shared.computed.notified();
            let mut computed = std::pin::pin!(computed);
            // Whoever ends from here on is noticed.
            computed.as_mut().enable();
            let wait = {
                let known = self.shared.known.lock();
                files.iter().any(|id| matches!(known.get(id), Some(State::BeingComputed)))
            };
            if !wait {
                return;
            }
            computed.await;
        }
    }
}

fn digest(mut file: File, id: FileId) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut block = vec![0; BLOCK];
    loop {
        let length = file.read(&mut block)?;
        let Some(read) = block.get(..length).filter(|read| !read.is_empty()) else { break };
        context.update(read);
    }
    if FileId::of(&file.metadata()?) == id {
        return Ok(HEXLOWER.encode(context.finish().as_ref()));
    }
    Err(io::Error::other("the file changed while it was read"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn digest_is_of_the_content_and_computed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        std::fs::write(&path, "abc").unwrap();
        let digests = Digests::default();
        let id = digests.begin(File::open(&path).unwrap()).unwrap();
        digests.wait_for(&[id]).await;
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digests.get(&id).as_deref(), Some(abc));
        let again = digests.begin(File::open(&path).unwrap()).unwrap();
        assert_eq!((again, digests.get(&again).as_deref()), (id, Some(abc)));

        std::fs::write(&path, "abcd").unwrap();
        let changed = digests.begin(File::open(&path).unwrap()).unwrap();
        assert_ne!(changed, id);
        digests.wait_for(&[id, changed]).await;
        assert_ne!(digests.get(&changed).as_deref(), Some(abc));
    }

    #[tokio::test]
    async fn unreadable_file_has_no_digest_and_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let digests = Digests::default();
        let id = digests.begin(File::open(folder.path()).unwrap()).unwrap();
        digests.wait_for(&[id]).await;
        assert_eq!(digests.get(&id), None);
    }
}
