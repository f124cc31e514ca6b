//! `sealcard admin user`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{
    Args, Subcommand, ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
};
use sealcard_api::{
    Timestamp,
    admin::{NewUser, OneTimePassword, PrincipalAccess, Project, ProjectMember, User, UserAdded, UserChange},
    grants::{GrantInfo, SecretText},
    roles::{MemberKind, ProjectRole, SystemRole},
};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::named;
use crate::{
    cli::{
        App,
        ask::{self, Yes},
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

const SYSTEM_ROLES: &str = "\
System roles (none contains another; one may have several):
  administrator     manages the server, its projects and keys
  security-officer  reads everything, applies rules and templates,
                    disables keys, ends logins
  auditor           reads everything, changes nothing";

#[derive(Debug, Args)]
pub(super) struct PasswordArguments {
    /// Set the password in the first line of this file (- for standard input), for good, instead of making a one-time
    /// one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<PathBuf>,
    /// Write the one-time password to this new file (mode 0600) instead of showing it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "password_file")]
    output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user, and print a one-time password for the first login
    #[command(after_help = format!("{ONE_TIME}\n\n{SYSTEM_ROLES}"))]
    Add {
        /// The name used at login
        name: String,
        /// Give the user a system role; may be repeated
        #[arg(long = "system-role", value_name = "ROLE", value_parser = system_role())]
        system_roles: Vec<SystemRole>,
        /// Where the user gets notices
        #[arg(long, value_name = "ADDRESS", value_hint = ValueHint::EmailAddress)]
        email: Option<String>,
        #[command(flatten)]
        first_role: FirstRole,
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
    /// List all users
    List,
    /// Show a user: groups, roles, keys and logins
    Show {
        /// Name or id
        name: String,
    },
    /// Change a user's system roles or e-mail address
    #[command(after_help = SYSTEM_ROLES)]
    Change {
        /// Name or id
        name: String,
        /// Give this system role; may be repeated
        #[arg(long = "system-role", value_name = "ROLE", value_parser = system_role())]
        add_roles: Vec<SystemRole>,
        /// Take this system role away; may be repeated
        #[arg(long = "no-system-role", value_name = "ROLE", value_parser = system_role())]
        remove_roles: Vec<SystemRole>,
        /// Send the user's notices to this e-mail address
        #[arg(long, value_name = "ADDRESS", value_hint = ValueHint::EmailAddress, conflicts_with = "no_email")]
        email: Option<String>,
        /// Send the user no notices by mail any more
        #[arg(long)]
        no_email: bool,
    },
    /// Give a user another name, also for the login
    Rename {
        /// Name or id
        name: String,
        /// The new name
        new_name: String,
    },
    /// Refuse a user from the next request on, and end their logins
    Disable {
        /// Name or id
        name: String,
    },
    /// Let a user in again
    Enable {
        /// Name or id
        name: String,
    },
    /// Remove a user, and every login of theirs
    Remove {
        /// Name or id
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// A role that a new user gets at once.
#[derive(Debug, Args)]
pub(super) struct FirstRole {
    /// Give the user a role in this project at once
    #[arg(long, value_name = "NAME", requires = "role")]
    project: Option<String>,
    /// The role
    #[arg(long, requires = "project", value_parser = super::project::role())]
    role: Option<ProjectRole>,
}

/// Reads a system role. clap lists the values and suggests the nearest.
fn system_role() -> impl TypedValueParser<Value = SystemRole> {
    PossibleValuesParser::new(SystemRole::ALL.map(SystemRole::name))
        .try_map(|name| SystemRole::ALL.into_iter().find(|role| role.name() == name).ok_or("there is no such role"))
}

/// A user with what belongs to the user.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    user: User,
    #[serde(flatten)]
    access: PrincipalAccess,
    logins: Vec<GrantInfo>,
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    match command {
        Command::Add {
            name,
            system_roles: roles,
            email,
            first_role,
            password: PasswordArguments { password_file, output },
        } => {
            first_role.check(app).await?;
            let (password, output) = prepare(password_file, output)?;
            let new = NewUser { name, password, roles, email };
            let added: UserAdded = remote.post(&path(&["users"]), &new).await?;
            let name = clean(&added.user.name);
            match &added.one_time_password {
                None => show(json, &added, |_| line(format!("Added the user {name}.")))?,
                Some(issued) => {
                    if !json {
                        note(format!("Added the user {name}."));
                    }
                    hand_over(&name, issued, output, json.then_some(&added))?;
                }
            }
            // Behind the password, which is shown this once even if the role can't be given.
            first_role.give(app, added.user.name).await
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
                    .map(|user| [user.name.clone(), roles(user), state(user), user.created.to_string()])
                    .collect();
                table(["NAME", "SYSTEM ROLES", "STATE", "CREATED"], &rows, "There are no users.");
            })
        }
        Command::Show { name } => {
            let user: User = remote.get(&path(&["users", &name])).await?;
            let access: PrincipalAccess = remote.get(&path(&["users", &name, "access"])).await?;
            let logins = super::grant::valid(app, name).await?;
            show(json, &Shown { user, access, logins }, |Shown { user, access, logins }| {
                print(user);
                super::access::print(access);
                line("");
                super::grant::print(logins, Timestamp::now(), "No valid logins.");
            })
        }
        Command::Change { name, add_roles, remove_roles, email, no_email } => {
            let email = email.or_else(|| no_email.then(String::new));
            let change = UserChange { add_roles, remove_roles, email, ..UserChange::default() };
            if change == UserChange::default() {
                bail!("say what to change; see `sealcard admin user change --help`");
            }
            let user: User = remote.patch(&path(&["users", &name]), &change).await?;
            show(json, &user, |user| {
                line(format!("Changed the user {}.", clean(&user.name)));
                print(user);
            })
        }
        Command::Rename { name, new_name } => named::rename::<User>(app, &name, new_name, json).await,
        Command::Disable { name } => named::set_disabled::<User>(app, &name, true, json).await,
        Command::Enable { name } => named::set_disabled::<User>(app, &name, false, json).await,
        Command::Remove { name, yes } => {
            named::remove::<User>(app, &name, " and every login of theirs", yes, json).await
        }
    }
}

impl FirstRole {
    /// Fails before the user is added if there is no such project.
    async fn check(&self, app: &App) -> anyhow::Result<()> {
        if let Some(project) = &self.project {
            app.remote.get::<Project>(&path(&["projects", project])).await?;
        }
        Ok(())
    }

    async fn give(self, app: &App, name: String) -> anyhow::Result<()> {
        let (Some(project), Some(role)) = (self.project, self.role) else { return Ok(()) };
        let member = ProjectMember { kind: MemberKind::User, name, role };
        app.remote.put(&path(&["projects", &project, "members"]), Some(&member)).await?;
        note(format!("{} is {} in {} now.", clean(&member.name), role.name(), clean(&project)));
        Ok(())
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
            note(format!("One-time password of {name}, valid until {until}.\nIt is shown this once:"));
            line(clean(&issued.password.0));
        }
    }
    note(format!("{name} runs `sealcard login`, which asks for a new password."));
    Ok(())
}

fn print(user: &User) {
    facts(&[
        ("name", user.name.clone()),
        ("id", user.id.to_string()),
        ("system roles", roles(user)),
        ("state", state(user)),
        ("created", user.created.to_string()),
        ("password", password_state(user)),
        ("e-mail", user.email.clone().unwrap_or_else(|| "none".to_owned())),
    ]);
}

fn roles(user: &User) -> String {
    let names: Vec<&str> = user.roles.iter().map(|role| role.name()).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
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
