//! Parts of lists.

use sealcard_api::{admin::Page, rules::PageLimit};
use serde::Deserialize;

use super::ApiError;
use crate::limits;

/// The query parameters of every list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// At most so many items, 1 to 500.
    pub limit: Option<u32>,
    /// The previous page's `next`.
    pub after: Option<String>,
}

impl PageQuery {
    /// How many items are wanted.
    ///
    /// # Errors
    /// If it is outside of 1 to 500.
    pub fn limit(&self) -> Result<u32, ApiError> {
        let limit = self.limit.unwrap_or(limits::PAGE_ITEMS);
        PageLimit::check("limit", limit).map_err(ApiError::invalid)?;
        Ok(limit)
    }

    /// Where the page begins, as the id that the previous one ended with.
    ///
    /// # Errors
    /// If `after` is not what a previous page gave.
    pub fn after<I: std::str::FromStr>(&self) -> Result<Option<I>, ApiError> {
        self.after.as_deref().map(|text| text.parse().map_err(|_| Self::foreign_after())).transpose()
    }

    pub(super) fn foreign_after() -> ApiError {
        ApiError::invalid("\"after\" must be the \"next\" of the page before.")
    }
}

/// Makes a page of `items`, which were read with one more than `limit`: the surplus tells that there is a next page.
pub fn page_of<T, I: ToString>(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> I) -> Page<T> {
    let limit = limit as usize;
    let next = if items.len() > limit {
        items.truncate(limit);
        items.last().map(|item| id(item).to_string())
    } else {
        None
    };
    Page { items, next }
}
