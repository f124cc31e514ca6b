//! Where a key lies: what the server's row keeps of a token's key ([`sealcard_signer_protocol::StoredKey::handle`]).

use serde::{Deserialize, Serialize};

/// The first byte, so that a later release can tell its form from this one. Sealed keys begin with 1.
const VERSION: u8 = 0x21;

/// The longest handle, in bytes.
const MAX_HANDLE: usize = 4096;

/// Where a key lies. At least one of id and label is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHandle {
    /// The serial number of the token that the key was made or found on. A copy of the token may have another one: what
    /// counts is the public key.
    pub(crate) serial: String,
    /// `CKA_ID`; empty if the key has none.
    pub(crate) id: Vec<u8>,
    /// `CKA_LABEL`: names a key without id, and tells keys apart that share one.
    pub(crate) label: Option<String>,
}

impl KeyHandle {
    /// The bytes for the row.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and bytes always have a postcard form.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// Reads the bytes of a row; `None` if they are not those of a token's key.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION]).filter(|_| bytes.len() <= MAX_HANDLE)?;
        let (handle, end) = postcard::take_from_bytes::<Self>(rest).ok()?;
        (end.is_empty() && (!handle.id.is_empty() || handle.label.is_some())).then_some(handle)
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_handle_survives_its_bytes(serial in ".{0,20}", id: Vec<u8>, label in ".{0,20}") {
            let handle = KeyHandle { serial, id, label: Some(label) };
            prop_assert_eq!(KeyHandle::parse(&handle.to_bytes()), Some(handle));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Some(handle) = KeyHandle::parse(&bytes) {
                prop_assert_eq!(KeyHandle::parse(&handle.to_bytes()), Some(handle));
            }
        }

        #[test]
        fn a_longer_or_shorter_one_is_refused(id in proptest::collection::vec(any::<u8>(), 1..40), cut in 1_usize..5) {
            let bytes = KeyHandle { serial: "s".into(), id, label: None }.to_bytes();
            prop_assert!(KeyHandle::parse(&bytes[..bytes.len() - cut]).is_none());
            prop_assert!(KeyHandle::parse(&[&bytes[..], &[0]].concat()).is_none());
        }
    }

    #[test]
    fn a_handle_that_says_nothing_is_refused() {
        let handle = KeyHandle { serial: "s".into(), id: vec![], label: None };
        assert_eq!(KeyHandle::parse(&handle.to_bytes()), None);
    }
}
