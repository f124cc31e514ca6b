//! `sealcard-server backup` and `sealcard-server restore`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use nix::unistd::geteuid;

use super::{
    Data,
    installed::{Instance, SIGNERS as OWN_SIGNERS},
    output,
};
use crate::{
    backup::{self, BackedUp, Backup, Owners, Sources, Targets},
    config::Config,
    signers::{Place, discover},
};

/// Back up the server while it runs
///
/// Makes the folder OUT, for its owner alone, with the database as it is at one moment, the configuration, the
/// certificates, and the signers' folders with their journals. What opens the keys is left out and named: keep it in
/// another place. A manifest holds the SHA-256 of each file.
///
/// With PostgreSQL, run pg_dump first: the backup has all but the database then.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealcard-server backup /var/backups/sealcard-monday
  tar -C /var/backups -c sealcard-monday | gpg --encrypt \\
    --recipient backups@example.org --output monday.tar.gpg")]
pub(super) struct Make {
    #[command(flatten)]
    data: Data,
    /// The folder to make; it must not exist
    #[arg(value_name = "OUT", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// The folder with the folders of signers that run as their own user [default: /var/lib/sealcard-signer, if an
    /// environment has such a signer]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    signers: Option<PathBuf>,
}

/// Restore a backup into an empty place
///
/// Compares each file with the backup's manifest first. Then it puts all files into their places, or none: an existing
/// server is never changed. Run by root, it gives the files to the users that server and signers run as.
///
/// Make sure that the old server never starts again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealcard-server restore /var/backups/sealcard-monday
  sealcard-server restore /var/backups/sealcard-monday --check")]
pub(super) struct Restore {
    #[command(flatten)]
    data: Data,
    /// The folder that `sealcard-server backup` made
    #[arg(value_name = "BACKUP", value_hint = ValueHint::DirPath)]
    backup: PathBuf,
    /// Where the folders of signers that run as their own user are put
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = OWN_SIGNERS)]
    signers: PathBuf,
    /// Compare the files with the manifest, and restore nothing
    #[arg(long)]
    check: bool,
    /// The user that the server runs as; used if root restores
    #[arg(long, value_name = "NAME", default_value = "sealcard")]
    user: String,
    /// The user of all signers that run as their own users; used if root restores [default: sealcard-ENVIRONMENT,
    /// created if it is missing]
    #[arg(long, value_name = "NAME")]
    signer_user: Option<String>,
}

