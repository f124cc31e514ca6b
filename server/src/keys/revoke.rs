//! The end of a key: its own primary key says that it no longer counts.

use std::sync::Arc;

use sealcard_api::{
    Timestamp,
    keys::{RevocationReason, Revoked},
};

use sealcard_record::{
    Event,
    event::{KeyBegun, KeyRevoked, KeyWork},
};

use super::{KeyError, Maker, begin, certificate_state, certifier::Certifier, note_failure};
use crate::{
    signers::Signers,
    storage::{KeyRow, Store},
};

/// Revokes a key: its certificate says so, and it is never used again.
///
/// # Errors
/// If it is revoked already, its primary key is not here, or the signer does not sign.
pub async fn revoke(
    store: &Store,
    signers: &Arc<Signers>,
    maker: Maker,
    row: &KeyRow,
    reason: RevocationReason,
    message: String,
) -> Result<(), KeyError> {
    if row.revoked.is_some() {
        return Err(KeyError::State("The key has been revoked already."));
    }
    if row.destroyed.is_some() {
        return Err(KeyError::State(
            "The key has been destroyed, so it can't sign that it is revoked. Publish the revocation certificate that \
             was made with it: sealcard admin key revocation",
        ));
    }
    let component = row.components.iter().find(|component| component.fingerprint == row.fingerprint);
    let primary = match component {
        Some(component) => store.stored_component(component.id).await?,
        None => None,
    };
    let primary = primary.ok_or_else(|| offline(row))?;
    let signing_key = row.signing_key();
    let begun = KeyBegun { reason: Some(reason), ..KeyBegun::new(signing_key.clone(), KeyWork::Revoke) };
    begin(store, &maker, begun, None).await?;
    let now = Timestamp::now();
    let (certificate, earlier) = (row.certificate.clone(), row.certificate.clone());
    let revoked = Revoked { time: now, reason, message: message.clone() };
    let certifier = Certifier { store, signers, environment: row.environment_id, key: &signing_key, maker: &maker };
    let made = certifier.run(move |certify| {
        let sign = |hash, digest: &[u8]| certify(&primary, hash, digest);
        let revocation = sealcard_openpgp::revocation(&certificate, reason, &message, now, sign)?;
        Ok(sealcard_openpgp::with_revocation(&certificate, &revocation)?)
    });
    let id = row.id;
    let certificate = match made.await {
        Ok(certificate) => certificate,
        Err(error) => {
            note_failure(store, &maker, signing_key, &error).await?;
            return Err(error);
        }
    };
    let entry = maker.draft(Event::KeyRevoked(KeyRevoked {
        signing_key,
        work: KeyWork::Revoke,
        reason,
        message: revoked.message.clone(),
        changes: Vec::new(),
        certificate: certificate_state(&certificate),
    }));
    store
        .write(move |tx| {
            if !tx.revoke_key(id, (&earlier, &certificate), &revoked)? {
                return Err(KeyError::State(
                    "The key has been revoked or its certificate changed meanwhile. Try again.",
                ));
            }
            tx.append_record(entry);
            Ok(())
        })
        .await
}

fn offline(row: &KeyRow) -> KeyError {
    let (name, key) = (row.full_name(), row.fingerprint);
    KeyError::Offline(format!(
        "The primary key of {name} is not here, so it can't be revoked here. Stop its use: sealcard admin key disable \
         {name}. Then revoke it with gpg where the primary key is: gpg --edit-key {key} revkey save. Then bring its \
         certificate: gpg --export {key} | sealcard admin key import {name}"
    ))
}
