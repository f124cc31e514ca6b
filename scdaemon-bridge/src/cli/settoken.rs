//! `sealcard settoken`.

use std::{io::IsTerminal as _, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};
use sealcard_api::grants::{GrantIssued, LoginRequest, SecretText};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    App, ask,
    login::{self, Questions, ServerArguments, Way},
};
use crate::grant::Grant;

/// What grants begin with; everything else is taken for a service account's token.
const GRANT_PREFIX: &str = "scg_";

#[derive(Debug, Args)]
#[command(after_help = "\
Either of two secrets is taken: a service account's token (sct_…), which is exchanged for a grant, or a grant (scg_…)
that was obtained elsewhere. Nothing is ever asked, and neither gpg's set-up nor its keys are touched.

Example, for a machine that is provisioned by a tool:
  vault read -field=token … \\
    | sealcard settoken https://sealcard.example.org:8443 --ca-file ca.pem
  sealcard setup")]
pub(super) struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    /// The file whose first line is the secret (- for standard input)
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "-")]
    file: PathBuf,
    /// What the list of grants calls it (default: this machine's name)
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Keep the grant in a private file even if there is a keyring
    #[arg(long)]
    grant_file: bool,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    if arguments.file.as_os_str() == "-" && std::io::stdin().is_terminal() {
        bail!("the secret is read from standard input, which is a terminal: pipe it in, or use --file FILE");
    }
    let secret = ask::secret_from_file(&arguments.file)?;
    let previous = login::previous_config(app);
    let way = Way::find(app, &arguments.server, previous.as_ref(), Questions::Nothing).await?;
    let issued = exchange(&way, &secret, arguments.label).await?;
    let grant = Grant::new(way.server().to_string(), issued)?;
    let grant_store = login::keep(app, way, &grant, None, previous, arguments.grant_file).await?;
    login::announce(app, &grant, grant_store);
    Ok(())
}

async fn exchange(way: &Way, secret: &SecretString, label: Option<String>) -> anyhow::Result<GrantIssued> {
    let token = SecretText(secret.expose_secret().trim().to_owned());
    if token.0.starts_with(GRANT_PREFIX) {
        return way.client().adopt(token).await.context("the server does not take this grant");
    }
    let label = label.unwrap_or_else(login::machine_name);
    let login = LoginRequest::ServiceToken { token, label, machine: false };
    way.client().login(&login).await.context("the server does not take this token")
}
