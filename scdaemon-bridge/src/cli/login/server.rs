//! Which server, by which way, and what vouches for it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};

use super::variable;
use crate::{
    cli::{
        App, ask,
        output::{BOLD, clean, note},
    },
    config::{CertificateFacts, CertificateFingerprint, Config, GrantStore, Proxy, ProxyChoice, Trust, files},
    remote::{
        Anchor, Anonymous, CertificateError, Observed, RemoteError, Route, ServerUrl, ServerUrlError, observe, tls,
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ServerArguments {
    /// The server's address, such as https://sealcard.example.org:8443 (default: the last one)
    #[arg(value_name = "URL")]
    server: Option<ServerUrl>,
    /// Trust the server if one of the authorities in this PEM file issued its certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "fingerprint")]
    ca_file: Option<PathBuf>,
    /// Trust the server if its authority's certificate, or its own, has this SHA-256 fingerprint
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<CertificateFingerprint>,
}

/// What a person is asked about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Questions {
    Nothing,
    /// What can't be known otherwise.
    Missing,
    /// Also which server, though there is a last one: it is offered.
    All,
}

impl Questions {
    fn can_ask(self) -> bool {
        self != Self::Nothing && ask::can_ask()
    }
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
        questions: Questions,
    ) -> anyhow::Result<Self> {
        let server = match (&arguments.server, variable("SEALCARD_SERVER")) {
            (Some(server), _) => server.clone(),
            (None, Some(server)) => server.parse().context("in SEALCARD_SERVER")?,
            (None, None) => choose_server(previous, questions)?,
        };
        let adopted = AdoptedProxy::of_environment(app, &server)?;
        let route = app.route(&server)?;
        let same_server = previous.filter(|config| config.server == server.to_string());
        let (trust, authorities) = match configured_trust(app, arguments, &route, same_server).await? {
            Some(trust) => trust,
            None => find_trust(app, &route, previous, questions).await?,
        };
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
        // What a person wrote there stays.
        let notify_waiting = Config::load(&app.paths).ok().flatten().is_none_or(|earlier| earlier.notify_waiting);
        let server = self.server.to_string();
        Config { server, user, grant_store, notify_waiting, trust: self.trust }.save(&app.paths)?;
        if let Some(adopted) = self.adopted {
            adopted.keep();
        }
        Ok(self.client)
    }
}

