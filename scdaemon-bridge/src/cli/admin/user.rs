//! `sealcard admin user`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Subcommand, ValueHint};
use sealcard_api::{
    admin::{NewUser, User, UserChange},
    grants::SecretText,
};
use secrecy::ExposeSecret as _;

use super::{NO_BODY, yes_no};
use crate::{
    cli::{
        App, ask,
        output::{clean, facts, line, show, table},
        pages,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user; asks for the password
    Add {
        /// The name used at login
        name: String,
        /// Let the user administer the server
        #[arg(long)]
        administrator: bool,
        /// Read the password from the first line of this file (- for standard input)
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        password_file: Option<PathBuf>,
    },
    /// All users
    List,
    /// One user
    Show {
        /// Name or id
        name: String,
    },
    /// Change a user's password or rights, or disable the user
    #[command(after_help = "A new password and --disable end all logins of the user at once.")]
    Change {
        /// Name or id
        name: String,
        /// Ask for a new password
        #[arg(long, conflicts_with = "password_file")]
        password: bool,
        /// Read a new password from the first line of this file (- for standard input)
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        password_file: Option<PathBuf>,
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
        Command::Add { name, administrator, password_file } => {
            let password = new_password(&name, password_file)?;
            let user: User = remote.post(&path(&["users"]), &NewUser { name, password, administrator }).await?;
            show(json, &user, |user| line(format!("Added the user {}.", clean(&user.name))))
        }
        Command::List => {
            let users: Vec<User> = pages::all(remote, &path(&["users"]), &[]).await?;
            show(json, &users, |users| {
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
        Command::Change { name, password, password_file, administrator, disable, enable } => {
            let password = match (password, password_file) {
                (false, None) => None,
                (_, file) => Some(new_password(&name, file)?),
            };
            let disabled = (disable || enable).then_some(disable);
            let change = UserChange { password, administrator, disabled };
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

fn new_password(name: &str, file: Option<PathBuf>) -> anyhow::Result<SecretText> {
    let password = match file {
        Some(file) => ask::secret_from_file(&file)?,
        None if ask::can_ask() => ask::new_password(name)?,
        None => bail!("nobody can be asked for the password here: use --password-file"),
    };
    Ok(SecretText(password.expose_secret().to_owned()))
}

fn print(user: &User) {
    facts(&[
        ("name", user.name.clone()),
        ("id", user.id.to_string()),
        ("administrator", yes_no(user.administrator).into()),
        ("state", state(user)),
        ("since", user.created.to_string()),
    ]);
}

fn state(user: &User) -> String {
    if user.disabled { "disabled" } else { "active" }.into()
}
