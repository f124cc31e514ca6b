//! Space on the disk with the server's data.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

/// The disk with this folder.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    folder: PathBuf,
    /// Free bytes below which it is full.
    reserve: u64,
}

impl Disk {
    pub(crate) fn new(folder: &Path, reserve: u64) -> Self {
        Self { folder: folder.to_owned(), reserve }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether less than the reserve is free there. Not if the system does not tell.
    pub(super) fn is_full(&self) -> bool {
        self.free_bytes().is_some_and(|free| free < self.reserve)
    }

    /// What is free there for others than root, if the system tells.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let free = statvfs(&self.folder).ok()?;
        Some(free.blocks_available().saturating_mul(free.fragment_size()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_space_is_full_and_one_that_is_not_there_says_nothing() {
        // It has no blocks at all.
        assert!(Disk::new(Path::new("/proc"), 1).is_full());
        assert!(!Disk::new(Path::new("/nowhere"), 1).is_full());
    }

    #[test]
    fn disk_is_full_below_its_reserve() {
        let folder = std::env::temp_dir();
        assert!(!Disk::new(&folder, 0).is_full());
        assert!(Disk::new(&folder, u64::MAX).is_full());
    }
}
