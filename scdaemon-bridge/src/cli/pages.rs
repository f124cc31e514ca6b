//! Whole lists, from their pages.

use sealcard_api::admin::Page;
use serde::de::DeserializeOwned;

use crate::remote::{Remote, RemoteError, query};

/// How many items are asked for at once: the most that the server gives.
pub(super) const PAGE: usize = sealcard_api::rules::PageLimit::MAX as usize;

/// All items of a list. `parameters` choose among them.
pub(super) async fn all<T: DeserializeOwned>(
    remote: &Remote,
    path: &str,
    parameters: &[(&str, Option<String>)],
) -> Result<Vec<T>, RemoteError> {
    up_to(remote, path, parameters, usize::MAX).await
}

/// The first `most` items of a list.
pub(super) async fn up_to<T: DeserializeOwned>(
    remote: &Remote,
    path: &str,
    parameters: &[(&str, Option<String>)],
    most: usize,
) -> Result<Vec<T>, RemoteError> {
    let mut pages = Pages::new(remote, path, parameters, most);
    let mut items: Vec<T> = Vec::new();
    while let Some(page) = pages.next().await? {
        items.extend(page);
    }
    Ok(items)
}

/// A list page by page, for lists that may be longer than memory.
pub(super) struct Pages<'a> {
    remote: &'a Remote,
    path: &'a str,
    parameters: Vec<(&'a str, Option<String>)>,
    left: usize,
}

impl<'a> Pages<'a> {
    /// The first `most` items of a list.
    pub(super) fn new(
        remote: &'a Remote,
        path: &'a str,
        parameters: &[(&'a str, Option<String>)],
        most: usize,
    ) -> Self {
        Self { remote, path, parameters: parameters.to_vec(), left: most }
    }

    /// The next page; nothing at the end.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Vec<T>>, RemoteError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut asked = self.parameters.clone();
        asked.push(("limit", Some(PAGE.min(self.left).to_string())));
        let page: Page<T> = self.remote.get(&format!("{}{}", self.path, query(&asked))).await?;
        self.left = match page.next {
            Some(next) => {
                self.parameters.retain(|(name, _)| *name != "after");
                self.parameters.push(("after", Some(next)));
                self.left.saturating_sub(page.items.len())
            }
            None => 0,
        };
        Ok(Some(page.items))
    }
}
