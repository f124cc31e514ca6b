//! What becomes of the process's memory, and the only unsafe code of this crate: it calls the C library.

/// A block from this size on is mapped by itself and unmapped when it is freed.
#[cfg(target_env = "gnu")]
const LARGE: std::ffi::c_int = 1 << 20;

/// What is free at the end of the heap is given back from this size on: not with each buffer of a request.
#[cfg(target_env = "gnu")]
const TRIM: std::ffi::c_int = 2 << 20;

/// Has large blocks given back to the system as soon as they are freed, and what is free at the end of the heap when it
/// is much.
///
/// glibc raises its own bound with each such block that is freed (`mallopt(3)`, `M_MMAP_THRESHOLD`): after the first
/// check of a password, the 19 MiB of each further one would stay with the process. To be called before there are other
/// threads.
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: they take two numbers and no pointer; no other thread allocates yet.
    let set = unsafe {
        [nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, LARGE), nix::libc::mallopt(nix::libc::M_TRIM_THRESHOLD, TRIM)]
    };
    #[cfg(target_env = "gnu")]
    debug_assert_eq!(set, [1, 1], "mallopt refuses a bound");
}

/// Keeps passwords, grants and decrypted texts from core images and from debuggers of the same user. To be called first
/// in `main`.
///
/// # Errors
///
/// When the system refuses.
pub fn shield() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?)
}
