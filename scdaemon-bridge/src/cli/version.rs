//! `sealcard version`.

use clap::Args;
use serde::Serialize;

use super::{
    App,
    output::{facts, show},
};
use crate::{config::Config, remote::RemoteError};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Don't ask the server
    #[arg(long)]
    offline: bool,
}

#[derive(Debug, Serialize)]
struct Versions {
    sealcard: &'static str,
    /// The scdaemon that gpg would use; `None` if that is not Sealcard's or gpg-agent does not run.
    scdaemon: Option<String>,
    gpg: Option<String>,
    server: Option<Server>,
}

#[derive(Debug, Serialize)]
struct Server {
    address: String,
    version: Option<String>,
    error: Option<String>,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let versions = Versions {
        sealcard: env!("CARGO_PKG_VERSION"),
        scdaemon: scdaemon(app),
        gpg: app.gnupg.version().ok().map(|version| version.to_string()),
        server: if arguments.offline { None } else { server(app).await },
    };
    show(arguments.json, &versions, print)
}

/// Asks a running gpg-agent, and starts none.
fn scdaemon(app: &App) -> Option<String> {
    let answer = app.gnupg.ask_running_agent(&["SCD GETINFO sealcard_version"]).ok().flatten()?;
    answer.iter().find_map(|line| line.strip_prefix("D ")).map(ToOwned::to_owned)
}

async fn server(app: &App) -> Option<Server> {
    let config = Config::load(&app.paths).ok().flatten()?;
    let address = config.server.clone();
    Some(match ask(app, &config).await {
        Ok(version) => Server { address, version: Some(version), error: None },
        Err(error) => Server { address, version: None, error: Some(error.to_string()) },
    })
}

async fn ask(app: &App, config: &Config) -> Result<String, RemoteError> {
    Ok(app.anonymous(config)?.server().await?.0.version)
}

fn print(versions: &Versions) {
    let mut rows = vec![("sealcard", versions.sealcard.to_owned())];
    rows.extend(versions.scdaemon.clone().map(|version| ("scdaemon", version)));
    rows.push(("gpg", versions.gpg.clone().unwrap_or_else(|| "not installed".to_owned())));
    if let Some(server) = &versions.server {
        let text = server.version.clone().or_else(|| server.error.clone()).unwrap_or_default();
        rows.push(("server", format!("{text} ({})", server.address)));
    }
    facts(&rows);
}
