//! `sealcard admin service-account`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use sealcard_api::{
    Timestamp,
    admin::{
        NewServiceAccount, NewServiceToken, PrincipalAccess, ServiceAccount, ServiceAccountChange, ServiceToken,
        ServiceTokenIssued,
    },
    grants::GrantInfo,
    ids::ServiceTokenId,
};
use serde::Serialize;

use super::{NO_BODY, named};
use crate::{
    cli::{
        App,
        ask::Yes,
        output::{clean, facts, line, note, show, table},
        pages,
        secret_file::SecretFile,
        when,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a service account
    Add {
        /// Its name
        name: String,
        /// Name or id of the user who answers for it, instead of you
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
    },
    /// List all service accounts
    List,
    /// Show a service account: groups, roles, keys, tokens and logins
    Show {
        /// Name or id
        name: String,
    },
    /// Give a service account another owner
    Change {
        /// Name or id
        name: String,
        /// Name or id of the user who answers for it from now on
        #[arg(long, value_name = "USER")]
        owner: String,
    },
    /// Give a service account another name
    Rename {
        /// Name or id
        name: String,
        /// The new name
        new_name: String,
    },
    /// Refuse a service account from the next request on, and end its logins
    Disable {
        /// Name or id
        name: String,
    },
    /// Let a service account in again
    Enable {
        /// Name or id
        name: String,
    },
    /// Remove a service account, its tokens and logins
    Remove {
        /// Name or id
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Make, list and revoke a service account's tokens
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; it is shown once, or written to a file
    #[command(after_help = "\
Example:
  sealcard admin service-account token add ci \\
    --label 'nightly build' --days 90 --output ci.token

Without --output the token is printed alone on standard output, for a pipe to where it is kept.")]
    Add {
        /// The account's name or id
        account: String,
        /// What it is for
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
        /// Days until it expires, 1 to 3650
        #[arg(long, value_name = "N", default_value_t = 365, value_parser = super::key::days())]
        days: u32,
        /// Write the token to this new file (mode 0600) instead of showing it
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// List the tokens of an account, without their secrets
    List {
        /// The account's name or id
        account: String,
    },
    /// Revoke a token, and the logins that came of it
    Revoke {
        /// The account's name or id
        account: String,
        /// The token's id
        token: ServiceTokenId,
        #[command(flatten)]
        yes: Yes,
    },
}

/// A service account with what belongs to it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    account: ServiceAccount,
    #[serde(flatten)]
    access: PrincipalAccess,
    tokens: Vec<ServiceToken>,
    logins: Vec<GrantInfo>,
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    match command {
        Command::Add { name, owner } => {
            let account: ServiceAccount =
                remote.post(&path(&["service-accounts"]), &NewServiceAccount { name, owner }).await?;
            show(json, &account, |account| {
                line(format!("Added the service account {}.", clean(&account.name)));
                note(format!(
                    "Next: sealcard admin service-account token add {} --output {0}.token",
                    clean(&account.name)
                ));
            })
        }
        Command::List => {
            let accounts: Vec<ServiceAccount> = pages::all(remote, &path(&["service-accounts"]), &[]).await?;
            super::show_list(json, "service_accounts", &accounts, |accounts| {
                let rows: Vec<_> = accounts
                    .iter()
                    .map(|account| {
                        [account.name.clone(), owner_name(account), state(account).into(), account.created.to_string()]
                    })
                    .collect();
                table(["NAME", "OWNER", "STATE", "CREATED"], &rows, "There are no service accounts.");
            })
        }
        Command::Show { name } => {
            let account: ServiceAccount = remote.get(&path(&["service-accounts", &name])).await?;
            let access: PrincipalAccess = remote.get(&path(&["service-accounts", &name, "access"])).await?;
            let tokens = pages::all(remote, &path(&["service-accounts", &name, "tokens"]), &[]).await?;
            let logins = super::grant::valid(app, name).await?;
            show(json, &Shown { account, access, tokens, logins }, print)
        }
        Command::Change { name, owner } => {
            let change = ServiceAccountChange { owner: Some(owner), ..ServiceAccountChange::default() };
            let account: ServiceAccount = remote.patch(&path(&["service-accounts", &name]), &change).await?;
            show(json, &account, |account| {
                line(format!("{} answers for the service account {} now.", owner_name(account), clean(&account.name)));
            })
        }
        Command::Rename { name, new_name } => named::rename::<ServiceAccount>(app, &name, new_name, json).await,
        Command::Disable { name } => named::set_disabled::<ServiceAccount>(app, &name, true, json).await,
        Command::Enable { name } => named::set_disabled::<ServiceAccount>(app, &name, false, json).await,
        Command::Remove { name, yes } => {
            named::remove::<ServiceAccount>(app, &name, " with its tokens and logins", yes, json).await
        }
        Command::Token(command) => run_token(app, command, json).await,
    }
}

fn print(Shown { account, access, tokens, logins }: &Shown) {
    facts(&[
        ("name", account.name.clone()),
        ("id", account.id.to_string()),
        ("owner", owner_name(account)),
        ("state", state(account).into()),
        ("created", account.created.to_string()),
    ]);
    super::access::print(access);
    line("");
    print_tokens(tokens);
    line("");
    super::grant::print(logins, Timestamp::now(), "No valid logins.");
}

fn owner_name(account: &ServiceAccount) -> String {
    account.owner.as_deref().map_or_else(|| "-".to_owned(), clean)
}

fn print_tokens(tokens: &[ServiceToken]) {
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let revoked = token.revoked.map_or_else(|| "-".to_owned(), |time| time.to_string());
            [token.id.to_string(), token.label.clone(), token.expires.to_string(), revoked]
        })
        .collect();
    table(["TOKEN", "LABEL", "EXPIRES", "REVOKED"], &rows, "The account has no tokens.");
}

async fn run_token(app: &App, command: TokenCommand, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    match command {
        TokenCommand::Add { account, label, days, output } => {
            let output = output.map(SecretFile::create).transpose()?;
            let new = NewServiceToken { label, days: Some(days) };
            let issued: ServiceTokenIssued =
                remote.post(&path(&["service-accounts", &account, "tokens"]), &new).await?;
            let until = when::with_distance(issued.token.expires);
            if let Some(output) = output {
                let file = output.write(&issued.secret.0)?;
                note(format!("A token of {}, valid until {until}, is in {}.", clean(&account), file.display()));
                return Ok(());
            }
            show(json, &issued, |issued| {
                note(format!("A token of {}, valid until {until}.\nIt is shown this once:", clean(&account)));
                line(clean(&issued.secret.0));
            })
        }
        TokenCommand::List { account } => {
            let tokens: Vec<ServiceToken> =
                pages::all(remote, &path(&["service-accounts", &account, "tokens"]), &[]).await?;
            super::show_list(json, "tokens", &tokens, print_tokens)
        }
        TokenCommand::Revoke { account, token, yes } => {
            yes.confirm(&format!("Revoke this token of {} and end the logins made with it?", clean(&account)))?;
            remote.delete(&path(&["service-accounts", &account, "tokens", &token.to_string()]), NO_BODY).await?;
            show(json, &serde_json::json!({"revoked": token}), |_| {
                line(format!("Revoked the token {token} of {}.", clean(&account)));
            })
        }
    }
}

fn state(account: &ServiceAccount) -> &'static str {
    if account.disabled { "disabled" } else { "active" }
}
