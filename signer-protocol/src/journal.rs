//! The form of a signer's journal: `journal.jsonl` has one JSON object on each line, in order, each with the hash of
//! the one before it bound in ([`entry_hash`]).

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{LogHead, Stated, checkpoint::CHECKPOINT, sha256};

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
    /// [`crate::Operation::name`], [`crate::Certification::NAME`], [`CHECKPOINT`], `generate`, `import`, `adopt` or
    /// `destroy`.
    pub operation: String,
    /// The component key.
    pub component: Uuid,
    /// What the server stated.
    pub stated: Stated,
    /// What [`CHECKPOINT`] signs, and no other operation has: the key never signs another past.
    pub checkpoint: Option<LogHead>,
    /// SHA-256 of the digest, message, ciphertext, envelope or note; empty for `generate`, `adopt` and `destroy`.
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
    #[serde(skip_serializing_if = "Option::is_none", default)]
    principal: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    grant: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    record: Option<HeadField>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    checkpoint: Option<HeadField>,
    input_sha256: String,
    hash: String,
}

/// A [`LogHead`] in a line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadField {
    size: u64,
    root: String,
}

impl HeadField {
    fn of(head: LogHead) -> Self {
        Self { size: head.size, root: HEXLOWER.encode(&head.root) }
    }

    fn read(self, name: &'static str) -> Result<LogHead, LineError> {
        Ok(LogHead { size: self.size, root: hash_field(&self.root, name)? })
    }
}

/// The hash of an entry: SHA-256 over the previous entry's hash (32 zero bytes before the first) and, each in
/// big-endian order, `sequence` (8 bytes), `unix` (8), the length of `operation` (1) and its bytes, `component` (16),
/// `request` (16), the length of `input_sha256` (1) and its bytes. Then of each of these that is there: 1 and
/// `principal` (16), 2 and `grant` (16), 3 and `record` (its size in 8 bytes, its root), 4 and `checkpoint` (likewise).
#[must_use]
pub fn entry_hash(previous: &[u8; 32], entry: &JournalEntry) -> [u8; 32] {
    let mut data = Vec::with_capacity(288);
    data.extend_from_slice(previous);
    data.extend_from_slice(&entry.sequence.to_be_bytes());
    data.extend_from_slice(&entry.unix.to_be_bytes());
    // Names have at most 16 bytes and hashes 32; parse_line() refuses others.
    data.push(u8::try_from(entry.operation.len()).unwrap_or(u8::MAX));
    data.extend_from_slice(entry.operation.as_bytes());
    data.extend_from_slice(entry.component.as_bytes());
    let Stated { request, principal, grant, record } = &entry.stated;
    data.extend_from_slice(request.as_bytes());
    data.push(u8::try_from(entry.input_sha256.len()).unwrap_or(u8::MAX));
    data.extend_from_slice(&entry.input_sha256);
    for (number, id) in [(1, principal), (2, grant)] {
        if let Some(id) = id {
            data.push(number);
            data.extend_from_slice(id.as_bytes());
        }
    }
    for (number, head) in [(3, record), (4, &entry.checkpoint)] {
        if let Some(head) = head {
            data.push(number);
            data.extend_from_slice(&head.size.to_be_bytes());
            data.extend_from_slice(&head.root);
        }
    }
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
        request: entry.stated.request,
        principal: entry.stated.principal,
        grant: entry.stated.grant,
        record: entry.stated.record.map(HeadField::of),
        checkpoint: entry.checkpoint.map(HeadField::of),
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
    if line.checkpoint.is_some() != (operation == CHECKPOINT) {
        return Err(LineError::Field("checkpoint"));
    }
    let input_sha256 = match line.input_sha256.as_str() {
        "" => Vec::new(),
        text => hash_field(text, "input_sha256")?.to_vec(),
    };
    let record = line.record.map(|head| head.read("record")).transpose()?;
    let entry = JournalEntry {
        sequence: line.sequence,
        unix: line.unix,
        operation: operation.to_owned(),
        component: line.component,
        stated: Stated { request: line.request, principal: line.principal, grant: line.grant, record },
        checkpoint: line.checkpoint.map(|head| head.read("checkpoint")).transpose()?,
        input_sha256,
        hash: hash_field(&line.hash, "hash")?,
    };
    // One form for one entry: no bit of the file can change unnoticed.
    if format_line(&entry).trim_end().as_bytes() == text { Ok(entry) } else { Err(LineError::NotCanonical) }
}

