//! `sealcard login`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};
use sealcard_api::grants::{LoginRequest, SecretText};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    App, ask,
    output::{BOLD, GOOD, clean, line, note, warn},
    setup, sync, when,
};
use crate::{
    config::{CertificateFingerprint, Config, GrantStore, Trust, files},
    grant::{self, Grant},
    remote::{Anonymous, RemoteError, ServerUrl, observe, tls},
};

const EXAMPLES: &str = "\
Examples:
  A person, on a new workstation:
    sealcard login https://sealcard.example.org:8443 --setup
  A CI job, with the token of a service account:
    sealcard login https://sealcard.example.org:8443 --setup \\
      --ca-file ca.pem --token-file /run/secrets/sealcard

If neither this machine nor --ca-file nor --fingerprint vouches for the server, its certificate's
fingerprint is shown and you are asked, before any password is sent.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The server's address, such as https://sealcard.example.org:8443 (default: the last one)
    #[arg(value_name = "URL")]
    server: Option<ServerUrl>,
    /// Your name on the server
    #[arg(short, long, value_name = "NAME", conflicts_with = "token_file")]
    user: Option<String>,
    /// Read the password from the first line of this file (- for standard input)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "token_file")]
    password_file: Option<PathBuf>,
    /// Log in as a service account with the token in this file (- for standard input)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// Trust the server if one of the authorities in this PEM file issued its certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "fingerprint")]
    ca_file: Option<PathBuf>,
    /// Trust the server if its certificate has this SHA-256 fingerprint
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<CertificateFingerprint>,
    /// What the list of grants calls this login (default: this machine's name)
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Keep the grant in a private file even if there is a keyring
    #[arg(long)]
    grant_file: bool,
    /// Make gpg use Sealcard too, as `sealcard setup` does
    #[arg(long, conflicts_with = "no_sync")]
    setup: bool,
    /// Don't fetch the keys afterwards
    #[arg(long)]
    no_sync: bool,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let previous = previous_config(app);
    let server = match (&arguments.server, &previous) {
        (Some(server), _) => server.clone(),
        (None, Some(config)) => config.server.parse().context("in config.toml")?,
        (None, None) => bail!("name the server: `sealcard login https://HOST:PORT`"),
    };
    let same_server = previous.as_ref().filter(|config| config.server == server.to_string());
    let (trust, authorities) = decide_trust(app, &arguments, &server, same_server).await?;
    let client = Anonymous::new(server.clone(), &trust, authorities.as_deref())?;
    client.server().await?;

    let (login, user) = credentials(&arguments, previous.as_ref())?;
    let issued = client.login(&login).await.context("the login failed")?;
    drop(login);
    let grant = Grant::new(server.to_string(), issued)?;

    // The grant that this one replaces would otherwise stay valid for nobody's use.
    let earlier = previous.as_ref().and_then(|config| grant::load(&app.paths, config.grant_store).ok().flatten());
    let grant_store = store(app, &arguments, &grant)?;
    if let Some(authorities) = &authorities {
        files::write_private(&app.paths.ca_file(), authorities)?;
    }
    let user = user.or_else(|| previous.as_ref().and_then(|config| config.user.clone()));
    Config { server: server.to_string(), user, grant_store, trust }.save(&app.paths)?;
    if let Some(earlier) = earlier.filter(|earlier| earlier.server() == grant.server()) {
        let _ = client.revoke(&earlier).await;
    }

    line(format!(
        "{GOOD}Logged in{GOOD:#} to {server} as {BOLD}{}{BOLD:#} until {}.",
        clean(&grant.info().principal_name),
        when::with_distance(grant.info().expires),
    ));
    note(format!("The grant lies in {}.", grant_store.description()));
    follow_up(app, &arguments).await
}

fn previous_config(app: &App) -> Option<Config> {
    Config::load(&app.paths).unwrap_or_else(|error| {
        warn(format!("the earlier configuration is replaced: {error}"));
        None
    })
}

