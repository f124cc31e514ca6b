//! Which operation a key may perform. Decided from the row alone, before the key is opened or the journal written.

use sealcard_api::{
    algorithm::{ComponentAlgorithm, ComponentRole, Curve, HashAlgorithm, Scheme},
    ssh::SshMessage,
};

use crate::{
    Certification, ML_DSA_44_LEN, Operation, PublicKeyBytes, SignerError, StoredCheckpointKey, StoredKey, is_origin,
};

/// The longest message of ssh that is signed, in bytes. Real ones have a few hundred.
const MAX_SSH_MESSAGE: usize = 64 * 1024;

/// Zero bytes that a digest for ECDSA can't begin with.
const MOST_LEADING_ZEROS: usize = 8;

/// Whether a key may perform an operation and the operation makes sense. What is not named here is refused.
///
/// # Errors
/// [`SignerError::RoleMismatch`], [`SignerError::Invalid`], or [`SignerError::DecryptionFailed`] for what is no
/// ciphertext.
pub fn check(key: &StoredKey, operation: &Operation) -> Result<(), SignerError> {
    let role = match operation {
        Operation::Sign { .. } => ComponentRole::Sign,
        Operation::Authenticate { .. } | Operation::AuthenticateSsh { .. } => ComponentRole::Authenticate,
        Operation::Decrypt { .. } => ComponentRole::Decrypt,
    };
    check_role(key, &[role], operation.name())?;
    match operation {
        Operation::Sign { hash, digest } => check_digest(key.algorithm, *hash, digest),
        Operation::Authenticate { hash, digest } => match key.algorithm {
            ComponentAlgorithm::EddsaEd25519 => {
                Err(invalid("an Ed25519 key authenticates with the whole message of ssh, not with a digest"))
            }
            _ => check_digest(key.algorithm, *hash, digest),
        },
        Operation::AuthenticateSsh { message } => match key.algorithm {
            ComponentAlgorithm::EddsaEd25519 if message.len() > MAX_SSH_MESSAGE => {
                Err(invalid("the message of ssh is too long"))
            }
            ComponentAlgorithm::EddsaEd25519 => {
                SshMessage::parse(message).map(|_| ()).map_err(|error| SignerError::Invalid(error.to_string()))
            }
            _ => Err(invalid("only Ed25519 keys sign whole messages of ssh")),
        },
        Operation::Decrypt { ciphertext } => match (key.algorithm.scheme(), &key.public_key) {
            (Scheme::Rsa { .. }, PublicKeyBytes::Rsa { n, .. }) => check_rsa_ciphertext(n, ciphertext),
            (Scheme::Rsa { .. } | Scheme::Ecdh(_), _) => Ok(()),
            (Scheme::Ecdsa(_) | Scheme::Eddsa, _) => Err(invalid("a key of this algorithm does not decrypt")),
        },
    }
}

/// Whether a key may make this part of a certificate: a key in the role `certify`, or one in the role `sign`, which
/// signs its own binding so that nobody else can claim it (RFC 9580 section 5.2.1.10).
///
/// # Errors
/// [`SignerError::RoleMismatch`] or [`SignerError::Invalid`].
pub fn check_certification(key: &StoredKey, certification: &Certification) -> Result<(), SignerError> {
    check_role(key, &[ComponentRole::Certify, ComponentRole::Sign], Certification::NAME)?;
    check_digest(key.algorithm, certification.hash, &certification.digest)
}

/// Whether this can be a key that signs checkpoints. It does nothing else: no other request takes such a key, and no
/// key of another kind opens as one. Which checkpoints it signs, [`crate::check_checkpoint`] says.
///
/// # Errors
/// [`SignerError::Invalid`].
pub fn check_checkpoint_key(key: &StoredCheckpointKey) -> Result<(), SignerError> {
    if !is_origin(&key.origin) {
        return Err(invalid("the origin of a log has no spaces, no plus signs and at most 255 ASCII characters"));
    }
    if key.ml_dsa_44.len() != ML_DSA_44_LEN {
        return Err(invalid("a public key of ML-DSA-44 has 1312 bytes"));
    }
    Ok(())
}

fn check_role(key: &StoredKey, allowed: &[ComponentRole], operation: &str) -> Result<(), SignerError> {
    if allowed.contains(&key.role) {
        return Ok(());
    }
    Err(SignerError::RoleMismatch { role: key.role, operation: operation.to_owned() })
}

