//! All routes, and the document that describes them.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, response::IntoResponse, routing::get};
use sealcard_api::{
    grants::LoginRequest,
    problem::{Problem, ProblemCode},
    rules::NewPassword,
};
use utoipa::{
    OpenApi as _, ToSchema as _,
    openapi::{
        ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema, SecurityRequirement,
        path::Operation,
        schema::AdditionalProperties,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use super::{
    ApiError, AppState, access, approvals, batch, cards, clock, decisions, environments, flows, grants, groups, health,
    imports, keys, log, log_files, login, merges, notices, operations, passwords, projects, record, requests, rules,
    service_accounts, sinks, status, templates, users,
};
use crate::config::Limits;

/// The router with everything that is served, and its OpenAPI document.
pub fn router(state: AppState) -> (Router, Arc<str>) {
    let (routes, document) = api().split_for_parts();
    let document = describe(document, &state.config.limits);
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    let served = Arc::clone(&document);
    let openapi = move || {
        let body = served.to_string();
        async move { ([(axum::http::header::CONTENT_TYPE, "application/json")], body) }
    };
    let router = routes
        .route("/v1/openapi.json", get(openapi))
        .merge(log_files::routes())
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || method_not_allowed())
        .with_state(state);
    (router, document)
}

/// The OpenAPI document, as `GET /v1/openapi.json` serves it with the default configuration.
#[must_use]
pub fn openapi() -> OpenApi {
    describe(api().split_for_parts().1, &Limits::default())
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
        .merge(clock::routes())
        .merge(status::routes())
        .merge(access::routes())
        .merge(keys::routes())
        .merge(imports::routes())
        .merge(merges::routes())
        .merge(operations::routes())
        .merge(decisions::routes())
        .merge(batch::routes())
        .merge(requests::routes())
        .merge(approvals::routes())
        .merge(flows::routes())
        .merge(cards::routes())
        .merge(record::routes())
        .merge(log::routes())
        .merge(rules::routes())
        .merge(templates::routes())
        .merge(notices::routes())
        .merge(sinks::routes())
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Sealcard",
        description = "Signing keys behind a policy server. Errors are problem details (RFC 9457) with stable codes."
    ),
    components(schemas(
        Problem,
        sealcard_api::approvals::Decided,
        sealcard_api::context::Process,
        sealcard_api::context::UseContext,
        sealcard_api::operations::SignBatchItem,
        sealcard_api::tokens::AdoptedComponent,
        sealcard_api::rules::EntryNumber,
        sealcard_api::rules::KeyPathName,
        sealcard_api::rules::NetworkText,
        sealcard_api::rules::PageLimit,
        sealcard_api::rules::WaitSeconds,
        record::Order,
    ))
)]
struct Base;

/// Answers that need no grant.
const PUBLIC: [&str; 4] = ["/healthz", "/readyz", "/v1/server", "/v1/login"];

/// Adds what is the same for every operation, the grant and the problems in place of an answer, and what is configured.
fn describe(mut document: OpenApi, limits: &Limits) -> OpenApi {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A grant from /v1/login.")).build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme("grant", SecurityScheme::Http(bearer));
        let password = components.schemas.get_mut(&*NewPassword::name());
        if let Some(RefOr::T(Schema::Object(password))) = password {
            password.min_length = Some(limits.password_characters);
        }
        // It denies unknown fields, which its derived schema does not say.
        if let Some(RefOr::T(Schema::OneOf(login))) = components.schemas.get_mut(&*LoginRequest::name()) {
            for kind in &mut login.items {
                if let RefOr::T(Schema::Object(kind)) = kind {
                    kind.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
                }
            }
        }
    }
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for (operation, reads) in operations.into_iter().zip([true, false, false, false, false]) {
            let Some(operation) = operation else { continue };
            let place = Place {
                public: PUBLIC.contains(&path.as_str()),
                login: ["/v1/login", "/v1/password"].contains(&path.as_str()),
                parameters: operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()),
                body: operation.request_body.is_some(),
                reads,
                uses_key: tagged(operation, &["operations"]),
                rules: tagged(operation, &["rules", "templates"]),
                approvals: tagged(operation, &["approvals"]),
            };
            let mut statuses: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
            for code in ProblemCode::ALL.iter().filter(|code| place.may_answer(**code)) {
                statuses.entry(code.status()).or_default().push(code.name());
            }
            let responses = &mut operation.responses.responses;
            for (status, codes) in statuses {
                let problem = problem(&codes.join(", "));
                match responses.entry(status.to_string()).or_insert_with(|| RefOr::T(problem.clone())) {
                    RefOr::T(response) => response.content.extend(problem.content),
                    RefOr::Ref(_) => {}
                }
            }
            responses.insert("default".to_owned(), RefOr::T(problem("What went wrong")));
            if !place.public {
                operation.security = Some(vec![SecurityRequirement::new("grant", Vec::<String>::new())]);
            }
        }
    }
    document
}

/// Whether the operation has one of these tags.
fn tagged(operation: &Operation, wanted: &[&str]) -> bool {
    operation.tags.as_ref().is_some_and(|tags| tags.iter().any(|tag| wanted.contains(&tag.as_str())))
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build())
        .build()
}

/// What decides by which problems an operation may be answered.
struct Place {
    public: bool,
    /// A password is checked.
    login: bool,
    parameters: bool,
    body: bool,
    reads: bool,
    uses_key: bool,
    /// It is about rules for the uses of keys.
    rules: bool,
    approvals: bool,
}

impl Place {
    fn may_answer(&self, code: ProblemCode) -> bool {
        use ProblemCode as Code;
        match code {
            Code::Invalid => self.parameters || self.body,
            Code::UnsupportedMediaType | Code::TooLarge => self.body,
            Code::Unauthenticated | Code::GrantExpired | Code::GrantRevoked | Code::Forbidden => !self.public,
            Code::WrongCredentials | Code::PasswordChangeRequired => self.login,
            Code::TooManyAttempts => self.login || self.uses_key,
            // What the grant names may be gone too.
            Code::NotFound => !self.public,
            // What is stored, or the signer, may refuse.
            Code::Conflict | Code::Sealed | Code::SignerUnavailable => !self.public && (!self.reads || self.parameters),
            Code::IdempotencyMismatch
            | Code::InProgress
            | Code::OutcomeUnknown
            | Code::KeyDisabled
            | Code::KeyExpired
            | Code::KeyRevoked
            | Code::KeyDestroyed
            | Code::UnsupportedOperation
            | Code::DecryptionFailed
            | Code::TooManyUses
            | Code::TooManyWaiting
            | Code::SinkBehind
            | Code::Rejected => self.uses_key,
            Code::ApprovalNeeded => !self.public && !self.reads && !self.uses_key,
            Code::Changed => self.approvals && self.body,
            Code::RulesInvalid => self.rules && (self.body || self.parameters),
            Code::DiskFull => !self.public || self.login,
            Code::Overloaded | Code::Timeout | Code::Internal => true,
            // The document has no such operation.
            Code::MethodNotAllowed | Code::Unknown => false,
        }
    }
}

fn not_found() -> impl IntoResponse {
    ApiError::not_found("There is nothing at this address. GET /v1/openapi.json lists all addresses.")
}

fn method_not_allowed() -> impl IntoResponse {
    ApiError::new(ProblemCode::MethodNotAllowed)
        .detail("This address has other methods: the header Allow names them. GET /v1/openapi.json describes them.")
}
