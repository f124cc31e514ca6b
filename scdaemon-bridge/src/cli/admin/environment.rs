//! `sealcard admin environment`.

mod unseal;

use clap::Subcommand;
use sealcard_api::{
    admin::{Environment, EnvironmentKind, EnvironmentState},
    tokens::{AlgorithmReport, TokenReport},
};

use crate::{
    cli::{
        App,
        output::{clean, facts, line, show, table, warn},
        pages,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List environments, and whether their keys can be used now
    List,
    /// Show an environment and its state
    Show {
        /// Name or id
        name: String,
    },
    /// Open an environment whose key store is sealed or whose token is locked
    ///
    /// The passphrase or PIN is encrypted on this machine to the environment's signer, on the node that answers; the
    /// server never sees it. Where a file or credential opens it, that is tried once more, after you mended it.
    Unseal(unseal::Arguments),
    /// Ask an environment's token what it is and what it can do; needs no PIN
    Probe {
        /// Name or id
        name: String,
        /// List the token's mechanisms too
        #[arg(long)]
        mechanisms: bool,
    },
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::List => {
            let environments: Vec<Environment> = pages::all(&app.remote, &path(&["environments"]), &[]).await?;
            super::show_list(json, "environments", &environments, |environments| {
                let rows: Vec<_> = environments
                    .iter()
                    .map(|environment| [environment.name.clone(), kind(environment).into(), state(environment).into()])
                    .collect();
                table(["NAME", "KEY STORE", "STATE"], &rows, "There are no environments that hold keys of yours.");
            })
        }
        Command::Show { name } => {
            let environment: Environment = app.remote.get(&path(&["environments", &name])).await?;
            show(json, &environment, |environment| {
                let mut rows = vec![
                    ("name", environment.name.clone()),
                    ("id", environment.id.to_string()),
                    ("key store", kind(environment).into()),
                    ("state", state(environment).into()),
                ];
                if let Some(master_key) = &environment.master_key {
                    rows.push(("master key", clean(&master_key.id)));
                    rows.extend(master_key.note.as_ref().map(|note| ("rekey", clean(note))));
                }
                rows.push(("created", environment.created.to_string()));
                facts(&rows);
                if let Some(detail) = &environment.detail {
                    warn(clean(detail));
                }
            })
        }
        Command::Unseal(arguments) => unseal::run(app, arguments, json).await,
        Command::Probe { name, mechanisms } => {
            let report: TokenReport = app.remote.post(&path(&["environments", &name, "probe"]), &()).await?;
            show(json, &report, |report| describe(report, mechanisms))
        }
    }
}

fn kind(environment: &Environment) -> &'static str {
    kind_name(environment.kind)
}

fn state(environment: &Environment) -> &'static str {
    state_name(environment.state)
}

pub(super) const fn kind_name(kind: EnvironmentKind) -> &'static str {
    match kind {
        EnvironmentKind::Sealed => "sealed store",
        EnvironmentKind::Pkcs11 => "PKCS#11 token",
    }
}

pub(super) const fn state_name(state: EnvironmentState) -> &'static str {
    match state {
        EnvironmentState::Ready => "ready",
        EnvironmentState::Sealed => "locked: unseal it",
        EnvironmentState::TokenAbsent => "token missing",
        EnvironmentState::Unavailable => "signer does not answer",
    }
}

fn describe(report: &TokenReport, mechanisms: bool) {
    let sessions = match (report.sessions, report.max_sessions) {
        (None, None) => "not told".to_owned(),
        (Some(open), None) => format!("{open} open, no limit told"),
        (None, Some(most)) => format!("at most {most}"),
        (Some(open), Some(most)) => format!("{open} open, at most {most}"),
    };
    facts(&[
        ("token", clean(&report.label)),
        ("serial", clean(&report.serial)),
        ("model", format!("{} ({})", clean(&report.model), clean(&report.manufacturer))),
        ("firmware", format!("{} (hardware {})", clean(&report.firmware), clean(&report.hardware))),
        ("module", clean(&report.module)),
        ("library", format!("{}, PKCS#11 {}", clean(&report.library), clean(&report.cryptoki))),
        ("sessions", sessions),
        ("PIN", format!("{} to {} bytes", report.min_pin, report.max_pin)),
        ("flags", report.flags.iter().map(|flag| clean(flag)).collect::<Vec<_>>().join(" ")),
    ]);
    line("");
    let rows: Vec<_> = report.algorithms.iter().map(serves).collect();
    table(["ALGORITHM", "SIGNS", "DECRYPTS", "MADE THERE", "MISSING"], &rows, "");
    if mechanisms {
        line("");
        let rows: Vec<_> = report
            .mechanisms
            .iter()
            .map(|one| [clean(&one.name), format!("{} to {}", one.min, one.max), clean(&one.flags.join(" "))])
            .collect();
        table(["MECHANISM", "KEY SIZES", "FLAGS"], &rows, "The token names no mechanisms.");
    }
    for warning in &report.warnings {
        warn(clean(warning));
    }
}

fn serves(algorithm: &AlgorithmReport) -> [String; 5] {
    let yes = |can: bool| if can { "yes" } else { "no" }.to_owned();
    [
        algorithm.algorithm.to_string(),
        yes(algorithm.sign),
        yes(algorithm.decrypt),
        yes(algorithm.generate),
        clean(&algorithm.missing.join(", ")),
    ]
}
