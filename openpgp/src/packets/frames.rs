//! Where packets begin and end (RFC 9580 section 4.2). Their bodies are not parsed.

use thiserror::Error;

/// A packet, not yet read.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// What kind of packet it is.
    pub tag: u8,
    /// What it holds. May be secret.
    pub body: &'a [u8],
}

/// A packet does not end where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is cut off or damaged at its packet {packet}")]
pub struct FrameError {
    /// Which packet, counted from 1.
    pub packet: usize,
}

/// The packets of a certificate or an exported key. Lengths that only messages have are refused.
///
/// # Errors
///
/// When the bytes are not a whole number of packets.
pub fn frames(mut bytes: &[u8]) -> Result<Vec<Frame<'_>>, FrameError> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = split(bytes).ok_or(FrameError { packet: frames.len() + 1 })?;
        frames.push(frame);
        bytes = rest;
    }
    Ok(frames)
}

fn split(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (header, rest) = bytes.split_first()?;
    let (tag, length, rest) = match header >> 6 {
        // The bits of the old format: kind, then how long the length is.
        0b10 => {
            let size = match header & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => return None,
            };
            let (length, rest) = rest.split_at_checked(size)?;
            (header >> 2 & 0x0F, number(length), rest)
        }
        0b11 => {
            let (first, rest) = rest.split_first()?;
            let (length, rest) = match first {
                0..192 => (usize::from(*first), rest),
                192..224 => {
                    let (second, rest) = rest.split_first()?;
                    ((usize::from(*first) - 192) * 256 + usize::from(*second) + 192, rest)
                }
                255 => {
                    let (length, rest) = rest.split_at_checked(4)?;
                    (number(length), rest)
                }
                _ => return None,
            };
            (header & 0x3F, length, rest)
        }
        _ => return None,
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((Frame { tag, body }, rest))
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_of_a_length_is_read() {
        let long = [7; 300];
        let inputs = [
            [&[0x99, 0x01, 0x2C][..], &long].concat(),
            [&[0x9A, 0, 0, 0x01, 0x2C][..], &long].concat(),
            [&[0xC6, 0xC0, 0x6C][..], &long].concat(),
            [&[0xC6, 0xFF, 0, 0, 0x01, 0x2C][..], &long].concat(),
        ];
        for input in inputs {
            let twice = input.repeat(2);
            let frames = frames(&twice).unwrap();
            assert!(frames.len() == 2 && frames.iter().all(|frame| frame.tag == 6 && frame.body == long));
        }
    }

    #[test]
    fn what_is_no_whole_packet_is_named_by_its_number() {
        for bad in [&[0x01][..], &[0x9B, 1, 1], &[0xC6, 0xE1, 1, 1], &[0xC6, 2, 1], &[0xC6]] {
            let input = [&[0xC6, 1, 1][..], bad].concat();
            assert_eq!(frames(&input).err(), Some(FrameError { packet: 2 }));
        }
    }

    proptest! {
        #[test]
        fn frames_never_overlap(bytes: Vec<u8>) {
            if let Ok(frames) = frames(&bytes) {
                let total: usize = frames.iter().map(|frame| frame.body.len() + 2).sum();
                prop_assert!(total <= bytes.len());
            }
        }
    }
}
