//! A signature on its way: hashed here, made by the server, assembled here.

use std::{
    fmt,
    io::{self, Read, Write as _},
    time::{Duration, UNIX_EPOCH},
};

use sealcard_api::{Timestamp, algorithm::HashAlgorithm as Hash};
use sequoia_openpgp::{
    Packet,
    armor::{self, Kind},
    crypto::hash::{self, Hash as _},
    packet::{
        Signature,
        signature::{Signature4, SignatureBuilder},
    },
    serialize::Serialize as _,
    types::{HashAlgorithm, SignatureType},
};

use super::{SignatureError, SigningKey};
use crate::signer::{RemoteSigner, without_critical};

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// ASCII armor.
    Armored,
    /// The bare packet.
    Binary,
}

/// The notation in which the library puts a random value into each signature.
const SALT: &str = "salt@notations.sequoia-pgp.org";

/// What makes two signatures over the same content by the same key differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// When the signature says that it was made.
    pub time: Timestamp,
    /// A random value in it.
    pub salt: [u8; 32],
}

impl Seed {
    /// The present time and a new random value.
    fn new() -> Result<Self, SignatureError> {
        let mut salt = [0; 32];
        sequoia_openpgp::crypto::random(&mut salt)?;
        Ok(Self { time: Timestamp::now(), salt })
    }
}

/// A signature that lacks only what the server makes.
#[derive(Clone)]
pub struct Draft {
    fields: SignatureBuilder,
    hash: Hash,
    digest: Vec<u8>,
    seed: Seed,
}

impl Draft {
    /// Reads the content to its end and hashes it, with the present time.
    ///
    /// # Errors
    ///
    /// When the content can't be read.
    pub fn of_content(key: &SigningKey, hash: Hash, content: &mut dyn Read) -> Result<Self, SignatureError> {
        Self::of_content_again(key, hash, content, |_| None)
    }

    /// The same, with the seed of an earlier draft if `earlier` has one for the content's digest: then the draft is the
    /// same one.
    ///
    /// # Errors
    ///
    /// When the content can't be read.
    pub fn of_content_again(
        key: &SigningKey,
        hash: Hash,
        content: &mut dyn Read,
        earlier: impl FnOnce(&[u8]) -> Option<Seed>,
    ) -> Result<Self, SignatureError> {
        let mut context = context(hash)?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(size) => context.update(buffer.get(..size).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let seed = match earlier(&context.clone().into_digest()?) {
            Some(seed) => seed,
            None => Seed::new()?,
        };
        Self::new(key, SignatureType::Binary, (hash, context), seed)
    }

    /// Over text that was made canonical already.
    pub(super) fn of_text(key: &SigningKey, hash: Hash, canonical: &[u8]) -> Result<Self, SignatureError> {
        let mut context = context(hash)?;
        context.update(canonical);
        Self::new(key, SignatureType::Text, (hash, context), Seed::new()?)
    }

    fn new(
        key: &SigningKey,
        kind: SignatureType,
        (hash, mut context): (Hash, hash::Context),
        seed: Seed,
    ) -> Result<Self, SignatureError> {
        // Tells the library which key will sign. What it hashed is signed later.
        let signer = RemoteSigner::new(&key.public, |_, _: &[u8]| Err("the private key is on the server"));
        let fields = SignatureBuilder::new(kind)
            .set_hash_algo(context.algo())
            .set_signature_creation_time(UNIX_EPOCH + Duration::from_secs(seed.time.unix().max(0).cast_unsigned()))?
            .pre_sign(&signer)?
            .set_notation(SALT, seed.salt, None, false)?;
        let fields = without_critical(fields)?;
        fields.hash(&mut context)?;
        Ok(Self { fields, hash, digest: context.into_digest()?, seed })
    }

    /// What it differs by from other drafts for the same content.
    #[must_use]
    pub const fn seed(&self) -> Seed {
        self.seed
    }

    /// The hash algorithm.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// What the server is to sign.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// The signature, from what the server made. It is verified with the public key first.
    ///
    /// # Errors
    ///
    /// When what the server made is no signature by the key.
    pub fn finish(self, key: &SigningKey, raw: &[u8], form: Form) -> Result<Vec<u8>, SignatureError> {
        let mpis = key.to_mpis(raw)?;
        key.public
            .verify(&mpis, self.fields.hash_algo(), &self.digest)
            .map_err(|error| SignatureError::WrongAnswer(format!("{error:#}")))?;
        let prefix = self.digest.first_chunk::<2>().copied().unwrap_or_default();
        let signature = Signature4::new(
            self.fields.typ(),
            key.public.pk_algo(),
            self.fields.hash_algo(),
            self.fields.hashed_area().clone(),
            self.fields.unhashed_area().clone(),
            prefix,
            mpis,
        );
        let packet = Packet::from(Signature::from(signature));
        let mut bytes = Vec::new();
        match form {
            Form::Binary => packet.serialize(&mut bytes)?,
            Form::Armored => {
                let mut writer = armor::Writer::new(bytes, Kind::Signature)?;
                packet.serialize(&mut writer)?;
                writer.flush()?;
                bytes = writer.finalize()?;
            }
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("hash", &self.hash).finish_non_exhaustive()
    }
}

fn context(hash: Hash) -> Result<hash::Context, SignatureError> {
    let algorithm = match hash {
        Hash::Sha224 => HashAlgorithm::SHA224,
        Hash::Sha256 => HashAlgorithm::SHA256,
        Hash::Sha384 => HashAlgorithm::SHA384,
        Hash::Sha512 => HashAlgorithm::SHA512,
    };
    Ok(algorithm.context()?.for_signature(4))
}
