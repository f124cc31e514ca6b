//! `sealcard trust`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};

use super::{
    App, ask,
    output::{BOLD, GOOD, WARN, line, note},
};
use crate::{
    config::{CertificateFingerprint, Config, Trust, files},
    remote::{Anonymous, RemoteError, ServerUrl, observe, tls},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Without options it shows the server's certificate and, if it is not the trusted one, asks whether to trust it from now on.

Example, after the administrator renewed the certificate and told its fingerprint:
  sealcard trust --fingerprint 3F:1C:…")]
pub(super) struct Arguments {
    /// Trust the server's certificate without asking if it has this SHA-256 fingerprint
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<CertificateFingerprint>,
    /// From now on, trust certificates that the authorities in this PEM file issued
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "fingerprint")]
    ca_file: Option<PathBuf>,
    /// From now on, trust certificates of the authorities that this machine trusts
    #[arg(long, conflicts_with_all = ["fingerprint", "ca_file"])]
    system: bool,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let Some(config) = Config::load(&app.paths)? else {
        bail!("no server is known yet: run `sealcard login URL`");
    };
    let server: ServerUrl = config.server.parse().context("in config.toml")?;
    if let Some(path) = &arguments.ca_file {
        let authorities = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        tls::parse_authorities(&authorities).with_context(|| path.display().to_string())?;
        check(app, &server, &Trust::CaFile {}, Some(&authorities)).await?;
        files::write_private(&app.paths.ca_file(), &authorities)?;
        return adopt(app, config, Trust::CaFile {});
    }
    if arguments.system {
        check(app, &server, &Trust::System {}, None).await?;
        return adopt(app, config, Trust::System {});
    }
    let seen = observe(&app.route(&server)?).await?.fingerprint;
    if let Some(expected) = arguments.fingerprint {
        if seen != expected {
            bail!("{server} shows a certificate with another fingerprint, {seen}; nothing was changed");
        }
        return adopt(app, config, Trust::Certificate { sha256: seen });
    }
    line(format!("The certificate of {server} has the SHA-256 fingerprint\n\n  {BOLD}{seen}{BOLD:#}\n"));
    let authorities = files::read(&app.paths.ca_file())?;
    match check(app, &server, &config.trust, authorities.as_deref()).await {
        Ok(()) => {
            line(format!("{GOOD}It is trusted{GOOD:#} by {}.", config.trust.description()));
            return Ok(());
        }
        Err(RemoteError::CertificateChanged(error)) => {
            note(format!("{WARN}It is not the one that is trusted:{WARN:#} {}.", error.reason));
        }
        Err(error) => return Err(error.into()),
    }
    note("Ask the administrator whether the certificate was renewed, and compare the fingerprint.");
    if !ask::can_ask() {
        bail!("nobody can be asked here: pass `--fingerprint {seen}` once you compared it");
    }
    if !ask::confirm("Is it the same, and do you trust this certificate from now on?")? {
        bail!("nothing was changed");
    }
    adopt(app, config, Trust::Certificate { sha256: seen })
}

async fn check(app: &App, server: &ServerUrl, trust: &Trust, authorities: Option<&[u8]>) -> Result<(), RemoteError> {
    Anonymous::new(app.route(server)?, trust, authorities)?.server().await.map(drop)
}

fn adopt(app: &App, config: Config, trust: Trust) -> anyhow::Result<()> {
    let config = Config { trust, ..config };
    config.save(&app.paths)?;
    line(format!("From now on {} is recognised by {}.", config.server, config.trust.description()));
    Ok(())
}
