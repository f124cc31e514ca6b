//! What the operating system must do for a process that holds keys, and the only unsafe code of this crate: taking over
//! an inherited descriptor, locking memory and ending at once have no safe form.

use std::{
    fs::{self, Permissions},
    io,
    ops::Deref,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    ptr::NonNull,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::{
        mman::{MlockAllFlags, mlock, mlockall, munlock},
        prctl,
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
        socket::{MsgFlags, SockType, getsockopt, sockopt},
        stat::{Mode, umask},
    },
};
use zeroize::Zeroizing;

/// Makes the process keep to itself: no core image, no debugger of the same user, new files for the owner only, no
/// descriptors but stdin, stdout, stderr and `keep`. Call it first, from `main`.
///
/// # Errors
/// If the system refuses. Then no key may be touched.
pub(crate) fn harden(keep: RawFd) -> io::Result<()> {
    shield()?;
    // The server decides when the signer ends, by closing the socket: a Ctrl-C in the terminal or a stop of the whole
    // service must not take the signer away from requests that are still being answered. A full file size limit must
    // be an error of write(2), not the end.
    let mut blocked = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGXFSZ] {
        blocked.add(signal);
    }
    blocked.thread_block()?;
    close_inherited(keep)
}

/// No core image, no debugger of the same user, new files for the owner only.
///
/// # Errors
/// If the system refuses.
pub(crate) fn shield() -> io::Result<()> {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    prctl::set_dumpable(false)?;
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

/// Ends the process at once. A usual exit runs what libraries have left to be run at the end, and takes their memory
/// away while other threads may be inside a module: that crashes, or waits for a lock that nobody gives back.
#[allow(unsafe_code)]
pub(crate) fn end_at_once(status: i32) -> ! {
    // SAFETY: it takes a plain number, may be called at any time and does not return.
    unsafe { nix::libc::_exit(status) }
}

/// Ends the process when the one that started it ends, however that comes about, and gives it its parent's name.
///
/// # Errors
/// If the system refuses.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // Started through /proc/self/exe, it would be shown as `exe`.
    prctl::set_name(c"sealcard-signer")?;
    // If the parent has ended before this: its end of the socket is closed, which is noticed too.
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// Keeps all memory of the process out of swap, now and later, if no limit stands against it: with a limit, memory that
/// is needed later could not be had. Gives whether it did.
pub(crate) fn lock_memory() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY);
    // Pages are locked as they are used: stacks and heaps reserve more than that.
    let flags = MlockAllFlags::MCL_CURRENT
        | MlockAllFlags::MCL_FUTURE
        | MlockAllFlags::from_bits_retain(nix::libc::MCL_ONFAULT);
    (unlimited || has_capability(CAP_IPC_LOCK)) && mlockall(flags).is_ok()
}

/// Whether the process has a capability (`capabilities(7)`).
fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|set| set >> number & 1 == 1)
}

fn close_inherited(keep: RawFd) -> io::Result<()> {
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2 && *fd != keep)
        .collect();
    for fd in open {
        // The listing's own descriptor is closed already.
        match nix::unistd::close(fd) {
            Ok(()) | Err(Errno::EBADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Takes over the inherited Unix stream socket `fd`. Call it once for a descriptor, before anything else is opened.
///
/// # Errors
/// If `fd` is not an open stream socket.
#[allow(unsafe_code)]
pub(crate) fn inherited_socket(fd: RawFd) -> io::Result<UnixStream> {
    if fd < 0 || nix::sys::stat::fstat(borrowed(fd)).is_err() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("file descriptor {fd} is not open")));
    }
    // SAFETY: the descriptor is open (checked above), was inherited for this process and is taken over once, here;
    // nothing else in the process knows its number.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    let kind = getsockopt(&owned, sockopt::SockType).map_err(|_| not_a_stream(fd))?;
    if kind != SockType::Stream {
        return Err(not_a_stream(fd));
    }
    fcntl(&owned, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(UnixStream::from(owned))
}

/// Takes over the Unix socket that a service manager listens on for this process (`sd_listen_fds(3)`). Call it once,
/// before anything else is opened.
///
/// # Errors
/// If there is not exactly one, or it is no Unix socket that listens.
pub(crate) fn inherited_listener() -> io::Result<UnixListener> {
    /// Where they begin.
    const FIRST: RawFd = 3;
    let said = |name| std::env::var(name).ok();
    let one = said("LISTEN_FDS").as_deref() == Some("1");
    if !one || said("LISTEN_PID") != Some(std::process::id().to_string()) {
        let message = "no service manager has given this process a socket: start its socket unit, or use --socket";
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let owned = OwnedFd::from(inherited_socket(FIRST)?);
    if !getsockopt(&owned, sockopt::AcceptConn)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the given socket does not listen"));
    }
    Ok(UnixListener::from(owned))
}

/// Listens on a new Unix socket to which this process's group may connect. One that was left behind is replaced.
///
/// # Errors
/// If something else has this name, or a process listens there.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match UnixStream::connect(path) {
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        // Only a socket refuses.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_socket(path) => fs::remove_file(path)?,
        Err(_) => (),
    }
    // Nobody may connect before the mode is right.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

#[allow(unsafe_code)]
fn borrowed(fd: RawFd) -> impl AsFd {
    // SAFETY: used for one system call only, which answers EBADF if the descriptor is not open; `fd` is not -1.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

fn not_a_stream(fd: RawFd) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("file descriptor {fd} is not a stream socket"))
}

/// 32 secret bytes that stay in one place, are kept out of swap where the system allows it, and are wiped when dropped.
pub(crate) struct LockedKey {
    bytes: Box<Zeroizing<[u8; 32]>>,
    locked: bool,
}

impl LockedKey {
    #[allow(unsafe_code)]
    pub(crate) fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let bytes = Box::new(bytes);
        // SAFETY: the range is the box's own allocation; locking pages changes no content.
        let locked = unsafe { mlock(NonNull::from(&**bytes).cast(), size_of::<[u8; 32]>()) }.is_ok();
        Self { bytes, locked }
    }

    /// Whether the system locked the page. It refuses when `ulimit -l` is used up.
    pub(crate) const fn is_locked(&self) -> bool {
        self.locked
    }
}

/// Whether bytes have arrived on the socket that nobody has read.
pub(crate) fn is_readable(socket: &UnixStream) -> bool {
    use nix::sys::socket::recv;
    let mut byte = Zeroizing::new([0]);
    recv(socket.as_raw_fd(), &mut *byte, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT).is_ok_and(|n| n > 0)
}

impl Deref for LockedKey {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl Drop for LockedKey {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.bytes.zeroize();
        if self.locked {
            // SAFETY: the range that `new` locked; it is still allocated.
            let _ = unsafe { munlock(NonNull::from(&**self.bytes).cast(), size_of::<[u8; 32]>()) };
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn socket_of_a_dead_listener_is_replaced_for_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(listen(&path).unwrap());
        let _listener = listen(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    }

    #[test]
    fn socket_in_use_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = listen(&path).unwrap();
        assert_eq!(listen(&path).unwrap_err().to_string(), "another process listens there");
        let file = folder.path().join("file");
        fs::write(&file, "content").unwrap();
        assert!(listen(&file).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"content");
    }
}
