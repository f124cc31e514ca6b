//! What `gpg --export-secret-keys` wrote.

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeyPairComponents, PublicKeyComponents},
};
use sealcard_api::{
    Fingerprint,
    algorithm::{ComponentAlgorithm, Curve, PublicKey, Scheme},
    import::LeftOut,
};
use sealcard_openpgp::{BlockKind, Frame, Part, PublicCertificate, ReadError, blocks, frames, public_part, tag};
use secrecy::{ExposeSecret as _, SecretSlice};
use sequoia_openpgp::{
    crypto::{Password, S2K, mpi},
    packet::{
        Key,
        key::{SecretKeyMaterial, SecretParts, UnspecifiedRole},
    },
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{lenient, numbers::reduce};

/// No exported key is larger, in bytes.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// Why an exported key can't be imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// Not what gpg writes. Retrying with the same file can't help.
    #[error("this is no secret key as gpg exports it: {0}")]
    NotAKey(ReadError),
    /// A key whose signatures can't be verified here. Retrying can't help.
    #[error("this key can't be imported: {0}")]
    Primary(ReadError),
    /// No key is so large.
    #[error("this is no secret key as gpg exports it: it is larger than 4 MiB")]
    TooLarge,
    /// There are several keys in the file.
    #[error("the file holds {0} secret keys; export one: gpg --export-secret-keys FINGERPRINT")]
    Several(usize),
    /// Only public keys.
    #[error("the file holds no secret key; export it with: gpg --export-secret-keys FINGERPRINT")]
    Public,
    /// There are several public keys in the file, and no secret one.
    #[error("the file holds {0} public keys; export one: gpg --export FINGERPRINT")]
    SeveralPublic(usize),
    /// The passphrase is wrong. Retrying with another helps.
    #[error("the passphrase does not open the secret key {0}")]
    WrongPassphrase(Fingerprint),
    /// A passphrase is needed.
    #[error("the secret key {0} is protected by a passphrase")]
    PassphraseNeeded(Fingerprint),
    /// The secret is of a kind that no signer takes, or damaged.
    #[error("the secret key {fingerprint} can't be used: {reason}")]
    Unusable {
        /// The key.
        fingerprint: Fingerprint,
        /// What is wrong.
        reason: &'static str,
    },
}

impl From<ReadError> for ImportError {
    fn from(error: ReadError) -> Self {
        if let ReadError::Primary(_) = error { Self::Primary(error) } else { Self::NotAKey(error) }
    }
}

/// Where the secret of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretState {
    /// In the file, in the clear.
    Clear,
    /// In the file, protected by a passphrase.
    Protected,
    /// Elsewhere: on a card, or kept offline.
    Elsewhere,
}

/// One exported key: what of it may be published, and its secrets.
pub struct ExportedKey {
    certificate: PublicCertificate,
    secrets: Vec<Key<SecretParts, UnspecifiedRole>>,
    /// Other public keys in the file.
    others: usize,
    /// Whether there is no secret key in the file.
    public: bool,
}

