//! Newer certificates of keys that are here.

use std::sync::Arc;

use sealcard_api::{
    Bytes, Fingerprint, Timestamp,
    import::{ImportedComponent, LeftOut},
    merge::{CertificateChange, MergePlan, MergePlanRequest, MergeRequest},
};
use sealcard_openpgp::{KnownKey, MergedCertificate};
use sealcard_record::{
    Event,
    event::{CertificateMerged, CertificateState, KeyBegun, KeyRevoked, KeyWork},
};

use super::{
    KeyError, Keys, Maker, begin, certificate_state,
    import::{pair, planned_component, recipient, take_in},
    note_failure, stored_component,
    tasks::MANAGE_PROJECT,
    work::KeyTask,
};
use crate::{
    authn::Caller,
    signers::Signers,
    storage::{KeyRow, NewComponentRow, Store},
};

impl Keys {
    /// What a newer certificate of the key would change, and which new subkeys' secrets are wanted. Reserves and changes
    /// nothing.
    pub(crate) async fn plan_merge(
        &self,
        caller: &Caller,
        key: &str,
        request: MergePlanRequest,
    ) -> Result<MergePlan, KeyError> {
        let (row, _) = self.find_for(caller, key, MANAGE_PROJECT).await?;
        let merged = plan_merge(&row, &request.certificate, &request.secrets)?;
        let MergedCertificate { added, changes, left_out, sha1, .. } = merged;
        self.expect_unknown(caller, &added).await?;
        let recipient = match added.as_slice() {
            [] => None,
            _ => Some(recipient(&self.signers, row.environment_id).await?),
        };
        Ok(MergePlan {
            environment: row.environment,
            fingerprint: row.fingerprint,
            changes,
            components: added.into_iter().map(planned_component).collect(),
            recipient: recipient.map(|recipient| Bytes(recipient.to_vec())),
            left_out,
            sha1,
        })
    }

    /// Merges a newer certificate into the key's own: new ends, user ids, revocations and signatures. Nothing is taken
    /// out. The secrets of new subkeys come in envelopes that only the environment's signer can open.
    pub(crate) async fn merge(
        &self,
        caller: Caller,
        key: &str,
        request: MergeRequest,
    ) -> Result<(KeyRow, Vec<CertificateChange>, Vec<LeftOut>), KeyError> {
        let (row, maker) = self.find_for(&caller, key, MANAGE_PROJECT).await?;
        let MergeRequest { certificate, components } = request;
        // A revocation must not wait behind keys that are being made.
        let task = if components.is_empty() { KeyTask::Ending } else { KeyTask::Making };
        let (id, environment, keys, actor) = (row.id, row.environment_id, self.clone(), caller.clone());
        let done = async move {
            let merged = merge(&keys.store, &keys.signers, maker, &row, &certificate, components).await;
            keys.named(&actor, merged).await
        };
        let (changes, left_out) = self.carry_out(environment, task, &caller, done).await?;
        Ok((self.row(id).await?, changes, left_out))
    }
}

/// Merges a newer certificate into that of a key, as a whole or not at all. Says what that changed and what is left
/// out.
///
/// # Errors
/// See [`KeyError`].
async fn merge(
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
fn plan_merge(row: &KeyRow, certificate: &str, secrets: &[Fingerprint]) -> Result<MergedCertificate, KeyError> {
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
    let certificate = CertificateState {
        user_id: user_id.clone(),
        lives: lives.clone(),
        components: components.iter().map(stored_component).collect(),
        ..certificate_state(&armored)
    };
    let entry = maker.draft(match &revoked {
        None => Event::CertificateMerged(CertificateMerged { signing_key, changes: changes.clone(), certificate }),
        Some(revoked) => Event::KeyRevoked(KeyRevoked {
            signing_key,
            work: KeyWork::Merge,
            reason: revoked.reason,
            message: revoked.message.clone(),
            changes: changes.clone(),
            certificate,
        }),
    });
    let (id, project, earlier, permission) = (row.id, row.project_id, row.certificate.clone(), maker.permission());
    store
        .write(move |tx| {
            permission.check(tx, project)?;
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
