//! Facts: what an entry of record or journal says of one component key in one request, in a form that sorts.

use std::fmt;

use sealcard_signer_protocol::{Certification, JournalEntry};
use uuid::Uuid;

use crate::event::SignerOperation;

/// Bytes of a fact.
pub(super) const LENGTH: usize = 109;

/// A fact's fields in the order of [`Parts`], each in big-endian order. So facts about one component in one request are
/// neighbours after sorting, and sorted by what kind they are.
pub(super) type Fact = [u8; LENGTH];

/// A component key in a request.
pub(super) type UseId = (Uuid, Uuid);

/// Principal and grant, zeros where there is none.
pub(super) type Requester = [u8; 32];

/// The fields of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    /// Request and component.
    pub(super) id: UseId,
    pub(super) kind: Kind,
    /// SHA-256 of what is worked on; zeros where the kind has none.
    pub(super) input: [u8; 32],
    pub(super) origin: Origin,
    pub(super) operation: Operation,
    /// Which journal it is in: 0 for the record, then 1, 2, …
    pub(super) journal: u16,
    /// The number of the entry. Of a [`Kind::Signed`], the number of the journal's entry that it names, 0 if it names
    /// none.
    pub(super) sequence: u64,
    /// Who asked, in a [`Kind::Intent`] and in a journal's fact.
    pub(super) requester: Requester,
}

/// What a fact says. What the record says of an id comes before what journals say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    /// The record: it is to be used.
    Intent,
    /// The record: it gave something, and one of the journals that are compared must say so.
    Signed,
    /// The record: the same, on the machine that was the only one until the data was moved to a shared database.
    SignedBefore,
    /// The record: an outcome of which no journal need say anything.
    Ended,
    /// The record: it is made or taken over.
    Made,
    /// The record: it is destroyed.
    Destroyed,
    /// Record or journal: it certifies.
    Certified,
    /// A journal: it was used, made or destroyed.
    Used,
    /// A journal, in entries that are younger than the record that is compared.
    UsedLater,
}

/// Where a fact is from. The record's are sorted before the journals'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Origin {
    Record,
    Journal,
}

/// What the signer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Operation {
    /// A use.
    Sign,
    /// A use.
    Authenticate,
    /// A use.
    AuthenticateSsh,
    /// A use.
    Decrypt,
    /// A component was made.
    Generate,
    /// A component came from elsewhere.
    Import,
    /// A component that was on a token was taken over.
    Adopt,
    /// A component was destroyed.
    Destroy,
    /// A signature for key management.
    Certify,
}

impl Operation {
    const ALL: [Self; 9] = [
        Self::Sign,
        Self::Authenticate,
        Self::AuthenticateSsh,
        Self::Decrypt,
        Self::Generate,
        Self::Import,
        Self::Adopt,
        Self::Destroy,
        Self::Certify,
    ];

    /// The name as a journal writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => SignerOperation::Sign.name(),
            Self::Authenticate => SignerOperation::Authenticate.name(),
            Self::AuthenticateSsh => SignerOperation::AuthenticateSsh.name(),
            Self::Decrypt => SignerOperation::Decrypt.name(),
            Self::Generate => "generate",
            Self::Import => "import",
            Self::Adopt => "adopt",
            Self::Destroy => "destroy",
            Self::Certify => Certification::NAME,
        }
    }

    /// The operation of a journal's entry, if there is one of this name.
    pub(super) fn of(entry: &JournalEntry) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == entry.operation)
    }
}

impl From<SignerOperation> for Operation {
    fn from(operation: SignerOperation) -> Self {
        match operation {
            SignerOperation::Sign => Self::Sign,
            SignerOperation::Authenticate => Self::Authenticate,
            SignerOperation::AuthenticateSsh => Self::AuthenticateSsh,
            SignerOperation::Decrypt => Self::Decrypt,
        }
    }
}

/// A principal and its grant in a fact.
pub(super) fn requester(principal: Option<Uuid>, grant: Option<Uuid>) -> Requester {
    let mut bytes = [0; 32];
    let (first, second) = bytes.split_at_mut(16);
    first.copy_from_slice(principal.unwrap_or_default().as_bytes());
    second.copy_from_slice(grant.unwrap_or_default().as_bytes());
    bytes
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Parts {
    /// A fact of the record.
    pub(super) const fn of_record(id: UseId, kind: Kind, operation: Operation, sequence: u64) -> Self {
        Self { id, kind, input: [0; 32], origin: Origin::Record, operation, journal: 0, sequence, requester: [0; 32] }
    }

    pub(super) fn encode(&self) -> Fact {
        let Self { id: (request, component), kind, input, origin, operation, journal, sequence, requester } = self;
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(request.as_bytes());
        bytes.extend_from_slice(component.as_bytes());
        bytes.push(*kind as u8);
        bytes.extend_from_slice(input);
        bytes.extend_from_slice(&[*origin as u8, *operation as u8]);
        bytes.extend_from_slice(&journal.to_be_bytes());
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(requester);
        let mut fact = [0; LENGTH];
        fact.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        fact
    }

    /// The fields of what [`Parts::encode`] has made.
    pub(super) fn decode(fact: &Fact) -> Option<Self> {
        const KINDS: [Kind; 9] = [
            Kind::Intent,
            Kind::Signed,
            Kind::SignedBefore,
            Kind::Ended,
            Kind::Made,
            Kind::Destroyed,
            Kind::Certified,
            Kind::Used,
            Kind::UsedLater,
        ];
        let (request, rest) = fact.split_first_chunk::<16>()?;
        let (component, rest) = rest.split_first_chunk::<16>()?;
        let ([kind], rest) = rest.split_first_chunk::<1>()?;
        let (input, rest) = rest.split_first_chunk::<32>()?;
        let ([origin, operation], rest) = rest.split_first_chunk::<2>()?;
        let (journal, rest) = rest.split_first_chunk::<2>()?;
        let (sequence, requester) = rest.split_first_chunk::<8>()?;
        Some(Self {
            id: (Uuid::from_bytes(*request), Uuid::from_bytes(*component)),
            kind: KINDS.get(usize::from(*kind)).copied()?,
            input: *input,
            origin: if *origin == 0 { Origin::Record } else { Origin::Journal },
            operation: Operation::ALL.get(usize::from(*operation)).copied()?,
            journal: u16::from_be_bytes(*journal),
            sequence: u64::from_be_bytes(*sequence),
            requester: requester.try_into().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_their_bytes_and_sort_by_id_then_kind() {
        let intent = Parts::of_record((Uuid::from_u128(1), Uuid::from_u128(2)), Kind::Intent, Operation::Decrypt, 9);
        let used = Parts {
            kind: Kind::UsedLater,
            input: [3; 32],
            origin: Origin::Journal,
            operation: Operation::Certify,
            journal: 700,
            sequence: u64::MAX,
            requester: [5; 32],
            ..intent
        };
        let other = Parts { id: (Uuid::from_u128(2), Uuid::from_u128(1)), ..intent };
        for parts in [intent, used, other] {
            assert_eq!(Parts::decode(&parts.encode()), Some(parts));
        }
        assert!(intent.encode() < used.encode() && used.encode() < other.encode());
    }

    #[test]
    fn operations_have_the_names_of_the_journal() {
        for (number, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, number);
        }
        for operation in SignerOperation::ALL {
            assert_eq!(Operation::from(operation).name(), operation.name());
        }
    }
}
