//! A PostgreSQL cluster of a test's own, made from the installed programs, that ends with the value that holds it.
//!
//! `initdb` takes a second or two, so each machine does it once and tests copy its result. It listens on a Unix socket
//! in a folder of its own and nowhere else; whoever can reach the socket is let in.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User},
};
use tempfile::TempDir;

/// The role that owns everything in the cluster.
const ROLE: &str = "sealcard";

/// A role that owns nothing.
const SERVER_ROLE: &str = "sealcard_server";

const START: Duration = Duration::from_secs(30);

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    bin: PathBuf,
    postmaster: Option<Child>,
}

impl Cluster {
    /// Starts one with an empty database.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start; the message holds its log.
    pub fn start() -> Result<Self> {
        let cluster = Self::start_from(&template(&programs()?)?)?;
        must(&mut cluster.client("createdb", &[ROLE]))?;
        must(&mut cluster.client("createuser", &[SERVER_ROLE]))?;
        Ok(cluster)
    }

    /// Starts one on a copy of a data folder that [`Self::save`] has made.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_from(data: &Path) -> Result<Self> {
        let bin = programs()?;
        let folder = tempfile::Builder::new().prefix("sealcard-pg-").tempdir()?;
        // The server runs as another user, who must get through here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        must(Command::new("cp").arg("-a").arg("--").arg(data).arg(folder.path().join("data")))?;
        let mut cluster = Self { folder, bin, postmaster: None };
        cluster.own(&cluster.socket_folder(), true)?;
        cluster.start_again()?;
        Ok(cluster)
    }

    /// Stops it in order and copies its data folder to `target`, which does not exist.
    ///
    /// # Errors
    /// If it can't be stopped or copied.
    pub fn save(mut self, target: &Path) -> Result<()> {
        self.end(Signal::SIGINT)?;
        must(Command::new("cp").arg("-a").arg("--").arg(self.folder.path().join("data")).arg(target))
    }

    /// The database's address, as its owner.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(ROLE)
    }

    /// The database's address, as the role [`Self::server_role`].
    #[must_use]
    pub fn server_url(&self) -> String {
        self.url_of(SERVER_ROLE)
    }

    /// The name of a role that owns nothing and may do nothing yet.
    #[must_use]
    pub fn server_role(&self) -> &'static str {
        SERVER_ROLE
    }

    fn url_of(&self, role: &str) -> String {
        format!("postgres:///{ROLE}?user={role}&host={}", self.socket_folder().display())
    }

    /// The folder of its files.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs SQL on the database as nobody should, and returns what it prints.
    ///
    /// # Errors
    /// If the SQL fails.
    pub fn sql(&self, sql: &str) -> Result<String> {
        let output = self
            .client("psql", &["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", ROLE, "-c", sql])
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("{sql}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Stops it as a crash does. Clients see their connections break.
    ///
    /// # Errors
    /// If it does not end.
    pub fn crash(&mut self) -> Result<()> {
        self.end(Signal::SIGQUIT)
    }

    /// Starts it, new or after a crash.
    ///
    /// # Errors
    /// If it does not start; the message holds its log.
    pub fn start_again(&mut self) -> Result<()> {
        let data = self.folder.path().join("data");
        let log = self.folder.path().join("log");
        let mut command = as_database_user(&self.bin.join("postgres"))?;
        command.arg("-D").arg(&data).arg("-k").arg(self.socket_folder());
        command.args(["-c", "listen_addresses=", "-c", "shared_buffers=16MB", "-c", "max_connections=60"]);
        let output = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).current_dir("/");
        let mut postmaster = command.spawn().context("starting PostgreSQL")?;
        let deadline = Instant::now() + START;
        let ready = loop {
            let ask = self.client("pg_isready", &["-q"]).status()?;
            if ask.success() {
                break true;
            }
            if postmaster.try_wait()?.is_some() || Instant::now() > deadline {
                break false;
            }
            thread::sleep(Duration::from_millis(20));
        };
        self.postmaster = Some(postmaster);
        if !ready {
            bail!("PostgreSQL did not start:\n{}", fs::read_to_string(log).unwrap_or_default());
        }
        Ok(())
    }

    fn socket_folder(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn client(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.arg("-h").arg(self.socket_folder()).args(["-U", ROLE]).args(arguments);
        command
    }

    fn own(&self, folder: &Path, make: bool) -> Result<()> {
        if make {
            fs::create_dir(folder)?;
        }
        if let Some(user) = database_user()? {
            chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(())
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(postmaster.id())?), signal)?;
        postmaster.wait()?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nothing of it is used again.
        let _ = self.end(Signal::SIGQUIT);
    }
}

/// Where the newest installed release has its programs.
fn programs() -> Result<PathBuf> {
    let newest = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .max();
    newest.context("PostgreSQL is not installed: install the Debian package postgresql")
}

/// An initialised data folder, made by the first who asks.
fn template(bin: &Path) -> Result<PathBuf> {
    let version = bin.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let store = std::env::temp_dir().join(format!("sealcard-postgres-{version}-{}", Uid::current()));
    if fs::create_dir(&store).is_ok() {
        fs::set_permissions(&store, fs::Permissions::from_mode(0o755))?;
    }
    let lock = File::options().create(true).append(true).open(store.join("lock"))?;
    lock.lock()?;
    let ready = store.join("data");
    if !ready.exists() {
        let partial = store.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir(&partial)?;
        if let Some(user) = database_user()? {
            chown(&partial, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let mut initdb = as_database_user(&bin.join("initdb"))?;
        initdb.arg("-D").arg(partial.join("data")).args(["-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]);
        must(initdb.current_dir("/"))?;
        fs::rename(partial.join("data"), &ready)?;
    }
    lock.unlock()?;
    Ok(ready)
}

/// PostgreSQL refuses to run as root: then it runs as the user that its package makes.
fn database_user() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    Ok(Some(User::from_name("postgres")?.context("there is no user postgres: install the Debian package postgresql")?))
}

fn as_database_user(program: &Path) -> Result<Command> {
    let mut command = Command::new("setpriv");
    // It must not outlive a test that is killed.
    command.args(["--pdeathsig", "QUIT"]);
    if let Some(user) = database_user()? {
        let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
        command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]);
    }
    command.arg("--").arg(program);
    Ok(command)
}

fn must(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
