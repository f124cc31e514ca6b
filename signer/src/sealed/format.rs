//! Encrypting one private key.

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
use sealcard_signer_protocol::{MASTER_KEY_ID_LEN, PublicKeyBytes, SEALED_VERSION, StoredCheckpointKey, StoredKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    crypto::{self, CryptoError},
    seal::MasterKey,
};

const WRAPPED_DATA_KEY_LEN: usize = 32 + crypto::OVERHEAD;

/// What a private key is bound to. Keys of another kind begin with another label, so none ever opens as one of these.
pub(super) struct Identity<'a> {
    label: &'static [u8],
    parts: Vec<&'a [u8]>,
}

impl<'a> Identity<'a> {
    /// A component key of OpenPGP.
    pub(super) fn component(
        component: &'a Uuid,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
        public_key: &'a PublicKeyBytes,
    ) -> Self {
        let (algorithm, role) = (algorithm.name().as_bytes(), role.name().as_bytes());
        let mut parts = vec![component.as_bytes().as_slice(), algorithm, role];
        match public_key {
            PublicKeyBytes::Rsa { n, e } => parts.extend([b"rsa".as_slice(), n.as_slice(), e.as_slice()]),
            PublicKeyBytes::Ec { point } => parts.extend([b"ec".as_slice(), point.as_slice()]),
        }
        Self { label: b"sealcard sealed key", parts }
    }

    /// The component key of a row.
    pub(super) fn of(key: &'a StoredKey) -> Self {
        Self::component(&key.component, key.algorithm, key.role, &key.public_key)
    }

    /// A key that signs checkpoints.
    pub(super) fn of_checkpoint_key(key: &'a StoredCheckpointKey) -> Self {
        let StoredCheckpointKey { component, origin, ed25519, ml_dsa_44, handle: _ } = key;
        let parts = vec![component.as_bytes().as_slice(), origin.as_bytes(), ed25519.as_slice(), ml_dsa_44.as_slice()];
        Self { label: b"sealcard sealed checkpoint key", parts }
    }

    /// Every part with its length before it, so that no two identities have the same bytes.
    fn associated_data(&self, master: &MasterKey, purpose: &str) -> Vec<u8> {
        let mut data = Vec::with_capacity(2048);
        let (version, id) = ([SEALED_VERSION], master.id().0);
        let first = [self.label, version.as_slice(), id.as_slice(), purpose.as_bytes()];
        for bytes in first.into_iter().chain(self.parts.iter().copied()) {
            data.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            data.extend_from_slice(bytes);
        }
        data
    }
}

/// Encrypts `private`.
pub(super) fn seal(master: &MasterKey, identity: &Identity<'_>, private: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let data_key = crypto::random::<32>()?;
    let mut out = vec![SEALED_VERSION];
    out.extend(master.id().0);
    out.extend(crypto::seal(master.bytes(), &identity.associated_data(master, "data key"), data_key.as_ref())?);
    out.extend(crypto::seal(&data_key, &identity.associated_data(master, "private key"), private)?);
    Ok(out)
}

/// Decrypts what [`seal`] made with the same master key, if nothing about the row was changed.
pub(super) fn open(master: &MasterKey, identity: &Identity<'_>, handle: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (_, rest) = handle.split_at_checked(1 + MASTER_KEY_ID_LEN)?;
    let (wrapped, sealed) = rest.split_at_checked(WRAPPED_DATA_KEY_LEN)?;
    let data_key = crypto::open(master.bytes(), &identity.associated_data(master, "data key"), wrapped).ok()?;
    let private_key = identity.associated_data(master, "private key");
    crypto::open(data_key.as_slice().try_into().ok()?, &private_key, sealed).ok()
}
