//! `sealcard admin project`.

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use sealcard_api::{
    admin::{NewProject, NotSeparated, Project, ProjectChange, ProjectMember, Separation},
    keys::Key,
    problem::ProblemCode,
    roles::{MemberKind, ProjectRole},
};
use serde::Serialize;

use super::named;
use crate::{
    cli::{
        App,
        ask::Yes,
        output::{clean, facts, line, show, table, warn},
        pages,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a project
    Add {
        /// Its name
        name: String,
        /// What it is for
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
    },
    /// List all projects
    List,
    /// Show a project: its members, their roles that must be separated, and its keys
    Show {
        /// Name or id
        name: String,
    },
    /// Change a project's description, or how it separates duties
    #[command(after_help = "\
With strict separation, a key user who has another role in the project,
directly or through a group, or a system role can't use its keys.
`sealcard admin project show` lists them.")]
    Change {
        /// Name or id
        name: String,
        /// What it is for
        #[arg(long, value_name = "TEXT", required_unless_present = "strict_separation")]
        description: Option<String>,
        /// Whether a key user may have no other role
        #[arg(long, value_name = "on|off", value_parser = on_or_off())]
        strict_separation: Option<bool>,
    },
    /// Give a project another name
    #[command(after_help = "Scripts and configurations that name keys by PROJECT/NAME need the new name then.")]
    Rename {
        /// Name or id
        name: String,
        /// The new name
        new_name: String,
    },
    /// Remove a project whose keys are all revoked or destroyed
    Remove {
        /// Name or id
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Give someone a role
    #[command(after_help = "\
Roles (none contains another; one may have several):
  owner     manages the project's members and keys
  key-user  uses the project's keys
  approver  decides on requests that wait for an approval
  auditor   reads the project's record")]
    AddMember(MemberArguments),
    /// Take a role away; it counts from the next request on
    RemoveMember(MemberArguments),
}

#[derive(Debug, Args)]
pub(super) struct MemberArguments {
    /// The project's name or id
    project: String,
    #[command(flatten)]
    who: Who,
    /// The role
    #[arg(long, value_parser = role())]
    role: ProjectRole,
}

/// Reads a role. clap lists the values and suggests the nearest.
pub(super) fn role() -> impl TypedValueParser<Value = ProjectRole> {
    PossibleValuesParser::new(ProjectRole::ALL.map(ProjectRole::name))
        .try_map(|name| ProjectRole::ALL.into_iter().find(|role| role.name() == name).ok_or("there is no such role"))
}

fn on_or_off() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["on", "off"]).map(|word| word == "on")
}

/// A project with its keys.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    project: Project,
    /// Key users with other roles. Absent if one may not see who can use the keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_separated: Option<Vec<NotSeparated>>,
    keys: Vec<Key>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// A user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A service account
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// A group: everyone in it
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

