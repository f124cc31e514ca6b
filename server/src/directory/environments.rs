//! Environments, as far as a caller may see them.

use sealcard_policy::{Action, EnvironmentFacts};

use super::{Directory, DirectoryError, Result};
use crate::{authn::Caller, storage::EnvironmentRow};

impl Directory {
    /// The environment of this name or id, if the caller may see it; `default` if none is named.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`], also for one that the caller may not see.
    pub async fn environment(&self, caller: &Caller, wanted: Option<&str>) -> Result<EnvironmentRow> {
        let wanted = wanted.unwrap_or("default");
        let mut rows = self.environments(caller).await?.into_iter();
        rows.find(|row| row.name == wanted || row.id.to_string() == wanted).ok_or_else(|| {
            DirectoryError::NotFound(format!("There is no environment {wanted}, or no key that you can see is in it."))
        })
    }

    /// The environments that the caller may see.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn environments(&self, caller: &Caller) -> Result<Vec<EnvironmentRow>> {
        let (with_keys, owns_a_project) = self.store.environments_of(caller.principal).await?;
        let mut rows = self.store.environments().await?;
        rows.retain(|row| {
            let holds_a_visible_key = with_keys.contains(&row.id);
            let facts = EnvironmentFacts { holds_a_visible_key, owns_a_project };
            caller.may_on_server(Action::SeeEnvironment(facts)).is_ok()
        });
        Ok(rows)
    }
}
