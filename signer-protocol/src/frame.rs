//! Frames: 4 bytes of big-endian length, then postcard.

use serde::{Serialize, de::DeserializeOwned};
use zeroize::{Zeroize, Zeroizing};

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

/// Puts frames together again from bytes as they arrive. What it has given out is wiped at the next call.
#[derive(Default)]
pub struct FrameBuffer {
    bytes: Zeroizing<Vec<u8>>,
    /// Where what was not given out yet begins.
    start: usize,
}

impl FrameBuffer {
    /// Takes in the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.wipe_read();
        if self.bytes.capacity() < self.bytes.len() + bytes.len() {
            let rest = self.bytes.get(self.start..).unwrap_or_default();
            // Growing by itself would leave a copy behind.
            let mut grown = Zeroizing::new(Vec::with_capacity((rest.len() + bytes.len()).max(1024) * 2));
            grown.extend_from_slice(rest);
            (self.bytes, self.start) = (grown, 0);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The body of the next frame, once all of it has arrived.
    ///
    /// # Errors
    /// If the frame is longer than [`MAX_FRAME`].
    pub fn next_body(&mut self) -> Result<Option<&[u8]>, FrameError> {
        self.wipe_read();
        let Some(len) = self.body_len()? else { return Ok(None) };
        let body = self.start + 4..self.start + 4 + len;
        self.start = body.end;
        Ok(self.bytes.get(body))
    }

    /// Whether [`FrameBuffer::next_body`] gives one.
    ///
    /// # Errors
    /// As there.
    pub fn has_body(&self) -> Result<bool, FrameError> {
        Ok(self.body_len()?.is_some())
    }

    fn body_len(&self) -> Result<Option<usize>, FrameError> {
        let waiting = self.bytes.get(self.start..).unwrap_or_default();
        let Some((header, rest)) = waiting.split_first_chunk::<4>() else { return Ok(None) };
        let len = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        if len > MAX_FRAME {
            return Err(FrameError::TooLong(len));
        }
        Ok((rest.len() >= len).then_some(len))
    }

    /// Whether nothing of a further frame is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    fn wipe_read(&mut self) {
        if let Some(read) = self.bytes.get_mut(..self.start) {
            read.zeroize();
        }
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::{option, prelude::*};
    use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
    use uuid::Uuid;

    use super::*;
    use crate::{
        Certification, Growth, KeeperMessage, KeeperRequest, LogHead, Operation, PublicKeyBytes, Request, RequestBody,
        Stated, StoredCheckpointKey, StoredKey,
    };

    fn any_request() -> impl Strategy<Value = Request> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..600);
        let key = || {
            (any::<[u8; 16]>(), bytes(), bytes()).prop_map(|(id, point, handle)| StoredKey {
                component: Uuid::from_bytes(id),
                algorithm: ComponentAlgorithm::EcdsaP256,
                role: ComponentRole::Sign,
                public_key: PublicKeyBytes::Ec { point },
                handle,
            })
        };
        let certification = bytes().prop_map(|digest| Certification { hash: HashAlgorithm::Sha256, digest });
        let operation = prop_oneof![
            bytes().prop_map(|digest| Operation::Sign { hash: HashAlgorithm::Sha384, digest }),
            bytes().prop_map(|message| Operation::AuthenticateSsh { message }),
            bytes().prop_map(|ciphertext| Operation::Decrypt { ciphertext }),
        ];
        let stated = || {
            let head = (any::<u64>(), any::<[u8; 32]>()).prop_map(|(size, root)| LogHead { size, root });
            let id = || any::<[u8; 16]>().prop_map(Uuid::from_bytes);
            (id(), option::of(id()), option::of(id()), option::of(head))
                .prop_map(|(request, principal, grant, record)| Stated { request, principal, grant, record })
        };
        let checkpoint_key = (any::<[u8; 32]>(), bytes(), bytes()).prop_map(|(ed25519, ml_dsa_44, handle)| {
            StoredCheckpointKey { component: Uuid::nil(), origin: "example.org/log".into(), ed25519, ml_dsa_44, handle }
        });
        let growth = (any::<u64>(), any::<u64>(), proptest::collection::vec(any::<[u8; 32]>(), 0..64))
            .prop_map(|(size, old_size, proof)| Growth { head: LogHead { size, root: [7; 32] }, old_size, proof });
        let body = prop_oneof![
            Just(RequestBody::Status),
            (any::<u64>(), any::<u32>()).prop_map(|(from, limit)| RequestBody::Journal { from, limit }),
            (key(), operation, stated()).prop_map(|(key, operation, stated)| RequestBody::Use {
                key,
                operation,
                stated
            }),
            (key(), certification, stated()).prop_map(|(key, certification, stated)| RequestBody::Certify {
                key,
                certification,
                stated
            }),
            (checkpoint_key, growth, stated()).prop_map(|(key, growth, stated)| RequestBody::SignCheckpoint {
                key,
                growth,
                stated
            }),
        ];
        (any::<u64>(), body).prop_map(|(id, body)| Request { id, body })
    }

    #[test]
    fn a_message_that_is_too_long_has_no_frame() {
        assert!(matches!(encode(&vec![0_u8; MAX_FRAME + 1]), Err(FrameError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn every_request_survives_its_frame(request in any_request()) {
            let frame = encode(&request).unwrap();
            prop_assert_eq!(u32::from_be_bytes(*frame.first_chunk().unwrap()) as usize, frame.len() - 4);
            prop_assert_eq!(decode::<Request>(&frame[4..]).unwrap(), request);
        }

        #[test]
        fn a_shorter_or_longer_body_is_refused(request in any_request(), cut in 1_usize..50) {
            let frame = encode(&request).unwrap();
            let body = &frame[4..];
            prop_assert!(decode::<Request>(&body[..body.len().saturating_sub(cut)]).is_err());
            let longer = [body, &[0]].concat();
            prop_assert!(matches!(decode::<Request>(&longer), Err(FrameError::TrailingBytes(1))));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<KeeperRequest>(&bytes);
            let _ = decode::<KeeperMessage>(&bytes);
        }

        #[test]
        fn frames_are_put_together_wherever_the_stream_was_cut(
            requests in proptest::collection::vec(any_request(), 0..6),
            cut in 1_usize..700,
        ) {
            let stream: Vec<u8> = requests.iter().flat_map(|request| encode(request).unwrap().to_vec()).collect();
            let mut buffer = FrameBuffer::default();
            let mut seen = Vec::new();
            for part in stream.chunks(cut) {
                buffer.push(part);
                while let Some(body) = buffer.next_body().unwrap() {
                    seen.push(decode::<Request>(body).unwrap());
                }
            }
            prop_assert_eq!(seen, requests);
            prop_assert!(buffer.is_empty());
        }
    }
}
