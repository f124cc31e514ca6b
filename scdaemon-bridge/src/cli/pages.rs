//! Whole lists, from their pages.

use sealcard_api::admin::Page;
use serde::de::DeserializeOwned;

use crate::remote::{Remote, RemoteError, query};

/// How many items are asked for at once: the most that the server gives.
const LIMIT: usize = 500;

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
    let mut items: Vec<T> = Vec::new();
    let mut next = None;
    loop {
        let mut asked = parameters.to_vec();
        if next.is_some() {
            asked.retain(|(name, _)| *name != "after");
            asked.push(("after", next));
        }
        asked.push(("limit", Some(LIMIT.min(most - items.len()).to_string())));
        let page: Page<T> = remote.get(&format!("{path}{}", query(&asked))).await?;
        items.extend(page.items);
        next = page.next;
        if next.is_none() || items.len() >= most {
            return Ok(items);
        }
    }
}
