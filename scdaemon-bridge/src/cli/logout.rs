//! `sealcard logout`.

use clap::Args;
use sealcard_api::problem::ProblemCode;

use super::{
    App,
    output::{line, warn},
};
use crate::{
    config::Config,
    grant::{self, Grant},
    remote::RemoteError,
};

#[derive(Debug, Args)]
#[command(after_help = "\
The grant is revoked on the server, so that a copy of it is worth nothing, and removed from this machine even if the
server can't be reached. Keys, stubs and the server's address stay; `sealcard setup --remove` undoes the set-up.")]
pub(super) struct Arguments {}

pub(super) async fn run(app: &App, Arguments {}: Arguments) -> anyhow::Result<()> {
    let Some(config) = Config::load(&app.paths)? else {
        line("Not logged in.");
        return Ok(());
    };
    let stored = grant::load(&app.paths, config.grant_store);
    let revoked = match &stored {
        Ok(Some(grant)) => Some(revoke(app, &config, grant).await),
        _ => None,
    };
    grant::remove(&app.paths, config.grant_store)?;
    match (stored, revoked) {
        (Ok(None), _) => line("Not logged in."),
        (Err(error), _) => {
            line("The grant was removed from this machine.");
            warn(format!("it could not be read and so not be revoked: {error}"));
        }
        (Ok(Some(_)), Some(Err(error))) => {
            line("The grant was removed from this machine.");
            warn(format!("it could not be revoked on the server and stays valid there until it expires: {error}"));
        }
        (Ok(Some(_)), _) => line(format!("Logged out of {}.", config.server)),
    }
    Ok(())
}

async fn revoke(app: &App, config: &Config, grant: &Grant) -> anyhow::Result<()> {
    // The grant belongs to the server that gave it, whichever the configuration names by now.
    let client = app.anonymous(&Config { server: grant.server().to_owned(), ..config.clone() })?;
    match client.revoke(grant).await {
        Err(RemoteError::Problem(problem))
            if matches!(
                problem.code,
                ProblemCode::Unauthenticated | ProblemCode::GrantExpired | ProblemCode::GrantRevoked
            ) =>
        {
            Ok(())
        }
        other => Ok(other?),
    }
}
