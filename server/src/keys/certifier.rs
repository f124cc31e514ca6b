//! Signatures of key management: those that certificates are made of.

use std::sync::Arc;

use sealcard_api::{
    algorithm::HashAlgorithm,
    ids::{ComponentId, EnvironmentId},
};
use sealcard_record::{
    Event, Sha256,
    event::{KeyCertified, SigningKey},
};
use sealcard_signer_protocol::{Certification, RequestBody, ResponseBody, StoredKey};
use tokio::runtime::Handle;

use super::{KeyError, Maker, signer};
use crate::{
    openpgp::CertificateError,
    signers::{Signers, UseError},
    storage::Store,
};

/// Has a signer sign a digest for key management.
pub(super) type Certify<'a> = &'a dyn Fn(&StoredKey, HashAlgorithm, Vec<u8>) -> Result<Vec<u8>, CertificateError>;

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
    /// sequoia asks for one signature after another and waits for each, so this has a thread of its own.
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
                let certification = Certification { hash, digest };
                let entry = maker.draft(Event::KeyCertify(KeyCertified {
                    signing_key: signing_key.clone(),
                    component: ComponentId(key.component),
                    input_sha256: Sha256(certification.input().sha256()),
                }));
                runtime.block_on(store.append_record(entry))?;
                let body = RequestBody::Certify { key: key.clone(), certification, request: maker.request_id.0 };
                match runtime.block_on(signer(&signers, environment)?.ask(body))? {
                    ResponseBody::Signature(signature) => Ok(signature),
                    _ => Err(UseError::Unavailable.into()),
                }
            })
        });
        Ok(made.await.map_err(|error| KeyError::Fault(error.to_string()))??)
    }
}
