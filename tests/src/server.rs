//! `sealcard-server` as a process of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::{Binaries, Daemon, Facts, Finished, Scratch, run, wait_until};

const START: Duration = Duration::from_secs(30);

/// How a server is to be started.
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    binaries: Binaries,
    data: PathBuf,
    log: PathBuf,
    address_file: PathBuf,
    listen: String,
    environment: Vec<(String, String)>,
}

impl ServerBuilder {
    /// A server of the data folder `data` inside `scratch`, on a free port of loopback.
    #[must_use]
    pub fn new(binaries: &Binaries, scratch: &Scratch, data: &Path) -> Self {
        let name = data.file_name().unwrap_or_default().to_string_lossy();
        Self {
            binaries: binaries.clone(),
            data: data.to_owned(),
            log: scratch.path().join(format!("{name}.log")),
            address_file: scratch.path().join(format!("{name}.address")),
            listen: "127.0.0.1:0".to_owned(),
            environment: Vec::new(),
        }
    }

    /// Sets an environment variable of the server.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(old, _)| old != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the data folder: `sealcard-server init`. Secrets are given by files.
    ///
    /// # Errors
    /// `init` failed.
    pub fn init(&self, admin_password: &Path, more: &[&str]) -> Result<Finished> {
        let mut command = self.command("init");
        command
            .args(["--trial", "--listen", "127.0.0.1:0", "--admin", Facts::ADMIN, "--admin-password-file"])
            .arg(admin_password);
        run(command.args(more), START)?.success()
    }

    /// Makes the data folder of one more server on the database of the one with the data folder `from`.
    ///
    /// # Errors
    /// `join` failed.
    pub fn join(&self, from: &Path) -> Result<Finished> {
        let mut command = self.command("join");
        run(command.args(["--listen", "127.0.0.1:0", "--from"]).arg(from), START)?.success()
    }

    /// Adds an environment whose keys are on the token that a `token.toml` describes.
    ///
    /// # Errors
    /// `environment add` failed.
    pub fn add_token(&self, name: &str, config: &Path) -> Result<Finished> {
        let mut command = self.command_of(&["environment", "add", name]);
        run(command.arg("--token-config").arg(config), START)?.success()
    }

    /// Starts it and waits until it accepts connections.
    ///
    /// # Errors
    /// It ended, or did not come up in time; the message holds its log.
    pub fn start(self) -> Result<Server> {
        fs::remove_file(&self.address_file).ok();
        let mut command = self.command("serve");
        command.args(["--listen", &self.listen, "--address-file"]).arg(&self.address_file);
        let mut daemon = Daemon::spawn(&command, &self.log)?;
        let url = wait_until("the server's address", START, || {
            if let Ok(address) = fs::read_to_string(&self.address_file) {
                return Ok(Some(address.trim().to_owned()));
            }
            match daemon.ended()? {
                Some(status) => bail!("sealcard-server ended ({status}):\n{}", daemon.log()),
                None => Ok(None),
            }
        });
        let url = url.with_context(|| format!("the server's log:\n{}", daemon.log()))?;
        Ok(Server { builder: self, daemon, url })
    }

    fn command(&self, verb: &str) -> Command {
        self.command_of(&[verb])
    }

    fn command_of(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.server());
        command.args(words).arg("--data").arg(&self.data).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A server that runs until this value is dropped.
#[derive(Debug)]
pub struct Server {
    builder: ServerBuilder,
    daemon: Daemon,
    url: String,
}

impl Server {
    /// Its address, such as `https://127.0.0.1:40001`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.builder.data
    }

    /// The certificate of its own certificate authority.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.builder.data.join("tls").join("ca.pem")
    }

    /// A command of `sealcard-server` on its data folder.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        self.builder.command_of(words)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The process ids of its signers: the keepers, then their workers.
    ///
    /// # Errors
    /// `/proc` can't be read.
    pub fn signers(&self) -> Result<Vec<u32>> {
        let keepers = children(self.pid())?;
        let mut workers = Vec::new();
        for keeper in &keepers {
            workers.extend(children(*keeper)?);
        }
        Ok([keepers, workers].concat())
    }

    /// Whether a signer of its data folder runs, also one whose server has died.
    ///
    /// # Errors
    /// `/proc` can't be read.
    pub fn signer_lives(&self) -> Result<bool> {
        let folder = self.signer_folder();
        let folder = folder.as_os_str().as_encoded_bytes();
        for entry in fs::read_dir("/proc")? {
            // Processes come and go meanwhile: one that can't be read is gone.
            let arguments = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
            if arguments.split(|byte| *byte == 0).any(|argument| argument == folder) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the signer the passphrase in a file, as an administrator does after each start.
    ///
    /// # Errors
    /// The signer does not take it.
    pub fn unseal(&self, passphrase_file: &str) -> Result<()> {
        let mut command = Command::new(self.builder.binaries.signer());
        command.arg("unseal").arg("--folder").arg(self.signer_folder()).args(["--passphrase-file", passphrase_file]);
        run(&mut command, START)?.success()?;
        Ok(())
    }

    fn signer_folder(&self) -> PathBuf {
        self.builder.data.join("signer").join("default")
    }

    /// All that it has logged, over its restarts too.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Stops it as an administrator does (SIGTERM).
    ///
    /// # Errors
    /// It was dead already, or does not end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.daemon.signal(Signal::SIGTERM)?;
        self.daemon.wait(Duration::from_secs(15))
    }

    /// Stops it as a power failure does (SIGKILL), with its signers: they see their socket close.
    ///
    /// # Errors
    /// Something of it goes on living.
    pub fn kill(&mut self) -> Result<()> {
        let signers = self.signers()?;
        self.daemon.kill()?;
        wait_for_end(&signers)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It goes on living.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.daemon.wait(deadline)
    }

    /// Starts it again at the same address, as it was started or with other environment variables.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start_again(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        let binaries = self.builder.binaries.clone();
        self.start_again_with(&binaries, environment)
    }

    /// Starts other programs in its place, at the same address.
    ///
    /// # Errors
    /// They do not come up.
    pub fn start_again_with(&mut self, binaries: &Binaries, environment: &[(&str, &str)]) -> Result<()> {
        let mut builder = self.builder.clone();
        builder.binaries = binaries.clone();
        // Where its database is does not change.
        builder.environment.retain(|(name, _)| name.starts_with("SEALCARD_SERVER_DATABASE"));
        builder.environment.extend(environment.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        self.url.trim_start_matches("https://").clone_into(&mut builder.listen);
        *self = builder.start()?;
        Ok(())
    }
}

/// The processes that a process has started.
fn children(pid: u32) -> Result<Vec<u32>> {
    let parent = format!("PPid:\t{pid}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        // Processes come and go meanwhile: one that can't be read is gone.
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        if status.lines().any(|line| line == parent) {
            found.extend(path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok()));
        }
    }
    Ok(found)
}

fn wait_for_end(pids: &[u32]) -> Result<()> {
    wait_until("the end of the signers", Duration::from_secs(10), || {
        let alive = |pid: &u32| {
            // A zombie waits for init to reap it; it does nothing any more.
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        };
        Ok((!pids.iter().any(alive)).then_some(()))
    })
}