impl MemberArguments {
    fn member(&self) -> anyhow::Result<ProjectMember> {
        let Who { user, service_account, group } = &self.who;
        let (kind, name) = match (user, service_account, group) {
            (Some(name), ..) => (MemberKind::User, name),
            (_, Some(name), _) => (MemberKind::ServiceAccount, name),
            (.., Some(name)) => (MemberKind::Group, name),
            (None, None, None) => anyhow::bail!("say who: --user, --service-account or --group"),
        };
        Ok(ProjectMember { kind, name: name.clone(), role: self.role })
    }
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    match command {
        Command::Add { name, description } => {
            let project: Project = remote.post(&path(&["projects"]), &NewProject { name, description }).await?;
            show(json, &project, |project| line(format!("Added the project {}.", clean(&project.name))))
        }
        Command::List => {
            let projects: Vec<Project> = pages::all(remote, &path(&["projects"]), &[]).await?;
            super::show_list(json, "projects", &projects, |projects| {
                let rows: Vec<_> = projects
                    .iter()
                    .map(|project| {
                        [project.name.clone(), project.members.len().to_string(), project.description.clone()]
                    })
                    .collect();
                table(["NAME", "MEMBERS", "DESCRIPTION"], &rows, "There are no projects.");
            })
        }
        Command::Show { name } => {
            let project: Project = remote.get(&path(&["projects", &name])).await?;
            let not_separated = not_separated(app, &name).await?;
            let keys = pages::all(remote, &path(&["keys"]), &[("project", Some(name))]).await?;
            show(json, &Shown { project, not_separated, keys }, print)
        }
        Command::Change { name, description, strict_separation } => {
            let change = ProjectChange { description, strict_separation, name: None };
            let project: Project = remote.patch(&path(&["projects", &name]), &change).await?;
            show(json, &project, |project| line(format!("Changed the project {}.", clean(&project.name))))?;
            if strict_separation == Some(true) && !json {
                warn_of(not_separated(app, &name).await?.as_deref().unwrap_or_default());
            }
            Ok(())
        }
        Command::Rename { name, new_name } => named::rename::<Project>(app, &name, new_name, json).await,
        Command::Remove { name, yes } => {
            named::remove::<Project>(app, &name, " and its members' roles", yes, json).await
        }
        Command::AddMember(arguments) => {
            let member = arguments.member()?;
            remote.put(&path(&["projects", &arguments.project, "members"]), Some(&member)).await?;
            show(json, &member, |member| {
                let (name, project) = (clean(&member.name), clean(&arguments.project));
                line(format!("{name} is {} in {project} now.", member.role.name()));
            })
        }
        Command::RemoveMember(arguments) => {
            let member = arguments.member()?;
            remote.delete(&path(&["projects", &arguments.project, "members"]), Some(&member)).await?;
            show(json, &member, |member| {
                let (name, project) = (clean(&member.name), clean(&arguments.project));
                line(format!("{name} is not {} in {project} any more.", member.role.name()));
            })
        }
    }
}

/// Key users with other roles; none if one may not see who can use the keys.
async fn not_separated(app: &App, project: &str) -> anyhow::Result<Option<Vec<NotSeparated>>> {
    match app.remote.get::<Separation>(&path(&["projects", project, "separation"])).await {
        Ok(separation) => Ok(Some(separation.not_separated)),
        Err(error) if error.code() == Some(ProblemCode::Forbidden) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Names those who can't use the keys because of strict separation.
fn warn_of(not_separated: &[NotSeparated]) {
    for held in not_separated {
        let roles = held.roles.iter().map(|held| match &held.group {
            None => held.role.name().to_owned(),
            Some(group) => format!("{} through the group {group}", held.role.name()),
        });
        let system = held.system_roles.iter().map(|role| format!("the system role {}", role.name()));
        let roles: Vec<String> = roles.chain(system).collect();
        warn(format!("{} can't use the keys, having these roles: {}", clean(&held.name), clean(&roles.join(", "))));
    }
}

fn print(Shown { project, not_separated, keys }: &Shown) {
    facts(&[
        ("name", project.name.clone()),
        ("id", project.id.to_string()),
        ("description", project.description.clone()),
        ("separation", if project.strict_separation { "strict" } else { "not strict" }.to_owned()),
        ("created", project.created.to_string()),
    ]);
    line("");
    let rows: Vec<_> = project
        .members
        .iter()
        .map(|member| [member.name.clone(), member.kind.name().into(), member.role.name().into()])
        .collect();
    table(["MEMBER", "KIND", "ROLE"], &rows, "The project has no members.");
    line("");
    let rows: Vec<_> = keys
        .iter()
        .map(|key| [key.name.clone(), key.algorithm.to_string(), key.state.name().into(), key.fingerprint.to_string()])
        .collect();
    table(["KEY", "ALGORITHM", "STATE", "FINGERPRINT"], &rows, "The project has no keys.");
    if project.strict_separation {
        warn_of(not_separated.as_deref().unwrap_or_default());
    }
}
