//! Removing the private halves of a key from its token.

use std::sync::Arc;

use sealcard_api::{ids::ComponentId, tokens::ComponentEvidence};
use sealcard_record::{
    Event,
    event::{KeyComponentAct, KeyComponentsAct, KeyDestroyFailed},
};
use sealcard_signer_protocol::{RequestBody, ResponseBody, SignerError, is_made_here};

use super::{KeyError, Maker, signer};
use crate::{
    signers::{Signers, UseError},
    storage::{KeyRow, Store},
};

/// Destroys the private halves of a key that can't be used any more. From then on it can't be enabled again, also if
/// not all of them could be destroyed; then it may be asked for once more. The record has an entry for each one.
///
/// # Errors
/// [`KeyError::State`] if the key is still in use or was adopted; see [`KeyError`].
pub async fn destroy(store: &Store, signers: &Arc<Signers>, maker: Maker, key: &KeyRow) -> Result<(), KeyError> {
    let obstacle = obstacle(&store.evidence(key.id).await?);
    begin(store, &maker, key, obstacle).await?;
    let mut outcome = Ok(());
    for component in &key.components {
        let destroyed = match destroy_one(store, signers, &maker, key, component.id).await {
            // An earlier attempt got as far as this.
            Err(KeyError::Signer(UseError::Refused(SignerError::NotOnToken(_)))) if key.destroyed.is_some() => Ok(()),
            outcome => outcome,
        };
        let (signing_key, component, role) = (key.signing_key(), component.id, component.role);
        let event = match &destroyed {
            Ok(()) => Event::KeyDestroyed(KeyComponentAct { signing_key, component, role }),
            Err(error) => {
                let error = error.to_string();
                Event::KeyDestroyFailed(KeyDestroyFailed { signing_key, component, role, error })
            }
        };
        store.append_record(maker.draft(event)).await?;
        outcome = outcome.and(destroyed);
    }
    outcome
}

/// Why a key with this evidence is never destroyed, whatever its state.
fn obstacle(evidence: &[ComponentEvidence]) -> Option<&'static str> {
    let is_ours =
        |one: &ComponentEvidence| is_made_here(one.role, one.component.0, &one.evidence.label, &one.evidence.id);
    if evidence.is_empty() {
        Some("Only keys on tokens can be destroyed. The key is in a sealed store: disable it, or revoke it.")
    } else if !evidence.iter().all(is_ours) {
        Some("The key was adopted, not made by Sealcard; others may use it. Destroy it with the token's own tools.")
    } else {
        None
    }
}

/// Ends the key's use for good, in one step with the record of it. Rights come before obstacles.
async fn begin(store: &Store, maker: &Maker, key: &KeyRow, obstacle: Option<&'static str>) -> Result<(), KeyError> {
    let entry = maker.draft(Event::KeyDestroyBegun(KeyComponentsAct {
        signing_key: key.signing_key(),
        components: key.components.iter().map(|component| component.id).collect(),
        fingerprint: Some(key.fingerprint),
    }));
    let (id, project, permission) = (key.id, key.project_id, maker.permission());
    store
        .write(move |tx| {
            permission.check(tx, project)?;
            if let Some(obstacle) = obstacle {
                return Err(KeyError::State(obstacle));
            }
            if !tx.set_key_destroyed(id)? {
                return Err(KeyError::State("Only a disabled or revoked key can be destroyed. Disable it first."));
            }
            tx.append_record(entry);
            Ok(())
        })
        .await
}

async fn destroy_one(
    store: &Store,
    signers: &Signers,
    maker: &Maker,
    key: &KeyRow,
    component: ComponentId,
) -> Result<(), KeyError> {
    let stored = store.stored_component(component).await?;
    let stored = stored.ok_or_else(|| KeyError::Fault(format!("the component {component} is not stored")))?;
    let body = RequestBody::Destroy { key: stored, stated: maker.stated() };
    match signer(signers, key.environment_id)?.ask(body).await? {
        ResponseBody::Destroyed => Ok(()),
        _ => Err(KeyError::Fault("the signer answered something else than was asked".to_owned())),
    }
}
