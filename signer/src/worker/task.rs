//! What a key is to do.

use sealcard_signer_protocol::{Certification, Input, Operation, SignerError, StoredKey, check, check_certification};

/// A use that a caller of the server asks for, or a part of a certificate.
pub(super) enum Task {
    Use(Operation),
    Certify(Certification),
}

impl Task {
    /// The name in the journal.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Use(operation) => operation.name(),
            Self::Certify(_) => Certification::NAME,
        }
    }

    pub(super) fn input(&self) -> Input<'_> {
        match self {
            Self::Use(operation) => operation.input(),
            Self::Certify(certification) => certification.input(),
        }
    }

    /// Whether this key may do it.
    pub(super) fn check(&self, key: &StoredKey) -> Result<(), SignerError> {
        match self {
            Self::Use(operation) => check(key, operation),
            Self::Certify(certification) => check_certification(key, certification),
        }
    }
}
