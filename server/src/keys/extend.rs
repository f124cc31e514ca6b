//! A later end for a key: its own primary key says so.

use std::sync::Arc;

use sealcard_api::Timestamp;
use sealcard_record::{
    Event,
    event::{CertificateState, KeyBegun, KeyExtended, KeyWork},
};

use super::{KeyError, Maker, begin, certificate_state, certifier::Certifier, note_failure};
use crate::{
    signers::Signers,
    storage::{KeyRow, Store},
};

/// Lets a key live until `expires`, under the fingerprint that it has. An expired one lives again.
///
/// # Errors
/// If it is revoked or destroyed, its primary key is not here, it ends later already, or the signer does not sign.
pub async fn extend(
    store: &Store,
    signers: &Arc<Signers>,
    maker: Maker,
    row: &KeyRow,
    expires: Timestamp,
) -> Result<(), KeyError> {
    const LATER_ALREADY: KeyError = KeyError::State("The key expires later than that already, or never.");
    const CHANGED: KeyError = KeyError::State("The key was changed meanwhile. Try again.");
    if row.revoked.is_some() {
        return Err(KeyError::State("The key is revoked; there is no way back. Use another key."));
    }
    if row.destroyed.is_some() {
        return Err(KeyError::State("The key is destroyed; there is no way back. Use another key."));
    }
    let component = row.components.iter().find(|component| component.fingerprint == row.fingerprint);
    let primary = match component {
        Some(component) => store.stored_component(component.id).await?,
        None => None,
    };
    let primary = primary.ok_or_else(|| offline(row))?;
    let (id, signing_key) = (row.id, row.signing_key());
    let begun = KeyBegun { expires: Some(expires), ..KeyBegun::new(signing_key.clone(), KeyWork::Extend) };
    begin(store, &maker, begun, None).await?;
    let wanted: Vec<_> = row.components.iter().map(|component| component.fingerprint).collect();
    let (certificate, now) = (row.certificate.clone(), Timestamp::now());
    let made = Certifier { store, signers, environment: row.environment_id, key: &signing_key, maker: &maker }.run(
        move |certify| {
            let sign = |hash, digest: &[u8]| certify(&primary, hash, digest);
            Ok(sealcard_openpgp::extend(&certificate, &wanted, (expires, now), sign)?)
        },
    );
    let extended = match made.await.and_then(|extended| extended.ok_or(LATER_ALREADY)) {
        Ok(extended) => extended,
        Err(error) => {
            note_failure(store, &maker, signing_key, &error).await?;
            return Err(error);
        }
    };
    let certificate = CertificateState { lives: extended.lives.clone(), ..certificate_state(&extended.armored) };
    let extension = KeyExtended { signing_key, before: row.expires(), expires, certificate };
    let entry = maker.draft(Event::KeyExtended(extension));
    let earlier = row.certificate.clone();
    store
        .write(move |tx| {
            if !tx.replace_certificate(id, (&earlier, &extended.armored), None, &extended.lives)? {
                return Err(CHANGED);
            }
            tx.append_record(entry);
            Ok(())
        })
        .await
}

fn offline(row: &KeyRow) -> KeyError {
    let (name, key) = (row.full_name(), row.fingerprint);
    // Named one by one: gpg's '*' leaves out subkeys that have expired.
    let subkeys: Vec<_> = row.components.iter().map(|component| component.fingerprint.to_string()).collect();
    let subkeys = subkeys.join(" ");
    KeyError::Offline(format!(
        "The primary key of {name} is not here, so it can't be extended here. Extend it with gpg where the primary \
         key is: gpg --quick-set-expire {key} 2y && gpg --quick-set-expire {key} 2y {subkeys}. Then bring its \
         certificate: gpg --export {key} | sealcard admin key import {name}"
    ))
}
