//! Bytes with descriptors over a Unix socket (`unix(7)`, `SCM_RIGHTS`). The only unsafe code of this crate: taking over
//! a descriptor that was received has no safe form.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// Descriptors that one message brings along at most.
const MAX_DESCRIPTORS: usize = 4;

/// Sends bytes with descriptors, once; gives how many bytes were sent. The descriptors travel with the first byte.
///
/// # Errors
/// If the socket does not take them.
pub(super) fn send_with_descriptors(
    socket: BorrowedFd<'_>,
    bytes: IoSlice<'_>,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let numbers: Vec<RawFd> = descriptors.iter().map(std::os::fd::AsRawFd::as_raw_fd).collect();
    let with = [ControlMessage::ScmRights(&numbers)];
    let with = if numbers.is_empty() { &[] } else { with.as_slice() };
    Ok(sendmsg::<()>(socket.as_raw_fd(), &[bytes], with, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Reads bytes and the descriptors that came with them, once.
///
/// # Errors
/// If the socket can't be read.
#[allow(unsafe_code)]
pub(super) fn receive_with_descriptors(
    socket: BorrowedFd<'_>,
    bytes: IoSliceMut<'_>,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut parts = [bytes];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just made these descriptors for this process; nothing else knows them.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok((message.bytes, descriptors))
}