fn hash_field(text: &str, name: &'static str) -> Result<[u8; 32], LineError> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(LineError::Field(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;

    fn any_head() -> impl Strategy<Value = LogHead> {
        (any::<u64>(), any::<[u8; 32]>()).prop_map(|(size, root)| LogHead { size, root })
    }

    fn any_stated() -> impl Strategy<Value = Stated> {
        let id = || any::<[u8; 16]>().prop_map(Uuid::from_bytes);
        (id(), option::of(id()), option::of(id()), option::of(any_head()))
            .prop_map(|(request, principal, grant, record)| Stated { request, principal, grant, record })
    }

    fn any_entry() -> impl Strategy<Value = JournalEntry> {
        let operation = prop_oneof!["[a-z-]{1,32}", Just(CHECKPOINT.to_owned()), Just("generate".to_owned())];
        let place = (any::<u64>(), any::<i64>(), any::<[u8; 32]>());
        (place, operation, any::<[u8; 16]>(), any_stated(), any_head()).prop_map(
            |((sequence, unix, hash), operation, component, stated, head)| JournalEntry {
                sequence,
                unix,
                checkpoint: (operation == CHECKPOINT).then_some(head),
                input_sha256: if operation == "generate" { Vec::new() } else { hash.to_vec() },
                operation,
                component: Uuid::from_bytes(component),
                stated,
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
            stated: Stated::by_server(Uuid::from_u128(2)),
            checkpoint: None,
            input_sha256: vec![3; 32],
            hash: [0; 32],
        };
        // printf '%064x%016x%016x04%s%032x%032x20%s' 0 1 1700000000 $(printf sign | xxd -p) 1 2 $(printf '03%.0s'
        // {1..32}) | xxd -r -p | sha256sum
        let expected = "9b5d9de412874159f72608dbf34cdeb8c653173a94e4b94f9acbe343569f3293";
        assert_eq!(HEXLOWER.encode(&entry_hash(&[0; 32], &entry)), expected);
        let stated = Stated {
            principal: Some(Uuid::from_u128(4)),
            grant: Some(Uuid::from_u128(5)),
            record: Some(LogHead { size: 6, root: [7; 32] }),
            ..entry.stated
        };
        let checkpoint = Some(LogHead { size: 8, root: [9; 32] });
        let entry = JournalEntry { operation: CHECKPOINT.into(), stated, checkpoint, ..entry };
        // printf '%064x%016x%016x0a%s%032x%032x20%s01%032x02%032x03%016x%s04%016x%s' 0 1 1700000000 $(printf checkpoint
        // | xxd -p) 1 2 $(printf '03%.0s' {1..32}) 4 5 6 $(printf '07%.0s' {1..32}) 8 $(printf '09%.0s' {1..32}) |
        // xxd -r -p | sha256sum
        let expected = "2c5a6095cf8888d4b338f9a289f4801fe9c762dc9d6fe9ef206f6acf7abfc928";
        assert_eq!(HEXLOWER.encode(&entry_hash(&[0; 32], &entry)), expected);
    }

    #[test]
    fn checkpoints_say_what_they_sign_and_others_do_not() {
        let entry = JournalEntry {
            sequence: 1,
            unix: 0,
            operation: CHECKPOINT.into(),
            component: Uuid::from_u128(1),
            stated: Stated::by_server(Uuid::from_u128(2)),
            checkpoint: Some(LogHead { size: 8, root: [9; 32] }),
            input_sha256: vec![3; 32],
            hash: [0; 32],
        };
        let parsed = |entry: &JournalEntry| parse_line(format_line(entry).trim_end().as_bytes());
        assert_eq!(parsed(&entry).unwrap(), entry);
        let without = JournalEntry { checkpoint: None, ..entry.clone() };
        let another = JournalEntry { operation: "sign".into(), ..entry };
        for wrong in [without, another] {
            assert!(matches!(parsed(&wrong), Err(LineError::Field("checkpoint"))));
        }
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
        fn a_flipped_bit_is_another_entry_or_an_error(entry in any_entry(), at in 0_usize..900, bit in 0_u8..8) {
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