/// Refuses ciphertexts that no one encrypted: 0, 1 and n-1, whose plaintext everybody knows and which some tokens
/// answer in a way of their own, and what is no number below n. OpenPGP leaves out zeros that a number begins with.
fn check_rsa_ciphertext(n: &[u8], ciphertext: &[u8]) -> Result<(), SignerError> {
    let zeros = ciphertext.iter().take_while(|byte| **byte == 0).count();
    let number = ciphertext.get(zeros..).unwrap_or_default();
    // n is odd, so n-1 differs from it in the last bit alone.
    let is_last = n
        .split_last()
        .zip(number.split_last())
        .is_some_and(|((n_end, n_rest), (end, rest))| n_rest == rest && *end == n_end & 0xFE);
    let is_below = number.len() < n.len() || (number.len() == n.len() && number < n);
    if ciphertext.len() > n.len() || !is_below || is_last || number.is_empty() || number == [1] {
        return Err(SignerError::DecryptionFailed);
    }
    Ok(())
}

fn check_digest(algorithm: ComponentAlgorithm, hash: HashAlgorithm, digest: &[u8]) -> Result<(), SignerError> {
    let expected = hash.digest_len();
    if digest.len() != expected {
        return Err(SignerError::Invalid(format!("a digest of {hash} has {expected} bytes, not {}", digest.len())));
    }
    match (algorithm.scheme(), hash) {
        // The library's safe interface has no such encoding; gpg never chooses it by itself.
        (Scheme::Rsa { .. }, HashAlgorithm::Sha224) => {
            Err(invalid("RSA keys sign digests of sha256, sha384 and sha512"))
        }
        (Scheme::Ecdh(_), _) => Err(invalid("a key of this algorithm does not sign")),
        (Scheme::Ecdsa(curve), _) => check_ecdsa_digest(curve, hash, digest),
        _ => Ok(()),
    }
}

/// To ECDSA a digest is a number: a short one with zeros before it is the same as a long one. So nothing is signed that
/// could be the digest of a weaker hash; by chance none in 2^64 begins with so many zeros.
fn check_ecdsa_digest(curve: Curve, hash: HashAlgorithm, digest: &[u8]) -> Result<(), SignerError> {
    let least = curve.width().min(HashAlgorithm::Sha512.digest_len());
    if hash.digest_len() < least {
        let bits = least * 8;
        return Err(SignerError::Invalid(format!(
            "a key of this curve signs digests of {bits} bits or more, not {hash}"
        )));
    }
    if digest.iter().take_while(|byte| **byte == 0).count() >= MOST_LEADING_ZEROS {
        return Err(invalid("the digest begins with so many zeros that it looks like the digest of a shorter hash"));
    }
    Ok(())
}