/// The server that no option and no variable names.
fn choose_server(previous: Option<&Config>, questions: Questions) -> anyhow::Result<ServerUrl> {
    let last = previous.map(|config| config.server.as_str());
    match last {
        Some(last) if questions != Questions::All || !questions.can_ask() => last.parse().context("in config.toml"),
        None if !questions.can_ask() => bail!("name the server: `sealcard login https://HOST:PORT`"),
        _ => loop {
            let question = if last.is_some() { "Server" } else { "Server (such as https://sealcard.example.org:8443)" };
            match ask::text(question, last)?.parse() {
                Ok(server) => return Ok(server),
                Err(error) => note(clean(&ServerUrlError::to_string(&error))),
            }
        },
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

/// How the server is recognised, and the authorities if that is by a file.
type Recognition = (Trust, Option<Vec<u8>>);

/// What the options, the environment or the configuration of this server say. `None` if none of them says anything.
async fn configured_trust(
    app: &App,
    arguments: &ServerArguments,
    route: &Route,
    same_server: Option<&Config>,
) -> anyhow::Result<Option<Recognition>> {
    let (mut ca_file, mut fingerprint) = (arguments.ca_file.clone(), arguments.fingerprint);
    if ca_file.is_none() && fingerprint.is_none() {
        ca_file = variable("SEALCARD_CA_FILE").map(PathBuf::from);
        let text = variable("SEALCARD_FINGERPRINT");
        fingerprint = text.map(|text| text.parse()).transpose().context("in SEALCARD_FINGERPRINT")?;
    }
    if let Some(path) = &ca_file {
        let authorities = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        tls::parse_authorities(&authorities).with_context(|| path.display().to_string())?;
        return Ok(Some((Trust::CaFile {}, Some(authorities))));
    }
    if let Some(sha256) = fingerprint {
        return Ok(Some(pin(&observe(route).await?, sha256)?.trust()));
    }
    let Some(config) = same_server else { return Ok(None) };
    let authorities = match config.trust {
        Trust::CaFile {} => files::read(&app.paths.ca_file())?,
        _ => None,
    };
    Ok(Some((config.trust.clone(), authorities)))
}

/// What has this fingerprint. Says so if the next renewal ends the trust.
pub(in crate::cli) fn pin(observed: &Observed, sha256: CertificateFingerprint) -> anyhow::Result<Anchor> {
    let anchor = observed.anchor_with(sha256)?;
    if let Anchor::Certificate(_) = anchor {
        note("This is the fingerprint of the server's own certificate: a new one is needed when that is renewed.");
        if let Ok(Anchor::Authority(authority)) = observed.anchor() {
            let authority = CertificateFacts::of(&authority);
            note(format!("That of its authority {} stays: {}", clean(&authority.name), authority.sha256));
        }
    }
    Ok(anchor)
}

/// Whether this machine knows the server's authority; else the person decides.
async fn find_trust(
    app: &App,
    route: &Route,
    previous: Option<&Config>,
    questions: Questions,
) -> anyhow::Result<Recognition> {
    match system_vouches(route).await {
        Ok(()) => Ok((Trust::System {}, None)),
        Err(RemoteError::CertificateChanged(_)) => {
            let recognition = ask_person(route, questions).await?;
            remember(app, route, previous, &recognition)?;
            Ok(recognition)
        }
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

async fn ask_person(route: &Route, questions: Questions) -> anyhow::Result<Recognition> {
    let anchor = observe(route).await?.anchor()?;
    let server = route.server();
    note(format!(
        "The certificate of {BOLD}{server}{BOLD:#}\nwas not issued by an authority that this machine trusts."
    ));
    show_anchor(&anchor);
    note("Compare it with the fingerprint that your administrator gave you\n(`sealcard-server init` printed it).");
    if !questions.can_ask() {
        bail!("it is not trusted yet: pass the administrator's fingerprint with --fingerprint, or --ca-file");
    }
    if !ask::confirm("Is it the same, and do you trust this server?")? {
        bail!("not trusted; nothing was sent");
    }
    Ok(anchor.trust())
}

/// Shows the fingerprint to compare.
pub(in crate::cli) fn show_anchor(anchor: &Anchor) {
    match anchor {
        Anchor::Authority(certificate) => {
            let CertificateFacts { name, sha256, .. } = CertificateFacts::of(certificate);
            note(format!(
                "It was issued by the authority {BOLD}{}{BOLD:#}.\nThe SHA-256 fingerprint of that authority is",
                clean(&name)
            ));
            note(format!("\n  {BOLD}{sha256}{BOLD:#}\n"));
        }
        Anchor::Certificate(sha256) => {
            note("The server shows no authority that issued it.\nIts own SHA-256 fingerprint, until it is renewed, is");
            note(format!("\n  {BOLD}{sha256}{BOLD:#}\n"));
        }
    }
}

/// Keeps what the person answered, so that a login that fails now does not ask again. A login at another server stays.
fn remember(
    app: &App,
    route: &Route,
    previous: Option<&Config>,
    (trust, authorities): &Recognition,
) -> anyhow::Result<()> {
    let server = route.server().to_string();
    if previous.is_some_and(|config| config.server != server && config.grant_store != GrantStore::Nowhere) {
        return Ok(());
    }
    if let Some(authorities) = authorities {
        files::write_login(&app.paths, &app.paths.ca_file(), authorities)?;
    }
    let notify_waiting = previous.is_none_or(|config| config.notify_waiting);
    let grant_store = GrantStore::Nowhere;
    Ok(Config { server, user: None, grant_store, notify_waiting, trust: trust.clone() }.save(&app.paths)?)
}