impl ExportedKey {
    /// Reads the content of a file: binary, or any number of armored blocks.
    ///
    /// # Errors
    ///
    /// When it is not exactly one secret key, with or without public keys beside it.
    pub fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        match Self::read_any(bytes) {
            Ok(Self { public: true, .. }) | Err(ImportError::SeveralPublic(_)) => Err(ImportError::Public),
            result => result,
        }
    }

    /// As [`Self::read`], but without a secret key one public key will do.
    ///
    /// # Errors
    ///
    /// When it is not exactly one secret key, with or without public keys beside it, or one public key.
    pub fn read_any(bytes: &[u8]) -> Result<Self, ImportError> {
        if bytes.len() > MAX_FILE {
            return Err(ImportError::TooLarge);
        }
        let blocks = blocks(bytes)?;
        let mut keys: Vec<Vec<Frame<'_>>> = Vec::new();
        for block in blocks.iter().filter(|block| block.kind != BlockKind::Other) {
            for (at, frame) in frames(&block.bytes).map_err(ReadError::from)?.into_iter().enumerate() {
                match keys.last_mut() {
                    Some(key) if at > 0 && !matches!(frame.tag, tag::PUBLIC_KEY | tag::SECRET_KEY) => key.push(frame),
                    _ => keys.push(vec![frame]),
                }
            }
        }
        if keys.is_empty() {
            return Err(ReadError::NotAKey.into());
        }
        let is_secret =
            |key: &&Vec<Frame<'_>>| key.iter().any(|frame| matches!(frame.tag, tag::SECRET_KEY | tag::SECRET_SUBKEY));
        let mut secret = keys.iter().filter(is_secret);
        let own = |key: &Vec<Frame<'_>>| key.first().and_then(|frame| sealcard_openpgp::fingerprint(frame.body));
        let (key, public) = match (secret.next(), secret.count()) {
            (Some(key), 0) => (key, false),
            (Some(_), more) => return Err(ImportError::Several(more + 1)),
            (None, _) => {
                let is_public = |key: &&Vec<Frame<'_>>| key.first().is_some_and(|frame| frame.tag == tag::PUBLIC_KEY);
                let public: Vec<_> = keys.iter().filter(is_public).collect();
                match public.as_slice() {
                    [] => return Err(ReadError::NotAKey.into()),
                    [key] => (*key, true),
                    keys => return Err(ImportError::SeveralPublic(keys.len())),
                }
            }
        };
        let mut secrets = Vec::new();
        let parts: Vec<Part> = key.iter().map(|frame| part(frame, &mut secrets)).collect();
        let certificate = PublicCertificate::from_parts(parts)?;
        let fingerprint = certificate.fingerprint().to_string();
        let others = keys.iter().filter(|key| own(key).as_ref() != Some(&fingerprint)).count();
        Ok(Self { certificate, secrets, others, public })
    }

    /// The certificate's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    /// The first user id, for people. May hold anything but control characters.
    #[must_use]
    pub fn user_id(&self) -> String {
        self.certificate.user_id()
    }

    /// What may be published.
    #[must_use]
    pub const fn certificate(&self) -> &PublicCertificate {
        &self.certificate
    }

    /// What was in the file and is left out of the certificate.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        self.certificate.left_out()
    }

    /// Whether there is no secret key in the file.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        self.public
    }

    /// How many other keys the file holds, all public.
    #[must_use]
    pub const fn others(&self) -> usize {
        self.others
    }

    /// The primary key and subkeys, and where their secrets are.
    #[must_use]
    pub fn secrets(&self) -> Vec<(Fingerprint, SecretState)> {
        let secrets = self.secrets.iter().filter_map(|key| {
            let state = match key.secret() {
                SecretKeyMaterial::Unencrypted(_) => SecretState::Clear,
                SecretKeyMaterial::Encrypted(secret) => match secret.s2k() {
                    S2K::Private { .. } | S2K::Unknown { .. } => SecretState::Elsewhere,
                    _ => SecretState::Protected,
                },
            };
            Some((fingerprint(key.fingerprint().as_bytes())?, state))
        });
        secrets.collect()
    }

    /// The secret of one key, in the form that signers seal: PKCS#8 DER for RSA; for NIST curves the secret number, as
    /// wide as the curve; for Ed25519 the seed, for Curve25519 the secret.
    ///
    /// # Errors
    ///
    /// When the passphrase is missing or wrong, or the secret is not one of this algorithm.
    pub fn secret(
        &self,
        wanted: Fingerprint,
        algorithm: ComponentAlgorithm,
        public_key: &PublicKey,
        passphrase: Option<&SecretSlice<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, ImportError> {
        let unusable = |reason| ImportError::Unusable { fingerprint: wanted, reason };
        let found = self.secrets.iter().find(|key| key.fingerprint().as_bytes() == wanted.0);
        let key = found.ok_or_else(|| unusable("it is not in the file"))?;
        let bytes = match key.secret() {
            SecretKeyMaterial::Unencrypted(secret) => secret.map(|secret| private_bytes(algorithm, public_key, secret)),
            SecretKeyMaterial::Encrypted(secret) => {
                if !secret.s2k().is_supported() {
                    return Err(unusable("it is protected in a way that is not known here"));
                }
                let passphrase = passphrase.ok_or(ImportError::PassphraseNeeded(wanted))?;
                let password = Password::from(passphrase.expose_secret());
                match secret.decrypt(key, &password) {
                    Ok(clear) => clear.map(|secret| private_bytes(algorithm, public_key, secret)),
                    Err(_) => {
                        let clear = lenient::decrypt(secret, key.pk_algo(), &password);
                        let clear = clear.ok_or(ImportError::WrongPassphrase(wanted))?;
                        private_bytes(algorithm, public_key, &clear)
                    }
                }
            }
        };
        bytes.ok_or_else(|| unusable("it is not a key of its algorithm"))
    }
}

