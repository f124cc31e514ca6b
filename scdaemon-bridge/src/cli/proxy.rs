//! `sealcard proxy`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use super::{
    App, ask, login,
    output::{GOOD, facts, line, note, show, warn},
};
use crate::{
    config::{Config, Exceptions, Proxy, ProxyChoice},
    remote::ServerUrl,
};

#[derive(Debug, Args)]
#[command(after_help = "\
gpg-agent's environment is not your shell's, so the choice is stored (proxy.toml, mode 0600) and holds for gpg and for
this command alike. A user name and password for the proxy are never shown.

Examples:
  sealcard proxy set http://proxy.example.org:3128 --except .example.org
  sealcard proxy set http://proxy.example.org:3128 --user jane \\
    --password-file -
  sealcard proxy use-environment      take HTTPS_PROXY and NO_PROXY of now")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what was chosen, and what the environment says
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Go through this proxy
    Set(SetArguments),
    /// Go directly, whatever the environment says
    Unset,
    /// Do as HTTPS_PROXY, ALL_PROXY and NO_PROXY say now
    UseEnvironment,
}

#[derive(Debug, Args)]
struct SetArguments {
    /// The proxy's address, such as http://proxy.example.org:3128
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    address: String,
    /// Your name for the proxy
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Read the proxy's password from the first line of this file (- for standard input)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "user")]
    password_file: Option<PathBuf>,
    /// A host, domain or network that is reached without it; may be repeated
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    except: Vec<String>,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        None => state(app, false),
        Some(Command::Show { json }) => state(app, json),
        Some(Command::Set(arguments)) => set(app, arguments).await,
        Some(Command::Unset) => {
            ProxyChoice::Direct.save(&app.paths)?;
            line("No proxy is used from now on, whatever the environment says.");
            check(app).await
        }
        Some(Command::UseEnvironment) => use_environment(app).await,
    }
}

/// What `show` says.
#[derive(Debug, Serialize)]
struct State {
    /// `none` if nothing was chosen, `direct`, or `proxy`.
    mode: &'static str,
    address: Option<String>,
    user: Option<String>,
    except: Vec<String>,
    /// Whether it is on the way to the server of this workstation; `None` before the first login.
    used: Option<bool>,
    /// The proxy that the environment names.
    environment: Option<String>,
}

fn state(app: &App, json: bool) -> anyhow::Result<()> {
    let choice = ProxyChoice::load(&app.paths)?;
    let config = Config::load(&app.paths).ok().flatten();
    let server: Option<ServerUrl> = config.and_then(|config| config.server.parse().ok());
    let used = match &server {
        Some(server) => Some(app.route(server)?.proxy().is_some()),
        None => None,
    };
    let environment = Proxy::of_environment(login::variable).ok().flatten().map(|proxy| proxy.to_string());
    let mut state = State { mode: "none", address: None, user: None, except: Vec::new(), used, environment };
    match choice {
        None => {}
        Some(ProxyChoice::Direct) => state.mode = "direct",
        Some(ProxyChoice::Through(proxy)) => {
            state.mode = "proxy";
            state.address = Some(proxy.to_string());
            state.user = proxy.user().map(ToOwned::to_owned);
            state.except = proxy.exceptions().iter().map(ToOwned::to_owned).collect();
        }
    }
    show(json, &state, print)
}

fn print(state: &State) {
    match (state.mode, &state.address) {
        ("proxy", Some(address)) => {
            let mut rows = vec![("proxy", address.clone())];
            rows.extend(state.user.clone().map(|user| ("user", user)));
            if !state.except.is_empty() {
                rows.push(("except for", state.except.join(" ")));
            }
            facts(&rows);
            if state.used == Some(false) {
                note("The server of this workstation is reached without it.");
            }
        }
        ("direct", _) => line("No proxy is used, whatever the environment says."),
        _ => line("No proxy is used: none was chosen."),
    }
    if let Some(environment) = &state.environment
        && state.address.as_ref() != Some(environment)
    {
        note(format!("The environment names {environment}; `sealcard proxy use-environment` takes it."));
    }
}

async fn set(app: &App, arguments: SetArguments) -> anyhow::Result<()> {
    let mut proxy = Proxy::parse(&arguments.address)?;
    if proxy.user().is_some() {
        bail!("a name and password in the address would be seen by others: use --user and --password-file");
    }
    if let Some(user) = arguments.user {
        let password = match &arguments.password_file {
            Some(path) => Some(ask::secret_from_file(path)?),
            None if ask::can_ask() => Some(ask::password(&format!("Password of {user} for the proxy"))?),
            None => None,
        };
        proxy = proxy.with_credentials(user, password)?;
    }
    adopt(app, proxy.with_exceptions(Exceptions::parse(&arguments.except.join(",")))).await
}

async fn use_environment(app: &App) -> anyhow::Result<()> {
    match Proxy::of_environment(login::variable).context("in the environment")? {
        Some(proxy) => adopt(app, proxy).await,
        None => {
            ProxyChoice::Direct.save(&app.paths)?;
            line("The environment names no proxy, so none is used from now on.");
            check(app).await
        }
    }
}

async fn adopt(app: &App, proxy: Proxy) -> anyhow::Result<()> {
    line(format!("From now on the server is reached through {proxy}."));
    ProxyChoice::Through(Box::new(proxy)).save(&app.paths)?;
    check(app).await
}

/// Tries the new way, so that a typing error is seen now and not by the next signature.
async fn check(app: &App) -> anyhow::Result<()> {
    let Some(config) = Config::load(&app.paths)? else { return Ok(()) };
    match app.anonymous(&config)?.server().await {
        Ok(_) => note(format!("{GOOD}{} answers.{GOOD:#}", config.server)),
        Err(error) => warn(format!("the choice is stored, but {error}")),
    }
    Ok(())
}
