//! Signatures of key management: those that certificates are made of.

use std::sync::Arc;

use sealcard_api::{
    algorithm::HashAlgorithm,
    ids::{ComponentId, EnvironmentId},
};
use sealcard_openpgp::ComponentKey;
use sealcard_record::{
    Event, Sha256,
    event::{KeyCertified, SigningKey},
};
use sealcard_signer_protocol::{Certification, RequestBody, ResponseBody, StoredKey};
use tokio::runtime::Handle;

use super::{KeyError, Maker, signer};
use crate::{
    signers::{Signers, UseError},
    storage::{StorageError, Store},
};

/// Why a certificate could not be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CertificateError {
    /// The signer did not sign. Retrying may help.
    #[error("the signer: {0}")]
    Signer(#[from] UseError),
    /// The record could not be written, so the signer was not asked. Retrying may help.
    #[error(transparent)]
    Record(#[from] StorageError),
    /// The user id is not one. Retrying can't help.
    #[error("{0}")]
    UserId(String),
    /// A fault of this program or of the signer's answer. Retrying can't help.
    #[error("the certificate could not be made: {0}")]
    OpenPgp(String),
}

impl From<sealcard_openpgp::CertificateError<Self>> for CertificateError {
    fn from(error: sealcard_openpgp::CertificateError<Self>) -> Self {
        match error {
            sealcard_openpgp::CertificateError::Signer(error) => error,
            sealcard_openpgp::CertificateError::UserId(why) => Self::UserId(why),
            sealcard_openpgp::CertificateError::OpenPgp(why) => Self::OpenPgp(why),
        }
    }
}

/// Has a signer sign a digest for key management.
pub(super) type Certify<'a> = &'a dyn Fn(&StoredKey, HashAlgorithm, &[u8]) -> Result<Vec<u8>, CertificateError>;

/// The public half of a stored key.
pub(super) fn component_key(key: &StoredKey) -> ComponentKey {
    ComponentKey { role: key.role, algorithm: key.algorithm, public_key: key.public_key.to_public_key(key.algorithm) }
}

/// For whom and for what it certifies.
pub(super) struct Certifier<'a> {
    pub(super) store: &'a Store,
    pub(super) signers: &'a Arc<Signers>,
    pub(super) environment: EnvironmentId,
    pub(super) key: &'a SigningKey,
    pub(super) maker: &'a Maker,
}

impl Certifier<'_> {
    /// Does work that needs such signatures. Each is in the record, with its input, before the signer is asked: whoever
    /// certifies anything else leaves an entry in the journal that the record does not explain.
    ///
    /// Certificates ask for one signature after another and wait for each, so this has a thread of its own.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(Certify<'_>) -> Result<T, CertificateError> + Send + 'static,
    ) -> Result<T, KeyError> {
        let Self { store, signers, environment, key: signing_key, maker } = self;
        let (store, signers) = (store.clone(), Arc::clone(signers));
        let (signing_key, maker) = (signing_key.clone(), maker.clone());
        let runtime = Handle::current();
        let made = tokio::task::spawn_blocking(move || {
            work(&|key, hash, digest| {
                let certification = Certification { hash, digest: digest.to_vec() };
                let entry = maker.draft(Event::KeyCertify(KeyCertified {
                    signing_key: signing_key.clone(),
                    component: ComponentId(key.component),
                    input_sha256: Sha256(certification.input().sha256()),
                }));
                runtime.block_on(store.append_record(entry))?;
                let body = RequestBody::Certify { key: key.clone(), certification, stated: maker.stated() };
                match runtime.block_on(signer(&signers, environment)?.ask(body))? {
                    ResponseBody::Signature(signature) => Ok(signature),
                    _ => Err(UseError::Unavailable.into()),
                }
            })
        });
        Ok(made.await.map_err(|error| KeyError::Fault(error.to_string()))??)
    }
}
