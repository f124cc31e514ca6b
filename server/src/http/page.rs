//! Parts of lists.

use sealcard_api::admin::Page;
use serde::Deserialize;

use super::ApiError;

/// The query parameters of every list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// At most so many items, 1 to 500.
    pub limit: Option<u32>,
    /// The previous page's `next`.
    pub after: Option<String>,
}

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 500;

impl PageQuery {
    /// How many items are wanted.
    ///
    /// # Errors
    /// If it is outside of 1 to 500.
    pub fn limit(&self) -> Result<u32, ApiError> {
        match self.limit {
            None => Ok(DEFAULT_LIMIT),
            Some(limit @ 1..=MAX_LIMIT) => Ok(limit),
            Some(_) => Err(ApiError::invalid(format!("\"limit\" may be 1 to {MAX_LIMIT}."))),
        }
    }

    /// Where the page begins, as the id that the previous one ended with.
    ///
    /// # Errors
    /// If `after` is not what a previous page gave.
    pub fn after<I: std::str::FromStr>(&self) -> Result<Option<I>, ApiError> {
        self.after
            .as_deref()
            .map(|text| text.parse().map_err(|_| ApiError::invalid("\"after\" must be a previous page's \"next\".")))
            .transpose()
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
