//! The login of the whole machine, which a group's members use where they have none of their own.

use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Args;
use nix::unistd::{AccessFlags, Gid, Group, access};

use super::App;
use crate::{config::files, remote::Remote};

/// For `login`.
#[derive(Debug, Args)]
pub(super) struct LoginArguments {
    /// Log this machine in, for all members of a group; as root, with --token-file
    #[arg(long, conflicts_with_all = ["user", "password_file", "grant_file", "setup"])]
    machine: bool,
    /// The group whose members may sign with this machine's login (default: as before, at first root's)
    #[arg(long, value_name = "NAME", requires = "machine")]
    group: Option<String>,
}

impl LoginArguments {
    /// Where things are for the machine's login, if that is wanted; its folder is made, and given to the group.
    pub(super) fn prepare(&self, app: &App) -> anyhow::Result<Option<App>> {
        if !self.machine {
            return Ok(None);
        }
        let group = self.group.as_deref().map(find_group).transpose()?;
        let machine = change(app)?;
        files::make_shared_folder(machine.paths.config_folder(), group)?;
        Ok(Some(machine))
    }
}

/// Where things are for the machine's login, for a command that changes it.
pub(super) fn change(app: &App) -> anyhow::Result<App> {
    let paths = app.paths.of_machine();
    let folder = paths.config_folder();
    // Before anything is asked of the server.
    if folder.exists() && access(folder, AccessFlags::W_OK).is_err() {
        bail!("you can't change this machine's login, which lies in {}: run this as root", folder.display());
    }
    Ok(App { remote: Remote::open(&paths)?, gnupg: app.gnupg.clone(), claims: app.claims.clone(), paths })
}

/// Who may use the machine's login: the group of its folder, as a person knows it.
pub(super) fn group_name(folder: &Path) -> anyhow::Result<String> {
    use std::os::unix::fs::MetadataExt as _;

    let facts = std::fs::metadata(folder).with_context(|| folder.display().to_string())?;
    let group = Gid::from_raw(facts.gid());
    Ok(Group::from_gid(group).ok().flatten().map_or_else(|| group.to_string(), |group| group.name))
}

fn find_group(name: &str) -> anyhow::Result<Gid> {
    match Group::from_name(name).context("can't look the group up")? {
        Some(group) => Ok(group.gid),
        None => bail!("there is no group {name}; `groupadd {name}` makes one"),
    }
}
