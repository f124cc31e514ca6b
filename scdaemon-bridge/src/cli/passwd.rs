//! `sealcard passwd`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueHint};
use sealcard_api::{
    admin::User,
    grants::{PasswordChange, SecretText},
    problem::ProblemCode,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    App, ask,
    output::{clean, line, note},
};
use crate::remote::{RemoteError, path};

#[derive(Debug, Args)]
#[command(after_help = "Your other logins end; this one stays.")]
pub(super) struct Arguments {
    /// Read the old password from the first line of this file (- for standard input)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "new_password_file")]
    password_file: Option<PathBuf>,
    /// Read the new password from the first line of this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "password_file")]
    new_password_file: Option<PathBuf>,
}

pub(super) async fn run(app: &App, arguments: &Arguments) -> anyhow::Result<()> {
    // Before anything is asked.
    let user = own_user(app).await?;
    if let (Some(old), Some(new)) = (&arguments.password_file, &arguments.new_password_file) {
        change(app, &ask::secret_from_file(old)?, &ask::secret_from_file(new)?).await?;
    } else if ask::can_ask() {
        ask_and_change(app, &user).await?;
    } else {
        bail!("there is no terminal to ask on: use --password-file and --new-password-file");
    }
    line(format!("Changed the password of {user}. Your other logins have ended."));
    Ok(())
}

async fn own_user(app: &App) -> anyhow::Result<String> {
    let name = app.remote.whoami().await?.principal_name;
    match app.remote.get::<User>(&path(&["users", &name])).await {
        Ok(user) => Ok(clean(&user.name)),
        Err(error) if error.code() == Some(ProblemCode::NotFound) => {
            bail!("{} is a service account: it logs in with a token and has no password", clean(&name))
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks until the server takes both, or the old one was wrong too often.
async fn ask_and_change(app: &App, user: &str) -> anyhow::Result<()> {
    let mut wrong = 0;
    let mut old = ask::password(&format!("Old password of {user}"))?;
    loop {
        let new = ask::new_password(user)?;
        let error = match change(app, &old, &new).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error.code() {
            Some(ProblemCode::Invalid) => note(detail(&error)),
            Some(ProblemCode::WrongCredentials) if wrong < ask::TRIES - 1 => {
                wrong += 1;
                note(detail(&error));
                old = ask::password(&format!("Old password of {user}"))?;
            }
            _ => return Err(error.into()),
        }
    }
}

async fn change(app: &App, old: &SecretString, new: &SecretString) -> Result<(), RemoteError> {
    let text = |secret: &SecretString| SecretText(secret.expose_secret().to_owned());
    app.remote.post("/v1/password", &PasswordChange { old: text(old), new: text(new) }).await
}

/// What the server says of the passwords.
pub(super) fn detail(error: &RemoteError) -> String {
    clean(error.problem().and_then(|problem| problem.detail.as_deref()).unwrap_or("The server refuses it."))
}
