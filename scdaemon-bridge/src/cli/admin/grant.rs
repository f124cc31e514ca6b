//! `sealcard admin grant`.

use anyhow::bail;
use clap::Subcommand;
use sealcard_api::{Timestamp, grants::GrantInfo, ids::GrantId};

use super::NO_BODY;
use crate::{
    cli::{
        App,
        grants::{chosen, state},
        output::{clean, count, line, note, show, table},
        when,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List valid logins; with --all, those that ended too
    #[command(after_help = "The last use is right to within five minutes. --json tells the ids too.")]
    List {
        /// Only those of this user or service account
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
        /// Also those that expired or were revoked
        #[arg(long)]
        all: bool,
    },
    /// End logins; it counts from the next request on
    #[command(after_help = "\
Examples:
  sealcard admin grant revoke alice                 if she has only one
  sealcard admin grant revoke alice --label laptop  the one of her laptop
  sealcard admin grant revoke alice --all           all of them")]
    Revoke {
        /// A user's or service account's name, or the id of one login
        who: String,
        /// Only logins with this label, usually a machine's name
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        /// All of them, if there are several
        #[arg(long)]
        all: bool,
    },
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    let now = Timestamp::now();
    match command {
        Command::List { of, all } => {
            let if_empty = match &of {
                Some(name) => format!("{} has no valid logins.", clean(name)),
                None => "Nobody is logged in.".to_owned(),
            };
            let grants = chosen(app, of, |grant| all || state(grant, now) == "valid").await?;
            super::show_list(json, "grants", &grants, |grants| print(grants, now, &if_empty))
        }
        Command::Revoke { who, label, all } => revoke(app, &who, label.as_deref(), all, json).await,
    }
}

async fn revoke(app: &App, who: &str, label: Option<&str>, all: bool, json: bool) -> anyhow::Result<()> {
    if let Ok(id) = who.parse::<GrantId>() {
        app.remote.delete(&path(&["grants", &id.to_string()]), NO_BODY).await?;
        return show(json, &serde_json::json!({"revoked": id}), |_| line(format!("Ended the login {id}.")));
    }
    let now = Timestamp::now();
    let mut grants = valid(app, who.to_owned()).await?;
    let have = grants.len();
    if let Some(label) = label {
        grants.retain(|grant| grant.label == label);
    }
    let who = clean(who);
    match grants.len() {
        0 if have == 0 => bail!("{who} has no valid logins"),
        0 => {
            bail!("no login of {who} has this label; `sealcard admin grant list --of {who}` shows those that have one")
        }
        1 => {}
        _ if all => {}
        several => {
            for grant in &grants {
                let used = grant.last_used.map_or_else(|| "never used".to_owned(), |at| when::ago(at, now));
                note(format!("  {}  {used}  {}", grant.id, clean(&grant.label)));
            }
            bail!("{who} has {several} such logins: choose one with --label or by its id, or end them with --all");
        }
    }
    for grant in &grants {
        app.remote.delete(&path(&["grants", &grant.id.to_string()]), NO_BODY).await?;
    }
    super::show_list(json, "grants", &grants, |grants| {
        line(format!("Ended {} of {who}.", count(grants.len(), "login")))
    })
}

/// The logins of a user or service account that are valid now.
pub(super) async fn valid(app: &App, who: String) -> anyhow::Result<Vec<GrantInfo>> {
    let now = Timestamp::now();
    chosen(app, Some(who), |grant| state(grant, now) == "valid").await
}

/// Logins as a table.
pub(super) fn print(grants: &[GrantInfo], now: Timestamp, if_empty: &str) {
    let rows: Vec<_> = grants
        .iter()
        .map(|grant| {
            [
                grant.principal_name.clone(),
                grant.kind.name().to_owned(),
                grant.label.clone(),
                grant.last_used.map_or_else(|| "-".to_owned(), |at| when::ago(at, now)),
                grant.last_address.clone().unwrap_or_else(|| "-".to_owned()),
                when::day(Some(grant.expires)),
                state(grant, now).to_owned(),
            ]
        })
        .collect();
    table(["USER", "KIND", "LABEL", "LAST USED", "FROM", "EXPIRES", "STATE"], &rows, if_empty);
}
