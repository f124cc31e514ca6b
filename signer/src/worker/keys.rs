//! Where the keys are, a sealed store or a token, and what can be done with them in either place.

use std::sync::{Arc, OnceLock};

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
use sealcard_signer_protocol::{
    Input, KeyEvidence, KeyLocator, MasterKeyId, PublicKeyBytes, ResponseBody, SignerError, StoreState,
    StoredCheckpointKey, StoredKey, check_checkpoint_key, is_origin,
};
use uuid::Uuid;

use super::{stopwatch::Stopwatch, task::Task, token::TokenKeys};
use crate::{
    control::{KeyBytes, Secret, Taken},
    operations::{self, PrivateKey, checkpoint::CheckpointKey},
    seal::MasterKeys,
    sealed::{OpenError, Store, StoreError},
};

/// The keys of an environment.
pub(super) enum Keys {
    /// A sealed store, once it is open.
    Store(OnceLock<Store>),
    /// A token.
    Token(Box<TokenKeys>),
}

/// A key that can be used now.
pub(super) enum UsableKey {
    /// Of a sealed store, open and parsed.
    Open(Arc<PrivateKey>),
    /// On the token.
    OnToken(StoredKey),
}

impl Keys {
    pub(super) fn state(&self) -> StoreState {
        match self {
            Self::Store(store) => {
                if store.get().is_none() {
                    StoreState::Sealed
                } else {
                    StoreState::Open
                }
            }
            Self::Token(token) => token.state(),
        }
    }

    /// Takes in what opens the keys. A PIN may be tried at once, which takes as long as the token wants.
    pub(super) fn take(&self, secret: Secret) -> Option<Taken> {
        match (self, secret) {
            (Self::Store(store), Secret::MasterKeys(keys)) => {
                let keys = MasterKeys::from_keys(keys.iter().map(KeyBytes::to_key)).ok().flatten();
                // The keeper has some, and the library has made them.
                let Some(keys) = keys else { return Some(Taken::Later("the library failed".to_owned())) };
                match store.get() {
                    Some(open) => open.replace_master_keys(keys),
                    None => drop(store.set(Store::new(keys))),
                }
                Some(Taken::Fine)
            }
            (Self::Token(token), Secret::Pin { pin, usage }) => token.take(pin, usage),
            // The keeper knows what it has started.
            (Self::Store(_), Secret::Pin { .. }) | (Self::Token(_), Secret::MasterKeys(_)) => None,
        }
    }

    /// A key that can be used without preparation. Takes no time.
    pub(super) fn ready(&self, row: &StoredKey, task: &Task) -> Option<UsableKey> {
        task.check(row).ok()?;
        match self {
            Self::Store(store) => store.get()?.open_key(row).map(UsableKey::Open),
            Self::Token(token) => token.knows(row).then(|| UsableKey::OnToken(row.clone())),
        }
    }

    /// The key for what it may do. What is refused here has touched no key.
    pub(super) fn admit(&self, row: &StoredKey, task: &Task) -> Result<UsableKey, SignerError> {
        match self {
            Self::Store(store) => {
                let store = opened(store)?;
                task.check(row)?;
                store.key(row).map(UsableKey::Open).map_err(open_error)
            }
            Self::Token(token) => {
                task.check(row)?;
                token.admit(row).map(|()| UsableKey::OnToken(row.clone()))
            }
        }
    }

    /// Measures what a use takes.
    pub(super) fn stopwatch(&self) -> Stopwatch {
        match self {
            Self::Store(_) => Stopwatch::of_thread(),
            Self::Token(_) => Stopwatch::of_clock(),
        }
    }

    pub(super) fn perform(&self, key: &UsableKey, input: Input<'_>) -> Result<ResponseBody, SignerError> {
        match (self, key) {
            (_, UsableKey::Open(key)) => key.perform(input),
            (Self::Token(token), UsableKey::OnToken(row)) => token.perform(row, input),
            (Self::Store(_), UsableKey::OnToken(_)) => Err(SignerError::NotOurs),
        }
    }

    pub(super) fn generate(
        &self,
        component: Uuid,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
        master_key: Option<MasterKeyId>,
    ) -> Result<(StoredKey, Option<KeyEvidence>), SignerError> {
        match self {
            Self::Store(store) => {
                let made = opened(store)?.generate(component, algorithm, role, master_key);
                Ok((made.map_err(|e| store_error(&e))?, None))
            }
            Self::Token(token) => {
                token.generate(component, algorithm, role).map(|(key, evidence)| (key, Some(evidence)))
            }
        }
    }

    pub(super) fn recipient(&self) -> Result<ResponseBody, SignerError> {
        match self {
            Self::Store(store) => {
                let key = opened(store)?.recipient().map_err(|e| store_error(&e))?;
                Ok(ResponseBody::Recipient { public_key: key.0 })
            }
            Self::Token(_) => Err(no_import()),
        }
    }

