//! `sealcard admin environment`.

use clap::Subcommand;
use sealcard_api::admin::{Environment, EnvironmentKind, EnvironmentState};

use super::pages;
use crate::{
    cli::{
        App,
        output::{facts, show, table},
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// All environments, and whether their keys can be used now
    List,
    /// One environment
    Show {
        /// Name or id
        name: String,
    },
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::List => {
            let environments: Vec<Environment> = pages::all(&app.remote, &path(&["environments"]), &[]).await?;
            show(json, &environments, |environments| {
                let rows: Vec<_> = environments
                    .iter()
                    .map(|environment| [environment.name.clone(), kind(environment).into(), state(environment).into()])
                    .collect();
                table(["NAME", "KEYS ARE", "STATE"], &rows, "There are no environments.");
            })
        }
        Command::Show { name } => {
            let environment: Environment = app.remote.get(&path(&["environments", &name])).await?;
            show(json, &environment, |environment| {
                facts(&[
                    ("name", environment.name.clone()),
                    ("id", environment.id.to_string()),
                    ("keys are", kind(environment).into()),
                    ("state", state(environment).into()),
                    ("since", environment.created.to_string()),
                ]);
            })
        }
    }
}

fn kind(environment: &Environment) -> &'static str {
    match environment.kind {
        EnvironmentKind::Sealed => "encrypted under the signer's master key",
    }
}

fn state(environment: &Environment) -> &'static str {
    match environment.state {
        EnvironmentState::Ready => "ready",
        EnvironmentState::Sealed => "sealed: a person must unseal it",
        EnvironmentState::Unavailable => "the signer does not answer",
    }
}
