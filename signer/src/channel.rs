//! Frames over a Unix stream socket between two processes of ours, with descriptors.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    os,
    protocol::{self, FrameBuffer, FrameError},
};

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// Why a channel can't be used any longer. Retrying can't help.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other side sent what is no message.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    CutShort,
    /// A message came without the descriptor that belongs to it.
    #[error("a descriptor is missing")]
    NoDescriptor,
}

/// Sends one message with the descriptors that belong to it. Blocks until all of it is written.
///
/// # Errors
/// If the other side is gone or the message is too long.
pub(crate) fn send<T: Serialize>(
    socket: &UnixStream,
    message: &T,
    with: &[BorrowedFd<'_>],
) -> Result<(), ChannelError> {
    let frame = protocol::encode(message)?;
    let mut rest = frame.as_slice();
    let mut with = with;
    while !rest.is_empty() {
        match os::send_with_descriptors(socket.as_fd(), IoSlice::new(rest), with) {
            Ok(sent) => {
                rest = rest.get(sent..).unwrap_or_default();
                // They travel with the first byte.
                with = &[];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The reading side, apart from the socket, so that a caller with its own way of waiting can use it.
#[derive(Default)]
pub struct Incoming {
    frames: FrameBuffer,
    descriptors: VecDeque<OwnedFd>,
}

impl Incoming {
    /// Reads what has arrived, once. 0 at the end of the stream.
    ///
    /// # Errors
    /// If the socket can't be read; [`io::ErrorKind::WouldBlock`] if it does not block and nothing is there.
    pub fn read(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut chunk = Zeroizing::new(vec![0; CHUNK]);
        let (len, descriptors) = os::receive_with_descriptors(socket, IoSliceMut::new(&mut chunk))?;
        self.descriptors.extend(descriptors);
        self.frames.push(chunk.get(..len).unwrap_or_default());
        Ok(len)
    }

    /// The next whole message, if one has arrived.
    ///
    /// # Errors
    /// If what arrived is no message.
    pub fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        self.frames.next_body()?.map(|body| protocol::decode(&body)).transpose()
    }

    /// The next descriptor, in the order in which they were sent.
    pub fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    /// Waits for the next message; `None` at the end of the stream.
    ///
    /// # Errors
    /// If the socket fails, or what arrives is no message.
    pub fn wait<T: DeserializeOwned>(&mut self, socket: &UnixStream) -> Result<Option<T>, ChannelError> {
        loop {
            if let Some(message) = self.message()? {
                return Ok(Some(message));
            }
            match self.read(socket.as_fd()) {
                Ok(0) if self.frames.is_empty() => return Ok(None),
                Ok(0) => return Err(ChannelError::CutShort),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        fs::File,
        io::{Read as _, Seek as _, Write as _},
    };

    use super::*;
    use crate::protocol::{KeeperMessage, StoreState};

    #[test]
    fn descriptors_arrive_in_order_with_their_messages() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let files: Vec<File> = (0..3_u8)
            .map(|n| {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&[n]).unwrap();
                file.rewind().unwrap();
                file
            })
            .collect();
        for (process, file) in (0..).zip(&files) {
            let state = KeeperMessage::State(StoreState::Open);
            send(&ours, &state, &[]).unwrap();
            send(&ours, &KeeperMessage::Worker { process }, &[file.as_fd()]).unwrap();
        }
        drop(ours);
        let mut incoming = Incoming::default();
        let mut seen = 0;
        while let Some(message) = incoming.wait::<KeeperMessage>(&theirs).unwrap() {
            let KeeperMessage::Worker { process } = message else { continue };
            let mut content = Vec::new();
            File::from(incoming.descriptor().unwrap()).read_to_end(&mut content).unwrap();
            assert_eq!(content, [u8::try_from(process).unwrap()]);
            seen += 1;
        }
        assert_eq!(seen, 3);
        assert!(incoming.descriptor().is_none());
    }
}