impl Make {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let given = &self.data.data;
        let data = given.canonicalize().with_context(|| format!("--data {}", given.display()))?;
        let out = without_links(&self.out)?;
        let config = Config::load(&data)
            .with_context(|| format!("{} can't be used (has it a server? see --data)", data.display()))?;
        let environments = discover(&data.join("signer")).context("can't read the folder signer")?;
        let apart = environments.iter().any(|found| matches!(found.place, Place::Socket(_)));
        let own = self.signers.or_else(|| apart.then(|| PathBuf::from(OWN_SIGNERS)));
        let own = own.map(|folder| folder.canonicalize().with_context(|| format!("--signers {}", folder.display())));
        let own = own.transpose()?;
        let database = if config.database.url.is_some() { BackedUp::Postgres } else { BackedUp::Sqlite };
        let sources = Sources { data: &data, own_signers: own.as_deref(), database };
        let mut made = backup::make(&sources, &out, output::note)?;
        made.left_out.extend(files_elsewhere(&config, &data));
        for found in environments.iter().filter(|found| matches!(found.place, Place::Socket(_))) {
            let folder = own.as_deref().unwrap_or(Path::new(OWN_SIGNERS)).join(&found.name);
            if !folder.is_dir() {
                output::note(&format!(
                    "warning: the signer {} has no folder {}: it is not in the backup (see --signers)",
                    found.name,
                    folder.display()
                ));
            }
        }
        let bytes: u64 = made.manifest.files.iter().map(|file| file.bytes).sum();
        let files = made.manifest.files.len();
        let size = output::mebibytes(bytes);
        output::line(format_args!("The backup is in {}: {files} files, {size}.", out.display()));
        match (&made.manifest.record, database) {
            (Some(head), _) => {
                output::line(format_args!("Its record ends with entry {}, {}.", head.sequence, head.hash))
            }
            (None, BackedUp::Sqlite) => output::line(format_args!("Its record has no entry.")),
            (None, BackedUp::Postgres) => {
                output::line(format_args!(
                    "It does not have the PostgreSQL database: keep the file of pg_dump with it."
                ));
            }
        }
        if !made.left_out.is_empty() {
            output::line(format_args!("\nNot in it; what opens the keys must be kept in another place:"));
            for path in &made.left_out {
                output::line(format_args!("  {}", shown(&path.to_string_lossy())));
            }
        }
        Ok(())
    }
}

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let data = std::path::absolute(&self.data.data).context("--data")?;
        let own_signers = std::path::absolute(&self.signers).context("--signers")?;
        output::note("comparing the files with the manifest");
        let folder = self.backup.canonicalize().with_context(|| self.backup.display().to_string())?;
        let backup = Backup::read(&folder)?;
        let manifest = &backup.manifest;
        let (files, created, release) = (manifest.files.len(), manifest.created, shown(&manifest.release));
        if self.check {
            output::line(format_args!("All {files} files are as release {release} made them at {created}."));
            return Ok(());
        }
        let owners = match geteuid().is_root() {
            true => Some(self.owners(&backup)?),
            false => None,
        };
        output::note("restoring");
        backup.restore(&Targets { data: &data, own_signers: &own_signers, owners })?;
        if geteuid().is_root() && own_signers == Path::new(OWN_SIGNERS) {
            for name in backup.own_signers() {
                Instance::new(name, PathBuf::new())?.allow_token()?;
            }
        }
        output::line(format_args!("The server of {created} is restored in {}.", data.display()));
        for name in backup.own_signers() {
            output::line(format_args!("Its signer {name} is restored in {}.", own_signers.join(name).display()));
        }
        report(manifest.database, &data);
        Ok(())
    }
}

impl Restore {
    fn owners(&self, backup: &Backup) -> anyhow::Result<Owners> {
        let server = backup::user(&self.user)?;
        let owner = |environment: &str| match &self.signer_user {
            Some(name) => Ok(backup::user(name)?),
            None => Instance::new(environment, PathBuf::new())?.make_user(),
        };
        let signers = backup.own_signers().into_iter().map(|name| Ok((name.to_owned(), owner(name)?)));
        Ok(Owners { server, signers: signers.collect::<anyhow::Result<_>>()? })
    }
}

/// Where a new folder will be: its parent may be named by links, which are not followed later.
fn without_links(new: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(new)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        anyhow::bail!("{} is no new folder", path.display());
    };
    let parent = parent.canonicalize().with_context(|| format!("the folder {}", parent.display()))?;
    Ok(parent.join(name))
}

/// Files that the configuration names and the backup does not have.
fn files_elsewhere(config: &Config, data: &Path) -> Vec<PathBuf> {
    let tls = [&config.tls.certificate, &config.tls.key].into_iter();
    let named = tls.chain(&config.database.password_file).chain(&config.database.ca_file).map(|path| data.join(path));
    named.filter(|path| path.parent() != Some(&data.join("tls")) && path.parent() != Some(data)).collect()
}

/// Without characters that a terminal acts on: others may have chosen the text.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn report(database: BackedUp, data: &Path) {
    output::line(format_args!("\nBefore you start it:"));
    output::line(format_args!("  1. Make sure that the old server never starts again."));
    output::line(format_args!("  2. Put what opens the keys into its place: key files, token PINs."));
    if database == BackedUp::Postgres {
        output::line(format_args!("     Restore the PostgreSQL database with pg_restore, and its password file."));
    }
    output::line(format_args!("  3. Check it: sealcard-server config check --data {}", data.display()));
    output::line(format_args!("\nAfter it has started, compare the record with the journals:"));
    output::line(format_args!("  sealcard admin record verify"));
}
