//! What signatures are accepted.

use sequoia_openpgp::{
    policy::{HashAlgoSecurity, StandardPolicy},
    types::HashAlgorithm,
};

/// The policy by which certificates are judged, here and at every place that verifies.
///
/// A certificate's own signatures may be made with SHA-1, as gpg accepts them: keys that are older than some tools have
/// them, and a second preimage of SHA-1 is out of reach. Signatures over files and messages may not.
pub(crate) fn policy() -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::new();
    policy.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
    policy
}
