//! Which sockets of the Unix domain are connected with which: sock_diag(7).

use std::{
    ffi::OsStr,
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::PathBuf,
};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::os::AcceptedConnection;

/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;

/// `struct unix_diag_msg`: family, type, state, padding, inode, two words of a cookie.
const SOCKET: usize = 16;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const TCP_ESTABLISHED: u32 = 1;
const UDIAG_SHOW_NAME: u32 = 1;
const UDIAG_SHOW_PEER: u32 = 4;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_PEER: u16 = 2;

/// The kernel sends no longer messages.
const BUFFER: usize = 64 * 1024;

/// All connections that a listening socket with a path has accepted, of all processes of the network namespace.
///
/// # Errors
/// If the kernel does not tell.
pub(crate) fn accepted_connections() -> io::Result<Vec<AcceptedConnection>> {
    let kernel = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    send(kernel.as_raw_fd(), &request(), MsgFlags::empty())?;
    let (mut connections, mut buffer) = (Vec::new(), vec![0; BUFFER]);
    loop {
        // There is always one until the last: the kernel makes the next one while the one before is taken.
        let length = recv(kernel.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC)?;
        let messages = buffer.get(..length).ok_or_else(malformed)?;
        if parse_unix_diag(messages, &mut connections)? {
            return Ok(connections);
        }
    }
}

/// `struct unix_diag_req` behind its header.
fn request() -> Vec<u8> {
    let length = u32::try_from(HEADER + 24).unwrap_or_default();
    let mut request = Vec::with_capacity(HEADER + 24);
    request.extend(length.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    // Sequence number and port.
    request.extend([0; 8]);
    request.extend([u8::try_from(libc::AF_UNIX).unwrap_or_default(), 0, 0, 0]);
    request.extend((1_u32 << TCP_ESTABLISHED).to_ne_bytes());
    // Any inode.
    request.extend(0_u32.to_ne_bytes());
    request.extend((UDIAG_SHOW_NAME | UDIAG_SHOW_PEER).to_ne_bytes());
    // Any cookie.
    request.extend([0xff; 8]);
    request
}

/// Adds the connections that these messages of the kernel tell of. Says whether they were the last.
///
/// # Errors
/// If they are cut, or if the kernel reports an error.
pub fn parse_unix_diag(mut messages: &[u8], connections: &mut Vec<AcceptedConnection>) -> io::Result<bool> {
    while !messages.is_empty() {
        let length = u32_at(messages, 0).and_then(|length| usize::try_from(length).ok()).ok_or_else(malformed)?;
        let kind = u16_at(messages, 4).ok_or_else(malformed)?;
        let content = messages.get(HEADER..length).ok_or_else(malformed)?;
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = u32_at(content, 0).ok_or_else(malformed)?.cast_signed();
                return Err(io::Error::from_raw_os_error(code.saturating_neg()));
            }
            SOCK_DIAG_BY_FAMILY => connections.extend(connection(content).ok_or_else(malformed)?),
            _ => {}
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The connection in a message; `Some(None)` if the socket has no path. `None` if the message is cut.
fn connection(message: &[u8]) -> Option<Option<AcceptedConnection>> {
    let socket = u64::from(u32_at(message, 4)?);
    let mut attributes = message.get(SOCKET..)?;
    let (mut path, mut peer) = (None, None);
    while !attributes.is_empty() {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(4..length)?;
        match u16_at(attributes, 2)? {
            // Without a zero in front, which an abstract name has.
            UNIX_DIAG_NAME if value.first().is_some_and(|byte| *byte != 0) => {
                let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
                path = value.get(..end).map(|path| PathBuf::from(OsStr::from_bytes(path)));
            }
            UNIX_DIAG_PEER => peer = Some(u64::from(u32_at(value, 0)?)),
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(path.map(|path| AcceptedConnection { socket, path, peer: peer.filter(|peer| *peer != 0) }))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer can't be read")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use proptest::prelude::*;

    use super::*;

    fn number(stream: &UnixStream) -> u64 {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap();
        link.to_str().unwrap().trim_start_matches("socket:[").trim_end_matches(']').parse().unwrap()
    }

    #[test]
    fn accepted_connection_names_its_client() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("S.test");
        let listener = UnixListener::bind(&path).unwrap();
        let of_path = || {
            let connections = accepted_connections().unwrap().into_iter().filter(|one| one.path == path);
            connections.map(|one| (one.socket, one.peer)).collect::<Vec<_>>()
        };
        let clients = [UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap()];
        let accepted = [listener.accept().unwrap().0, listener.accept().unwrap().0];
        let mut expected: Vec<_> =
            accepted.iter().zip(&clients).map(|(one, client)| (number(one), Some(number(client)))).collect();
        let mut told = of_path();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected);

        // The server's end stays until it is closed, without a client.
        let ([gone, _other], [first, second]) = (clients, accepted);
        drop(gone);
        assert!(of_path().contains(&(number(&first), None)));
        drop((first, second));
        assert_eq!(of_path(), []);
    }

    proptest! {
        #[test]
        fn arbitrary_messages_never_panic(messages: Vec<u8>) {
            let _ = parse_unix_diag(&messages, &mut Vec::new());
        }

        #[test]
        fn damaged_messages_never_panic(at in 0_usize..60, byte: u8, cut in 0_usize..60) {
            let mut message = Vec::new();
            message.extend(60_u32.to_ne_bytes());
            message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
            message.extend([0; 10]);
            message.extend([1, 1, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            message.extend([8, 0, 2, 0, 9, 0, 0, 0]);
            message.extend([17, 0, 0, 0]);
            message.extend(b"/run/S.agent\0\0\0\0");
            assert_eq!(message.len(), 60);
            *message.get_mut(at).unwrap() = byte;
            message.truncate(60 - cut);
            let _ = parse_unix_diag(&message, &mut Vec::new());
        }
    }
}
