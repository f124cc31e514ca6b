//! Logging in: `POST /v1/login`.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header::CONNECTION},
    response::{IntoResponse, Response},
};
use sealcard_api::grants::{GrantIssued, LoginRequest};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Json, RequestContext};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(login))
}

/// Proves who one is, by password or token, and gets a grant for it. The connection is closed after the answer.
#[utoipa::path(post, path = "/v1/login", tag = "grants", request_body = LoginRequest,
    responses((status = 200, body = GrantIssued)))]
async fn login(
    State(state): State<AppState>,
    context: RequestContext,
    body: Result<Json<LoginRequest>, ApiError>,
) -> Response {
    let issued = async { Ok(Json(state.authentication.log_in(context, body?.0).await?)) };
    closing(StatusCode::OK, issued.await)
}

/// Closes the connection after an answer to a request with a secret: its buffers are freed and thereby wiped.
pub(super) fn closing<T: IntoResponse>(status: StatusCode, result: ApiResult<T>) -> Response {
    let mut response = result.map(|value| (status, value)).into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
