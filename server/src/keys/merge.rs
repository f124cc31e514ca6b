//! Newer certificates of keys that are here.

use std::sync::Arc;

use sealcard_api::{
    Fingerprint, Timestamp,
    import::{ImportedComponent, LeftOut},
    merge::CertificateChange,
};
use sealcard_openpgp::{KnownKey, MergedCertificate};
use sealcard_record::{
    Event,
    event::{CertificateMerged, KeyBegun, KeyRevoked, KeyWork},
};

use super::{
    KeyError, Maker, begin,
    import::{pair, take_in},
    note_failure,
};
use crate::{
    signers::Signers,
    storage::{KeyRow, NewComponentRow, Store},
};

/// Merges a newer certificate into that of a key, as a whole or not at all. Says what that changed and what is left
/// out.
///
/// # Errors
/// See [`KeyError`].
pub async fn merge(
    store: &Store,
    signers: &Arc<Signers>,
    maker: Maker,
    row: &KeyRow,
    certificate: &str,
    components: Vec<ImportedComponent>,
) -> Result<(Vec<CertificateChange>, Vec<LeftOut>), KeyError> {
    let secrets: Vec<Fingerprint> = components.iter().map(|component| component.fingerprint).collect();
    let merged = plan_merge(row, certificate, &secrets)?;
    let pairs = pair(&merged.added, components)?;
    if merged.changes.is_empty() {
        return Ok((merged.changes, merged.left_out));
    }
    if pairs.is_empty() {
        return store_merged(store, &maker, row, merged, Vec::new()).await;
    }
    let begun = KeyBegun {
        fingerprint: Some(row.fingerprint),
        components: pairs.iter().map(|(_, component)| component.id).collect(),
        ..KeyBegun::new(row.signing_key(), KeyWork::Merge)
    };
    begin(store, &maker, begun, None).await?;
    let result = match take_in(signers, &maker, row.environment_id, pairs).await {
        Ok(components) => store_merged(store, &maker, row, merged, components).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        note_failure(store, &maker, row.signing_key(), error).await?;
    }
    result
}

/// Says what a newer certificate would change. Changes nothing.
///
/// # Errors
/// If the certificate can't be merged.
pub fn plan_merge(row: &KeyRow, certificate: &str, secrets: &[Fingerprint]) -> Result<MergedCertificate, KeyError> {
    if row.revoked.is_some() {
        return Err(KeyError::State("The key is revoked; there is no way back."));
    }
    let known = KnownKey {
        certificate: row.certificate.clone(),
        fingerprint: row.fingerprint,
        components: row.components.iter().map(|component| (component.fingerprint, component.role)).collect(),
    };
    Ok(sealcard_openpgp::merge(&known, certificate, secrets, Timestamp::now())?)
}

async fn store_merged(
    store: &Store,
    maker: &Maker,
    row: &KeyRow,
    merged: MergedCertificate,
    components: Vec<NewComponentRow>,
) -> Result<(Vec<CertificateChange>, Vec<LeftOut>), KeyError> {
    const CHANGED: KeyError = KeyError::State("The key was changed meanwhile. Try again.");
    let MergedCertificate { armored, user_id, lives, revoked, changes, left_out, .. } = merged;
    let signing_key = row.signing_key();
    let entry = maker.draft(match &revoked {
        None => Event::CertificateMerged(CertificateMerged { signing_key, changes: changes.clone() }),
        Some(revoked) => Event::KeyRevoked(KeyRevoked {
            signing_key,
            work: KeyWork::Merge,
            reason: revoked.reason,
            message: revoked.message.clone(),
            changes: changes.clone(),
        }),
    });
    let (id, project, earlier, authorization) = (row.id, row.project_id, row.certificate.clone(), maker.authorization);
    store
        .write(move |tx| {
            authorization.check(tx, Some(project))?;
            if !tx.replace_certificate(id, (&earlier, &armored), user_id.as_deref(), &lives)? {
                return Err(CHANGED);
            }
            for component in &components {
                tx.insert_component(id, component)?;
            }
            if let Some(revoked) = &revoked
                && !tx.revoke_key(id, (&armored, &armored), revoked)?
            {
                return Err(CHANGED);
            }
            tx.append_record(entry);
            Ok(())
        })
        .await?;
    Ok((changes, left_out))
}
