//! The record's log and receipts: `/v1/log`, `/v1/receipts/{signature}`.

use axum::extract::State;
use sealcard_api::{
    log::{LogConsistency, LogStatus},
    problem::ProblemCode,
    rules::EntryNumber,
};
use sealcard_policy::Action;
use sealcard_record::Sha256;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, Query};
use crate::{
    log::{Published, Receipt, ReceiptError},
    storage::{RecordRow, StorageError},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(consistency)).routes(routes!(receipt))
}

/// The proof that an entry is in the log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RecordReceipt {
    /// The log's name.
    origin: String,
    /// The log's public keys, as C2SP's signed notes name them.
    keys: Vec<String>,
    /// The entry's number. Its index in the log is one less.
    number: u64,
    /// The salt of the leaf's commitment to the entry, lower-case hexadecimal.
    salt: String,
    /// The entry: exactly the bytes that the leaf commits to.
    #[schema(value_type = Object)]
    entry: Box<RawValue>,
    /// The inclusion proof with the checkpoint (C2SP, tlog-proof).
    proof: String,
}

/// The newest checkpoint of the record's log, and whose signatures it has. If witnesses are configured, the newest one that
/// enough of them have cosigned.
#[utoipa::path(get, path = "/v1/log", tag = "record", responses((status = 200, body = LogStatus)))]
async fn show(State(state): State<AppState>, _caller: Caller) -> ApiResult<Json<LogStatus>> {
    let Published { keys, checkpoint } = state.log.published().await?.ok_or_else(not_published)?;
    Ok(Json(LogStatus {
        origin: checkpoint.origin,
        keys: keys.iter().map(ToString::to_string).collect(),
        size: checkpoint.size,
        checkpoint: checkpoint.note,
        time: checkpoint.time,
    }))
}

/// Between which sizes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    from: String,
    to: String,
}

/// The proof that the log only grew from one size to another.
#[utoipa::path(get, path = "/v1/log/consistency", tag = "record", params(
    ("from" = EntryNumber, Query, description = "the size of the older tree"),
    ("to" = EntryNumber, Query, description = "the size of the newer one, which the newest checkpoint covers"),
), responses((status = 200, body = LogConsistency)))]
async fn consistency(
    State(state): State<AppState>,
    _caller: Caller,
    Query(sizes): Query<Sizes>,
) -> ApiResult<Json<LogConsistency>> {
    let size = |name: &str, text: &str| {
        EntryNumber::parse(text).ok_or_else(|| ApiError::invalid(format!("\"{name}\" is a number of entries.")))
    };
    let (from, to) = (size("from", &sizes.from)?, size("to", &sizes.to)?);
    let published = state.log.published().await?.ok_or_else(not_published)?;
    if from > to || to > published.checkpoint.size {
        let size = published.checkpoint.size;
        return Err(ApiError::invalid(format!(
            "Sizes must grow and be at most {size}, that of the newest checkpoint."
        )));
    }
    let proof = state.store.prove_consistency(from, to).await?;
    Ok(Json(LogConsistency { from, to, proof: proof.iter().map(sealcard_transparency::Hash::to_base64).collect() }))
}

/// The receipt of a signature: the entry that tells of it, and the proof that this is in the log. For the requester, the
/// project's auditors and holders of a system role. Answered with 503 until a checkpoint covers the entry, which takes a
/// second, and enough witnesses have cosigned it, if some are configured.
#[utoipa::path(get, path = "/v1/receipts/{signature}", tag = "record", params(
    ("signature" = String, Path, description = "the SHA-256 of the signature's own numbers, as the record has it"),
), responses((status = 200, body = RecordReceipt)))]
async fn receipt(
    State(state): State<AppState>,
    caller: Caller,
    Path(signature): Path<Sha256>,
) -> ApiResult<Json<RecordReceipt>> {
    let mut rows = state.store.record_of_signature(signature).await?;
    let mut visible = None;
    while let (None, Some(row)) = (&visible, rows.pop()) {
        visible = may_see(&state, &caller, &row).await?.then_some(row);
    }
    let row = visible.ok_or_else(|| {
        ApiError::not_found(
            "The record has no such signature, or none that you may see: it was not made by this server.",
        )
    })?;
    let Receipt { row, published, proof } = state.log.receipt(row).await?;
    let RecordRow { sequence, body, salt, .. } = row;
    let entry = RawValue::from_string(body);
    Ok(Json(RecordReceipt {
        origin: published.checkpoint.origin,
        keys: published.keys.iter().map(ToString::to_string).collect(),
        number: sequence,
        salt: salt.to_string(),
        entry: entry.map_err(|_| StorageError::Damaged(format!("record entry {sequence}")))?,
        proof,
    }))
}

async fn may_see(state: &AppState, caller: &Caller, row: &RecordRow) -> ApiResult<bool> {
    if row.principal == Some(caller.principal) {
        return Ok(true);
    }
    Ok(match row.project {
        Some(project) => {
            let roles = state.store.roles_in_project(caller.principal, project).await?;
            caller.may(roles, Action::ReadProjectRecord).is_ok()
        }
        None => caller.may_on_server(Action::ReadWholeRecord).is_ok(),
    })
}

fn not_published() -> ApiError {
    ApiError::not_found(
        "This server publishes no log, or has made no checkpoint yet. An administrator sets record.origin in server.toml.",
    )
}

impl From<ReceiptError> for ApiError {
    fn from(error: ReceiptError) -> Self {
        match error {
            ReceiptError::NotPublished => not_published(),
            ReceiptError::NotYet => Self::new(ProblemCode::Overloaded)
                .detail("No checkpoint covers the signature yet. Try again in a second."),
            ReceiptError::NotWitnessed => Self::new(ProblemCode::Overloaded).detail(
                "Too few witnesses have cosigned a checkpoint that covers the signature. Try again in a few seconds. If it \
                 stays so, an administrator sees with `sealcard admin status` which witness does not answer.",
            ),
            ReceiptError::Storage(error) => error.into(),
        }
    }
}
