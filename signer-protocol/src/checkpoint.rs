//! Checkpoints of the record: their keys, and the rule by which a signer signs one.

use sealcard_transparency::{Hash, KeyName, ProofError, TreeHead, verify_consistency};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of the operation in journals.
pub const CHECKPOINT: &str = "checkpoint";

/// Bytes of a public key of ML-DSA-44.
pub const ML_DSA_44_LEN: usize = 1312;

/// The longest origin, in bytes: ML-DSA-44 signs its length in one byte.
pub const MAX_ORIGIN: usize = 255;

/// The size and the root of a log: what a checkpoint says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogHead {
    /// How many entries it has.
    pub size: u64,
    /// The root of its Merkle tree.
    pub root: [u8; 32],
}

impl From<TreeHead> for LogHead {
    fn from(TreeHead { size, root }: TreeHead) -> Self {
        Self { size, root: root.0 }
    }
}

impl From<LogHead> for TreeHead {
    fn from(LogHead { size, root }: LogHead) -> Self {
        Self { size, root: Hash(root) }
    }
}

/// A key that signs checkpoints of one log and nothing else, as it is stored in the server's database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCheckpointKey {
    /// Its id. The signer remembers by it what was signed.
    pub component: Uuid,
    /// The log's origin, which is the name of the key too.
    pub origin: String,
    /// The public key that signs the note.
    pub ed25519: [u8; 32],
    /// The public key that signs the note for those who must trust it when Ed25519 is broken, in [`ML_DSA_44_LEN`]
    /// bytes.
    pub ml_dsa_44: Vec<u8>,
    /// Both seeds, encrypted together; all that is above is their associated data.
    pub handle: Vec<u8>,
}

/// A checkpoint that is to be signed, and the proof that the log only grew since the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// What is to be signed.
    pub head: LogHead,
    /// The size of the last checkpoint that this signer has signed with the key, 0 if there is none.
    pub old_size: u64,
    /// The consistency proof between the two (RFC 9162, section 2.1.4).
    pub proof: Vec<[u8; 32]>,
}

/// Why a checkpoint is not signed. Nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum GrowthError {
    /// The log became shorter. Retrying can't help: the log was cut or comes from an old backup.
    #[error("the log has {size} entries, but a checkpoint with {last} is signed already")]
    Shorter {
        /// The size that was to be signed.
        size: u64,
        /// The last one that was.
        last: u64,
    },
    /// The log of this size was another one. Retrying can't help: its past was rewritten.
    #[error("a checkpoint with {0} entries and another root is signed already")]
    OtherRoot(u64),
    /// The proof is not from the last checkpoint. Retrying with a proof from there helps. If the server knows a later
    /// one than the signer, the end of the signer's journal is missing.
    #[error("the proof begins with a checkpoint of {old_size} entries, but the last one that is signed has {last}")]
    NotLast {
        /// Where the proof begins.
        old_size: u64,
        /// The last size that was signed, 0 if there is none.
        last: u64,
    },
    /// The log does not continue the one of the last checkpoint, or the proof is wrong. If it is right, retrying can't
    /// help: the past was rewritten.
    #[error("the log of {size} entries is not proved to continue the one of {last}")]
    Inconsistent {
        /// The size that was to be signed.
        size: u64,
        /// The last one that was.
        last: u64,
    },
}

/// Whether a checkpoint may be signed with a key whose last one was `last`: the log only ever grows, and nothing that
/// was signed changes. The last one may be signed once more, whatever the proof: its first answer may be lost.
///
/// # Errors
/// See [`GrowthError`].
pub fn check_checkpoint(last: Option<LogHead>, growth: &Growth) -> Result<(), GrowthError> {
    let Growth { head, old_size, ref proof } = *growth;
    let before = last.map_or(TreeHead::EMPTY, TreeHead::from);
    if last == Some(head) {
        return Ok(());
    }
    if head.size < before.size {
        return Err(GrowthError::Shorter { size: head.size, last: before.size });
    }
    if last.is_some() && head.size == before.size {
        return Err(GrowthError::OtherRoot(head.size));
    }
    if old_size != before.size {
        return Err(GrowthError::NotLast { old_size, last: before.size });
    }
    let proof: Vec<Hash> = proof.iter().copied().map(Hash).collect();
    verify_consistency(&before, &head.into(), &proof)
        .map_err(|_: ProofError| GrowthError::Inconsistent { size: head.size, last: before.size })
}

