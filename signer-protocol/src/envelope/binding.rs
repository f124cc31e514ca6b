//! What the secret in an envelope belongs to.

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, PublicKey};
use uuid::Uuid;

use super::RecipientKey;

/// The associated data of an envelope: parts, each with its length before it, so that no two lists have the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding(Vec<u8>);

impl Binding {
    /// Binds to these parts.
    #[must_use]
    pub fn new(parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self(bytes)
    }

    /// Binds to a component key: a private half opens only as that of this component, algorithm, role and public half.
    #[must_use]
    pub fn component(id: Uuid, algorithm: ComponentAlgorithm, role: ComponentRole, public_key: &PublicKey) -> Self {
        let (kind, first, second): (&[u8], _, &[u8]) = match public_key {
            PublicKey::Rsa { n, e } => (b"rsa", n.as_slice(), e.as_slice()),
            PublicKey::Ec { point, .. } => (b"ec", point.as_slice(), &[]),
        };
        let (algorithm, role) = (algorithm.name().as_bytes(), role.name().as_bytes());
        Self::new(&[b"component", id.as_bytes(), algorithm, role, kind, first, second])
    }

    /// Binds to one attempt to open one environment: the keeper's key, and the nonce that it gave for this envelope. An
    /// old envelope opens nothing, and none opens another environment.
    #[must_use]
    pub fn unseal(keeper: &RecipientKey, nonce: &[u8; 32]) -> Self {
        Self::new(&[b"unseal", &keeper.0, nonce])
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sealcard_api::{Bytes, algorithm::Curve};

    use super::*;

    #[test]
    fn each_fact_of_a_component_changes_its_binding() {
        let key = |point: u8| PublicKey::Ec { curve: Curve::NistP256, point: Bytes(vec![point; 65]) };
        let rsa = PublicKey::Rsa { n: Bytes(vec![4; 65]), e: Bytes(vec![]) };
        let (a, b) = (ComponentAlgorithm::EcdsaP256, ComponentAlgorithm::EcdsaP384);
        let (sign, certify) = (ComponentRole::Sign, ComponentRole::Certify);
        let one = Binding::component(Uuid::from_u128(1), a, sign, &key(4));
        for other in [
            Binding::component(Uuid::from_u128(2), a, sign, &key(4)),
            Binding::component(Uuid::from_u128(1), b, sign, &key(4)),
            Binding::component(Uuid::from_u128(1), a, certify, &key(4)),
            Binding::component(Uuid::from_u128(1), a, sign, &key(5)),
            Binding::component(Uuid::from_u128(1), a, sign, &rsa),
        ] {
            assert_ne!(one, other);
        }
    }

    proptest! {
        #[test]
        fn different_parts_have_different_bytes(a: Vec<Vec<u8>>, b: Vec<Vec<u8>>) {
            let of = |parts: &[Vec<u8>]| Binding::new(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(of(&a) == of(&b), a == b);
        }
    }
}
