//! Frames: 4 bytes of big-endian length, then postcard.

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// The largest frame body, in bytes.
pub const MAX_FRAME: usize = 1024 * 1024;

/// A frame that can't be made or read. Retrying can't help.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    #[error("a frame of {0} bytes is longer than the {MAX_FRAME} allowed")]
    TooLong(usize),
    /// Not the postcard form of the message.
    #[error("a malformed message: {0}")]
    Malformed(#[from] postcard::Error),
    /// Bytes follow the message.
    #[error("{0} bytes follow the message")]
    TrailingBytes(usize),
}

/// The whole frame of a message, length included. Wiped when dropped: it may hold a plaintext.
///
/// # Errors
/// If the message is longer than [`MAX_FRAME`].
pub fn encode<T: Serialize>(message: &T) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let mut frame = Zeroizing::new(Vec::with_capacity(1024));
    frame.extend_from_slice(&[0; 4]);
    let mut frame = Zeroizing::new(postcard::to_extend(message, std::mem::take(&mut *frame))?);
    let len = frame.len().saturating_sub(4);
    let header = u32::try_from(len).ok().filter(|_| len <= MAX_FRAME).ok_or(FrameError::TooLong(len))?;
    if let Some(prefix) = frame.first_chunk_mut::<4>() {
        *prefix = header.to_be_bytes();
    }
    Ok(frame)
}

/// Reads the message out of a frame's body (what follows the length).
///
/// # Errors
/// If the body is not exactly one message.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(body)?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::TrailingBytes(rest.len())) }
}
