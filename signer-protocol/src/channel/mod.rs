//! Frames over a Unix stream socket between two processes of ours, with descriptors.

mod descriptors;

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use serde::{Serialize, de::DeserializeOwned};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{FrameBuffer, FrameError, decode, encode};

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// Descriptors that wait for their messages at most.
const MAX_WAITING_DESCRIPTORS: usize = 16;

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
pub fn send<T: Serialize>(socket: &UnixStream, message: &T, with: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
    let frame = encode(message)?;
    let mut rest = frame.as_slice();
    let mut with = with;
    while !rest.is_empty() {
        match descriptors::send_with_descriptors(socket.as_fd(), IoSlice::new(rest), with) {
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

/// The reading side, apart from the socket, so that a caller with its own way of waiting can use it. What it holds is
/// wiped once it was read.
#[derive(Default)]
pub struct Incoming {
    frames: FrameBuffer,
    descriptors: VecDeque<OwnedFd>,
    chunk: Zeroizing<Vec<u8>>,
}

impl Incoming {
    /// Reads what has arrived, once. 0 at the end of the stream.
    ///
    /// # Errors
    /// If the socket can't be read; [`io::ErrorKind::WouldBlock`] if it does not block and nothing is there.
    pub fn read(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.chunk.resize(CHUNK, 0);
        let (len, descriptors) = descriptors::receive_with_descriptors(socket, IoSliceMut::new(&mut self.chunk))?;
        self.descriptors.extend(descriptors);
        if self.descriptors.len() > MAX_WAITING_DESCRIPTORS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "more descriptors than messages that they belong to",
            ));
        }
        let read = self.chunk.get_mut(..len).unwrap_or_default();
        self.frames.push(read);
        read.zeroize();
        Ok(len)
    }

    /// The next whole message, if one has arrived.
    ///
    /// # Errors
    /// If what arrived is no message.
    pub fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        self.frames.next_body()?.map(decode).transpose()
    }

    /// The next descriptor, in the order in which they were sent.
    pub fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    /// Whether bytes have arrived that were not given out.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Waits for the next message; `None` at the end of the stream.
    ///
    /// # Errors
    /// If the socket fails, or what arrives is no message.
    pub fn wait<T: DeserializeOwned>(&mut self, socket: &UnixStream) -> Result<Option<T>, ChannelError> {
        Ok(self.wait_for(socket, decode)?.transpose()?)
    }

    /// The same for a caller that reads the frame's body itself.
    ///
    /// # Errors
    /// If the socket fails, or what arrives is no frame.
    pub fn wait_for<T>(
        &mut self,
        socket: &UnixStream,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, ChannelError> {
        loop {
            // Looked up again below: what is borrowed here can't be given out of a loop.
            if self.frames.has_body()? {
                return Ok(self.frames.next_body()?.map(read));
            }
            match self.read(socket.as_fd()) {
                Ok(0) if self.frames.is_empty() => return Ok(None),
                Ok(0) => return Err(ChannelError::CutShort),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset && self.frames.is_empty() => {
                    return Ok(None);
                }
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
    use crate::{KeeperMessage, StoreState};

    #[test]
    fn descriptors_without_messages_that_take_them_end_the_channel() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        for _ in 0..=MAX_WAITING_DESCRIPTORS {
            send(&ours, &KeeperMessage::State(StoreState::Open), &[file.as_fd()]).unwrap();
        }
        let mut incoming = Incoming::default();
        let mut received = 0;
        let error = loop {
            match incoming.wait::<KeeperMessage>(&theirs) {
                Ok(message) => received += usize::from(message.is_some()),
                Err(error) => break error,
            }
        };
        assert_eq!(received, MAX_WAITING_DESCRIPTORS);
        assert!(error.to_string().contains("more descriptors than messages"), "{error}");
    }

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