/// How the server is recognised, and the authorities if that is by a file. Asks the person if nothing vouches for it.
async fn decide_trust(
    app: &App,
    arguments: &Arguments,
    server: &ServerUrl,
    same_server: Option<&Config>,
) -> anyhow::Result<(Trust, Option<Vec<u8>>)> {
    if let Some(path) = &arguments.ca_file {
        let authorities = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        tls::parse_authorities(&authorities).with_context(|| path.display().to_string())?;
        return Ok((Trust::CaFile {}, Some(authorities)));
    }
    if let Some(sha256) = arguments.fingerprint {
        return Ok((Trust::Certificate { sha256 }, None));
    }
    if let Some(config) = same_server {
        let authorities = match config.trust {
            Trust::CaFile {} => files::read(&app.paths.ca_file())?,
            _ => None,
        };
        return Ok((config.trust.clone(), authorities));
    }
    match system_vouches(server).await {
        Ok(()) => Ok((Trust::System {}, None)),
        Err(RemoteError::CertificateChanged(error)) => Ok((ask_person(server, &error.reason).await?, None)),
        Err(error) => Err(error.into()),
    }
}

async fn system_vouches(server: &ServerUrl) -> Result<(), RemoteError> {
    match Anonymous::new(server.clone(), &Trust::System {}, None) {
        Ok(client) => client.server().await.map(drop),
        // No authorities on this machine: then none vouches, and the person decides.
        Err(error) => match observe(server).await {
            Ok(_) => Err(RemoteError::CertificateChanged(crate::remote::CertificateError {
                server: server.to_string(),
                reason: error.to_string(),
                expected: None,
                seen: None,
            })),
            Err(error) => Err(error),
        },
    }
}

async fn ask_person(server: &ServerUrl, reason: &str) -> anyhow::Result<Trust> {
    let seen = observe(server).await?.fingerprint;
    note(format!("This machine does not know {BOLD}{server}{BOLD:#}: {reason}."));
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

/// What is sent to log in, and the user's name if it is a user.
fn credentials(arguments: &Arguments, previous: Option<&Config>) -> anyhow::Result<(LoginRequest, Option<String>)> {
    let label = arguments.label.clone().unwrap_or_else(machine_name);
    if let Some(path) = &arguments.token_file {
        let token = to_wire(&ask::secret_from_file(path)?);
        return Ok((LoginRequest::ServiceToken { token, label }, None));
    }
    let user = match &arguments.user {
        Some(user) => user.clone(),
        None if ask::can_ask() => {
            let known = previous.and_then(|config| config.user.clone()).or_else(|| std::env::var("USER").ok());
            ask::text("User", known.as_deref())?
        }
        None => bail!("name the user with --user, or use --token-file"),
    };
    let password = match &arguments.password_file {
        Some(path) => ask::secret_from_file(path)?,
        None if ask::can_ask() => ask::password(&format!("Password of {user}"))?,
        None => bail!("nobody can be asked for the password here: use --password-file"),
    };
    let password = to_wire(&password);
    Ok((LoginRequest::Password { user: user.clone(), password, label }, Some(user)))
}

fn to_wire(secret: &SecretString) -> SecretText {
    SecretText(secret.expose_secret().to_owned())
}

fn machine_name() -> String {
    nix::sys::utsname::uname().map_or_else(|_| String::new(), |name| name.nodename().to_string_lossy().into_owned())
}

fn store(app: &App, arguments: &Arguments, grant: &Grant) -> anyhow::Result<GrantStore> {
    if arguments.grant_file {
        grant::save(&app.paths, GrantStore::File, grant)?;
        return Ok(GrantStore::File);
    }
    Ok(grant::save_anywhere(&app.paths, grant)?)
}

/// Set-up and fetching of keys, as far as they are wanted.
async fn follow_up(app: &App, arguments: &Arguments) -> anyhow::Result<()> {
    let mut ready = setup::is_done(app);
    if arguments.setup || (!ready && !arguments.no_sync && ask::can_ask() && offer_setup()?) {
        setup::install(app)?;
        ready = true;
    }
    if arguments.no_sync {
        return Ok(());
    }
    if !ready {
        note("gpg does not use Sealcard yet: run `sealcard setup`.");
        return Ok(());
    }
    sync::fetch(app, sync::Options::default()).await
}

fn offer_setup() -> anyhow::Result<bool> {
    ask::confirm("gpg does not use Sealcard on this machine yet. Set it up now?")
}
