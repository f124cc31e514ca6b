//! Approvals: what waits for people, deciding about it, and asking in advance.

pub(super) mod advance;
pub(super) mod decide;
mod find;
pub(super) mod requests;
mod words;

use sealcard_api::{
    admin::Project,
    approvals::{ApprovalFilter, ApprovalList},
};

use super::App;
use crate::remote::{RemoteError, path, query};

/// The most approvals that are listed.
const MOST: u32 = 500;

/// What the server lists.
async fn list(app: &App, filter: &ApprovalFilter) -> Result<ApprovalList, RemoteError> {
    let yes = |yes: bool| yes.then(|| "true".to_owned());
    let parameters = [
        ("mine", yes(filter.mine)),
        ("project", filter.project.map(|project| project.to_string())),
        ("all", yes(filter.all)),
        ("limit", Some(filter.limit.unwrap_or(MOST).to_string())),
    ];
    app.remote.get(&format!("{}{}", path(&["approvals"]), query(&parameters))).await
}

/// The filter for a project of this name.
async fn in_project(app: &App, project: Option<&str>) -> Result<ApprovalFilter, RemoteError> {
    let project = match project {
        Some(name) => Some(app.remote.get::<Project>(&path(&["projects", name])).await?.id),
        None => None,
    };
    Ok(ApprovalFilter { project, ..ApprovalFilter::default() })
}
