//! All routes, and the document that describes them.

use std::sync::Arc;

use axum::{Router, response::IntoResponse, routing::get};
use sealcard_api::problem::{Problem, ProblemCode};
use utoipa::{
    OpenApi as _,
    openapi::{
        ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder, SecurityRequirement,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use super::{
    ApiError, AppState, access, adoptions, batch, cards, environments, extensions, grants, groups, health, imports,
    keys, login, operations, passwords, projects, record, revocations, service_accounts, users,
};

/// The router with everything that is served, and its OpenAPI document.
pub fn router(state: AppState) -> (Router, Arc<str>) {
    let (routes, document) = api().split_for_parts();
    let document: Arc<str> = describe(document).to_json().unwrap_or_default().into();
    let served = Arc::clone(&document);
    let openapi = move || {
        let body = served.to_string();
        async move { ([(axum::http::header::CONTENT_TYPE, "application/json")], body) }
    };
    let router = routes
        .route("/v1/openapi.json", get(openapi))
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || method_not_allowed())
        .with_state(state);
    (router, document)
}

/// The OpenAPI document, as `GET /v1/openapi.json` serves it.
#[must_use]
pub fn openapi() -> OpenApi {
    describe(api().split_for_parts().1)
}

fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Base::openapi())
        .merge(health::routes())
        .merge(login::routes())
        .merge(grants::routes())
        .merge(users::routes())
        .merge(passwords::routes())
        .merge(service_accounts::routes())
        .merge(groups::routes())
        .merge(projects::routes())
        .merge(environments::routes())
        .merge(access::routes())
        .merge(keys::routes())
        .merge(imports::routes())
        .merge(adoptions::routes())
        .merge(revocations::routes())
        .merge(extensions::routes())
        .merge(operations::routes())
        .merge(batch::routes())
        .merge(cards::routes())
        .merge(record::routes())
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Sealcard",
        description = "Signing keys behind a policy server. Errors are problem details (RFC 9457) with stable codes."
    ),
    components(schemas(Problem))
)]
struct Base;

/// What is the same for every operation: the grant, and problems in place of an answer.
fn describe(mut document: OpenApi) -> OpenApi {
    const PUBLIC: [&str; 4] = ["/healthz", "/readyz", "/v1/server", "/v1/login"];
    let problem = ResponseBuilder::new()
        .description("What went wrong")
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build(),
        )
        .build();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A grant from /v1/login.")).build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme("grant", SecurityScheme::Http(bearer));
    }
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(problem.clone()));
            if !PUBLIC.contains(&path.as_str()) {
                operation.security = Some(vec![SecurityRequirement::new("grant", Vec::<String>::new())]);
            }
        }
    }
    document
}

fn not_found() -> impl IntoResponse {
    ApiError::not_found("There is nothing at this address. GET /v1/openapi.json lists what there is.")
}

fn method_not_allowed() -> impl IntoResponse {
    ApiError::new(ProblemCode::MethodNotAllowed).detail(
        "There is something at this address, but not with this method. GET /v1/openapi.json lists what there is.",
    )
}
