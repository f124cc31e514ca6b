//! The HTTP side: the accept loop, the framework and a file for each resource.

pub mod error;
pub mod extract;
mod page;
mod state;

pub mod cards;
pub mod environments;
pub mod keys;
pub mod operations;
pub mod record;

pub use error::ApiError;
pub use extract::{Caller, Json, Path, Query, RequestContext};
pub use page::{PageQuery, page_of};
pub use state::AppState;
