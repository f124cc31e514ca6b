//! Whoever holds the private keys, as sessions see it.

use std::{future::Future, pin::Pin};

use sealcard_api::{
    cards::CardList,
    ids::KeyId,
    operations::{AuthenticateRequest, DecryptRequest, DecryptResponse, SignRequest, SignatureResponse},
};
use uuid::Uuid;

use crate::{
    config::ConfigError,
    remote::{Remote, RemoteError},
};

/// What comes of asking.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, RemoteError>> + 'a>>;

/// Uses private keys somewhere else. In the daemon it is the server; tests hold keys in memory.
pub trait KeyHolder {
    /// A signature by the signature slot.
    fn sign<'a>(&'a self, key: KeyId, once: Uuid, request: &'a SignRequest) -> Answer<'a, SignatureResponse>;

    /// A signature by the authentication slot.
    fn authenticate<'a>(
        &'a self,
        key: KeyId,
        once: Uuid,
        request: &'a AuthenticateRequest,
    ) -> Answer<'a, SignatureResponse>;

    /// A decryption.
    fn decrypt<'a>(&'a self, key: KeyId, once: Uuid, request: &'a DecryptRequest) -> Answer<'a, DecryptResponse>;

    /// The cards that may be shown.
    fn cards(&self) -> Answer<'_, CardList>;

    /// The registry version that the newest answer carried.
    fn registry_version(&self) -> Option<u64>;
}

impl KeyHolder for Remote {
    fn sign<'a>(&'a self, key: KeyId, once: Uuid, request: &'a SignRequest) -> Answer<'a, SignatureResponse> {
        Box::pin(Self::sign(self, key, once, request))
    }

    fn authenticate<'a>(
        &'a self,
        key: KeyId,
        once: Uuid,
        request: &'a AuthenticateRequest,
    ) -> Answer<'a, SignatureResponse> {
        Box::pin(Self::authenticate(self, key, once, request))
    }

    fn decrypt<'a>(&'a self, key: KeyId, once: Uuid, request: &'a DecryptRequest) -> Answer<'a, DecryptResponse> {
        Box::pin(Self::decrypt(self, key, once, request))
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
    fn sign<'a>(&'a self, _: KeyId, _: Uuid, _: &'a SignRequest) -> Answer<'a, SignatureResponse> {
        self.fail()
    }

    fn authenticate<'a>(&'a self, _: KeyId, _: Uuid, _: &'a AuthenticateRequest) -> Answer<'a, SignatureResponse> {
        self.fail()
    }

    fn decrypt<'a>(&'a self, _: KeyId, _: Uuid, _: &'a DecryptRequest) -> Answer<'a, DecryptResponse> {
        self.fail()
    }

    fn cards(&self) -> Answer<'_, CardList> {
        self.fail()
    }

    fn registry_version(&self) -> Option<u64> {
        None
    }
}