fn invalid(why: &str) -> SignerError {
    SignerError::Invalid(why.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use ComponentAlgorithm::{
        EcdhCv25519, EcdhP256, EcdhP384, EcdhP521, EcdsaP256, EcdsaP384, EcdsaP521, EddsaEd25519, Rsa2048, Rsa3072,
        Rsa4096,
    };
    use ComponentRole::{Authenticate, Certify, Decrypt, Sign};
    use HashAlgorithm::{Sha224, Sha256, Sha384, Sha512};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_numbers_between_one_and_the_last_are_rsa_ciphertexts() {
        let n = [0xC5, 0, 0, 0x0F];
        for right in [&[2][..], &[0, 0, 2], &[0xC5, 0, 0, 0x0D], &[0x10, 0, 0, 0]] {
            assert_eq!(check_rsa_ciphertext(&n, right), Ok(()), "{right:?}");
        }
        let wrong = [&[][..], &[0], &[0, 0, 0, 0], &[1], &[0, 0, 0, 1], &[0xC5, 0, 0, 0x0E], &n, &[0xFF; 4], &[0; 5]];
        for wrong in wrong.into_iter().chain([&[0, 0, 0, 0, 2][..]]) {
            assert!(check_rsa_ciphertext(&n, wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ecdsa_digests_are_as_long_as_the_curve_and_begin_with_few_zeros() {
        let check = |algorithm, hash: HashAlgorithm, zeros: usize| {
            let digest: Vec<u8> = (0..hash.digest_len()).map(|place| u8::from(place >= zeros)).collect();
            check_digest(algorithm, hash, &digest).is_ok()
        };
        for (algorithm, hash, right) in [
            (EcdsaP256, Sha224, false),
            (EcdsaP256, Sha256, true),
            (EcdsaP256, Sha512, true),
            (EcdsaP384, Sha256, false),
            (EcdsaP384, Sha384, true),
            (EcdsaP521, Sha384, false),
            (EcdsaP521, Sha512, true),
        ] {
            assert_eq!(check(algorithm, hash, 0), right, "{algorithm} {hash}");
        }
        // SHA-1 with zeros before it.
        assert!(!check(EcdsaP256, Sha256, 12));
        assert!(!check(EcdsaP256, Sha256, 8));
        assert!(check(EcdsaP256, Sha256, 7));
        // These name their hash in what they sign, or sign the digest as a message.
        assert!(check(Rsa2048, Sha256, 12));
        assert!(check(EddsaEd25519, Sha256, 12));
    }

    /// Every combination of operation, role and algorithm, against the list of those that are allowed.
    #[test]
    fn what_is_not_allowed_is_refused() {
        let hash = Sha512;
        let digest = vec![7; 64];
        let message = ssh_login();
        let certification = Certification { hash, digest: digest.clone() };
        let operations = [
            Operation::Sign { hash, digest: digest.clone() },
            Operation::Authenticate { hash, digest },
            Operation::AuthenticateSsh { message },
            Operation::Decrypt { ciphertext: vec![0; 32] },
        ];
        let mut allowed = Vec::new();
        for algorithm in ComponentAlgorithm::ALL {
            for role in ComponentRole::ALL {
                let row = row(algorithm, role);
                let certifies = (Certification::NAME, check_certification(&row, &certification));
                let others = operations.iter().map(|operation| (operation.name(), check(&row, operation)));
                for (name, outcome) in others.chain([certifies]) {
                    match outcome {
                        Ok(()) => allowed.push((algorithm, role, name)),
                        Err(SignerError::RoleMismatch { .. } | SignerError::Invalid(_)) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
        }
        let mut expected = Vec::new();
        for algorithm in ComponentAlgorithm::ALL {
            let rsa = matches!(algorithm, Rsa2048 | Rsa3072 | Rsa4096);
            let signs = rsa || matches!(algorithm, EcdsaP256 | EcdsaP384 | EcdsaP521 | EddsaEd25519);
            if signs {
                expected.extend([
                    (algorithm, Certify, "certify"),
                    (algorithm, Sign, "sign"),
                    (algorithm, Sign, "certify"),
                ]);
            }
            if rsa || matches!(algorithm, EcdhP256 | EcdhP384 | EcdhP521 | EcdhCv25519) {
                expected.push((algorithm, Decrypt, "decrypt"));
            }
            if signs {
                let how = if algorithm == EddsaEd25519 { "authenticate-ssh" } else { "authenticate" };
                expected.push((algorithm, Authenticate, how));
            }
        }
        assert_eq!(allowed, expected);
    }

    #[test]
    fn digests_must_have_the_length_of_their_hash_and_messages_must_be_of_ssh() {
        for hash in HashAlgorithm::ALL {
            for len in 0..=80 {
                let operation = Operation::Sign { hash, digest: vec![7; len] };
                assert_eq!(
                    check(&row(EddsaEd25519, Sign), &operation).is_ok(),
                    len == hash.digest_len(),
                    "{hash} {len}"
                );
            }
        }
        for message in [vec![], vec![0; 32], vec![0; 64], b"tree 0000".to_vec(), ssh_login()[1..].to_vec()] {
            let operation = Operation::AuthenticateSsh { message };
            assert!(matches!(check(&row(EddsaEd25519, Authenticate), &operation), Err(SignerError::Invalid(_))));
        }
        // What the library can't encode is refused before a key is touched.
        let operation = Operation::Sign { hash: Sha224, digest: vec![0; 28] };
        assert!(matches!(check(&row(Rsa4096, Sign), &operation), Err(SignerError::Invalid(_))));
    }

    #[test]
    fn checkpoint_keys_have_an_origin_and_both_public_keys() {
        let key = |origin: &str, ml_dsa_44| StoredCheckpointKey {
            component: Uuid::nil(),
            origin: origin.to_owned(),
            ed25519: [0; 32],
            ml_dsa_44: vec![0; ml_dsa_44],
            handle: vec![],
        };
        assert_eq!(check_checkpoint_key(&key("sign.example.org/record", 1312)), Ok(()));
        for wrong in [key("a b", 1312), key("", 1312), key("a", 1311), key("a", 0)] {
            assert!(matches!(check_checkpoint_key(&wrong), Err(SignerError::Invalid(_))));
        }
    }

    fn row(algorithm: ComponentAlgorithm, role: ComponentRole) -> StoredKey {
        let public_key = PublicKeyBytes::Ec { point: vec![] };
        StoredKey { component: Uuid::nil(), algorithm, role, public_key, handle: vec![] }
    }

    fn ssh_login() -> Vec<u8> {
        let mut message = Vec::new();
        let mut string = |bytes: &[u8], after: &[u8]| {
            message.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
            message.extend_from_slice(bytes);
            message.extend_from_slice(after);
        };
        string(&[7; 32], &[50]);
        string(b"git", b"");
        string(b"ssh-connection", b"");
        string(b"publickey", &[1]);
        string(b"ssh-ed25519", b"");
        string(b"key blob", b"");
        message
    }
}