    pub(super) fn import(
        &self,
        component: Uuid,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
        public_key: PublicKeyBytes,
        envelope: &[u8],
        master_key: Option<MasterKeyId>,
    ) -> Result<StoredKey, SignerError> {
        match self {
            Self::Store(store) => {
                let taken = opened(store)?.import(component, algorithm, role, public_key, envelope, master_key);
                taken.map_err(|e| store_error(&e))
            }
            Self::Token(_) => Err(no_import()),
        }
    }

    pub(super) fn adopt(
        &self,
        component: Uuid,
        role: ComponentRole,
        locator: &KeyLocator,
    ) -> Result<(StoredKey, KeyEvidence), SignerError> {
        self.token()?.adopt(component, role, locator)
    }

    /// The master keys of the sealed store.
    pub(super) fn master_keys(&self) -> Result<ResponseBody, SignerError> {
        Ok(ResponseBody::MasterKeys(opened(self.sealed_store()?)?.master_key_ids()))
    }

    pub(super) fn reseal(&self, key: &StoredKey, master_key: MasterKeyId) -> Result<ResponseBody, SignerError> {
        let resealed = opened(self.sealed_store()?)?.reseal(key, master_key);
        Ok(ResponseBody::Resealed { key: resealed.map_err(|e| store_error(&e))? })
    }

    pub(super) fn generate_checkpoint_key(
        &self,
        component: Uuid,
        origin: &str,
        master_key: Option<MasterKeyId>,
    ) -> Result<ResponseBody, SignerError> {
        let store = opened(self.checkpoint_store()?)?;
        if !is_origin(origin) {
            return Err(SignerError::Invalid("this can't be the origin of a log".into()));
        }
        let made = store.generate_checkpoint_key(component, origin, master_key);
        Ok(ResponseBody::CheckpointKey(made.map_err(|e| store_error(&e))?))
    }

    /// The key for what it may do. What is refused here has touched no key.
    pub(super) fn checkpoint_key(&self, key: &StoredCheckpointKey) -> Result<CheckpointKey, SignerError> {
        let store = opened(self.checkpoint_store()?)?;
        check_checkpoint_key(key)?;
        store.checkpoint_key(key).map_err(open_error)
    }

    pub(super) fn reseal_checkpoint_key(
        &self,
        key: &StoredCheckpointKey,
        master_key: MasterKeyId,
    ) -> Result<ResponseBody, SignerError> {
        let resealed = opened(self.checkpoint_store()?)?.reseal_checkpoint_key(key, master_key);
        Ok(ResponseBody::CheckpointKey(resealed.map_err(|e| store_error(&e))?))
    }

    /// Where keys for checkpoints are: no token has both algorithms.
    pub(super) fn checkpoint_store(&self) -> Result<&OnceLock<Store>, SignerError> {
        match self {
            Self::Store(store) => Ok(store),
            Self::Token(_) => Err(SignerError::Unsupported(
                "checkpoints are signed with a key of a sealed store, not of a token".into(),
            )),
        }
    }

    fn sealed_store(&self) -> Result<&OnceLock<Store>, SignerError> {
        match self {
            Self::Store(store) => Ok(store),
            Self::Token(_) => Err(SignerError::Unsupported("a token has no master key".into())),
        }
    }

    /// The token, if there is one.
    pub(super) fn token(&self) -> Result<&TokenKeys, SignerError> {
        match self {
            Self::Token(token) => Ok(token),
            Self::Store(_) => Err(SignerError::Unsupported("a sealed store has no token".into())),
        }
    }

    /// Why the process can't go on, if a module has said so.
    pub(super) fn fatal_error(&self) -> Option<String> {
        match self {
            Self::Store(_) => None,
            Self::Token(token) => token.fatal_error(),
        }
    }
}

fn opened(store: &OnceLock<Store>) -> Result<&Store, SignerError> {
    store.get().ok_or(SignerError::Sealed)
}

fn no_import() -> SignerError {
    SignerError::Unsupported("keys are not imported into a token".into())
}

fn open_error(error: OpenError) -> SignerError {
    match error {
        OpenError::NotOurs(_) => SignerError::NotOurs,
        OpenError::UnknownMasterKey(id) => SignerError::UnknownMasterKey(id),
    }
}

fn store_error(error: &StoreError) -> SignerError {
    match error {
        StoreError::UnknownMasterKey(id) => SignerError::UnknownMasterKey(*id),
        StoreError::Open(error) => open_error(*error),
        StoreError::Generate(operations::GenerateError::Mismatch { .. }) => SignerError::Invalid(error.to_string()),
        // The library makes and checks the key; what failed there is worth another try.
        StoreError::Generate(operations::GenerateError::Library) | StoreError::Library => SignerError::SelfCheckFailed,
        StoreError::Envelope(_) => SignerError::Envelope,
        StoreError::Mismatch(_) => SignerError::Mismatch,
    }
}
