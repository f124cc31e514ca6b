//! Removing the private halves of a key from its token.

use std::sync::Arc;

use sealcard_api::ids::ComponentId;
use sealcard_signer::protocol::{RequestBody, ResponseBody};
use serde_json::json;

use super::{KeyError, Maker, note, signer};
use crate::{
    signers::Signers,
    storage::{KeyRow, Store},
};

/// Destroys the private halves of a key that can't be used any more. What could not be destroyed stays named in the error,
/// and the record tells of each one that was.
///
/// # Errors
/// [`KeyError::State`] if the key is still in use; see [`KeyError`].
pub async fn destroy(store: &Store, signers: &Arc<Signers>, maker: Maker, key: &KeyRow) -> Result<(), KeyError> {
    if !key.disabled && key.revoked.is_none() {
        return Err(KeyError::State("Only a disabled or revoked key can be destroyed. Disable it first."));
    }
    let begun = json!({
        "event": "key-destroy-begun",
        "name": key.name,
        "fingerprint": key.fingerprint,
        "components": key.components.iter().map(|component| component.id).collect::<Vec<ComponentId>>(),
    });
    note(store, key.project_id, maker, key.id, begun).await?;
    for component in &key.components {
        let destroyed = destroy_one(store, signers, maker, key, component.id).await;
        let details = match &destroyed {
            Ok(()) => json!({"event": "key-destroyed", "component": component.id, "role": component.role}),
            Err(error) => json!({"event": "key-destroy-failed", "component": component.id, "error": error.to_string()}),
        };
        note(store, key.project_id, maker, key.id, details).await?;
        destroyed?;
    }
    Ok(())
}

async fn destroy_one(
    store: &Store,
    signers: &Signers,
    maker: Maker,
    key: &KeyRow,
    component: ComponentId,
) -> Result<(), KeyError> {
    let stored = store.stored_component(component).await?;
    let stored = stored.ok_or_else(|| KeyError::Fault(format!("the component {component} is not stored")))?;
    let body = RequestBody::Destroy { key: stored, request: maker.request_id.0 };
    match signer(signers, key.environment_id)?.ask(body).await? {
        ResponseBody::Destroyed => Ok(()),
        _ => Err(KeyError::Fault("the signer answered something else than was asked".to_owned())),
    }
}
