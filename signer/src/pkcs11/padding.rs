//! PKCS#1 v1.5 padding (RFC 8017 sections 7.2 and 9.2), for tokens that do nothing but the modular exponentiation.

use sealcard_api::algorithm::HashAlgorithm;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _, ConstantTimeGreater as _};
use zeroize::Zeroizing;

/// The fewest padding bytes.
const MIN_PADDING: usize = 8;

/// The `DigestInfo` of a digest, in DER.
pub(super) fn digest_info(hash: HashAlgorithm, digest: &[u8]) -> Vec<u8> {
    [&hash.digest_info_prefix()[..], digest].concat()
}

/// EMSA-PKCS1-v1_5: the encoded message, `width` bytes. `None` if the modulus is too narrow.
pub(super) fn encode(width: usize, hash: HashAlgorithm, digest: &[u8]) -> Option<Vec<u8>> {
    let info = digest_info(hash, digest);
    let padding = width.checked_sub(3 + info.len()).filter(|padding| *padding >= MIN_PADDING)?;
    let mut message = Vec::with_capacity(width);
    message.extend_from_slice(&[0, 1]);
    message.resize(2 + padding, 0xFF);
    message.push(0);
    message.extend_from_slice(&info);
    Some(message)
}

/// Removes the padding of RSAES-PKCS1-v1_5. Looks at every byte whatever it finds; only whether the padding was right,
/// and the length of what it held, can be told from outside. `None` if it was not.
pub(super) fn unpad(message: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // 00 02 padding 00 plaintext
    let mut right = Choice::from(1);
    let mut searching = Choice::from(1);
    let mut separator = 0_u32;
    for (place, byte) in (0_u32..).zip(message) {
        match place {
            0 => right &= byte.ct_eq(&0),
            1 => right &= byte.ct_eq(&2),
            _ => {
                let is_end = searching & byte.ct_eq(&0);
                separator.conditional_assign(&place, is_end);
                searching &= !is_end;
            }
        }
    }
    right &= !searching;
    // The separator comes after two bytes and the fewest padding bytes.
    right &= separator.ct_gt(&u32::try_from(2 + MIN_PADDING - 1).ok()?);
    let start = usize::try_from(separator).ok()?.checked_add(1)?;
    bool::from(right).then(|| message.get(start..).map(|plaintext| Zeroizing::new(plaintext.to_vec()))).flatten()
}

/// A number in exactly `width` bytes: zeros before a shorter one. `None` if it has more bytes.
pub(super) fn widen(width: usize, number: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let missing = width.checked_sub(number.len())?;
    let mut wide = Zeroizing::new(Vec::with_capacity(width));
    wide.resize(missing, 0);
    wide.extend_from_slice(number);
    Some(wide)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn padded(padding: &[u8], plaintext: &[u8]) -> Vec<u8> {
        [&[0, 2], padding, &[0], plaintext].concat()
    }

    #[test]
    fn an_encoded_message_is_that_of_rfc_8017() {
        let message = encode(256, HashAlgorithm::Sha256, &[7; 32]).unwrap();
        assert_eq!(message.len(), 256);
        assert_eq!(message[..2], [0, 1]);
        assert!(message[2..204].iter().all(|byte| *byte == 0xFF));
        assert_eq!(message[204], 0);
        assert_eq!(message[205..], digest_info(HashAlgorithm::Sha256, &[7; 32]));
        assert!(encode(61, HashAlgorithm::Sha256, &[7; 32]).is_none());
        assert_eq!(encode(62, HashAlgorithm::Sha256, &[7; 32]).unwrap().len(), 62);
    }

    #[test]
    fn wrong_padding_is_refused() {
        let right = padded(&[1; 8], b"secret");
        assert_eq!(unpad(&right).unwrap()[..], b"secret"[..]);
        for (place, byte) in [(0, 1), (1, 1), (1, 3), (2, 0), (9, 0)] {
            let mut wrong = right.clone();
            wrong[place] = byte;
            assert!(unpad(&wrong).is_none(), "{place}");
        }
        for wrong in
            [vec![], vec![0], vec![0, 2], vec![0, 2, 1, 1, 1, 1, 1, 1, 1, 0, 5], [vec![0, 2], vec![1; 200]].concat()]
        {
            assert!(unpad(&wrong).is_none(), "{wrong:?}");
        }
        assert!(unpad(&padded(&[1; 8], b"")).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn what_was_padded_comes_out(padding in proptest::collection::vec(1_u8.., 8..40), plaintext: Vec<u8>) {
            prop_assert_eq!(&unpad(&padded(&padding, &plaintext)).unwrap()[..], &plaintext[..]);
        }

        #[test]
        fn arbitrary_bytes_are_told_as_the_standard_reads_them(mut bytes: Vec<u8>, right_start: bool) {
            if let (true, Some(start)) = (right_start, bytes.first_chunk_mut::<2>()) {
                *start = [0, 2];
            }
            let end = bytes.iter().skip(2).position(|byte| *byte == 0).map(|place| place + 2);
            let end = end.filter(|end| bytes.starts_with(&[0, 2]) && *end >= 10);
            let expected = end.map(|end| bytes[end + 1..].to_vec());
            prop_assert_eq!(unpad(&bytes).map(|plaintext| plaintext.to_vec()), expected);
        }
    }
}
