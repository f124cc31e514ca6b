//! Which digest PKSIGN and PKAUTH are given.

use sealcard_api::algorithm::HashAlgorithm;

/// A digest and the algorithm that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest<'a> {
    /// The algorithm.
    pub(super) hash: HashAlgorithm,
    /// Exactly as long as the algorithm says.
    pub(super) bytes: &'a [u8],
}

impl Digest<'_> {
    /// The `DigestInfo` of RFC 8017 section 9.2.
    #[must_use]
    pub(super) fn to_digest_info(self) -> Vec<u8> {
        [&self.hash.digest_info_prefix()[..], self.bytes].concat()
    }
}

/// Why data are no digest that may be signed. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DigestError {
    /// SHA-1, MD5 or RIPEMD-160.
    #[error("{0} is too weak to be signed")]
    Weak(&'static str),
    /// Not one that may be signed.
    #[error("this digest algorithm is not known")]
    UnknownAlgorithm,
    /// The data are another digest than the command says.
    #[error("the data are not a {expected} digest, as the command says")]
    Mismatch {
        /// What the command says.
        expected: HashAlgorithm,
    },
    /// Neither a `DigestInfo` nor a bare digest.
    #[error("the data are no digest")]
    NotADigest,
}

/// DER prefixes of a `DigestInfo` with the weak algorithms (RFC 8017 section 9.2 note 1; ISO/IEC 10118-3).
const WEAK: [(&str, &[u8], usize); 3] = [
    ("SHA-1", b"\x30\x21\x30\x09\x06\x05\x2B\x0E\x03\x02\x1A\x05\x00\x04\x14", 20),
    ("RIPEMD-160", b"\x30\x21\x30\x09\x06\x05\x2B\x24\x03\x02\x01\x05\x00\x04\x14", 20),
    ("MD5", b"\x30\x20\x30\x0C\x06\x08\x2A\x86\x48\x86\xF7\x0D\x02\x05\x05\x00\x04\x10", 16),
];

/// Reads PKSIGN's `--hash` value.
///
/// # Errors
/// If it names a weak or unknown algorithm.
pub(super) fn parse_hash_name(name: &str) -> Result<HashAlgorithm, DigestError> {
    match name {
        "sha1" => Err(DigestError::Weak("SHA-1")),
        "rmd160" => Err(DigestError::Weak("RIPEMD-160")),
        "md5" | "tls-md5sha1" => Err(DigestError::Weak("MD5")),
        _ => name.parse().map_err(|_| DigestError::UnknownAlgorithm),
    }
}

/// Reads a `DigestInfo`, byte by byte as RFC 8017 writes it, or a bare digest. `expected` is what the command says;
/// without it a bare digest's length decides.
///
/// # Errors
/// If it is weak, does not agree with `expected`, or is no digest.
pub(super) fn parse_digest(data: &[u8], expected: Option<HashAlgorithm>) -> Result<Digest<'_>, DigestError> {
    let with_prefix = HashAlgorithm::ALL.into_iter().find_map(|hash| {
        let bytes = data.strip_prefix(&hash.digest_info_prefix()[..])?;
        (bytes.len() == hash.digest_len()).then_some(Digest { hash, bytes })
    });
    let bare = || {
        let hash = expected.or_else(|| HashAlgorithm::ALL.into_iter().find(|hash| hash.digest_len() == data.len()))?;
        (hash.digest_len() == data.len()).then_some(Digest { hash, bytes: data })
    };
    let weak =
        WEAK.iter().find(|(_, prefix, len)| data.strip_prefix(*prefix).is_some_and(|digest| digest.len() == *len));
    if let Some((name, ..)) = weak {
        return Err(DigestError::Weak(name));
    }
    match (with_prefix.or_else(bare), expected) {
        (Some(digest), Some(expected)) if digest.hash != expected => Err(DigestError::Mismatch { expected }),
        (Some(digest), _) => Ok(digest),
        (None, Some(expected)) => Err(DigestError::Mismatch { expected }),
        (None, None) if data.len() == 20 => Err(DigestError::Weak("SHA-1")),
        (None, None) => Err(DigestError::NotADigest),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digest_infos_and_bare_digests_are_read() {
        for hash in HashAlgorithm::ALL {
            let bytes = vec![7; hash.digest_len()];
            let digest = Digest { hash, bytes: &bytes };
            for expected in [None, Some(hash)] {
                assert_eq!(parse_digest(&digest.to_digest_info(), expected), Ok(digest));
                assert_eq!(parse_digest(&bytes, expected), Ok(digest));
            }
        }
    }

    #[test]
    fn weak_digests_are_refused_in_every_form() {
        for (name, prefix, len) in WEAK {
            let data = [prefix, &vec![1; len]].concat();
            assert_eq!(parse_digest(&data, None), Err(DigestError::Weak(name)));
            assert_eq!(parse_digest(&data, Some(HashAlgorithm::Sha256)), Err(DigestError::Weak(name)));
        }
        for name in ["sha1", "md5", "rmd160"] {
            assert!(matches!(parse_hash_name(name), Err(DigestError::Weak(_))));
        }
        assert_eq!(parse_digest(&[0; 20], None), Err(DigestError::Weak("SHA-1")));
    }

    #[test]
    fn what_the_command_says_must_be_true() {
        let sha256 = Digest { hash: HashAlgorithm::Sha256, bytes: &[1; 32] }.to_digest_info();
        let expected = HashAlgorithm::Sha512;
        assert_eq!(parse_digest(&sha256, Some(expected)), Err(DigestError::Mismatch { expected }));
        assert_eq!(parse_digest(&[1; 32], Some(expected)), Err(DigestError::Mismatch { expected }));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_has_the_length_of_its_algorithm(
            data: Vec<u8>,
            cut in 0_usize..90,
            flip in 0_usize..90,
        ) {
            for expected in [None, Some(HashAlgorithm::Sha256)] {
                if let Ok(digest) = parse_digest(&data, expected) {
                    prop_assert_eq!(digest.bytes.len(), digest.hash.digest_len());
                }
            }
            let whole = Digest { hash: HashAlgorithm::Sha512, bytes: &[3; 64] }.to_digest_info();
            let mut damaged = whole.clone();
            if flip < 19 {
                damaged[flip] ^= 1;
                prop_assert!(parse_digest(&damaged, None).is_err());
            }
            if cut < whole.len() && cut != 64 {
                prop_assert!(parse_digest(&whole[..cut], Some(HashAlgorithm::Sha512)).is_err());
            }
        }
    }
}