/// Whether this can be the origin of a log, and so the name of its key.
#[must_use]
pub fn is_origin(origin: &str) -> bool {
    origin.len() <= MAX_ORIGIN
        && origin.bytes().all(|byte| byte.is_ascii_graphic())
        && origin.parse::<KeyName>().is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use sealcard_transparency::{Node, prove_consistency, root};

    use super::*;

    /// The hashes of a log whose entries are these bytes.
    fn hash(entries: &[u8], node: Node) -> Hash {
        if node.level == 0 {
            return Hash::leaf(&[entries[usize::try_from(node.index).unwrap()]]);
        }
        let child = |index| hash(entries, Node { level: node.level - 1, index });
        Hash::node(&child(node.index * 2), &child(node.index * 2 + 1))
    }

    fn head(entries: &[u8]) -> LogHead {
        let size = entries.len() as u64;
        let root = root(size, &mut |node: Node| Ok::<_, Infallible>(hash(entries, node))).unwrap();
        LogHead { size, root: root.0 }
    }

    /// The proof that a log continues its own beginning.
    fn growth(entries: &[u8], old_size: u64) -> Growth {
        let read = &mut |node: Node| Ok::<_, Infallible>(hash(entries, node));
        let proof = prove_consistency(old_size, entries.len() as u64, read).unwrap();
        Growth { head: head(entries), old_size, proof: proof.into_iter().map(|hash| hash.0).collect() }
    }

    #[test]
    fn first_checkpoint_needs_no_proof_and_begins_at_nothing() {
        assert_eq!(check_checkpoint(None, &growth(&[1, 2, 3], 0)), Ok(()));
        assert_eq!(check_checkpoint(None, &growth(&[], 0)), Ok(()));
        let from_elsewhere = growth(&[1, 2, 3], 2);
        assert_eq!(check_checkpoint(None, &from_elsewhere), Err(GrowthError::NotLast { old_size: 2, last: 0 }));
        let with_proof = Growth { proof: vec![[1; 32]], ..growth(&[1, 2, 3], 0) };
        assert_eq!(check_checkpoint(None, &with_proof), Err(GrowthError::Inconsistent { size: 3, last: 0 }));
        let no_empty_log = Growth { head: LogHead { size: 0, root: [7; 32] }, old_size: 0, proof: vec![] };
        assert!(check_checkpoint(None, &no_empty_log).is_err());
    }

    #[test]
    fn same_checkpoint_is_signed_again_and_a_shorter_one_is_not() {
        let last = Some(head(&[1, 2, 3]));
        assert_eq!(check_checkpoint(last, &growth(&[1, 2, 3], 2)), Ok(()));
        assert_eq!(check_checkpoint(last, &growth(&[1, 2, 4], 3)), Err(GrowthError::OtherRoot(3)));
        assert_eq!(check_checkpoint(last, &growth(&[1, 2], 0)), Err(GrowthError::Shorter { size: 2, last: 3 }));
        assert_eq!(check_checkpoint(last, &growth(&[], 0)), Err(GrowthError::Shorter { size: 0, last: 3 }));
    }

    #[test]
    fn log_that_was_signed_empty_goes_on() {
        let last = Some(head(&[]));
        assert_eq!(check_checkpoint(last, &growth(&[1], 0)), Ok(()));
        let other = Growth { head: LogHead { size: 0, root: [1; 32] }, old_size: 0, proof: vec![] };
        assert_eq!(check_checkpoint(last, &other), Err(GrowthError::OtherRoot(0)));
    }

    #[test]
    fn origins_are_names_of_keys() {
        for right in ["sign.example.org/record", "a", &"x".repeat(255)] {
            assert!(is_origin(right), "{right}");
        }
        for wrong in ["", "a b", "a+b", "a\nb", "ü", &"x".repeat(256)] {
            assert!(!is_origin(wrong), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn log_that_grows_is_signed_and_one_with_another_past_is_not(
            entries in proptest::collection::vec(any::<u8>(), 2..70),
            old in any::<prop::sample::Index>(),
            changed in any::<prop::sample::Index>(),
        ) {
            let old_size = old.index(entries.len() - 1) + 1;
            let last = head(&entries[..old_size]);
            let grown = growth(&entries, old_size as u64);
            prop_assert_eq!(check_checkpoint(Some(last), &grown), Ok(()));
            // Whatever proof a server makes of a log with another past, it is refused.
            let mut rewritten = entries.clone();
            rewritten[changed.index(old_size)] ^= 1;
            let forged = growth(&rewritten, old_size as u64);
            let refused = Err(GrowthError::Inconsistent { size: entries.len() as u64, last: old_size as u64 });
            prop_assert_eq!(check_checkpoint(Some(last), &forged), refused);
            prop_assert_eq!(check_checkpoint(Some(last), &Growth { head: forged.head, ..grown.clone() }), refused);
            // A proof from another size is not looked at.
            let elsewhere = check_checkpoint(Some(last), &growth(&entries, old_size as u64 - 1));
            let not_last = matches!(elsewhere, Err(GrowthError::NotLast { .. }));
            prop_assert!(not_last);
        }

        #[test]
        fn checkpoint_without_its_own_proof_is_refused(
            entries in proptest::collection::vec(any::<u8>(), 2..70),
            old in any::<prop::sample::Index>(),
            proof in proptest::collection::vec(any::<[u8; 32]>(), 0..8),
        ) {
            let old_size = old.index(entries.len() - 1) + 1;
            let grown = growth(&entries, old_size as u64);
            let made_up = Growth { proof: proof.clone(), ..grown.clone() };
            let outcome = check_checkpoint(Some(head(&entries[..old_size])), &made_up);
            prop_assert_eq!(outcome.is_ok(), proof == grown.proof);
        }

        #[test]
        fn arbitrary_growth_never_panics(
            last in proptest::option::of((any::<u64>(), any::<[u8; 32]>())),
            size: u64,
            root: [u8; 32],
            old_size: u64,
            proof in proptest::collection::vec(any::<[u8; 32]>(), 0..70),
        ) {
            let last = last.map(|(size, root)| LogHead { size, root });
            let growth = Growth { head: LogHead { size, root }, old_size, proof };
            if check_checkpoint(last, &growth).is_ok() {
                prop_assert!(last.is_none_or(|last| last.size <= size));
            }
        }
    }
}
