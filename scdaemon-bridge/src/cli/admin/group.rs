//! `sealcard admin group`.

use clap::Subcommand;
use sealcard_api::admin::{Group, GroupAccess, GroupChange, GroupMember, NewGroup};
use serde::Serialize;

use super::{NO_BODY, access};
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
    /// All groups
    List,
    /// One group: its members, and the roles that it gives them
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
            line(format!("{} is in the group {} now.", clean(&member), clean(&group)));
            Ok(())
        }
        Command::RemoveMember { group, member } => {
            remote.delete(&path(&["groups", &group, "members", &member]), NO_BODY).await?;
            line(format!("{} is not in the group {} any more.", clean(&member), clean(&group)));
            Ok(())
        }
        Command::Rename { name, new_name } => {
            let change = GroupChange { name: new_name };
            let group: Group = remote.patch(&path(&["groups", &name]), &change).await?;
            show(json, &group, |group| {
                line(format!("The group {} is named {} now.", clean(&name), clean(&group.name)));
            })
        }
        Command::Remove { name, yes } => {
            yes.confirm(&format!("Remove the group {} and the roles that it gives?", clean(&name)))?;
            remote.delete(&path(&["groups", &name]), NO_BODY).await?;
            line(format!("Removed the group {}.", clean(&name)));
            Ok(())
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
