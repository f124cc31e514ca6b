//! Whoever holds the private keys, as sessions see it.

use std::{future::Future, pin::Pin, sync::Arc};

use sealcard_api::{
    cards::CardList,
    ids::KeyId,
    operations::{AuthenticateRequest, DecryptRequest, DecryptResponse, SignRequest, SignatureResponse},
};
use uuid::Uuid;

use crate::{
    config::ConfigError,
    remote::{Remote, RemoteError, WaitObserver},
};

/// What comes of asking.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, RemoteError>> + 'a>>;

/// What is told when a use waits for people.
pub type Observer = Arc<dyn WaitObserver>;

/// Uses private keys somewhere else. In the daemon it is the server; tests hold keys in memory. An answer that is dropped
/// while it waits for people is given up.
pub trait KeyHolder {
    /// A signature by the signature slot.
    fn sign<'a>(
        &'a self,
        key: KeyId,
        once: Uuid,
        request: &'a SignRequest,
        observer: Observer,
    ) -> Answer<'a, SignatureResponse>;

    /// A signature by the authentication slot.
    fn authenticate<'a>(
        &'a self,
        key: KeyId,
        once: Uuid,
        request: &'a AuthenticateRequest,
        observer: Observer,
    ) -> Answer<'a, SignatureResponse>;

    /// A decryption.
    fn decrypt<'a>(
        &'a self,
        key: KeyId,
        once: Uuid,
        request: &'a DecryptRequest,
        observer: Observer,
    ) -> Answer<'a, DecryptResponse>;

    /// The cards that may be shown.
    fn cards(&self) -> Answer<'_, CardList>;

    /// The registry version that the newest answer carried.
    fn registry_version(&self) -> Option<u64>;

    /// Waits for what is done in the background, such as giving up uses.
    fn settle(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async {})
    }
}

impl KeyHolder for Remote {
    fn sign<'a>(
        &'a self,
        key: KeyId,
        once: Uuid,
        request: &'a SignRequest,
        observer: Observer,
    ) -> Answer<'a, SignatureResponse> {
        let remote = self.observed_by(observer);
        Box::pin(async move { remote.guarded(remote.sign(key, once, request)).await })
    }

    fn authenticate<'a>(
        &'a self,
        key: KeyId,
        once: Uuid,
        request: &'a AuthenticateRequest,
        observer: Observer,
    ) -> Answer<'a, SignatureResponse> {
        let remote = self.observed_by(observer);
        Box::pin(async move { remote.guarded(remote.authenticate(key, once, request)).await })
    }

    fn decrypt<'a>(
        &'a self,
        key: KeyId,
        once: Uuid,
        request: &'a DecryptRequest,
        observer: Observer,
    ) -> Answer<'a, DecryptResponse> {
        let remote = self.observed_by(observer);
        Box::pin(async move { remote.guarded(remote.decrypt(key, once, request)).await })
    }

    fn settle(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(Self::settle(self))
    }

    fn cards(&self) -> Answer<'_, CardList> {
        Box::pin(Self::cards(self))
    }

    fn registry_version(&self) -> Option<u64> {
        Self::registry_version(self)
    }
}

/// Stands in when the configuration can't even be found: every use fails with the reason.
#[derive(Debug)]
pub struct Misconfigured {
    reason: String,
}

impl Misconfigured {
    /// Fails with this reason.
    #[must_use]
    pub fn new(error: &impl ToString) -> Self {
        Self { reason: error.to_string() }
    }

    fn fail<T>(&self) -> Answer<'_, T> {
        Box::pin(async {
            Err(RemoteError::Config(ConfigError::Invalid { path: "sealcard.conf".into(), reason: self.reason.clone() }))
        })
    }
}

impl KeyHolder for Misconfigured {
    fn sign<'a>(&'a self, _: KeyId, _: Uuid, _: &'a SignRequest, _: Observer) -> Answer<'a, SignatureResponse> {
        self.fail()
    }

    fn authenticate<'a>(
        &'a self,
        _: KeyId,
        _: Uuid,
        _: &'a AuthenticateRequest,
        _: Observer,
    ) -> Answer<'a, SignatureResponse> {
        self.fail()
    }

    fn decrypt<'a>(&'a self, _: KeyId, _: Uuid, _: &'a DecryptRequest, _: Observer) -> Answer<'a, DecryptResponse> {
        self.fail()
    }

    fn cards(&self) -> Answer<'_, CardList> {
        self.fail()
    }

    fn registry_version(&self) -> Option<u64> {
        None
    }
}
