//! A key with its secrets, as its holder has it in gpg.

use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

use sealcard_api::{Fingerprint, Timestamp, keys::RevocationReason};
use sealcard_openpgp::{ForeignCertificate, ForeignKey};
use sequoia_openpgp::{
    Cert, Packet,
    armor::Kind,
    cert::{CertBuilder, CertRevocationBuilder, CipherSuite, prelude::KeyBuilder},
    crypto::KeyPair,
    packet::signature::SignatureBuilder,
    policy::StandardPolicy,
    serialize::{
        SerializeInto as _,
        stream::{Armorer, Message, Signer},
    },
    types::{KeyFlags, ReasonForRevocation},
};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A key of Ed25519 whose primary key certifies and whose first subkey signs, with all secrets in the clear. It was
/// made an hour ago and ends a year later.
#[derive(Debug, Clone)]
pub struct TestKey(Cert);

impl TestKey {
    /// Makes a key.
    ///
    /// # Panics
    ///
    /// When the library does not make it, as everywhere in this crate.
    #[must_use]
    pub fn new(user_id: &str) -> Self {
        let builder = CertBuilder::new().set_cipher_suite(CipherSuite::Cv25519).add_userid(user_id);
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let builder = builder.set_creation_time(hour_ago).set_validity_period(YEAR);
        Self(builder.add_signing_subkey().generate().unwrap().0)
    }

    /// Its certificate, ASCII-armored.
    #[must_use]
    pub fn certificate(&self) -> String {
        let public = self.0.clone().strip_secret_key_material();
        String::from_utf8(public.armored().to_vec().unwrap()).unwrap()
    }

    /// The primary key's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.0.fingerprint().as_bytes().try_into().unwrap())
    }

    /// The fingerprints of all its keys, the primary key's first.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let keys = self.0.keys();
        keys.map(|key| Fingerprint(key.key().fingerprint().as_bytes().try_into().unwrap())).collect()
    }

    /// Its subkeys as components, in the order of their roles.
    #[must_use]
    pub fn subkeys(&self) -> Vec<ForeignKey> {
        let all = self.fingerprints();
        ForeignCertificate::read(&self.certificate(), all.get(1..).unwrap_or_default(), Timestamp::now()).unwrap().keys
    }

    /// The key with ends in so many years: `gpg --quick-set-expire FINGERPRINT 3y`, and the same with `'*'`.
    #[must_use]
    pub fn extended(&self, years: u32) -> Self {
        let (policy, mut primary, end) = (StandardPolicy::new(), self.primary(), SystemTime::now() + years * YEAR);
        let valid = self.0.with_policy(&policy, None).unwrap();
        let mut packets = valid.primary_key().set_expiration_time(&mut primary, Some(end)).unwrap();
        for subkey in valid.keys().subkeys() {
            let mut own = subkey.key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
            packets.extend(subkey.set_expiration_time(&mut primary, Some(&mut own), Some(end)).unwrap());
        }
        self.with(packets.into_iter().map(Into::into))
    }

    /// The key with a subkey that decrypts: `gpg --quick-add-key FINGERPRINT cv25519 encr`.
    #[must_use]
    pub fn with_decryption_subkey(&self) -> Self {
        let policy = StandardPolicy::new();
        let valid = self.0.with_policy(&policy, None).unwrap();
        let flags = KeyFlags::empty().set_transport_encryption();
        let builder = KeyBuilder::new(flags).set_cipher_suite(CipherSuite::Cv25519).subkey(valid).unwrap();
        Self(builder.set_primary_key_signer(self.primary()).attach_cert().unwrap())
    }

    /// The key with the public half of another one's subkey that decrypts, and that subkey's fingerprint.
    #[must_use]
    pub fn with_subkey_of(&self, other: &Self) -> (Self, Fingerprint) {
        let policy = StandardPolicy::new();
        let subkeys = other.0.keys().subkeys().with_policy(&policy, None);
        let shared = subkeys.for_transport_encryption().next().unwrap();
        let builder = SignatureBuilder::from(shared.binding_signature().clone());
        let binding = shared.key().clone().bind(&mut self.primary(), &self.0, builder).unwrap();
        let packets = [Packet::PublicSubkey(shared.key().clone().parts_into_public()), binding.into()];
        (self.with(packets), Fingerprint(shared.key().fingerprint().as_bytes().try_into().unwrap()))
    }

    /// The key with its own revocation, for good.
    #[must_use]
    pub fn revoked(&self, reason: RevocationReason, message: &str) -> Self {
        let reason = match reason {
            RevocationReason::Unspecified => ReasonForRevocation::Unspecified,
            RevocationReason::Compromised => ReasonForRevocation::KeyCompromised,
            RevocationReason::Superseded => ReasonForRevocation::KeySuperseded,
            RevocationReason::Retired => ReasonForRevocation::KeyRetired,
        };
        let builder = CertRevocationBuilder::new().set_reason_for_revocation(reason, message.as_bytes()).unwrap();
        let revocation = builder.build(&mut self.primary(), &self.0, None).unwrap();
        self.with([revocation.into()])
    }

    /// A detached signature over a content, ASCII-armored.
    #[must_use]
    pub fn sign_detached(&self, content: &[u8]) -> Vec<u8> {
        let policy = StandardPolicy::new();
        let keys = self.0.keys().with_policy(&policy, None).secret();
        let key = keys.for_signing().next().unwrap().key().clone();
        let mut output = Vec::new();
        let message = Armorer::new(Message::new(&mut output)).kind(Kind::Signature).build().unwrap();
        let signer = Signer::new(message, key.into_keypair().unwrap()).unwrap();
        let mut signer = signer.detached().build().unwrap();
        signer.write_all(content).unwrap();
        signer.finalize().unwrap();
        output
    }

    fn primary(&self) -> KeyPair {
        self.0.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap()
    }

    fn with(&self, packets: impl IntoIterator<Item = Packet>) -> Self {
        Self(self.0.clone().insert_packets(packets.into_iter().collect::<Vec<Packet>>()).unwrap().0)
    }
}
