//! Which server, by which way, and what vouches for it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};

use super::variable;
use crate::{
    cli::{
        App, ask,
        output::{BOLD, note},
    },
    config::{CertificateFingerprint, Config, GrantStore, Proxy, ProxyChoice, Trust, files},
    remote::{Anonymous, CertificateError, RemoteError, Route, ServerUrl, observe, tls},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ServerArguments {
    /// The server's address, such as https://sealcard.example.org:8443 (default: the last one)
    #[arg(value_name = "URL")]
    server: Option<ServerUrl>,
    /// Trust the server if one of the authorities in this PEM file issued its certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "fingerprint")]
    ca_file: Option<PathBuf>,
    /// Trust the server if its certificate has this SHA-256 fingerprint
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<CertificateFingerprint>,
}

/// A server that answered and is trusted.
pub(in crate::cli) struct Way {
    client: Anonymous,
    server: ServerUrl,
    trust: Trust,
    authorities: Option<Vec<u8>>,
    /// Taken from the environment, not stored yet.
    adopted: Option<AdoptedProxy>,
}

impl Way {
    /// Finds out, and asks the person if nothing vouches for the server and there is a person. Sends no secret.
    pub(in crate::cli) async fn find(
        app: &App,
        arguments: &ServerArguments,
        previous: Option<&Config>,
    ) -> anyhow::Result<Self> {
        let server = match (&arguments.server, variable("SEALCARD_SERVER"), previous) {
            (Some(server), _, _) => server.clone(),
            (None, Some(server), _) => server.parse().context("in SEALCARD_SERVER")?,
            (None, None, Some(config)) => config.server.parse().context("in config.toml")?,
            (None, None, None) => bail!("name the server: `sealcard login https://HOST:PORT`"),
        };
        let adopted = AdoptedProxy::of_environment(app, &server)?;
        let route = app.route(&server)?;
        let same_server = previous.filter(|config| config.server == server.to_string());
        let (trust, authorities) = decide_trust(app, arguments, &route, same_server).await?;
        let client = Anonymous::new(route, &trust, authorities.as_deref())?;
        client.server().await?;
        Ok(Self { client, server, trust, authorities, adopted })
    }

    pub(in crate::cli) const fn server(&self) -> &ServerUrl {
        &self.server
    }

    pub(in crate::cli) const fn client(&self) -> &Anonymous {
        &self.client
    }

    /// Stores the configuration.
    pub(super) fn save(self, app: &App, user: Option<String>, grant_store: GrantStore) -> anyhow::Result<Anonymous> {
        if let Some(authorities) = &self.authorities {
            files::write_login(&app.paths, &app.paths.ca_file(), authorities)?;
        }
        Config { server: self.server.to_string(), user, grant_store, trust: self.trust }.save(&app.paths)?;
        if let Some(adopted) = self.adopted {
            adopted.keep();
        }
        Ok(self.client)
    }
}

/// The environment's proxy, put in `proxy.toml` for the time of the login, and for good if that succeeds.
struct AdoptedProxy {
    file: Option<PathBuf>,
}

impl AdoptedProxy {
    /// `None` if a choice was made already, or the environment names no proxy for this server.
    fn of_environment(app: &App, server: &ServerUrl) -> anyhow::Result<Option<Self>> {
        if ProxyChoice::load(&app.paths)?.is_some() {
            return Ok(None);
        }
        let proxy = Proxy::of_environment(variable).context("in the environment's HTTPS_PROXY")?;
        let Some(proxy) = proxy.filter(|proxy| !proxy.exceptions().cover(server.host(), server.port())) else {
            return Ok(None);
        };
        note(format!("Going through the proxy {proxy}, which HTTPS_PROXY names; `sealcard proxy` changes that."));
        ProxyChoice::Through(Box::new(proxy)).save(&app.paths)?;
        Ok(Some(Self { file: Some(app.paths.proxy_file()) }))
    }

    fn keep(mut self) {
        self.file = None;
    }
}

impl Drop for AdoptedProxy {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // A login that failed leaves nothing behind; if it can't be removed, `sealcard proxy` shows it.
            let _ = files::remove(file);
        }
    }
}

/// How the server is recognised, and the authorities if that is by a file. Asks the person if nothing vouches for it.
async fn decide_trust(
    app: &App,
    arguments: &ServerArguments,
    route: &Route,
    same_server: Option<&Config>,
) -> anyhow::Result<(Trust, Option<Vec<u8>>)> {
    let (mut ca_file, mut fingerprint) = (arguments.ca_file.clone(), arguments.fingerprint);
    if ca_file.is_none() && fingerprint.is_none() {
        ca_file = variable("SEALCARD_CA_FILE").map(PathBuf::from);
        let text = variable("SEALCARD_FINGERPRINT");
        fingerprint = text.map(|text| text.parse()).transpose().context("in SEALCARD_FINGERPRINT")?;
    }
    if let Some(path) = &ca_file {
        let authorities = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        tls::parse_authorities(&authorities).with_context(|| path.display().to_string())?;
        return Ok((Trust::CaFile {}, Some(authorities)));
    }
    if let Some(sha256) = fingerprint {
        return Ok((Trust::Certificate { sha256 }, None));
    }
    if let Some(config) = same_server {
        let authorities = match config.trust {
            Trust::CaFile {} => files::read(&app.paths.ca_file())?,
            _ => None,
        };
        return Ok((config.trust.clone(), authorities));
    }
    match system_vouches(route).await {
        Ok(()) => Ok((Trust::System {}, None)),
        Err(RemoteError::CertificateChanged(error)) => Ok((ask_person(route, &error.reason).await?, None)),
        Err(error) => Err(error.into()),
    }
}

async fn system_vouches(route: &Route) -> Result<(), RemoteError> {
    match Anonymous::new(route.clone(), &Trust::System {}, None) {
        Ok(client) => client.server().await.map(drop),
        // No authorities on this machine: then none vouches, and the person decides.
        Err(error) => match observe(route).await {
            Ok(_) => Err(RemoteError::CertificateChanged(CertificateError {
                server: route.server().to_string(),
                reason: error.to_string(),
                expected: None,
                seen: None,
            })),
            Err(error) => Err(error),
        },
    }
}

async fn ask_person(route: &Route, reason: &str) -> anyhow::Result<Trust> {
    let seen = observe(route).await?.fingerprint;
    note(format!("This machine does not know {BOLD}{}{BOLD:#}: {reason}.", route.server()));
    note(format!("The SHA-256 fingerprint of its certificate is\n\n  {BOLD}{seen}{BOLD:#}\n"));
    note("Compare it with what the administrator told you (`sealcard-server init` printed it).");
    if !ask::can_ask() {
        bail!("nobody can be asked here: pass `--fingerprint {seen}` once you compared it, or `--ca-file FILE`");
    }
    if !ask::confirm("Is it the same, and do you trust this server?")? {
        bail!("not trusted; nothing was sent");
    }
    Ok(Trust::Certificate { sha256: seen })
}
