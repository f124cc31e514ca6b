//! Whether the program's file is still the one that was started.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The file of the running program, as it was at the start.
#[derive(Debug)]
pub(super) struct Executable {
    path: PathBuf,
    identity: Option<Identity>,
}

impl Executable {
    /// This program's. Look at the start: afterwards the system may no longer know the file's name.
    pub(super) fn current() -> Option<Self> {
        std::env::current_exe().ok().map(Self::at)
    }

    fn at(path: PathBuf) -> Self {
        let identity = Identity::of(&path);
        Self { path, identity }
    }

    /// Whether another file lies there now, or none: an upgrade has taken place.
    pub(super) fn is_replaced(&self) -> bool {
        Identity::of(&self.path) != self.identity
    }
}

/// What tells one file from another in the same place.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        path.metadata().ok().as_ref().map(Self::from)
    }
}

impl From<&Metadata> for Identity {
    fn from(facts: &Metadata) -> Self {
        Self { device: facts.dev(), inode: facts.ino(), modified: (facts.mtime(), facts.mtime_nsec()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_was_replaced_or_removed_is_told_from_the_one_that_was_started() {
        let folder = tempfile::tempdir().unwrap();
        let (program, beside) = (folder.path().join("program"), folder.path().join("program.new"));
        fs::write(&program, "old").unwrap();
        let executable = Executable::at(program.clone());
        assert!(!executable.is_replaced());
        fs::write(&beside, "new").unwrap();
        assert!(!executable.is_replaced());
        fs::rename(beside, &program).unwrap();
        assert!(executable.is_replaced());
        fs::remove_file(program).unwrap();
        assert!(executable.is_replaced());
    }
}
