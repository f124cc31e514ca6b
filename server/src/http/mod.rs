//! The HTTP side: the accept loop, the framework and a file for each resource.
//!
//! Each resource has a function `routes() -> OpenApiRouter<AppState>`; [`router`] puts them together, so that the
//! OpenAPI document lists exactly what is served.

mod anonymous_rate;
mod approvals;
mod connections;
pub mod error;
pub mod extract;
mod flows;
mod io;
mod layers;
mod log;
mod log_files;
mod metrics;
mod notices;
mod page;
mod proxies;
pub mod proxy_header;
mod router;
mod serve;
mod slots;
mod state;

mod access;
mod batch;
mod cards;
mod clock;
mod decisions;
mod environments;
mod grants;
mod groups;
mod health;
mod imports;
mod keys;
mod login;
mod merges;
mod operations;
mod passwords;
mod projects;
mod record;
mod refusals;
mod requests;
mod rules;
mod service_accounts;
mod sinks;
mod status;
mod templates;
mod users;

pub use error::{ApiError, ApiResult};
pub use extract::{Json, LargeJson, Path, Query};
pub use page::{PageQuery, page_of};
pub use router::{openapi, router};
pub use serve::Server;
pub use state::AppState;

pub use crate::authn::{Caller, RequestContext};
