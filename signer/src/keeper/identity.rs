//! The keeper's own key: what a passphrase or PIN for it is encrypted to. It does not depend on the master key, so it
//! can be used while that is sealed.

use std::{io, path::Path};

use sealcard_signer_protocol::envelope::{EnvelopeError, KeyFingerprint, PrivateKey, RecipientKey};

use crate::{
    crypto, folder,
    seal::{SealError, secret_file},
};

/// The key pair of a folder.
pub(super) struct Identity {
    private: PrivateKey,
    public: RecipientKey,
}

impl Identity {
    /// Reads the folder's key. A missing one is not replaced: administrators would meet a key that nobody announced.
    pub(super) fn load(folder: &Path) -> Result<Self, SealError> {
        let path = folder.join(folder::KEEPER_KEY_FILE);
        if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Err(SealError::NoKeeperKey(path));
        }
        let private = PrivateKey::new(secret_file::read_key_file(&path)?);
        let public = private.recipient().map_err(|_| SealError::Library)?;
        Ok(Self { private, public })
    }

    pub(super) const fn public(&self) -> RecipientKey {
        self.public
    }

    pub(super) const fn private(&self) -> &PrivateKey {
        &self.private
    }
}

/// The fingerprint of a folder's key.
pub(crate) fn fingerprint(folder: &Path) -> Result<KeyFingerprint, SealError> {
    Ok(Identity::load(folder)?.public.fingerprint())
}

/// Makes the key of a folder. An existing one is an error.
pub(crate) fn create(folder: &Path) -> Result<RecipientKey, SealError> {
    let path = folder.join(folder::KEEPER_KEY_FILE);
    let bytes = crypto::random::<32>()?;
    folder::write_new(&path, bytes.as_ref()).map_err(|e| SealError::File(path, e))?;
    PrivateKey::new(bytes).recipient().map_err(|_: EnvelopeError| SealError::Library)
}
