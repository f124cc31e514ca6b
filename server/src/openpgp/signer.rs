//! sequoia's view of a key that only the signer process can use.

use sealcard_api::algorithm::{ComponentAlgorithm, HashAlgorithm, Scheme};
use sealcard_signer_protocol::StoredKey;
use sequoia_openpgp::{
    Result as OpenPgpResult,
    anyhow::anyhow,
    crypto::{
        Signer,
        mpi::{MPI, Signature},
    },
    packet::{
        Key,
        key::{PublicParts, UnspecifiedRole},
    },
    types::HashAlgorithm as Hash,
};

use super::CertificateError;

/// Has the signer process sign what sequoia hashed.
pub(super) struct RemoteSigner<'a, C> {
    sealed: &'a StoredKey,
    public: Key<PublicParts, UnspecifiedRole>,
    certify: &'a C,
    /// sequoia's errors carry text only, so the signer's own is kept here.
    failure: Option<CertificateError>,
}

impl<'a, C> RemoteSigner<'a, C> {
    pub(super) fn new(sealed: &'a StoredKey, public: Key<PublicParts, UnspecifiedRole>, certify: &'a C) -> Self {
        Self { sealed, public, certify, failure: None }
    }

    /// The signature, or the signer's error if that was the cause.
    pub(super) fn finish<T>(&mut self, result: OpenPgpResult<T>) -> Result<T, CertificateError> {
        result.map_err(|error| match self.failure.take() {
            Some(failure) => failure,
            None => error.into(),
        })
    }
}

impl<C> Signer for RemoteSigner<'_, C>
where
    C: Fn(&StoredKey, HashAlgorithm, Vec<u8>) -> Result<Vec<u8>, CertificateError>,
{
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        &self.public
    }

    fn sign(&mut self, hash: Hash, digest: &[u8]) -> OpenPgpResult<Signature> {
        let hash = match hash {
            Hash::SHA256 => HashAlgorithm::Sha256,
            Hash::SHA384 => HashAlgorithm::Sha384,
            Hash::SHA512 => HashAlgorithm::Sha512,
            other => return Err(anyhow!("{other} is not used in certificates")),
        };
        let signature = (self.certify)(self.sealed, hash, digest.to_vec()).map_err(|error| {
            let text = error.to_string();
            self.failure = Some(error);
            anyhow!(text)
        })?;
        to_mpis(self.sealed.algorithm, &signature)
    }
}

/// The signature in the form of OpenPGP (RFC 9580 sections 5.2.3.1 to 5.2.3.3).
fn to_mpis(algorithm: ComponentAlgorithm, signature: &[u8]) -> OpenPgpResult<Signature> {
    let halves = || signature.split_at_checked(signature.len() / 2).filter(|(r, s)| r.len() == s.len());
    match algorithm.scheme() {
        Scheme::Rsa { .. } => Ok(Signature::RSA { s: MPI::new(signature) }),
        Scheme::Ecdsa(_) => halves()
            .map(|(r, s)| Signature::ECDSA { r: MPI::new(r), s: MPI::new(s) })
            .ok_or_else(|| anyhow!("an ECDSA signature of {} bytes", signature.len())),
        Scheme::Eddsa => halves()
            .map(|(r, s)| Signature::EdDSA { r: MPI::new(r), s: MPI::new(s) })
            .ok_or_else(|| anyhow!("an EdDSA signature of {} bytes", signature.len())),
        Scheme::Ecdh(_) => Err(anyhow!("{algorithm} does not sign")),
    }
}
