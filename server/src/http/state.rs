//! What every handler can reach.

use std::{ops::Deref, sync::Arc};

use uuid::Uuid;

use super::key_work::KeyWork;
use crate::{authn::Authentication, config::Config, signers::Signers, signing::Signing, storage::Store};

/// The server's parts. Cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

/// See [`AppState`].
pub struct Parts {
    /// Durable state.
    pub store: Store,
    /// The way to the signer processes.
    pub signers: Arc<Signers>,
    /// Uses of keys.
    pub signing: Signing,
    /// The configuration.
    pub config: Arc<Config>,
    /// Passwords, tokens and grants.
    pub authentication: Authentication,
    /// Making keys and the like.
    pub key_work: KeyWork,
    /// Made at `init`.
    pub server_id: Uuid,
}

impl AppState {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Store, signers: Arc<Signers>, config: Arc<Config>) -> Self {
        let server_id = store.server_id();
        let authentication = Authentication::new(&config.limits);
        let signing = Signing::new(store.clone(), Arc::clone(&signers));
        let key_work = KeyWork::default();
        Self(Arc::new(Parts { store, signers, signing, config, authentication, key_work, server_id }))
    }
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
