//! The files of the record's log below `/v1/log/`: a tiled log (<https://c2sp.org/tlog-tiles>), and the entries for those
//! who may read them. These are no JSON, and not in the OpenAPI document.

use axum::{
    Router,
    extract::State,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use sealcard_policy::Action;
use sealcard_record::export::{KEYS_FILE, LogFile};
use sealcard_transparency::Resource;

use super::{ApiError, ApiResult, AppState, Caller, Path};

pub(super) fn routes() -> Router<AppState> {
    // Wildcards, because the number of a tile has as many segments as it needs.
    Router::new()
        .route("/v1/log/checkpoint", get(checkpoint))
        .route(&format!("/v1/log/{KEYS_FILE}"), get(keys))
        .route("/v1/log/tile/{*rest}", get(tile))
        .route("/v1/log/record/{*rest}", get(lines))
}

/// Who asks: a file may be for everybody.
type Asking = ApiResult<Caller>;

async fn checkpoint(State(state): State<AppState>, caller: Asking) -> ApiResult<Response> {
    answer(&state, caller, LogFile::CHECKPOINT).await
}

async fn keys(State(state): State<AppState>, caller: Asking) -> ApiResult<Response> {
    answer(&state, caller, LogFile::Keys).await
}

async fn tile(State(state): State<AppState>, caller: Asking, Path(rest): Path<String>) -> ApiResult<Response> {
    answer(&state, caller, parse(&format!("tile/{rest}"))?).await
}

async fn lines(State(state): State<AppState>, caller: Asking, Path(rest): Path<String>) -> ApiResult<Response> {
    answer(&state, caller, parse(&format!("record/{rest}"))?).await
}

fn parse(path: &str) -> ApiResult<LogFile> {
    path.parse().map_err(|_| ApiError::not_found("No file of a log has this path: see https://c2sp.org/tlog-tiles."))
}

async fn answer(state: &AppState, caller: Asking, file: LogFile) -> ApiResult<Response> {
    let is_public = state.config.record.public_hashes
        && matches!(file, LogFile::Keys | LogFile::Log(Resource::Checkpoint | Resource::Tile(_)));
    if !is_public {
        let caller = caller?;
        // Everybody with a grant is a witness of the log: see GET /v1/log.
        if !matches!(file, LogFile::Keys | LogFile::Log(Resource::Checkpoint)) {
            caller.may_on_server(Action::ReadWholeRecord)?;
        }
    }
    let missing = || {
        ApiError::not_found("The newest checkpoint does not cover so many entries, or this server publishes no log.")
    };
    let content = state.log.file(file).await?.ok_or_else(missing)?;
    let (kind, cache) = match (file, is_public) {
        // One second after it, there may be a newer one.
        (LogFile::Keys | LogFile::Log(Resource::Checkpoint), true) => (TEXT, "public, max-age=1"),
        (LogFile::Keys | LogFile::Log(Resource::Checkpoint), false) => (TEXT, "private, max-age=1"),
        (LogFile::Log(_), true) => (BYTES, "public, max-age=31536000, immutable"),
        (LogFile::Log(_), false) => (BYTES, "private, max-age=31536000, immutable"),
        // Persons and addresses are in it.
        (LogFile::Lines(_), _) => (JSON_LINES, "no-store"),
    };
    let headers =
        [(CONTENT_TYPE, kind), (CACHE_CONTROL, cache)].map(|(name, value)| (name, HeaderValue::from_static(value)));
    Ok((headers, content).into_response())
}

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
const JSON_LINES: &str = "application/jsonl";
