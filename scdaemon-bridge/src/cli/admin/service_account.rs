//! `sealcard admin service-account`.

use clap::Subcommand;
use sealcard_api::{
    admin::{
        NewServiceAccount, NewServiceToken, ServiceAccount, ServiceAccountChange, ServiceToken, ServiceTokenIssued,
    },
    ids::ServiceTokenId,
};

use super::NO_BODY;
use crate::{
    cli::{
        App,
        output::{clean, line, note, show, table},
        pages, when,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a service account
    Add {
        /// Its name
        name: String,
    },
    /// All service accounts
    List,
    /// Disable or enable a service account
    #[command(group(clap::ArgGroup::new("what").required(true)))]
    Change {
        /// Name or id
        name: String,
        /// Refuse the account from now on
        #[arg(long, group = "what")]
        disable: bool,
        /// Let the account in again
        #[arg(long, group = "what")]
        enable: bool,
    },
    /// Remove a service account, its tokens and logins
    Remove {
        /// Name or id
        name: String,
    },
    /// The tokens with which a service account logs in
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; it is printed once, alone on standard output
    #[command(after_help = "\
Example:
  sealcard admin service-account token add ci --label 'nightly build' --days 90 > token")]
    Add {
        /// The account's name or id
        account: String,
        /// What it is for
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
        /// Days until it stops to work, 1 to 3650
        #[arg(long, value_name = "N", default_value_t = 365)]
        days: u32,
    },
    /// The tokens of an account, without their secrets
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
    },
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    match command {
        Command::Add { name } => {
            let account: ServiceAccount =
                remote.post(&path(&["service-accounts"]), &NewServiceAccount { name }).await?;
            show(json, &account, |account| {
                line(format!("Added the service account {}.", clean(&account.name)));
                note(format!("Next: sealcard admin service-account token add {}", clean(&account.name)));
            })
        }
        Command::List => {
            let accounts: Vec<ServiceAccount> = pages::all(remote, &path(&["service-accounts"]), &[]).await?;
            show(json, &accounts, |accounts| {
                let rows: Vec<_> = accounts
                    .iter()
                    .map(|account| [account.name.clone(), state(account).into(), account.created.to_string()])
                    .collect();
                table(["NAME", "STATE", "SINCE"], &rows, "There are no service accounts.");
            })
        }
        Command::Change { name, disable, enable: _ } => {
            let change = ServiceAccountChange { disabled: Some(disable) };
            let account: ServiceAccount = remote.patch(&path(&["service-accounts", &name]), &change).await?;
            show(json, &account, |account| {
                line(format!("The service account {} is {} now.", clean(&account.name), state(account)));
            })
        }
        Command::Remove { name } => {
            remote.delete(&path(&["service-accounts", &name]), NO_BODY).await?;
            line(format!("Removed the service account {}.", clean(&name)));
            Ok(())
        }
        Command::Token(command) => run_token(app, command, json).await,
    }
}

async fn run_token(app: &App, command: TokenCommand, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    match command {
        TokenCommand::Add { account, label, days } => {
            let new = NewServiceToken { label, days: Some(days) };
            let issued: ServiceTokenIssued =
                remote.post(&path(&["service-accounts", &account, "tokens"]), &new).await?;
            show(json, &issued, |issued| {
                note(format!(
                    "Token {} of {}, valid until {}. It is shown this once:",
                    issued.token.id,
                    clean(&account),
                    when::with_distance(issued.token.expires)
                ));
                line(clean(&issued.secret.0));
            })
        }
        TokenCommand::List { account } => {
            let tokens: Vec<ServiceToken> =
                pages::all(remote, &path(&["service-accounts", &account, "tokens"]), &[]).await?;
            show(json, &tokens, |tokens| {
                let rows: Vec<_> = tokens
                    .iter()
                    .map(|token| {
                        let revoked = token.revoked.map_or_else(|| "-".to_owned(), |time| time.to_string());
                        [token.id.to_string(), token.label.clone(), token.expires.to_string(), revoked]
                    })
                    .collect();
                table(["ID", "LABEL", "EXPIRES", "REVOKED"], &rows, "The account has no tokens.");
            })
        }
        TokenCommand::Revoke { account, token } => {
            remote.delete(&path(&["service-accounts", &account, "tokens", &token.to_string()]), NO_BODY).await?;
            line(format!("Revoked the token {token}."));
            Ok(())
        }
    }
}

fn state(account: &ServiceAccount) -> &'static str {
    if account.disabled { "disabled" } else { "active" }
}
