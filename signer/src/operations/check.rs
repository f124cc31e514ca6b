//! Which operation a key may perform. Decided from the row alone, before the key is opened or the journal written.

use sealcard_api::{
    algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm, Scheme},
    ssh::SshMessage,
};

use crate::{
    crypto,
    protocol::{Operation, SignerError, StoredKey},
};

/// The longest message of ssh that is signed, in bytes. Real ones have a few hundred.
const MAX_SSH_MESSAGE: usize = 64 * 1024;

/// Whether a key may perform an operation and the operation makes sense. What is not named here is refused.
///
/// # Errors
/// [`SignerError::RoleMismatch`] or [`SignerError::Invalid`].
pub fn check(key: &StoredKey, operation: &Operation) -> Result<(), SignerError> {
    let allowed = matches!(
        (operation, key.role),
        (Operation::Sign { .. }, ComponentRole::Sign)
            // A signing subkey signs its own binding, so that nobody else can claim it (RFC 9580 section 5.2.1.10).
            | (Operation::Certify { .. }, ComponentRole::Certify | ComponentRole::Sign)
            | (Operation::Authenticate { .. } | Operation::AuthenticateSsh { .. }, ComponentRole::Authenticate)
            | (Operation::Decrypt { .. }, ComponentRole::Decrypt)
    );
    if !allowed {
        return Err(SignerError::RoleMismatch { role: key.role, operation: operation.name().to_owned() });
    }
    match operation {
        Operation::Sign { hash, digest } | Operation::Certify { hash, digest } => {
            check_digest(key.algorithm, *hash, digest)
        }
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
        Operation::Decrypt { .. } => match key.algorithm.scheme() {
            Scheme::Rsa { .. } | Scheme::Ecdh(_) => Ok(()),
            Scheme::Ecdsa(_) | Scheme::Eddsa => Err(invalid("a key of this algorithm does not decrypt")),
        },
    }
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
        _ => Ok(()),
    }
}

fn invalid(why: &str) -> SignerError {
    SignerError::Invalid(why.to_owned())
}

/// What journal and record keep of an operation's input: its SHA-256.
#[must_use]
pub fn input_sha256(operation: &Operation) -> [u8; 32] {
    crypto::sha256(input(operation))
}

/// What an operation works on: the digest, message or ciphertext.
#[must_use]
pub fn input(operation: &Operation) -> &[u8] {
    match operation {
        Operation::Sign { digest, .. } | Operation::Certify { digest, .. } | Operation::Authenticate { digest, .. } => {
            digest
        }
        Operation::AuthenticateSsh { message } => message,
        Operation::Decrypt { ciphertext } => ciphertext,
    }
}
