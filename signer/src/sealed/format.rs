//! Encrypting one private key.

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
use sealcard_signer_protocol::{MASTER_KEY_ID_LEN, PublicKeyBytes, SEALED_VERSION, StoredKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::NotOursError;
use crate::{
    crypto::{self, CryptoError},
    seal::MasterKey,
};

const WRAPPED_DATA_KEY_LEN: usize = 32 + crypto::OVERHEAD;

/// What a private key is bound to.
pub(super) struct Identity<'a> {
    pub(super) component: Uuid,
    pub(super) algorithm: ComponentAlgorithm,
    pub(super) role: ComponentRole,
    pub(super) public_key: &'a PublicKeyBytes,
}

impl<'a> Identity<'a> {
    fn of(key: &'a StoredKey) -> Self {
        Self { component: key.component, algorithm: key.algorithm, role: key.role, public_key: &key.public_key }
    }

    /// Every part with its length before it, so that no two identities have the same bytes.
    fn associated_data(&self, master: &MasterKey, purpose: &str) -> Vec<u8> {
        let mut data = Vec::with_capacity(1024);
        let mut part = |bytes: &[u8]| {
            data.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            data.extend_from_slice(bytes);
        };
        part(b"sealcard sealed key");
        part(&[SEALED_VERSION]);
        part(&master.id().0);
        part(purpose.as_bytes());
        part(self.component.as_bytes());
        part(self.algorithm.name().as_bytes());
        part(self.role.name().as_bytes());
        match self.public_key {
            PublicKeyBytes::Rsa { n, e } => {
                part(b"rsa");
                part(n);
                part(e);
            }
            PublicKeyBytes::Ec { point } => {
                part(b"ec");
                part(point);
            }
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
pub(super) fn open(master: &MasterKey, key: &StoredKey) -> Result<Zeroizing<Vec<u8>>, NotOursError> {
    try_open(master, key).ok_or(NotOursError::of(key))
}

fn try_open(master: &MasterKey, key: &StoredKey) -> Option<Zeroizing<Vec<u8>>> {
    let identity = Identity::of(key);
    let (_, rest) = key.handle.split_at_checked(1 + MASTER_KEY_ID_LEN)?;
    let (wrapped, sealed) = rest.split_at_checked(WRAPPED_DATA_KEY_LEN)?;
    let data_key = crypto::open(master.bytes(), &identity.associated_data(master, "data key"), wrapped).ok()?;
    let private_key = identity.associated_data(master, "private key");
    crypto::open(data_key.as_slice().try_into().ok()?, &private_key, sealed).ok()
}
