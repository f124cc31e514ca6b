//! `sealcard admin user`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand, ValueHint};
use sealcard_api::{
    admin::{NewUser, OneTimePassword, User, UserAdded, UserChange},
    grants::SecretText,
};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{NO_BODY, yes_no};
use crate::{
    cli::{
        App, ask,
        output::{clean, facts, line, note, show, table},
        pages,
        secret_file::SecretFile,
        when,
    },
    remote::path,
};

const ONE_TIME: &str = "\
The one-time password is for the first login, which asks the user for a password of their own. It is shown once, and is
refused after 7 days unless the server's configuration says otherwise.";

#[derive(Debug, Args)]
pub(super) struct PasswordArguments {
    /// Set the password in the first line of this file (- for standard input), for good, instead of making a one-time one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<PathBuf>,
    /// Write the one-time password to this new file (mode 0600) instead of showing it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "password_file")]
    output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user, and print a one-time password for the first login
    #[command(after_help = ONE_TIME)]
    Add {
        /// The name used at login
        name: String,
        /// Let the user administer the server
        #[arg(long)]
        administrator: bool,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// Give a user a new one-time password, and end the user's logins
    #[command(after_help = ONE_TIME)]
    ResetPassword {
        /// Name or id
        name: String,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// All users
    List,
    /// One user
    Show {
        /// Name or id
        name: String,
    },
    /// Change a user's rights, or disable the user
    #[command(after_help = "--disable ends all logins of the user at once.")]
    Change {
        /// Name or id
        name: String,
        /// Whether the user may administer the server
        #[arg(long, value_name = "true|false")]
        administrator: Option<bool>,
        /// Refuse the user from now on
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// Let the user in again
        #[arg(long)]
        enable: bool,
    },
    /// Remove a user, and every login of theirs
    Remove {
        /// Name or id
        name: String,
    },
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    match command {
        Command::Add { name, administrator, password: PasswordArguments { password_file, output } } => {
            let (password, output) = prepare(password_file, output)?;
            let added: UserAdded = remote.post(&path(&["users"]), &NewUser { name, password, administrator }).await?;
            let name = clean(&added.user.name);
            let Some(issued) = &added.one_time_password else {
                return show(json, &added, |_| line(format!("Added the user {name}.")));
            };
            if !json {
                note(format!("Added the user {name}."));
            }
            hand_over(&name, issued, output, json.then_some(&added))
        }
        Command::ResetPassword { name, password: PasswordArguments { password_file, output } } => {
            let below = path(&["users", &name]);
            let (password, output) = prepare(password_file, output)?;
            let Some(password) = password else {
                let issued: OneTimePassword = remote.post(&format!("{below}/one-time-password"), &()).await?;
                return hand_over(&clean(&name), &issued, output, json.then_some(&issued));
            };
            let change = UserChange { password: Some(password), ..UserChange::default() };
            let user: User = remote.patch(&below, &change).await?;
            show(json, &user, |user| {
                line(format!("Changed the password of {}. The user's logins have ended.", clean(&user.name)));
            })
        }
        Command::List => {
            let users: Vec<User> = pages::all(remote, &path(&["users"]), &[]).await?;
            super::show_list(json, "users", &users, |users| {
                let rows: Vec<_> = users
                    .iter()
                    .map(|user| {
                        [user.name.clone(), yes_no(user.administrator).into(), state(user), user.created.to_string()]
                    })
                    .collect();
                table(["NAME", "ADMINISTRATOR", "STATE", "SINCE"], &rows, "There are no users.");
            })
        }
        Command::Show { name } => {
            let user: User = remote.get(&path(&["users", &name])).await?;
            show(json, &user, print)
        }
        Command::Change { name, administrator, disable, enable } => {
            let disabled = (disable || enable).then_some(disable);
            let change = UserChange { administrator, disabled, ..UserChange::default() };
            if change == UserChange::default() {
                bail!("say what to change; see `sealcard admin user change --help`");
            }
            let user: User = remote.patch(&path(&["users", &name]), &change).await?;
            show(json, &user, |user| {
                line(format!("Changed the user {}.", clean(&user.name)));
                print(user);
            })
        }
        Command::Remove { name } => {
            remote.delete(&path(&["users", &name]), NO_BODY).await?;
            line(format!("Removed the user {}.", clean(&name)));
            Ok(())
        }
    }
}

/// Reads the password and makes the output file, before the server is asked.
fn prepare(
    password_file: Option<PathBuf>,
    output: Option<PathBuf>,
) -> anyhow::Result<(Option<SecretText>, Option<SecretFile>)> {
    let password = password_file.map(|file| ask::secret_from_file(&file)).transpose()?;
    let password = password.map(|password| SecretText(password.expose_secret().to_owned()));
    Ok((password, output.map(SecretFile::create).transpose()?))
}

/// Shows a one-time password, alone on standard output, or writes it to a file. JSON holds it already.
fn hand_over<T: Serialize>(
    name: &str,
    issued: &OneTimePassword,
    output: Option<SecretFile>,
    json: Option<&T>,
) -> anyhow::Result<()> {
    let until = when::with_distance(issued.expires);
    match (output, json) {
        (Some(file), _) => {
            let path = file.write(&issued.password.0)?;
            note(format!("The one-time password of {name}, valid until {until}, is in {}.", path.display()));
        }
        (None, Some(json)) => return show(true, json, |_| ()),
        (None, None) => {
            note(format!("One-time password of {name}, valid until {until}. It is shown this once:"));
            line(clean(&issued.password.0));
        }
    }
    note(format!("{name} runs `sealcard login`, which asks for a password of their own."));
    Ok(())
}

fn print(user: &User) {
    facts(&[
        ("name", user.name.clone()),
        ("id", user.id.to_string()),
        ("administrator", yes_no(user.administrator).into()),
        ("state", state(user)),
        ("since", user.created.to_string()),
        ("password", password_state(user)),
    ]);
}

fn state(user: &User) -> String {
    if user.disabled { "disabled" } else { "active" }.into()
}

fn password_state(user: &User) -> String {
    match user.one_time_password_expires {
        Some(expires) => format!("one-time, until {}", when::with_distance(expires)),
        None => "the user's own".to_owned(),
    }
}
