//! Space on the disk with the server's data.

use std::path::PathBuf;

use nix::sys::statvfs::statvfs;

/// With less than this, in bytes, nothing more can be signed soon.
const LEAST_SPACE: u64 = 1024 * 1024;

/// The disk with this folder.
#[derive(Debug, Clone)]
pub struct Disk(pub(super) PathBuf);

impl Disk {
    /// Why nothing can be written there. None also if the system does not tell.
    pub(super) fn reason(&self) -> Option<String> {
        let free = statvfs(&self.0).ok()?;
        let bytes = free.blocks_available().saturating_mul(free.fragment_size());
        (bytes < LEAST_SPACE).then(|| format!("The disk with {} is full.", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_space_is_full_and_one_that_is_not_there_says_nothing() {
        // It has no blocks at all.
        assert!(Disk("/proc".into()).reason().is_some());
        assert_eq!(Disk("/nowhere".into()).reason(), None);
    }
}
