//! Space on the disk with the server's data.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

/// The disk with this folder.
#[derive(Debug, Clone)]
pub struct Disk {
    folder: PathBuf,
    /// Free bytes below which it is full.
    reserve: u64,
}

impl Disk {
    pub(super) fn new(folder: &Path, reserve: u64) -> Self {
        Self { folder: folder.to_owned(), reserve }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether less than the reserve is free there. Not if the system does not tell.
    pub(super) fn is_full(&self) -> bool {
        statvfs(&self.folder)
            .is_ok_and(|free| free.blocks_available().saturating_mul(free.fragment_size()) < self.reserve)
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
