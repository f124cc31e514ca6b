//! What is sent to log in: from options, then from the environment, then from the person.

use std::path::PathBuf;

use anyhow::bail;
use sealcard_api::grants::{LoginRequest, SecretText};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroize as _;

use super::{Arguments, variable};
use crate::{
    cli::{App, ask},
    config::Config,
};

/// What somebody logs in with.
pub(super) enum Credentials {
    /// A service account's token.
    Token(SecretString),
    /// A user's name and password.
    Password {
        user: String,
        password: SecretString,
        /// Whether the person was asked for it, and can be asked again.
        asked: bool,
    },
}

impl Credentials {
    /// From options, from the environment or from the person.
    pub(super) fn collect(app: &App, arguments: &Arguments, previous: Option<&Config>) -> anyhow::Result<Self> {
        if let Some(token) = token(arguments)? {
            return Ok(Self::Token(token));
        }
        if app.paths.is_machine() {
            bail!("a machine logs in as a service account: use --token-file");
        }
        let user = match arguments.user.clone().or_else(|| variable("SEALCARD_USER")) {
            Some(user) => user,
            None if ask::can_ask() => {
                let known = previous.and_then(|config| config.user.clone()).or_else(|| std::env::var("USER").ok());
                ask::text("User", known.as_deref())?
            }
            None => {
                bail!("there is no terminal to ask for the user on: use --user and --password-file, or --token-file")
            }
        };
        let password_file = arguments.password_file.clone().or_else(|| path_variable("SEALCARD_PASSWORD_FILE"));
        if let Some(path) = password_file {
            return Ok(Self::Password { user, password: ask::secret_from_file(&path)?, asked: false });
        }
        if !ask::can_ask() {
            bail!("there is no terminal to ask for the password on: use --password-file");
        }
        Self::ask_password(user)
    }

    /// Asks for the password, again if it was wrong.
    pub(super) fn ask_password(user: String) -> anyhow::Result<Self> {
        let password = ask::password(&format!("Password of {user}"))?;
        Ok(Self::Password { user, password, asked: true })
    }

    /// The user's name, if it is a user.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::Token(_) => None,
            Self::Password { user, .. } => Some(user),
        }
    }

    /// As [`Self::user`].
    pub(super) fn into_user(self) -> Option<String> {
        match self {
            Self::Token(_) => None,
            Self::Password { user, .. } => Some(user),
        }
    }

    /// What is sent. A new password takes the place of a one-time password.
    pub(super) fn request(&self, app: &App, arguments: &Arguments, new: Option<&SecretString>) -> LoginRequest {
        let label = arguments.label.clone().unwrap_or_else(machine_name);
        match self {
            Self::Token(token) => {
                LoginRequest::ServiceToken { token: to_wire(token), label, machine: app.paths.is_machine() }
            }
            Self::Password { user, password, .. } => LoginRequest::Password {
                user: user.clone(),
                password: to_wire(password),
                new_password: new.map(to_wire),
                label,
            },
        }
    }
}

/// Whether nobody need be asked for the password or token.
pub(super) fn are_given(arguments: &Arguments) -> bool {
    let files = [&arguments.token_file, &arguments.password_file];
    let variables = ["SEALCARD_TOKEN_FILE", "SEALCARD_TOKEN", "SEALCARD_PASSWORD_FILE"];
    files.into_iter().any(Option::is_some) || variables.into_iter().any(|name| variable(name).is_some())
}

/// A service account's token, if that is what is to be used. Who names a user on the command line means a user.
fn token(arguments: &Arguments) -> anyhow::Result<Option<SecretString>> {
    if let Some(path) = &arguments.token_file {
        return ask::secret_from_file(path).map(Some);
    }
    if arguments.user.is_some() || arguments.password_file.is_some() {
        return Ok(None);
    }
    if let Some(path) = path_variable("SEALCARD_TOKEN_FILE") {
        return ask::secret_from_file(&path).map(Some);
    }
    Ok(token_of_environment())
}

/// `SEALCARD_TOKEN`, where CI systems put secrets. Programs that are started from here do not get it.
fn token_of_environment() -> Option<SecretString> {
    let mut value = variable("SEALCARD_TOKEN")?;
    let token = SecretString::from(value.trim());
    value.zeroize();
    Some(token)
}

fn path_variable(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

fn to_wire(secret: &SecretString) -> SecretText {
    SecretText(secret.expose_secret().to_owned())
}

/// What a login is called unless it is named.
pub(in crate::cli) fn machine_name() -> String {
    nix::sys::utsname::uname().map_or_else(|_| String::new(), |name| name.nodename().to_string_lossy().into_owned())
}
