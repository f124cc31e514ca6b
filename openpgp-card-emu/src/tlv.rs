//! BER-TLV as ISO 7816-4 uses it: tags of one or two bytes, definite lengths up to 65535.

/// Appends one data object.
pub(crate) fn write(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    match tag.to_be_bytes() {
        [0, low] => out.push(low),
        both => out.extend(both),
    }
    // Values come from limited fields of the card; 65535 is never reached.
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    match length.to_be_bytes() {
        [0, low @ 0..=0x7F] => out.push(low),
        [0, low] => out.extend([0x81, low]),
        [high, low] => out.extend([0x82, high, low]),
    }
    out.extend(value.iter().take(usize::from(length)));
}

/// Takes one data object off the front: tag, value and what follows. `None` where the bytes are not one.
pub(crate) fn read(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let mut tag = u16::from(first);
    if first & MORE_TAG_BYTES == MORE_TAG_BYTES {
        let (&second, after) = rest.split_first()?;
        if second & 0x80 != 0 {
            return None;
        }
        tag = u16::from_be_bytes([first, second]);
        rest = after;
    }
    let (length, rest) = match rest {
        [length @ 0..=0x7F, rest @ ..] => (usize::from(*length), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// The value of `bytes` if they are exactly one data object with this tag.
pub(crate) fn only(bytes: &[u8], tag: u16) -> Option<&[u8]> {
    match read(bytes)? {
        (found, value, []) if found == tag => Some(value),
        _ => None,
    }
}

/// The value of the first data object with this tag in a sequence. `None` also where the sequence is malformed before
/// it.
pub(crate) fn find(mut bytes: &[u8], tag: u16) -> Option<&[u8]> {
    loop {
        let (found, value, rest) = read(bytes)?;
        if found == tag {
            return Some(value);
        }
        bytes = rest;
    }
}

/// Lower five bits of a tag's first byte that say: the number follows.
const MORE_TAG_BYTES: u8 = 0x1F;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            tag in prop_oneof![0x80u16..=0x9E, 0x5F01u16..=0x5F7F, 0x7F01u16..=0x7F7F],
            value in proptest::collection::vec(any::<u8>(), 0..700),
            after in proptest::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut bytes = Vec::new();
            write(&mut bytes, tag, &value);
            if after.is_empty() {
                prop_assert_eq!(only(&bytes, tag), Some(value.as_slice()));
            }
            bytes.extend(&after);
            prop_assert_eq!(read(&bytes), Some((tag, value.as_slice(), after.as_slice())));
            prop_assert_eq!(find(&bytes, tag), Some(value.as_slice()));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), tag in any::<u16>()) {
            if let Some((_, value, rest)) = read(&bytes) {
                prop_assert!(value.len() + rest.len() < bytes.len());
            }
            let _ = (only(&bytes, tag), find(&bytes, tag));
        }
    }

    #[test]
    fn lengths_have_one_two_or_three_bytes() {
        for (length, header) in [(0x7F, 2), (0x80, 3), (0xFF, 3), (0x100, 4)] {
            let mut bytes = Vec::new();
            write(&mut bytes, 0xC1, &vec![0; length]);
            assert_eq!(bytes.len(), length + header);
        }
    }

    #[test]
    fn a_tag_of_three_bytes_is_not_read() {
        assert_eq!(read(&[0x5F, 0x81, 0x01, 0x00]), None);
        assert_eq!(read(&[0x81, 0x83, 0x00, 0x00, 0x00]), None, "nor a length of three bytes");
    }

    #[test]
    fn find_skips_what_comes_before() {
        assert_eq!(find(&[0x81, 0x01, 0xAA, 0x82, 0x02, 0xBB, 0xCC], 0x82), Some(&[0xBB, 0xCC][..]));
        assert_eq!(find(&[0x81, 0x05, 0xAA], 0x82), None);
    }
}
