//! Storing what a login gave.

use super::Way;
use crate::{
    cli::{
        App, logout,
        output::{BOLD, GOOD, clean, line, note},
        when,
    },
    config::{Config, GrantStore},
    grant::{self, Grant},
};

/// Stores a grant and the configuration that belongs to it, in place of what was there. Says where the grant is kept.
pub(in crate::cli) async fn keep(
    app: &App,
    way: Way,
    grant: &Grant,
    user: Option<String>,
    previous: Option<Config>,
    in_file: bool,
) -> anyhow::Result<GrantStore> {
    if let Some(other) = previous.as_ref().filter(|config| config.server != grant.server()) {
        logout::leave(app, other, way.server()).await;
    }
    // The grant that this one replaces would otherwise stay valid for nobody's use.
    let earlier = previous.as_ref().and_then(|config| grant::load(&app.paths, config.grant_store).ok().flatten());
    let grant_store = if app.paths.is_machine() {
        grant::save(&app.paths, GrantStore::Machine, grant)?;
        GrantStore::Machine
    } else if in_file {
        grant::save(&app.paths, GrantStore::File, grant)?;
        GrantStore::File
    } else {
        grant::save_anywhere(&app.paths, grant)?
    };
    let user = user.or_else(|| previous.and_then(|config| config.user));
    let client = way.save(app, user, grant_store)?;
    if let Some(earlier) = earlier.filter(|earlier| earlier.server() == grant.server() && !earlier.same_token(grant)) {
        let _ = client.revoke(&earlier).await;
    }
    Ok(grant_store)
}

/// Says who is logged in now, and where the grant is kept.
pub(in crate::cli) fn announce(app: &App, grant: &Grant, grant_store: GrantStore) {
    line(format!(
        "{GOOD}Logged in{GOOD:#} to {} as {BOLD}{}{BOLD:#}.\nThe login is valid until {}.",
        grant.server(),
        clean(&grant.info().principal_name),
        when::with_distance(grant.info().expires),
    ));
    note(format!("Login saved to {}.", grant_store.describe(&app.paths)));
}
