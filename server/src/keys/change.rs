//! Renaming, disabling and enabling keys.

use sealcard_api::keys::KeyChange;
use sealcard_record::{
    Event,
    event::{KeyAct, KeyRenamed},
};

use super::{KeyError, Maker};
use crate::{
    directory::refuse_if_named,
    storage::{KeyEnd, KeyRow, MentionKind, Store},
};

const REVOKED: &str = "The key is revoked; there is no way back. Use another key.";
const DESTROYED: &str = "The key is destroyed; there is no way back. Use another key.";

/// Makes all of the change, or nothing of it. The next request sees it.
///
/// # Errors
/// [`KeyError::State`] if a revoked or destroyed key is to be disabled or enabled; [`KeyError::Conflict`] if rules name a
/// key that is to be renamed; [`KeyError::Storage`] if the name is taken; see [`KeyError`].
pub(super) async fn change(store: &Store, maker: Maker, key: &KeyRow, change: KeyChange) -> Result<(), KeyError> {
    let (id, project, signing_key) = (key.id, key.project_id, key.signing_key());
    let full_name = key.full_name().to_string();
    store
        .write(move |tx| {
            maker.permission().check(tx, project)?;
            if let Some(disabled) = change.disabled {
                match tx.key_end(id)? {
                    None => {}
                    Some(KeyEnd::Destroyed) => return Err(KeyError::State(DESTROYED)),
                    Some(KeyEnd::Revoked) => return Err(KeyError::State(REVOKED)),
                }
                if tx.set_key_disabled(id, disabled)? {
                    let act = KeyAct { signing_key: signing_key.clone() };
                    let event = if disabled { Event::KeyDisabled(act) } else { Event::KeyEnabled(act) };
                    tx.append_record(maker.draft(event));
                }
            }
            if let Some(name) = change.name {
                let naming = tx.rules_naming(MentionKind::Key, &full_name)?;
                refuse_if_named(&format!("The key {full_name}"), &naming).map_err(KeyError::Conflict)?;
                tx.rename_key(id, &name)?;
                tx.append_record(maker.draft(Event::KeyRenamed(KeyRenamed { signing_key, new_name: name })));
            }
            Ok(())
        })
        .await
}
