//! Showing the server what somebody logs in with, again after a mistyped password.

use anyhow::Context as _;
use sealcard_api::{grants::GrantIssued, problem::ProblemCode};

use super::{Arguments, Way, credentials::Credentials};
use crate::{
    cli::{App, ask, output::note, passwd::detail},
    config::Config,
    remote::RemoteError,
};

/// Logs in. Gives the user's name too, if it is a user.
pub(super) async fn log_in(
    app: &App,
    arguments: &Arguments,
    previous: Option<&Config>,
    way: &Way,
) -> anyhow::Result<(GrantIssued, Option<String>)> {
    let mut credentials = Credentials::collect(app, arguments, previous)?;
    let mut wrong = 0;
    loop {
        let error = match way.client().login(&credentials.request(app, arguments, None)).await {
            Ok(issued) => return Ok((issued, credentials.into_user())),
            Err(error) => error,
        };
        match (error.code(), credentials) {
            (Some(ProblemCode::WrongCredentials), Credentials::Password { user, asked: true, .. })
                if wrong < ask::TRIES - 1 =>
            {
                wrong += 1;
                note(detail(&error));
                credentials = Credentials::ask_password(user)?;
            }
            (Some(ProblemCode::PasswordChangeRequired), shown @ Credentials::Password { .. }) => {
                return change_one_time(app, arguments, way, shown, error).await;
            }
            _ => return Err(error).context("the login failed"),
        }
    }
}

/// Repeats the login with a password that takes the place of the one-time password.
async fn change_one_time(
    app: &App,
    arguments: &Arguments,
    way: &Way,
    shown: Credentials,
    required: RemoteError,
) -> anyhow::Result<(GrantIssued, Option<String>)> {
    let user = shown.user().unwrap_or_default().to_owned();
    let asked = arguments.new_password_file.is_none();
    if asked && !ask::can_ask() {
        note("There is no terminal to ask for a new password on: use --new-password-file.");
        return Err(required).context("the login failed");
    }
    if asked {
        note("This is a one-time password. Choose a password of your own.");
    }
    loop {
        let new = match &arguments.new_password_file {
            Some(file) => ask::secret_from_file(file)?,
            None => ask::new_password(&user)?,
        };
        match way.client().login(&shown.request(app, arguments, Some(&new))).await {
            Ok(issued) => return Ok((issued, shown.into_user())),
            Err(error) if asked && error.code() == Some(ProblemCode::Invalid) => note(detail(&error)),
            Err(error) => return Err(error).context("the login failed"),
        }
    }
}
