//! What `gpg --export-secret-keys` wrote.

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeyPairComponents, PublicKeyComponents},
};
use sealcard_api::{
    Fingerprint,
    algorithm::{ComponentAlgorithm, Curve, PublicKey, Scheme},
};
use secrecy::{ExposeSecret as _, SecretString};
use sequoia_openpgp::{
    Cert, Packet, PacketPile,
    armor::{Kind, Writer},
    cert::CertParser,
    crypto::{Password, S2K, mpi},
    packet::key::SecretKeyMaterial,
    parse::Parse as _,
    serialize::Serialize as _,
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{lenient, numbers::reduce};

/// No exported key is larger, in bytes.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// Why an exported key can't be imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// Not what gpg writes. Retrying with the same file can't help.
    #[error("this is no secret key as gpg exports it: {0}")]
    NotAKey(String),
    /// There are several keys in the file.
    #[error("the file holds {0} keys; export one: gpg --export-secret-keys FINGERPRINT")]
    Several(usize),
    /// Only public keys.
    #[error("the file holds no secret key; export it with: gpg --export-secret-keys FINGERPRINT")]
    Public,
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

/// One exported key: primary key, subkeys, user ids and everything that was certified about them.
pub struct ExportedKey {
    certificate: Cert,
    /// As exported, in the same order, without the secrets.
    public: Vec<Packet>,
}

impl ExportedKey {
    /// Reads the content of a file, armored or not.
    ///
    /// # Errors
    ///
    /// When it is not exactly one secret key.
    pub fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        if bytes.len() > MAX_FILE {
            return Err(ImportError::NotAKey("it is too large".to_owned()));
        }
        let wrong = |error: anyhow::Error| ImportError::NotAKey(format!("{error:#}"));
        let packets: Vec<Packet> =
            PacketPile::from_bytes(bytes).map_err(wrong)?.into_children().map(lenient::mended).collect();
        let mut certificates = CertParser::from(packets.clone()).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        if certificates.len() > 1 {
            return Err(ImportError::Several(certificates.len()));
        }
        let certificate = certificates.pop().ok_or_else(|| ImportError::NotAKey("it is empty".to_owned()))?;
        if !certificate.is_tsk() {
            return Err(ImportError::Public);
        }
        // A certificate sorts its parts; what is published keeps the order that its owner knows.
        let public = packets.into_iter().filter_map(without_secret).collect();
        Ok(Self { certificate, public })
    }

    /// The certificate's fingerprint; `None` for keys of a version that no card holds.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        fingerprint(self.certificate.fingerprint().as_bytes())
    }

    /// The first user id, for people. May hold anything.
    #[must_use]
    pub fn user_id(&self) -> String {
        let first = self.public.iter().find_map(|packet| match packet {
            Packet::UserID(user_id) => Some(String::from_utf8_lossy(user_id.value()).into_owned()),
            _ => None,
        });
        first.unwrap_or_default()
    }

    /// The public part, ASCII-armored.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn certificate(&self) -> Result<String, ImportError> {
        let wrong = |reason: String| ImportError::NotAKey(reason);
        let mut writer = Writer::new(Vec::new(), Kind::PublicKey).map_err(|error| wrong(error.to_string()))?;
        for packet in &self.public {
            packet.serialize(&mut writer).map_err(|error| wrong(format!("{error:#}")))?;
        }
        let bytes = writer.finalize().map_err(|error| wrong(error.to_string()))?;
        String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))
    }

    /// The primary key and subkeys, and where their secrets are.
    #[must_use]
    pub fn secrets(&self) -> Vec<(Fingerprint, SecretState)> {
        let keys = self.certificate.keys();
        keys.filter_map(|key| {
            let state = match key.key().optional_secret()? {
                SecretKeyMaterial::Unencrypted(_) => SecretState::Clear,
                SecretKeyMaterial::Encrypted(secret) => match secret.s2k() {
                    S2K::Private { .. } | S2K::Unknown { .. } => SecretState::Elsewhere,
                    _ => SecretState::Protected,
                },
            };
            Some((fingerprint(key.key().fingerprint().as_bytes())?, state))
        })
        .collect()
    }

    /// The secret of one key, in the form that signers seal: PKCS#8 DER for RSA; for NIST curves the secret number, as wide
    /// as the curve; for Ed25519 the seed, for Curve25519 the secret.
    ///
    /// # Errors
    ///
    /// When the passphrase is missing or wrong, or the secret is not one of this algorithm.
    pub fn secret(
        &self,
        wanted: Fingerprint,
        algorithm: ComponentAlgorithm,
        public_key: &PublicKey,
        passphrase: Option<&SecretString>,
    ) -> Result<Zeroizing<Vec<u8>>, ImportError> {
        let unusable = |reason| ImportError::Unusable { fingerprint: wanted, reason };
        let found = self.certificate.keys().secret().find(|key| key.key().fingerprint().as_bytes() == wanted.0);
        let found = found.ok_or_else(|| unusable("it is not in the file"))?;
        let key = found.key();
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

/// The packet as the public sees it. Trust packets are gpg's own notes.
fn without_secret(packet: Packet) -> Option<Packet> {
    match packet {
        Packet::SecretKey(key) => Some(Packet::PublicKey(key.parts_into_public())),
        Packet::SecretSubkey(key) => Some(Packet::PublicSubkey(key.parts_into_public())),
        Packet::Trust(_) | Packet::Marker(_) | Packet::Padding(_) => None,
        other => Some(other),
    }
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
            // OpenPGP's u is p^-1 mod q, PKCS#1's coefficient the inverse of the second prime: the primes change places.
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
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use sequoia_openpgp::{
        cert::{CertBuilder, CipherSuite},
        serialize::SerializeInto as _,
    };

    use super::*;

    fn exported(passphrase: Option<&str>) -> Vec<u8> {
        let builder = CertBuilder::new()
            .set_cipher_suite(CipherSuite::Cv25519)
            .add_userid("Ada <ada@example.org>")
            .add_signing_subkey()
            .add_transport_encryption_subkey()
            .set_password(passphrase.map(Into::into));
        builder.generate().unwrap().0.as_tsk().to_vec().unwrap()
    }

    #[test]
    fn the_public_part_holds_no_secret_and_all_else() {
        let bytes = exported(None);
        let key = ExportedKey::read(&bytes).unwrap();
        let certificate = Cert::from_bytes(&key.certificate().unwrap()).unwrap();
        assert!(!certificate.is_tsk());
        assert_eq!(certificate, Cert::from_bytes(&bytes).unwrap().strip_secret_key_material());
        assert_eq!(key.user_id(), "Ada <ada@example.org>");
        assert!(key.secrets().iter().all(|(_, state)| *state == SecretState::Clear) && key.secrets().len() == 3);
    }

    #[test]
    fn protected_secrets_need_the_right_passphrase() {
        let key = ExportedKey::read(&exported(Some("correct horse"))).unwrap();
        let wanted = key.secrets()[1];
        assert_eq!(wanted.1, SecretState::Protected);
        let public = PublicKey::Ec { curve: Curve::Ed25519, point: vec![0; 32].into() };
        let secret = |passphrase: Option<&str>| {
            let passphrase = passphrase.map(SecretString::from);
            key.secret(wanted.0, ComponentAlgorithm::EddsaEd25519, &public, passphrase.as_ref())
        };
        assert_eq!(secret(Some("correct horse")).unwrap().len(), 32);
        assert!(matches!(secret(Some("wrong")), Err(ImportError::WrongPassphrase(_))));
        assert!(matches!(secret(None), Err(ImportError::PassphraseNeeded(_))));
    }

    #[test]
    fn public_keys_several_keys_and_nonsense_are_refused() {
        let public = ExportedKey::read(&exported(None)).unwrap().certificate().unwrap();
        assert!(matches!(ExportedKey::read(public.as_bytes()), Err(ImportError::Public)));
        let two = [exported(None), exported(None)].concat();
        assert!(matches!(ExportedKey::read(&two), Err(ImportError::Several(2))));
        for nonsense in [&b""[..], b"hello", &[0xC5, 0xFF], &vec![0; MAX_FILE + 1]] {
            assert!(matches!(ExportedKey::read(nonsense), Err(ImportError::NotAKey(_))));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn damaged_exports_never_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            // To protect the secrets takes longer than all else.
            static EXPORTED: LazyLock<Vec<u8>> = LazyLock::new(|| exported(Some("x")));
            let mut bytes = EXPORTED.clone();
            let index = at.index(bytes.len());
            bytes[index] = byte;
            bytes.truncate(cut.index(bytes.len() + 1));
            if let Ok(key) = ExportedKey::read(&bytes) {
                let _ = (key.certificate(), key.user_id());
                for (fingerprint, _) in key.secrets() {
                    let public = PublicKey::Ec { curve: Curve::Ed25519, point: vec![0; 32].into() };
                    let passphrase = SecretString::from("x");
                    let _ = key.secret(fingerprint, ComponentAlgorithm::EddsaEd25519, &public, Some(&passphrase));
                }
            }
        }

        #[test]
        fn numbers_are_padded_to_their_width_or_refused(number: Vec<u8>, width in 0_usize..70) {
            match padded(&number, width) {
                Some(wide) => prop_assert!(wide.len() == width && wide.ends_with(&number)),
                None => prop_assert!(number.len() > width),
            }
        }
    }
}
