//! `sealcard login`.

mod attempt;
mod credentials;
mod keep;
mod server;

use std::path::PathBuf;

use clap::{Args, ValueHint};
use sealcard_api::grants::GrantInfo;
use serde::Serialize;

pub(super) use credentials::machine_name;
pub(super) use keep::{announce, keep};
pub(super) use server::{Questions, ServerArguments, Way, pin, show_anchor};

use super::{
    App, ask, machine,
    output::{self, note, warn},
    setup, sync,
};
use crate::{
    config::{Config, GrantStore},
    grant::Grant,
};

const EXAMPLES: &str = "\
Examples:
  A person, on a new workstation:
    sealcard login https://sealcard.example.org:8443 --setup
  A CI job, with the token of a service account:
    sealcard login https://sealcard.example.org:8443 --setup \\
      --ca-file ca.pem --token-file /run/secrets/sealcard

  A machine, for the group ci, as root (each member runs `sealcard setup`):
    sealcard login https://sealcard.example.org:8443 --machine --group ci \\
      --ca-file ca.pem --token-file /run/secrets/sealcard

If neither this machine nor --ca-file nor --fingerprint vouches for the server, its authority's
fingerprint is shown and you are asked, before any password is sent. Without a terminal nothing is
ever asked: what is missing is an error.

Environment, for what no option says: SEALCARD_SERVER, SEALCARD_CA_FILE, SEALCARD_FINGERPRINT,
SEALCARD_USER with SEALCARD_PASSWORD_FILE, SEALCARD_TOKEN_FILE or SEALCARD_TOKEN (the token itself).
HTTPS_PROXY and NO_PROXY are adopted at the first login; see `sealcard proxy`.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    /// Your name on the server
    #[arg(short, long, value_name = "NAME", conflicts_with = "token_file")]
    user: Option<String>,
    /// Read the password from the first line of this file (- for standard input)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "token_file")]
    password_file: Option<PathBuf>,
    /// Take the place of a one-time password with the first line of this file, without asking
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "token_file")]
    new_password_file: Option<PathBuf>,
    /// Log in as a service account with the token in this file (- for standard input)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,
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
    #[command(flatten)]
    machine: machine::LoginArguments,
    /// Print JSON, without the grant's token; offer no set-up
    #[arg(long)]
    json: bool,
}

/// Who is logged in, and what else was done.
#[derive(Debug, Serialize)]
struct Report<'a> {
    server: &'a str,
    grant: &'a GrantInfo,
    grant_store: GrantStore,
    #[serde(flatten)]
    follow_up: &'a FollowUp,
}

/// What a login did besides.
#[derive(Debug, Default, Serialize)]
struct FollowUp {
    gpg: Option<setup::GpgChange>,
    sync: Option<sync::Report>,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let machine = arguments.machine.prepare(app)?;
    let app = machine.as_ref().unwrap_or(app);
    let previous = previous_config(app);
    let questions = if credentials::are_given(&arguments) { Questions::Missing } else { Questions::All };
    let way = Way::find(app, &arguments.server, previous.as_ref(), questions).await?;
    let (issued, user) = attempt::log_in(app, &arguments, previous.as_ref(), &way).await?;
    let grant = Grant::new(way.server().to_string(), issued)?;
    let grant_store = keep(app, way, &grant, user, previous, arguments.grant_file).await?;
    if !arguments.json {
        announce(app, &grant, grant_store);
    }
    let follow_up = follow_up(app, &arguments).await?;
    if arguments.json {
        output::json(&Report { server: grant.server(), grant: grant.info(), grant_store, follow_up: &follow_up })?;
    }
    follow_up.sync.as_ref().map_or(Ok(()), sync::Report::check)
}

/// The configuration that a login replaces; one that can't be read counts as none.
pub(super) fn previous_config(app: &App) -> Option<Config> {
    Config::load(&app.paths).unwrap_or_else(|error| {
        warn(format!("the earlier configuration is replaced: {error}"));
        None
    })
}

/// Set-up and fetching of keys, as far as they are wanted.
async fn follow_up(app: &App, arguments: &Arguments) -> anyhow::Result<FollowUp> {
    let mut done = FollowUp::default();
    if app.paths.is_machine() {
        let group = machine::group_name(app.paths.config_folder())?;
        note(format!("Members of the group {group} sign with it where they have no login of their own."));
        note("Each of them runs `sealcard setup` once.");
        return Ok(done);
    }
    let json = arguments.json;
    let can_offer = !json && !arguments.no_sync && ask::can_ask();
    let ready = setup::is_done(app);
    if arguments.setup || (!ready && can_offer && offer_setup()?) {
        done.gpg = Some(setup::install(app, json)?);
    }
    if arguments.no_sync {
        return Ok(done);
    }
    if !ready && done.gpg.is_none() {
        note("gpg does not use Sealcard yet: run `sealcard setup`.");
        return Ok(done);
    }
    done.sync = Some(sync::fetch(app, sync::Options { json, ..sync::Options::default() }).await?);
    if done.gpg.is_some() && can_offer {
        setup::offer(app)?;
    }
    Ok(done)
}

fn offer_setup() -> anyhow::Result<bool> {
    ask::confirm("gpg does not use Sealcard on this machine yet. Set it up now?")
}

/// A variable of the environment that is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
