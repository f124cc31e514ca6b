//! `sealcard admin project`.

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use sealcard_api::admin::{MemberKind, NewProject, Project, ProjectMember, ProjectRole};

use crate::{
    cli::{
        App,
        output::{clean, facts, line, show, table},
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
    /// All projects
    List,
    /// One project, with its members
    Show {
        /// Name or id
        name: String,
    },
    /// Give someone a role
    #[command(after_help = "\
Roles (none contains another; one may have several):
  owner     manages the project's members and keys
  key-user  uses the project's keys
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
    #[arg(long, value_parser = PossibleValuesParser::new(ProjectRole::ALL.map(ProjectRole::name)))]
    role: String,
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
        let role = ProjectRole::ALL.into_iter().find(|role| role.name() == self.role);
        let role = role.ok_or_else(|| anyhow::anyhow!("unknown role {}", self.role))?;
        let principal = self.who.user.as_ref().or(self.who.service_account.as_ref());
        let (kind, name) = match (principal, &self.who.group) {
            (Some(name), _) => (MemberKind::Principal, name),
            (None, Some(name)) => (MemberKind::Group, name),
            (None, None) => anyhow::bail!("say who: --user, --service-account or --group"),
        };
        Ok(ProjectMember { kind, name: name.clone(), role })
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
            show(json, &projects, |projects| {
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
            show(json, &project, print)
        }
        Command::AddMember(arguments) => {
            let member = arguments.member()?;
            remote.put(&path(&["projects", &arguments.project, "members"]), Some(&member)).await?;
            line(format!("{} is {} in {} now.", clean(&member.name), member.role.name(), clean(&arguments.project)));
            Ok(())
        }
        Command::RemoveMember(arguments) => {
            let member = arguments.member()?;
            remote.delete(&path(&["projects", &arguments.project, "members"]), Some(&member)).await?;
            line(format!(
                "{} is not {} in {} any more.",
                clean(&member.name),
                member.role.name(),
                clean(&arguments.project)
            ));
            Ok(())
        }
    }
}

fn print(project: &Project) {
    facts(&[
        ("name", project.name.clone()),
        ("id", project.id.to_string()),
        ("description", project.description.clone()),
        ("since", project.created.to_string()),
    ]);
    line("");
    let rows: Vec<_> = project
        .members
        .iter()
        .map(|member| {
            let kind = match member.kind {
                MemberKind::Principal => "user or service account",
                MemberKind::Group => "group",
            };
            [member.name.clone(), kind.into(), member.role.name().into()]
        })
        .collect();
    table(["MEMBER", "KIND", "ROLE"], &rows, "The project has no members.");
}
