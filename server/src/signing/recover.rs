//! What a stop in the middle left behind.

use sealcard_api::record::{RecordKind, RequestState};
use serde_json::json;

use crate::storage::{Draft, StorageError, Store};

/// Marks every request without an outcome as unknown, with an outcome in the record that says so. Call it at start,
/// before the first request. Returns how many there were.
///
/// # Errors
/// If the database fails.
pub async fn recover(store: &Store) -> Result<usize, StorageError> {
    let unfinished = store.unfinished_requests().await?;
    let count = unfinished.len();
    for request in unfinished {
        tracing::warn!(request_id = %request.id, key = %request.key, operation = request.operation,
            "signing: the server stopped before the outcome was noted; it is unknown");
        let outcome = Draft {
            kind: RecordKind::Outcome,
            request_id: request.id,
            principal: Some(request.principal),
            project: Some(request.project),
            key: Some(request.key),
            state: Some(RequestState::Unknown),
            details: json!({
                "operation": request.operation,
                "component": request.component,
                "error": "the server stopped before the outcome was noted",
            }),
        };
        store.write(move |tx| Box::pin(async move { tx.finish_request(None, None, &outcome).await })).await?;
    }
    Ok(count)
}
