//! The check that a signature is one, made with nothing but the public key, before it leaves.

use aws_lc_rs::{
    digest::{self, Digest},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, EcdsaVerificationAlgorithm,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents,
        UnparsedPublicKey,
    },
};
use sealcard_api::algorithm::{Curve, HashAlgorithm, Scheme};
use sealcard_signer_protocol::{Operation, PublicKeyBytes, StoredKey};

/// What is signed does not verify, or can't be. Retrying may help: a fault of the signer or its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify with the public key")]
pub(super) struct VerifyError;

/// Checks a signature's shape and verifies it.
pub(super) fn verify(key: &StoredKey, operation: &Operation, signature: &[u8]) -> Result<(), VerifyError> {
    match operation {
        Operation::Sign { hash, digest } | Operation::Authenticate { hash, digest } => {
            verify_digest(key, *hash, digest, signature)
        }
        Operation::AuthenticateSsh { message } => verify_message(key, message, signature),
        Operation::Decrypt { .. } => Err(VerifyError),
    }
}

fn verify_digest(key: &StoredKey, hash: HashAlgorithm, digest: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    match (key.algorithm.scheme(), &key.public_key) {
        (Scheme::Rsa { bits }, PublicKeyBytes::Rsa { n, e }) => {
            let (parameters, algorithm) = match hash {
                HashAlgorithm::Sha256 => (&RSA_PKCS1_2048_8192_SHA256, &digest::SHA256),
                HashAlgorithm::Sha384 => (&RSA_PKCS1_2048_8192_SHA384, &digest::SHA384),
                HashAlgorithm::Sha512 => (&RSA_PKCS1_2048_8192_SHA512, &digest::SHA512),
                HashAlgorithm::Sha224 => return Err(VerifyError),
            };
            // As wide as the modulus: a shorter number would break clients that trust the width.
            if signature.len() != n.len() || n.len().saturating_mul(8) != usize::from(bits) {
                return Err(VerifyError);
            }
            let digest = Digest::import_less_safe(digest, algorithm).map_err(|_| VerifyError)?;
            RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(parameters)
                .map_err(|_| VerifyError)?
                .verify_digest_sig(&digest, signature)
                .map_err(|_| VerifyError)
        }
        (Scheme::Ecdsa(curve), PublicKeyBytes::Ec { point }) => {
            let (parameters, algorithm) = ecdsa(curve).ok_or(VerifyError)?;
            let number = to_width(digest, algorithm.output_len());
            let digest = Digest::import_less_safe(&number, algorithm).map_err(|_| VerifyError)?;
            UnparsedPublicKey::new(parameters, point).verify_digest(&digest, signature).map_err(|_| VerifyError)
        }
        // OpenPGP signs the digest as message (RFC 9580 section 5.2.3.3).
        (Scheme::Eddsa, PublicKeyBytes::Ec { .. }) => verify_message(key, digest, signature),
        _ => Err(VerifyError),
    }
}

fn verify_message(key: &StoredKey, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    match (key.algorithm.scheme(), &key.public_key) {
        (Scheme::Eddsa, PublicKeyBytes::Ec { point }) => {
            UnparsedPublicKey::new(&ED25519, point).verify(message, signature).map_err(|_| VerifyError)
        }
        _ => Err(VerifyError),
    }
}

/// What the library calls ECDSA over a curve, and the digest whose length the order can take in.
fn ecdsa(curve: Curve) -> Option<(&'static EcdsaVerificationAlgorithm, &'static digest::Algorithm)> {
    match curve {
        Curve::NistP256 => Some((&ECDSA_P256_SHA256_FIXED, &digest::SHA256)),
        Curve::NistP384 => Some((&ECDSA_P384_SHA384_FIXED, &digest::SHA384)),
        Curve::NistP521 => Some((&ECDSA_P521_SHA512_FIXED, &digest::SHA512)),
        Curve::Ed25519 | Curve::Cv25519 => None,
    }
}

