//! What a workstation may show as cards: `GET /v1/cards`.

use axum::extract::State;
use sealcard_api::{
    Timestamp,
    algorithm::ComponentRole,
    cards::{Card, CardList},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiResult, AppState, Caller, Json};
use crate::{
    limits,
    storage::{ComponentRow, KeyFilter, KeyRow},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// One card for each key of the projects in which the caller has the role key-user, directly or through a group. A
/// card's state says whether its key may be used, and why not.
#[utoipa::path(get, path = "/v1/cards", tag = "cards", responses((status = 200, body = CardList)))]
async fn list(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<CardList>> {
    // Read before the keys: a change in between makes the client ask once more than needed, never once too few.
    let registry_version = state.store.registry_version();
    let (usable_by, now) = (Some(caller.principal), caller.received);
    // One more, to know whether there are more.
    let keys = state.store.keys(KeyFilter { usable_by, limit: limits::MAX_CARDS + 1, ..KeyFilter::default() }).await?;
    let (keys, truncated) = first(keys, limits::MAX_CARDS as usize);
    let cards = keys.into_iter().map(|row| to_card(row, now)).collect();
    Ok(Json(CardList { server_id: state.server_id, registry_version, cards, truncated }))
}

/// The first of these, and whether there are more.
fn first<T>(mut all: Vec<T>, limit: usize) -> (Vec<T>, bool) {
    let more = all.len() > limit;
    all.truncate(limit);
    (all, more)
}

fn to_card(row: KeyRow, now: Timestamp) -> Card {
    let (state, expires) = (row.state(now), row.expires());
    Card {
        key_id: row.id,
        name: row.name,
        project_id: row.project_id,
        project: row.project,
        serial: row.serial,
        algorithm: row.algorithm,
        user_id: row.user_id,
        fingerprint: row.fingerprint,
        // The primary key is on no card.
        components: row
            .components
            .iter()
            .filter(|part| part.role != ComponentRole::Certify)
            .map(ComponentRow::to_public)
            .collect(),
        signatures: row.signatures,
        state,
        revoked: row.revoked,
        expires,
        certificate: row.certificate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_left_out_are_told() {
        assert_eq!(first(vec![1, 2, 3], 2), (vec![1, 2], true));
        assert_eq!(first(vec![1, 2], 2), (vec![1, 2], false));
    }
}
