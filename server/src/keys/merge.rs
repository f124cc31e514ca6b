//! Newer certificates of keys that are here.

use std::sync::Arc;

use sealcard_api::{
    Fingerprint, Timestamp,
    ids::ComponentId,
    import::{ImportedComponent, LeftOut},
    merge::CertificateChange,
};
use sealcard_openpgp::{KnownKey, MergedCertificate};
use serde_json::json;

use super::{
    KeyError, Maker, begin, entry,
    import::{pair, take_in},
    note,
};
use crate::{
    signers::Signers,
    storage::{KeyRow, NewComponentRow, Store},
};

/// Merges a newer certificate into that of a key, as a whole or not at all. Says what that changed and what is left out.
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
        return store_merged(store, maker, row, merged, Vec::new()).await;
    }
    let begun = json!({
        "event": "key-begun",
        "by": "merge",
        "name": row.name,
        "fingerprint": row.fingerprint,
        "components": pairs.iter().map(|(_, component)| component.id).collect::<Vec<ComponentId>>(),
    });
    begin(store, row.project_id, maker, row.id, begun, None).await?;
    let result = match take_in(signers, maker, row.environment_id, pairs).await {
        Ok(components) => store_merged(store, maker, row, merged, components).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        let failed = json!({"event": "key-failed", "error": error.to_string()});
        note(store, row.project_id, maker, row.id, failed).await?;
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
    maker: Maker,
    row: &KeyRow,
    merged: MergedCertificate,
    components: Vec<NewComponentRow>,
) -> Result<(Vec<CertificateChange>, Vec<LeftOut>), KeyError> {
    const CHANGED: KeyError = KeyError::State("The key was changed meanwhile. Try again.");
    let MergedCertificate { armored, user_id, lives, revoked, changes, left_out, .. } = merged;
    let details = match &revoked {
        None => json!({"event": "certificate-merged", "name": row.name, "changes": changes}),
        Some(revoked) => json!({
            "event": "key-revoked",
            "by": "merge",
            "name": row.name,
            "reason": revoked.reason,
            "message": revoked.message,
            "changes": changes,
        }),
    };
    let (id, project, earlier) = (row.id, row.project_id, row.certificate.clone());
    let entry = entry(project, maker, id, details);
    store
        .write(move |tx| {
            maker.authorization.check(tx, Some(project))?;
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
