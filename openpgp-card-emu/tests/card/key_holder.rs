//! Performs the card's operations with private keys in memory.

use aws_lc_rs::agreement;
use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use openpgp_card_emu::{
    AlgorithmAttributes, Card, CardProfile, Curve, KeyOperation, KeySlot, OperationError, PublicKey, SignInput, Slot,
};

pub(crate) enum PrivateKey {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Ecdh(Curve, agreement::PrivateKey),
}

impl PrivateKey {
    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn p256() -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn ecdh(curve: Curve) -> Self {
        Self::Ecdh(curve, agreement::PrivateKey::generate(agreement_algorithm(curve)).unwrap())
    }

    fn slot(&self, number: u8) -> KeySlot {
        let (attributes, public_key) = match self {
            Self::Rsa(key) => {
                let (n, e) = rsa_numbers(key.public_key().as_ref());
                (AlgorithmAttributes::rsa(2048), PublicKey::Rsa { n, e })
            }
            Self::Ecdsa(key) => {
                (AlgorithmAttributes::Ecdsa(Curve::P256), PublicKey::Point(key.public_key().as_ref().to_vec()))
            }
            Self::Ed25519(key) => {
                (AlgorithmAttributes::EdDsa(Curve::Ed25519), PublicKey::Point(key.public_key().as_ref().to_vec()))
            }
            Self::Ecdh(curve, key) => {
                let point = key.compute_public_key().unwrap().as_ref().to_vec();
                (AlgorithmAttributes::Ecdh(*curve), PublicKey::Point(point))
            }
        };
        KeySlot::new(attributes, public_key, [number; 20], 1_700_000_000 + u32::from(number))
    }

    fn sign(&self, input: &SignInput) -> Result<Vec<u8>, OperationError> {
        match (self, input) {
            (Self::Rsa(key), SignInput::DigestInfo(info)) => {
                let digest = info.strip_prefix(SHA256_PREFIX).ok_or(OperationError::WrongData)?;
                let digest = Digest::import_less_safe(digest, &digest::SHA256).unwrap();
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(&signature::RSA_PKCS1_SHA256, &digest, &mut signature).unwrap();
                Ok(signature)
            }
            (Self::Ecdsa(key), SignInput::Digest(digest)) => {
                let digest = Digest::import_less_safe(digest, &digest::SHA256).unwrap();
                Ok(key.sign_digest(&digest).unwrap().as_ref().to_vec())
            }
            (Self::Ed25519(key), SignInput::Message(message)) => Ok(key.sign(message).as_ref().to_vec()),
            _ => panic!("the card asked a key for what it can't do: {input:?}"),
        }
    }

    fn decipher(&self, ciphertext: &[u8]) -> Result<Vec<u8>, OperationError> {
        match self {
            Self::Rsa(key) => {
                let key = PrivateDecryptingKey::from_pkcs8(key.as_der().unwrap().as_ref()).unwrap();
                let key = Pkcs1PrivateDecryptingKey::new(key).unwrap();
                let mut plaintext = vec![0; key.min_output_size()];
                Ok(key.decrypt(ciphertext, &mut plaintext).map_err(|_| OperationError::WrongData)?.to_vec())
            }
            Self::Ecdh(curve, key) => {
                let peer = agreement::UnparsedPublicKey::new(agreement_algorithm(*curve), ciphertext);
                agreement::agree(key, peer, OperationError::WrongData, |shared| Ok(shared.to_vec()))
            }
            _ => panic!("the card asked a signing key to decipher"),
        }
    }
}

/// Private keys for the three slots.
#[derive(Default)]
pub(crate) struct KeyHolder {
    pub(crate) sign: Option<PrivateKey>,
    pub(crate) decrypt: Option<PrivateKey>,
    pub(crate) authenticate: Option<PrivateKey>,
}

impl KeyHolder {
    /// A card with the public side of these keys.
    pub(crate) fn profile(&self) -> CardProfile {
        let mut profile = CardProfile::new(AID);
        profile.cardholder = "Lovelace<<Ada".into();
        profile.language = "en".into();
        profile.login = "ada".into();
        profile.url = "https://keys.example/ada".into();
        profile.sign = self.sign.as_ref().map(|key| key.slot(1));
        profile.decrypt = self.decrypt.as_ref().map(|key| key.slot(2));
        profile.authenticate = self.authenticate.as_ref().map(|key| key.slot(3));
        profile
    }

    pub(crate) fn card(&self) -> Card {
        Card::new(self.profile())
    }

    pub(crate) fn perform(&self, operation: &KeyOperation) -> Result<Vec<u8>, OperationError> {
        let key = match operation.slot() {
            Slot::Sign => &self.sign,
            Slot::Decrypt => &self.decrypt,
            Slot::Authenticate => &self.authenticate,
        };
        let key = key.as_ref().unwrap();
        match operation {
            KeyOperation::Sign(input) | KeyOperation::Authenticate { input, .. } => key.sign(input),
            KeyOperation::Decipher { ciphertext, .. } => key.decipher(ciphertext),
        }
    }
}

/// `count` random bytes.
pub(crate) fn random(count: usize) -> Vec<u8> {
    use aws_lc_rs::rand::SecureRandom;
    let mut bytes = vec![0; count];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn agreement_algorithm(curve: Curve) -> &'static agreement::Algorithm {
    match curve {
        Curve::X25519 => &agreement::X25519,
        Curve::P256 => &agreement::ECDH_P256,
        Curve::P521 => &agreement::ECDH_P521,
        _ => panic!("no test uses {curve:?}"),
    }
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 appendix A.1.1) of 2048 bits.
fn rsa_numbers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    // SEQUENCE (length of two bytes), INTEGER of 257 bytes that begin with 00, INTEGER of 3 bytes.
    assert_eq!((der[..2].to_vec(), der[4..9].to_vec()), (vec![0x30, 0x82], vec![0x02, 0x82, 0x01, 0x01, 0x00]));
    assert_eq!(der[265..267], [0x02, 0x03]);
    (der[9..265].to_vec(), der[267..270].to_vec())
}

pub(crate) const AID: [u8; 16] =
    [0xD2, 0x76, 0x00, 0x01, 0x24, 0x01, 0x03, 0x04, 0xFF, 0x42, 0x12, 0x34, 0x56, 0x78, 0, 0];

/// What stands before the digest in a `DigestInfo` of SHA-256.
pub(crate) const SHA256_PREFIX: &[u8] =
    &[0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];