/// The digest's leftmost bytes as an integer of this width (FIPS 186-5 section 6.4.2).
fn to_width(digest: &[u8], width: usize) -> Vec<u8> {
    let leftmost = digest.get(..width).unwrap_or(digest);
    let mut wide = vec![0; width.saturating_sub(leftmost.len())];
    wide.extend_from_slice(leftmost);
    wide
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    };
    use proptest::prelude::*;
    use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
    use uuid::Uuid;

    use super::*;

    fn key(algorithm: ComponentAlgorithm, point: &[u8]) -> StoredKey {
        StoredKey {
            component: Uuid::nil(),
            algorithm,
            role: ComponentRole::Sign,
            public_key: PublicKeyBytes::Ec { point: point.to_vec() },
            handle: Vec::new(),
        }
    }

    fn rsa(n: Vec<u8>) -> StoredKey {
        let public_key = PublicKeyBytes::Rsa { n, e: vec![1, 0, 1] };
        StoredKey { public_key, ..key(ComponentAlgorithm::Rsa4096, &[]) }
    }

    fn sign(digest: &[u8]) -> Operation {
        Operation::Sign { hash: HashAlgorithm::Sha256, digest: digest.to_vec() }
    }

    #[test]
    fn a_right_signature_verifies_and_no_changed_one_does() {
        let digest = digest::digest(&digest::SHA256, b"content");
        let ed = Ed25519KeyPair::generate().unwrap();
        let mut made =
            vec![(key(ComponentAlgorithm::EddsaEd25519, ed.public_key().as_ref()), ed.sign(digest.as_ref()))];
        for (algorithm, signing, width) in [
            (ComponentAlgorithm::EcdsaP256, &ECDSA_P256_SHA256_FIXED_SIGNING, 32),
            (ComponentAlgorithm::EcdsaP384, &ECDSA_P384_SHA384_FIXED_SIGNING, 48),
            (ComponentAlgorithm::EcdsaP521, &ECDSA_P521_SHA512_FIXED_SIGNING, 64),
        ] {
            let ec = EcdsaKeyPair::generate(signing).unwrap();
            let wanted = ecdsa(algorithm.curve().unwrap()).unwrap().1;
            let number = Digest::import_less_safe(&to_width(digest.as_ref(), width), wanted).unwrap();
            made.push((key(algorithm, ec.public_key().as_ref()), ec.sign_digest(&number).unwrap()));
        }
        for (key, signature) in made {
            let signature = signature.as_ref();
            assert_eq!(verify(&key, &sign(digest.as_ref()), signature), Ok(()));
            assert_eq!(verify(&key, &sign(&[0; 32]), signature), Err(VerifyError));
            for position in 0..signature.len() {
                let mut changed = signature.to_vec();
                changed[position] ^= 1;
                assert_eq!(verify(&key, &sign(digest.as_ref()), &changed), Err(VerifyError), "byte {position}");
            }
            for other in [&signature[1..], &[signature, &[0]].concat()] {
                assert_eq!(verify(&key, &sign(digest.as_ref()), other), Err(VerifyError));
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_keys_and_signatures_never_verify_and_never_panic(
            point: Vec<u8>, signature: Vec<u8>, n in proptest::collection::vec(any::<u8>(), 0..520), digest: [u8; 32],
        ) {
            let keys = [
                rsa(n.clone()),
                rsa(Vec::new()),
            ];
            for key in keys.into_iter().chain(ComponentAlgorithm::ALL.map(|algorithm| key(algorithm, &point))) {
                prop_assert!(verify(&key, &sign(&digest), &signature).is_err());
                prop_assert!(verify(&key, &sign(&digest), &n).is_err());
            }
        }

        #[test]
        fn digests_become_numbers_of_the_wanted_width(
            digest in proptest::collection::vec(any::<u8>(), 0..65), width in 1_usize..70,
        ) {
            let wide = to_width(&digest, width);
            prop_assert_eq!(wide.len(), width);
            let taken = digest.len().min(width);
            prop_assert_eq!(&wide[width - taken..], &digest[..taken]);
            prop_assert!(wide[..width - taken].iter().all(|byte| *byte == 0));
        }
    }
}
