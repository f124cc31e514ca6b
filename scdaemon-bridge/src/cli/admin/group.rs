//! `sealcard admin group`.

use clap::Subcommand;
use sealcard_api::admin::{Group, GroupAccess, GroupMember, NewGroup};
use serde::Serialize;

use super::{NO_BODY, access, named};
use crate::{
    cli::{
        App,
        ask::Yes,
        output::{clean, facts, line, show, table},
        pages,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a group without members
    Add {
        /// Its name
        name: String,
    },
    /// List all groups
    List,
    /// Show a group: its members, and the roles that it gives them
    Show {
        /// Name or id
        name: String,
    },
    /// Put a user or service account into a group
    AddMember {
        /// The group's name or id
        group: String,
        /// The user's or service account's name or id
        member: String,
    },
    /// Take a user or service account out of a group
    RemoveMember {
        /// The group's name or id
        group: String,
        /// The user's or service account's name or id
        member: String,
    },
    /// Give a group another name
    Rename {
        /// Name or id
        name: String,
        /// The new name
        new_name: String,
    },
    /// Remove a group, and the roles that it gave
    Remove {
        /// Name or id
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// A group with what it gives.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    group: Group,
    #[serde(flatten)]
    access: GroupAccess,
}

/// Who was put into a group, or taken out of it.
#[derive(Debug, Serialize)]
struct Membership {
    group: String,
    member: String,
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    match command {
        Command::Add { name } => {
            let group: Group = remote.post(&path(&["groups"]), &NewGroup { name }).await?;
            show(json, &group, |group| line(format!("Added the group {}.", clean(&group.name))))
        }
        Command::List => {
            let groups: Vec<Group> = pages::all(remote, &path(&["groups"]), &[]).await?;
            super::show_list(json, "groups", &groups, |groups| {
                let rows: Vec<_> = groups.iter().map(|group| [group.name.clone(), names(&group.members)]).collect();
                table(["NAME", "MEMBERS"], &rows, "There are no groups.");
            })
        }
        Command::Show { name } => {
            let group: Group = remote.get(&path(&["groups", &name])).await?;
            let access: GroupAccess = remote.get(&path(&["groups", &name, "access"])).await?;
            show(json, &Shown { group, access }, print)
        }
        Command::AddMember { group, member } => {
            remote.put(&path(&["groups", &group, "members", &member]), NO_BODY).await?;
            show(json, &Membership { group, member }, |Membership { group, member }| {
                line(format!("{} is in the group {} now.", clean(member), clean(group)));
            })
        }
        Command::RemoveMember { group, member } => {
            remote.delete(&path(&["groups", &group, "members", &member]), NO_BODY).await?;
            show(json, &Membership { group, member }, |Membership { group, member }| {
                line(format!("{} is not in the group {} any more.", clean(member), clean(group)));
            })
        }
        Command::Rename { name, new_name } => named::rename::<Group>(app, &name, new_name, json).await,
        Command::Remove { name, yes } => {
            named::remove::<Group>(app, &name, " and the roles that it gives", yes, json).await
        }
    }
}

fn names(members: &[GroupMember]) -> String {
    members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn print(Shown { group, access }: &Shown) {
    facts(&[("name", group.name.clone()), ("id", group.id.to_string()), ("created", group.created.to_string())]);
    line("");
    let rows: Vec<_> =
        group.members.iter().map(|member| [member.name.clone(), member.kind.name().to_owned()]).collect();
    table(["MEMBER", "KIND"], &rows, "The group has no members.");
    line("");
    access::print_roles(&access.roles, "The group gives no roles.");
}
