//! `sealcard admin group`.

use clap::Subcommand;
use sealcard_api::admin::{Group, NewGroup};

use super::NO_BODY;
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
    /// Add a group without members
    Add {
        /// Its name
        name: String,
    },
    /// All groups
    List,
    /// One group
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
    /// Remove a group, and the roles that it gave
    Remove {
        /// Name or id
        name: String,
    },
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
            show(json, &groups, |groups| {
                let rows: Vec<_> = groups.iter().map(|group| [group.name.clone(), group.members.join(", ")]).collect();
                table(["NAME", "MEMBERS"], &rows, "There are no groups.");
            })
        }
        Command::Show { name } => {
            let group: Group = remote.get(&path(&["groups", &name])).await?;
            show(json, &group, |group| {
                facts(&[
                    ("name", group.name.clone()),
                    ("id", group.id.to_string()),
                    ("members", group.members.join(", ")),
                    ("since", group.created.to_string()),
                ]);
            })
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
        Command::Remove { name } => {
            remote.delete(&path(&["groups", &name]), NO_BODY).await?;
            line(format!("Removed the group {}.", clean(&name)));
            Ok(())
        }
    }
}
