//! A storage layer that loses what was not synced.
//!
//! Preloaded into a process (`LD_PRELOAD`) it watches one folder, `DROPSHIM_FOLDER`, and keeps beside it, in
//! `DROPSHIM_SHADOW`, what a disk would hold after a power failure: a file's content as it was at its last `fsync` or
//! `fdatasync`, and a folder's names as they were when it was last synced. (As on ext4 and XFS, syncing a new file
//! makes its name durable too.) A test kills the process, puts the shadow in the folder's place and starts again.
//!
//! Writes need no interception: what is copied at a sync is the file at that moment, and each file of interest has one
//! writer at a time, the one that syncs it.

#![allow(unsafe_code)] // fsync and fdatasync of the C library are replaced.

mod shadow;

use libc::{SYS_fdatasync, SYS_fsync, c_int};

/// `fsync(2)`, noting what is durable afterwards.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    // SAFETY: the system call takes any number as descriptor and touches no memory.
    let result = unsafe { libc::syscall(SYS_fsync, fd) };
    finish(fd, result)
}

/// `fdatasync(2)`, noting what is durable afterwards.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    // SAFETY: as above.
    let result = unsafe { libc::syscall(SYS_fdatasync, fd) };
    finish(fd, result)
}

fn finish(fd: c_int, result: libc::c_long) -> c_int {
    if result == 0 {
        shadow::synced(fd);
    }
    c_int::try_from(result).unwrap_or(-1)
}
