//! RSA with 2048, 3072 and 4096 bits, PKCS#1 v1.5 (RFC 8017 sections 7.2 and 8.2).

use aws_lc_rs::{
    digest::{self, Digest},
    encoding::AsDer as _,
    rsa::{KeySize, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey},
    signature::{
        KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
        RsaParameters, RsaPublicKeyComponents,
    },
};
use sealcard_api::algorithm::HashAlgorithm;
use sealcard_signer_protocol::{PublicKeyBytes, SignerError};
use zeroize::Zeroizing;

use super::{GenerateError, GeneratedKey, KeyMismatchError};

/// Makes a key with e = 65537. Takes up to seconds.
pub(super) fn generate(bits: u16) -> Result<GeneratedKey, GenerateError> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        _ => return Err(GenerateError::Library),
    };
    let pair = RsaKeyPair::generate(size)?;
    let public_key = public_key(&pair).ok_or(GenerateError::Library)?;
    let der = pair.as_der()?;
    Ok(GeneratedKey { public_key, private: Zeroizing::new(der.as_ref().to_vec()) })
}

/// An RSA key for signatures. The library verifies each one that it makes, against faults that would give the key away
/// (`rsa_default_private_transform` of aws-lc).
pub struct SigningKey(RsaKeyPair);

impl SigningKey {
    pub(super) fn parse(bits: u16, private: &[u8], public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        key_pair(bits, private, public).map(Self)
    }

    /// Signs a digest. As wide as the modulus.
    pub(super) fn sign(&self, hash: HashAlgorithm, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let encoding: &'static dyn RsaEncoding = match hash {
            HashAlgorithm::Sha256 => &RSA_PKCS1_SHA256,
            HashAlgorithm::Sha384 => &RSA_PKCS1_SHA384,
            HashAlgorithm::Sha512 => &RSA_PKCS1_SHA512,
            HashAlgorithm::Sha224 => return Err(no_sha224()),
        };
        let imported = import(hash, digest)?;
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign_digest(encoding, &imported, &mut signature).map_err(|_| SignerError::SelfCheckFailed)?;
        Ok(signature)
    }
}

/// An RSA key that verifies.
pub struct VerifyingKey {
    // The library binds a parsed public key to one hash.
    sha256: ParsedPublicKey,
    sha384: ParsedPublicKey,
    sha512: ParsedPublicKey,
    width: usize,
}

impl VerifyingKey {
    pub(super) fn parse(bits: u16, public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        let (n, e) = parts(bits, public)?;
        let components = RsaPublicKeyComponents { n, e };
        let parse = |parameters: &'static RsaParameters| components.to_parsed_public_key(parameters);
        Ok(Self {
            sha256: parse(&RSA_PKCS1_2048_8192_SHA256)?,
            sha384: parse(&RSA_PKCS1_2048_8192_SHA384)?,
            sha512: parse(&RSA_PKCS1_2048_8192_SHA512)?,
            width: n.len(),
        })
    }

    /// Verifies a signature of a digest. It must be as wide as the modulus.
    pub(super) fn verify(&self, hash: HashAlgorithm, digest: &[u8], signature: &[u8]) -> Result<(), SignerError> {
        let public = match hash {
            HashAlgorithm::Sha256 => &self.sha256,
            HashAlgorithm::Sha384 => &self.sha384,
            HashAlgorithm::Sha512 => &self.sha512,
            HashAlgorithm::Sha224 => return Err(no_sha224()),
        };
        if signature.len() != self.width {
            return Err(SignerError::SelfCheckFailed);
        }
        public.verify_digest_sig(&import(hash, digest)?, signature).map_err(|_| SignerError::SelfCheckFailed)
    }
}

fn import(hash: HashAlgorithm, digest: &[u8]) -> Result<Digest, SignerError> {
    let algorithm = match hash {
        HashAlgorithm::Sha256 => &digest::SHA256,
        HashAlgorithm::Sha384 => &digest::SHA384,
        HashAlgorithm::Sha512 => &digest::SHA512,
        HashAlgorithm::Sha224 => return Err(no_sha224()),
    };
    Digest::import_less_safe(digest, algorithm)
        .map_err(|_| SignerError::Invalid("the digest's length does not fit its hash".into()))
}

fn no_sha224() -> SignerError {
    SignerError::Invalid("RSA keys do not sign sha224 digests".into())
}

/// An RSA key for decryption.
pub struct DecryptionKey(Pkcs1PrivateDecryptingKey);

impl DecryptionKey {
    pub(super) fn parse(bits: u16, private: &[u8], public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        key_pair(bits, private, public)?;
        Ok(Self(Pkcs1PrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(private)?)?))
    }

    /// Decrypts and removes the padding. The library looks at every byte of the padding in constant time and says no
    /// more than whether it was right; every failure looks the same from outside.
    pub(super) fn decrypt(&self, ciphertext: &[u8]) -> Result<Vec<u8>, SignerError> {
        let width = self.0.key_size_bytes();
        // OpenPGP strips leading zeros of numbers; the width comes back here.
        let missing = width.checked_sub(ciphertext.len()).ok_or(SignerError::DecryptionFailed)?;
        let mut padded = vec![0; missing];
        padded.extend_from_slice(ciphertext);
        let mut buffer = Zeroizing::new(vec![0; self.0.min_output_size()]);
        let plaintext = self.0.decrypt(&padded, &mut buffer).map_err(|_| SignerError::DecryptionFailed)?;
        Ok(plaintext.to_vec())
    }
}

/// The key pair, if it is the one of `public` and its modulus has `bits` bits.
fn key_pair(bits: u16, private: &[u8], public: &PublicKeyBytes) -> Result<RsaKeyPair, KeyMismatchError> {
    let pair = RsaKeyPair::from_pkcs8(private)?;
    let fits = parts(bits, public).is_ok() && public_key(&pair).as_ref() == Some(public);
    fits.then_some(pair).ok_or(KeyMismatchError)
}

/// Modulus and exponent, if the modulus has exactly `bits` bits.
fn parts(bits: u16, public: &PublicKeyBytes) -> Result<(&[u8], &[u8]), KeyMismatchError> {
    match public {
        PublicKeyBytes::Rsa { n, e }
            if n.len() * 8 == usize::from(bits) && n.first().is_some_and(|first| *first >= 0x80) =>
        {
            Ok((n, e))
        }
        _ => Err(KeyMismatchError),
    }
}

fn public_key(pair: &RsaKeyPair) -> Option<PublicKeyBytes> {
    let (n, e) = rsa_public_key(pair.public_key().as_ref())?;
    Some(PublicKeyBytes::Rsa { n, e })
}

/// Reads `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017 appendix A.1.1) in DER.
fn rsa_public_key(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (sequence, rest) = der_value(0x30, der)?;
    let (n, inner) = der_value(0x02, sequence)?;
    let (e, end) = der_value(0x02, inner)?;
    let strip = |number: &[u8]| number.iter().copied().skip_while(|b| *b == 0).collect();
    (rest.is_empty() && end.is_empty()).then(|| (strip(n), strip(e)))
}

/// The content of a DER value with `tag` and what follows it.
fn der_value(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = input.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match length {
        0..=0x7F => (usize::from(length), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
            (bytes.iter().fold(0, |sum, b| sum << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
