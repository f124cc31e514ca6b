//! The form of a signer's journal: `journal.jsonl` has one JSON object on each line, in order, each with the hash of
//! the one before it bound in ([`entry_hash`]).

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::sha256;

/// The longest line, in bytes, line end included.
pub const MAX_LINE: usize = 1024;

/// The end of the journal's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// Sequence number of the newest entry, 0 if there is none.
    pub sequence: u64,
    /// Its hash, 32 zero bytes if there is none.
    pub hash: [u8; 32],
}

/// One entry of the signer's journal: a key is being used. Durable before what the key made leaves the signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// 1, 2, 3, … without gaps.
    pub sequence: u64,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: i64,
    /// [`crate::Operation::name`], [`crate::Certification::NAME`], `generate`, `import`, `adopt` or `destroy`.
    pub operation: String,
    /// The component key.
    pub component: Uuid,
    /// The server's request.
    pub request: Uuid,
    /// SHA-256 of the digest, message, ciphertext or envelope; empty for `generate`.
    pub input_sha256: Vec<u8>,
    /// SHA-256 over the previous entry's hash and this entry.
    pub hash: [u8; 32],
}

/// Why a line is not an entry. Retrying can't help.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not the JSON that is expected.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A field has not the form it is written in.
    #[error("{0} is malformed")]
    Field(&'static str),
    /// The same content, but not as the signer writes it.
    #[error("it is not written as the signer writes")]
    NotCanonical,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    sequence: u64,
    unix: i64,
    operation: &'a str,
    component: Uuid,
    request: Uuid,
    input_sha256: String,
    hash: String,
}

/// The hash of an entry: SHA-256 over the previous entry's hash (32 zero bytes before the first) and, each in
/// big-endian order, `sequence` (8 bytes), `unix` (8), the length of `operation` (1) and its bytes, `component` (16),
/// `request` (16), the length of `input_sha256` (1) and its bytes.
#[must_use]
pub fn entry_hash(previous: &[u8; 32], entry: &JournalEntry) -> [u8; 32] {
    let mut data = Vec::with_capacity(160);
    data.extend_from_slice(previous);
    data.extend_from_slice(&entry.sequence.to_be_bytes());
    data.extend_from_slice(&entry.unix.to_be_bytes());
    // Names have at most 16 bytes and hashes 32; parse_line() refuses others.
    data.push(u8::try_from(entry.operation.len()).unwrap_or(u8::MAX));
    data.extend_from_slice(entry.operation.as_bytes());
    data.extend_from_slice(entry.component.as_bytes());
    data.extend_from_slice(entry.request.as_bytes());
    data.push(u8::try_from(entry.input_sha256.len()).unwrap_or(u8::MAX));
    data.extend_from_slice(&entry.input_sha256);
    sha256(&data)
}

/// The line of an entry, with its line end.
#[must_use]
pub fn format_line(entry: &JournalEntry) -> String {
    let line = Line {
        sequence: entry.sequence,
        unix: entry.unix,
        operation: &entry.operation,
        component: entry.component,
        request: entry.request,
        input_sha256: HEXLOWER.encode(&entry.input_sha256),
        hash: HEXLOWER.encode(&entry.hash),
    };
    // A plain struct always has a JSON form.
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

/// Reads a line without its line end. The chain is not looked at.
///
/// # Errors
/// If it is not exactly what [`format_line`] writes for some entry.
pub fn parse_line(text: &[u8]) -> Result<JournalEntry, LineError> {
    let line: Line<'_> = serde_json::from_slice(text)?;
    let operation = line.operation;
    if operation.is_empty() || operation.len() > 32 || !operation.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
        return Err(LineError::Field("operation"));
    }
    let hex = |text: &str, name| HEXLOWER.decode(text.as_bytes()).map_err(|_| LineError::Field(name));
    let input_sha256 = hex(&line.input_sha256, "input_sha256")?;
    if !matches!(input_sha256.len(), 0 | 32) {
        return Err(LineError::Field("input_sha256"));
    }
    let entry = JournalEntry {
        sequence: line.sequence,
        unix: line.unix,
        operation: operation.to_owned(),
        component: line.component,
        request: line.request,
        input_sha256,
        hash: hex(&line.hash, "hash")?.try_into().map_err(|_| LineError::Field("hash"))?,
    };
    // One form for one entry: no bit of the file can change unnoticed.
    if format_line(&entry).trim_end().as_bytes() == text { Ok(entry) } else { Err(LineError::NotCanonical) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_entry() -> impl Strategy<Value = JournalEntry> {
        (any::<u64>(), any::<i64>(), "[a-z-]{1,32}", any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 32]>()).prop_map(
            |(sequence, unix, operation, component, request, hash)| JournalEntry {
                sequence,
                unix,
                input_sha256: if operation == "generate" { Vec::new() } else { hash.to_vec() },
                operation,
                component: Uuid::from_bytes(component),
                request: Uuid::from_bytes(request),
                hash,
            },
        )
    }

    #[test]
    fn the_hash_of_a_known_entry_never_changes() {
        let entry = JournalEntry {
            sequence: 1,
            unix: 1_700_000_000,
            operation: "sign".into(),
            component: Uuid::from_u128(1),
            request: Uuid::from_u128(2),
            input_sha256: vec![3; 32],
            hash: [0; 32],
        };
        // printf '%064x%016x%016x04%s%032x%032x20%s' 0 1 1700000000 $(printf sign | xxd -p) 1 2 $(printf '03%.0s'
        // {1..32}) | xxd -r -p | sha256sum
        let expected = "9b5d9de412874159f72608dbf34cdeb8c653173a94e4b94f9acbe343569f3293";
        assert_eq!(HEXLOWER.encode(&entry_hash(&[0; 32], &entry)), expected);
    }

    proptest! {
        #[test]
        fn every_entry_survives_its_line(entry in any_entry()) {
            let line = format_line(&entry);
            prop_assert!(line.len() <= MAX_LINE);
            prop_assert_eq!(parse_line(line.trim_end().as_bytes()).unwrap(), entry);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse_line(&bytes);
        }

        #[test]
        fn a_flipped_bit_is_another_entry_or_an_error(entry in any_entry(), at in 0_usize..400, bit in 0_u8..8) {
            let mut line = format_line(&entry).trim_end().as_bytes().to_vec();
            if let Some(byte) = line.get_mut(at) {
                *byte ^= 1 << bit;
                prop_assert!(parse_line(&line).ok() != Some(entry));
            }
        }

        #[test]
        fn each_field_changes_the_hash(a in any_entry(), b in any_entry(), previous: [u8; 32]) {
            let strip = |e: &JournalEntry| JournalEntry { hash: [0; 32], ..e.clone() };
            if strip(&a) != strip(&b) {
                prop_assert_ne!(entry_hash(&previous, &a), entry_hash(&previous, &b));
            }
            let mut other = previous;
            other[0] ^= 1;
            prop_assert_ne!(entry_hash(&previous, &a), entry_hash(&other, &a));
        }
    }
}
