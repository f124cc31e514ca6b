//! A data folder with a user, a project and a key of each algorithm, made once for each build of the programs.
//!
//! An RSA-4096 certificate takes seconds to make; tests copy it and start a server of their own on the copy.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use sealcard_test_cluster::Cluster;

use crate::{
    Admin, Binaries, DatabaseKind, Facts, Scratch, ServerBuilder, StoreKind, Token,
    database::{database_arguments, prepare_database},
    provision, run,
    tokens::{ENVIRONMENT, TOKEN_LABEL},
};

/// The data folder and what is in it.
#[derive(Debug)]
pub struct Template {
    folder: PathBuf,
    database: DatabaseKind,
    store: StoreKind,
    /// What is in the data folder.
    pub facts: Facts,
}

impl Template {
    /// The template of these programs; made now if this is the first who asks.
    ///
    /// # Errors
    /// It can't be made.
    pub fn get(binaries: &Binaries, database: DatabaseKind, store: StoreKind) -> Result<Self> {
        // Each kind of build has its own: those of older builds of the same kind are removed.
        let name = binaries.folder().file_name().context("the programs' folder has no name")?;
        let shelf = binaries.folder().with_file_name("templates").join(name);
        fs::create_dir_all(&shelf)?;
        let identity = format!("{:016x}", binaries.identity()?);
        let folder = shelf.join(format!("{identity}-{database}-{store}"));
        let lock = File::options().create(true).append(true).open(shelf.join("lock"))?;
        // Held by one process at a time; the others wait here instead of making it too.
        lock.lock()?;
        if !folder.join("facts.json").exists() {
            // Those of older builds serve nobody any more.
            for old in fs::read_dir(&shelf)?.flatten().filter(|entry| entry.path().is_dir()) {
                let complete = old.path().join("facts.json").exists();
                if !complete || !old.file_name().to_string_lossy().starts_with(&identity) {
                    fs::remove_dir_all(old.path())?;
                }
            }
            make(binaries, &folder, database, store).context("making the template of the data folder")?;
        }
        lock.unlock()?;
        let facts = serde_json::from_slice(&fs::read(folder.join("facts.json"))?)?;
        Ok(Self { folder, database, store, facts })
    }

    /// Starts a cluster on a copy of the template's, if the template is one for PostgreSQL.
    ///
    /// # Errors
    /// It does not start.
    pub fn cluster(&self) -> Result<Option<Cluster>> {
        match self.database {
            DatabaseKind::Sqlite => Ok(None),
            DatabaseKind::Postgres => Ok(Some(Cluster::start_from(&self.folder.join("cluster"))?)),
        }
    }

    /// Copies the data folder to `target`, which does not exist yet.
    ///
    /// # Errors
    /// It can't be copied.
    pub fn copy_to(&self, target: &Path) -> Result<()> {
        copy_folder(&self.folder.join("data"), target)
    }

    /// Copies the token to `target`, which does not exist yet, if the keys are on one.
    ///
    /// # Errors
    /// It can't be copied.
    pub fn copy_token_to(&self, target: &Path) -> Result<Option<Token>> {
        let Some(kind) = self.store.token() else {
            return Ok(None);
        };
        copy_folder(&self.folder.join("token"), target)?;
        Ok(Some(Token::open(kind, target, TOKEN_LABEL)?))
    }
}

/// Copies a folder with all modes.
pub(crate) fn copy_folder(source: &Path, target: &Path) -> Result<()> {
    run(Command::new("cp").args(["-a", "--"]).arg(source).arg(target), Duration::from_secs(30))?.success()?;
    Ok(())
}

fn make(binaries: &Binaries, folder: &Path, database: DatabaseKind, store: StoreKind) -> Result<()> {
    let scratch = Scratch::new()?;
    let data = scratch.path().join("data");
    let mut facts = Facts::new();
    let password = scratch.file("password", &facts.admin_password)?;
    let cluster = database.cluster()?;
    let builder = ServerBuilder::new(binaries, &scratch, &data);
    let url = cluster.as_ref().map(Cluster::server_url);
    if let Some(cluster) = &cluster {
        prepare_database(binaries, cluster, &[])?;
    }
    builder.init(&password, &database_arguments(url.as_deref()))?;
    let token = scratch.path().join("token");
    if let Some(kind) = store.token() {
        let config = scratch.file("token.toml", Token::create(kind, &token, TOKEN_LABEL)?.config())?;
        builder.add_token(ENVIRONMENT, &config)?;
    }
    let mut server = builder.start()?;
    let mut admin = Admin::login(binaries, &scratch, &server, &facts)?;
    if store.token().is_some() {
        admin = admin.with_environment(ENVIRONMENT);
        admin.wait_for_environment(ENVIRONMENT)?;
    }
    provision(&admin, &mut facts, &store.algorithms(), &|_| ())?;
    server.stop()?;
    fs::create_dir_all(folder)?;
    if store.token().is_some() {
        copy_folder(&token, &folder.join("token"))?;
    }
    copy_folder(&data, &folder.join("data"))?;
    if let Some(cluster) = cluster {
        cluster.save(&folder.join("cluster"))?;
    }
    // Written last: its presence says that the template is complete.
    fs::write(folder.join("facts.json"), serde_json::to_vec_pretty(&facts)?)?;
    Ok(())
}
