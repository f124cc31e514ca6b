//! `sealcard logout`.

use clap::Args;
use sealcard_api::problem::ProblemCode;
use serde::Serialize;

use super::{
    App, machine,
    output::{self, clean, line, note, step, warn},
};
use crate::{
    config::{Config, GrantStore},
    grant::{self, Grant},
    remote::{RemoteError, ServerUrl},
};

#[derive(Debug, Args)]
#[command(after_help = "\
The grant is revoked on the server, so that a copy of it is worth nothing, and removed from this machine even if the
server can't be reached. Keys, stubs and the server's address stay; `sealcard setup --remove` undoes the set-up.")]
pub(super) struct Arguments {
    /// Log this machine out, as root: the members of its group can no longer sign with it
    #[arg(long)]
    machine: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a logout did.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    outcome: Outcome,
    server: Option<String>,
    /// Why the grant was not revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Whether the machine's login is used now.
    machine_login: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    LoggedOut,
    /// The grant was removed here and stays valid on the server until it expires.
    NotRevoked,
    NotLoggedIn,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let report = if arguments.machine {
        step(arguments.json, log_out(&machine::change(app)?).await?, print)
    } else {
        log_out_person(app, arguments.json).await?
    };
    if arguments.json { output::json(&report) } else { Ok(()) }
}

/// Logs the person out; the machine's login stays.
pub(super) async fn log_out_person(app: &App, json: bool) -> anyhow::Result<Report> {
    let report = log_out(app).await?;
    Ok(step(json, Report { machine_login: app.paths.in_use().is_machine(), ..report }, print))
}

async fn log_out(app: &App) -> anyhow::Result<Report> {
    let report = |outcome, server, reason| Report { outcome, server, reason, machine_login: false };
    let Some(config) = Config::load(&app.paths)? else {
        return Ok(report(Outcome::NotLoggedIn, None, None));
    };
    let (outcome, reason) = match grant::load(&app.paths, config.grant_store) {
        Ok(None) => (Outcome::NotLoggedIn, None),
        Ok(Some(grant)) => match revoke(app, &config, &grant).await {
            Ok(()) => (Outcome::LoggedOut, None),
            Err(error) => (Outcome::NotRevoked, Some(error.to_string())),
        },
        Err(error) => (Outcome::NotRevoked, Some(error.to_string())),
    };
    grant::remove(&app.paths, config.grant_store)?;
    Config { grant_store: GrantStore::Nowhere, ..config.clone() }.save(&app.paths)?;
    Ok(report(outcome, Some(config.server), reason))
}

fn print(report: &Report) {
    match (report.outcome, &report.server) {
        (Outcome::LoggedOut, Some(server)) => line(format!("Logged out of {server}.")),
        (Outcome::NotRevoked, _) => {
            line("The login was removed from this machine.");
            let reason = report.reason.as_deref().unwrap_or_default();
            warn(format!("it was not revoked on the server and stays valid there until it expires: {}", clean(reason)));
        }
        (Outcome::NotLoggedIn | Outcome::LoggedOut, _) => line("Not logged in."),
    }
    if report.machine_login {
        note("This machine's login is used now; `sealcard logout --machine`, as root, ends it.");
    }
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