/// The public part of a packet. A secret that is in it goes to the others.
fn part(frame: &Frame<'_>, secrets: &mut Vec<Key<SecretParts, UnspecifiedRole>>) -> Part {
    let public_tag = match frame.tag {
        tag::SECRET_KEY => tag::PUBLIC_KEY,
        tag::SECRET_SUBKEY => tag::PUBLIC_SUBKEY,
        _ => return Part::read(frame),
    };
    let (Some(key), Some((public, _))) = (lenient::secret_key(frame), public_part(frame.body)) else {
        return Part::not_understood(frame);
    };
    secrets.push(key);
    Part::read(&Frame { tag: public_tag, body: public })
}

fn private_bytes(
    algorithm: ComponentAlgorithm,
    public_key: &PublicKey,
    secret: &mpi::SecretKeyMaterial,
) -> Option<Zeroizing<Vec<u8>>> {
    use mpi::SecretKeyMaterial as Mpis;
    match (algorithm.scheme(), public_key, secret) {
        (Scheme::Rsa { .. }, PublicKey::Rsa { n, e }, Mpis::RSA { d, p, q, u }) => {
            let (d, p, q, u) = (d.value(), p.value(), q.value(), u.value());
            // OpenPGP's u is p^-1 mod q, PKCS#1's coefficient the inverse of the second prime: the primes change
            // places.
            let pair = KeyPair::from_components(&KeyPairComponents {
                public_key: PublicKeyComponents { n: n.as_slice(), e: e.as_slice() },
                d,
                p: q,
                q: p,
                dP: &*reduce(d, q)?,
                dQ: &*reduce(d, p)?,
                qInv: u,
            })
            .ok()?;
            Some(Zeroizing::new(pair.as_der().ok()?.as_ref().to_vec()))
        }
        (Scheme::Ecdsa(curve), _, Mpis::ECDSA { scalar }) => padded(scalar.value(), curve.width()),
        (Scheme::Eddsa, _, Mpis::EdDSA { scalar }) => padded(scalar.value(), Curve::Ed25519.width()),
        (Scheme::Ecdh(curve), _, Mpis::ECDH { scalar }) => {
            let mut secret = padded(scalar.value(), curve.width())?;
            // OpenPGP writes Curve25519's secret as a number, RFC 7748 with the lowest byte first.
            if curve == Curve::Cv25519 {
                secret.reverse();
            }
            Some(secret)
        }
        _ => None,
    }
}

/// A number with zeros before it; `None` if it is wider.
fn padded(number: &[u8], width: usize) -> Option<Zeroizing<Vec<u8>>> {
    let missing = width.checked_sub(number.len())?;
    let mut out = Zeroizing::new(Vec::with_capacity(width));
    out.resize(missing, 0);
    out.extend_from_slice(number);
    Some(out)
}

fn fingerprint(bytes: &[u8]) -> Option<Fingerprint> {
    bytes.try_into().ok().map(Fingerprint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_padded_to_their_width_or_refused(number: Vec<u8>, width in 0_usize..70) {
            match padded(&number, width) {
                Some(wide) => prop_assert!(wide.len() == width && wide.ends_with(&number)),
                None => prop_assert!(number.len() > width),
            }
        }
    }
}
