//! `sealcard trust`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};

use super::{
    App, ask,
    login::{pin, show_anchor},
    output::{GOOD, WARN, clean, facts, line, note},
    when,
};
use crate::{
    config::{CertificateFingerprint, Config, Trust, files},
    remote::{Anchor, Anonymous, RemoteError, ServerUrl, observe, tls},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Without options it shows the server's certificate and, if it is not trusted, asks whether to trust it from now on. A
renewed certificate of the same authority is trusted without a question.

Example, after the server was set up anew and the administrator told its fingerprint:
  sealcard trust --fingerprint 3F:1C:…")]
pub(super) struct Arguments {
    /// Trust the server without asking if its authority's certificate, or its own, has this SHA-256 fingerprint
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
    let observed = observe(&app.route(&server)?).await?;
    if let Some(expected) = arguments.fingerprint {
        return adopt_anchor(app, config, &pin(&observed, expected).context("nothing was changed")?);
    }
    let certificate = observed.certificate();
    let expires = certificate.expires.map(when::with_distance).unwrap_or_default();
    facts(&[
        ("certificate", certificate.name.clone()),
        ("SHA-256", certificate.sha256.to_string()),
        ("expires", expires),
        ("trusted via", config.trust.describe(&app.paths)),
    ]);
    let authorities = files::read(&app.paths.ca_file())?;
    match check(app, &server, &config.trust, authorities.as_deref()).await {
        Ok(()) => {
            line(format!("{GOOD}The certificate is trusted.{GOOD:#}"));
            return Ok(());
        }
        Err(RemoteError::CertificateChanged(error)) => {
            note(format!("{WARN}The certificate is not trusted:{WARN:#} {}.", error.reason));
        }
        Err(error) => return Err(error.into()),
    }
    let anchor = observed.anchor()?;
    show_anchor(&anchor);
    note("Ask the administrator whether the server has a new certificate, and compare the fingerprint.");
    if !ask::can_ask() {
        bail!("there is no terminal to ask on: pass the administrator's fingerprint with --fingerprint");
    }
    if !ask::confirm("Is it the same, and do you trust this server from now on?")? {
        bail!("nothing was changed");
    }
    adopt_anchor(app, config, &anchor)
}

fn adopt_anchor(app: &App, config: Config, anchor: &Anchor) -> anyhow::Result<()> {
    let (trust, authorities) = anchor.trust();
    if let Some(authorities) = authorities {
        files::write_private(&app.paths.ca_file(), &authorities)?;
    }
    adopt(app, config, trust)
}

async fn check(app: &App, server: &ServerUrl, trust: &Trust, authorities: Option<&[u8]>) -> Result<(), RemoteError> {
    Anonymous::new(app.route(server)?, trust, authorities)?.server().await.map(drop)
}

fn adopt(app: &App, config: Config, trust: Trust) -> anyhow::Result<()> {
    let config = Config { trust, ..config };
    config.save(&app.paths)?;
    line(format!("From now on {} is trusted via {}.", config.server, clean(&config.trust.describe(&app.paths))));
    Ok(())
}
