//! A signature on its way: hashed here, made by the server, assembled here.

use std::{
    fmt,
    io::{self, Read, Write as _},
    time::SystemTime,
};

use sealcard_api::algorithm::HashAlgorithm as Hash;
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

/// A signature that lacks only what the server makes.
#[derive(Clone)]
pub struct Draft {
    fields: SignatureBuilder,
    hash: Hash,
    digest: Vec<u8>,
}

impl Draft {
    /// Reads the content to its end and hashes it, with the present time.
    ///
    /// # Errors
    ///
    /// When the content can't be read.
    pub fn of_content(key: &SigningKey, hash: Hash, content: &mut dyn Read) -> Result<Self, SignatureError> {
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
        Self::new(key, SignatureType::Binary, hash, context)
    }

    /// Over text that was made canonical already.
    pub(super) fn of_text(key: &SigningKey, hash: Hash, canonical: &[u8]) -> Result<Self, SignatureError> {
        let mut context = context(hash)?;
        context.update(canonical);
        Self::new(key, SignatureType::Text, hash, context)
    }

    fn new(
        key: &SigningKey,
        kind: SignatureType,
        hash: Hash,
        mut context: hash::Context,
    ) -> Result<Self, SignatureError> {
        // Tells the library which key will sign. What it hashed is signed later.
        let signer = RemoteSigner::new(&key.public, |_, _: &[u8]| Err("the private key is on the server"));
        let fields = SignatureBuilder::new(kind)
            .set_hash_algo(context.algo())
            .set_signature_creation_time(SystemTime::now())?
            .pre_sign(&signer)?;
        let fields = without_critical(fields)?;
        fields.hash(&mut context)?;
        Ok(Self { fields, hash, digest: context.into_digest()? })
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
