//! Signatures of certificates, made by a key whose private half is elsewhere.

use sealcard_api::algorithm::HashAlgorithm;
use sequoia_openpgp::{
    Result as OpenPgpResult,
    anyhow::{self, anyhow},
    crypto::{Signer, mpi},
    packet::{
        Key,
        key::{KeyRole, PublicParts, UnspecifiedRole},
        signature::{SignatureBuilder, subpacket::Subpacket},
    },
    types::HashAlgorithm as Hash,
};
use thiserror::Error;

use crate::mpi::signature_mpis;

/// The hash of every signature in a certificate.
pub(crate) const CERTIFICATE_HASH: Hash = Hash::SHA512;

/// Why a certificate could not be made or changed. `E` is the error of the caller's signer.
#[derive(Debug, Clone, Error)]
pub enum CertificateError<E> {
    /// The signer did not sign. Its error says whether retrying helps.
    #[error("the signer: {0}")]
    Signer(E),
    /// The user id is not one. Retrying can't help.
    #[error("{0}")]
    UserId(String),
    /// A fault of this program or of the signer's answer. Retrying can't help.
    #[error("the certificate could not be made: {0}")]
    OpenPgp(String),
}

impl<E> From<anyhow::Error> for CertificateError<E> {
    fn from(error: anyhow::Error) -> Self {
        Self::OpenPgp(format!("{error:#}"))
    }
}

/// A key as the library signs with it: `sign` gets what the library hashed and gives what a signer made of it.
pub(crate) struct RemoteSigner<F, E> {
    public: Key<PublicParts, UnspecifiedRole>,
    sign: F,
    /// The library's errors carry text only, so the signer's own is kept here.
    failure: Option<E>,
}

impl<F, E> RemoteSigner<F, E> {
    pub(crate) fn new<R: KeyRole>(public: &Key<PublicParts, R>, sign: F) -> Self {
        Self { public: public.clone().role_into_unspecified(), sign, failure: None }
    }

    /// The signature, or the signer's error if that was the cause.
    pub(crate) fn finish<T>(&mut self, result: OpenPgpResult<T>) -> Result<T, CertificateError<E>> {
        result.map_err(|error| match self.failure.take() {
            Some(failure) => CertificateError::Signer(failure),
            None => error.into(),
        })
    }
}

impl<F, E> Signer for RemoteSigner<F, E>
where
    F: FnMut(HashAlgorithm, &[u8]) -> Result<Vec<u8>, E>,
    E: std::fmt::Display,
{
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        &self.public
    }

    fn sign(&mut self, hash: Hash, digest: &[u8]) -> OpenPgpResult<mpi::Signature> {
        let hash = match hash {
            Hash::SHA256 => HashAlgorithm::Sha256,
            Hash::SHA384 => HashAlgorithm::Sha384,
            Hash::SHA512 => HashAlgorithm::Sha512,
            other => return Err(anyhow!("{other} is not used in certificates")),
        };
        let signature = (self.sign)(hash, digest).map_err(|error| {
            let text = error.to_string();
            self.failure = Some(error);
            anyhow!(text)
        })?;
        Ok(signature_mpis(&self.public, &signature)?)
    }
}

/// Marks no subpacket as critical, like gpg: rpm 4.18 refuses a critical one that it makes no use of.
pub(crate) fn without_critical(mut builder: SignatureBuilder) -> OpenPgpResult<SignatureBuilder> {
    let critical: Vec<Subpacket> = builder.hashed_area().iter().filter(|part| part.critical()).cloned().collect();
    for part in critical {
        builder.hashed_area_mut().replace(Subpacket::new(part.value().clone(), false)?)?;
    }
    Ok(builder)
}
