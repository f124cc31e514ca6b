//! `sealcard admin grant`.

use clap::Subcommand;
use sealcard_api::{Timestamp, grants::GrantInfo, ids::GrantId};

use super::NO_BODY;
use crate::{
    cli::{
        App,
        output::{line, show, table},
        pages,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Logins that are valid; with --all, those that ended too
    List {
        /// Only those of this user or service account
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
        /// Also those that expired or were revoked
        #[arg(long)]
        all: bool,
    },
    /// End a login; it counts from the next request on
    Revoke {
        /// The grant's id
        id: GrantId,
    },
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::List { of, all } => {
            let mut grants: Vec<GrantInfo> = pages::all(&app.remote, &path(&["grants"]), &[("principal", of)]).await?;
            let now = Timestamp::now();
            grants.retain(|grant| all || state(grant, now) == "valid");
            show(json, &grants, |grants| {
                let rows: Vec<_> = grants
                    .iter()
                    .map(|grant| {
                        [
                            grant.id.to_string(),
                            grant.principal_name.clone(),
                            grant.label.clone(),
                            grant.created.to_string(),
                            grant.expires.to_string(),
                            state(grant, now).to_owned(),
                        ]
                    })
                    .collect();
                table(["ID", "OF", "LABEL", "SINCE", "UNTIL", "STATE"], &rows, "Nobody is logged in.");
            })
        }
        Command::Revoke { id } => {
            app.remote.delete(&path(&["grants", &id.to_string()]), NO_BODY).await?;
            line(format!("Revoked the grant {id}."));
            Ok(())
        }
    }
}

fn state(grant: &GrantInfo, now: Timestamp) -> &'static str {
    if grant.revoked.is_some() {
        "revoked"
    } else if grant.expires <= now {
        "expired"
    } else {
        "valid"
    }
}
