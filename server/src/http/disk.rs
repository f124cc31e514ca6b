//! Space on the disk with the server's data.

use std::path::PathBuf;

use crate::limits;
use nix::sys::statvfs::statvfs;

/// The disk with this folder.
#[derive(Debug, Clone)]
pub struct Disk(pub(super) PathBuf);

impl Disk {
    /// Whether nothing can be written there. Not if the system does not tell.
    pub(super) fn is_full(&self) -> bool {
        statvfs(&self.0)
            .is_ok_and(|free| free.blocks_available().saturating_mul(free.fragment_size()) < limits::LEAST_DISK_SPACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_space_is_full_and_one_that_is_not_there_says_nothing() {
        // It has no blocks at all.
        assert!(Disk("/proc".into()).is_full());
        assert!(!Disk("/nowhere".into()).is_full());
    }
}
