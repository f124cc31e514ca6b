//! `sealcard logout`.

use clap::Args;
use sealcard_api::problem::ProblemCode;

use super::{
    App, machine,
    output::{line, note, warn},
};
use crate::{
    config::{Config, GrantStore},
    grant::{self, Grant},
    remote::{RemoteError, ServerUrl},
};

#[derive(Debug, Default, Args)]
#[command(after_help = "\
The grant is revoked on the server, so that a copy of it is worth nothing, and removed from this machine even if the
server can't be reached. Keys, stubs and the server's address stay; `sealcard setup --remove` undoes the set-up.")]
pub(super) struct Arguments {
    /// Log this machine out, as root: the members of its group can sign with it no more
    #[arg(long)]
    machine: bool,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    if arguments.machine {
        return log_out(&machine::change(app)?).await;
    }
    log_out(app).await?;
    if app.paths.in_use().is_machine() {
        note("This machine's login is used now; `sealcard logout --machine`, as root, ends it.");
    }
    Ok(())
}

async fn log_out(app: &App) -> anyhow::Result<()> {
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
    Config { grant_store: GrantStore::Nowhere, ..config.clone() }.save(&app.paths)?;
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

/// Gives the grant of the server that was used until now back, because a login to another one takes its place.
pub(super) async fn leave(app: &App, config: &Config, next: &ServerUrl) {
    let Ok(Some(grant)) = grant::load(&app.paths, config.grant_store) else { return };
    let left = &config.server;
    if let Err(error) = revoke(app, config, &grant).await {
        warn(format!("the grant of {left} could not be given back and stays valid there until it expires: {error}"));
    }
    note(format!("{next} takes the place of {left}, whose keys can't be used from here any more."));
    note("To use both, give one of them folders of its own: GNUPGHOME, SEALCARD_CONFIG_FOLDER, SEALCARD_STATE_FOLDER.");
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
