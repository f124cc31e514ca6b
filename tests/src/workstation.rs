//! A person's machine: a home folder, a GnuPG home, and the commands run there.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{Binaries, Facts, Finished, Flavour, Scratch, Server, USER, run, run_with_input, wait_until};

/// Nothing that a test does with gpg takes this long, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A home folder with everything in it; its gpg-agent ends with this value.
#[derive(Debug)]
pub struct Workstation {
    binaries: Binaries,
    flavour: Flavour,
    scratch: PathBuf,
    home: PathBuf,
}

impl Workstation {
    /// A new home below the scratch folder. A pinentry that logs every call is set up, so that a test can prove that
    /// nobody was asked anything.
    ///
    /// # Errors
    /// It can't be made.
    pub fn new(binaries: &Binaries, scratch: &Scratch, name: &str, flavour: Flavour) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;

        let home = scratch.folder(name)?;
        let station = Self { binaries: binaries.clone(), flavour, scratch: scratch.path().to_owned(), home };
        scratch.folder(&format!("{name}/gnupg"))?;
        let pinentry = station.home.join("pinentry");
        fs::write(&pinentry, PINENTRY.replace("LOG", &station.pinentry_log().to_string_lossy()))?;
        fs::set_permissions(&pinentry, fs::Permissions::from_mode(0o700))?;
        let config = format!("pinentry-program {}\nenable-ssh-support\n", pinentry.display());
        fs::write(station.gnupg_home().join("gpg-agent.conf"), config)?;
        Ok(station)
    }

    /// Logs the playground's user in and sets GnuPG up, with one command.
    ///
    /// # Errors
    /// It failed.
    pub fn login(&self, server: &Server, facts: &Facts) -> Result<Finished> {
        self.login_as(server, USER, &facts.user_password, &["--setup"])
    }

    /// Logs someone in.
    ///
    /// # Errors
    /// It failed.
    pub fn login_as(&self, server: &Server, user: &str, password: &str, more: &[&str]) -> Result<Finished> {
        // The certificate goes to the workstation as a person would bring it there.
        let ca = self.home.join("ca.pem");
        fs::copy(server.ca(), &ca)?;
        let file = self.home.join("password");
        fs::write(&file, password)?;
        let mut command = self.sealcard(&["login", server.url(), "--user", user, "--password-file"]);
        let finished = run(command.arg(&file).arg("--ca-file").arg(ca).args(more), DEADLINE)?.success()?;
        fs::remove_file(file)?;
        Ok(finished)
    }

    /// The home folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// `GNUPGHOME`.
    #[must_use]
    pub fn gnupg_home(&self) -> PathBuf {
        self.home.join("gnupg")
    }

    /// Which GnuPG it has.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// What pinentry was asked, a line for each call. Empty if nobody was ever asked anything.
    #[must_use]
    pub fn pinentry_calls(&self) -> String {
        fs::read_to_string(self.pinentry_log()).unwrap_or_default()
    }

    /// The environment variables of every command here.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("HOME", self.home.clone()),
            ("GNUPGHOME", self.gnupg_home()),
            ("XDG_CONFIG_HOME", self.home.join("config")),
            ("XDG_STATE_HOME", self.home.join("state")),
            ("XDG_CACHE_HOME", self.home.join("cache")),
        ]
    }

    /// A command on this workstation.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = self.flavour.command(&self.scratch, self.binaries.folder(), &self.home, program.as_ref());
        command.args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LANG", "C.UTF-8").env("USER", "root").envs(self.environment());
        command
    }

    /// `sealcard …` on this workstation.
    #[must_use]
    pub fn sealcard(&self, arguments: &[&str]) -> Command {
        self.command(self.flavour.binaries(self.binaries.folder()).join("sealcard"), arguments)
    }

    /// Runs a command, which must succeed.
    ///
    /// # Errors
    /// It failed or hung.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.command(program, arguments), DEADLINE)?.success()
    }

    /// Runs `sealcard …`, which must succeed.
    ///
    /// # Errors
    /// It failed or hung.
    pub fn run_sealcard(&self, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.sealcard(arguments), DEADLINE)?.success()
    }

    /// Runs gpg without any terminal, which must succeed.
    ///
    /// # Errors
    /// It failed or hung.
    pub fn gpg(&self, arguments: &[&str]) -> Result<Finished> {
        self.try_gpg(arguments)?.success()
    }

    /// Runs gpg, whatever comes of it.
    ///
    /// # Errors
    /// It hung.
    pub fn try_gpg(&self, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.command("gpg", &[&["--batch", "--yes"], arguments].concat()), DEADLINE)
    }

    /// Runs gpg with something on its standard input; it must succeed.
    ///
    /// # Errors
    /// It failed or hung.
    pub fn gpg_with_input(&self, arguments: &[&str], input: &[u8]) -> Result<Finished> {
        let mut command = self.command("gpg", &[&["--batch", "--yes"], arguments].concat());
        run_with_input(&mut command, input, DEADLINE)?.success()
    }

    /// Writes a file in the home folder and gives its path.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<String> {
        let path = self.home.join(name);
        fs::write(&path, content)?;
        Ok(path.to_str().context("a path that is not UTF-8")?.to_owned())
    }

    /// The path of a file in the home folder, whether it exists or not.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.home.join(name).to_string_lossy().into_owned()
    }

    /// Makes a git repository with one commit and a signing key.
    ///
    /// # Errors
    /// git failed.
    pub fn repository(&self, name: &str, fingerprint: &str) -> Result<String> {
        let path = self.path(name);
        self.run("git", &["init", "-q", "-b", "main", &path])?;
        for (key, value) in [("user.name", "Ada"), ("user.email", "ada@example.org"), ("user.signingkey", fingerprint)]
        {
            self.run("git", &["-C", &path, "config", key, value])?;
        }
        self.write(&format!("{name}/file"), "content\n")?;
        self.run("git", &["-C", &path, "add", "file"])?;
        self.run("git", &["-C", &path, "commit", "-q", "-m", "First"])?;
        Ok(path)
    }

    /// The pid of the running gpg-agent.
    ///
    /// # Errors
    /// None runs.
    pub fn agent_pid(&self) -> Result<u32> {
        let answer = self.run("gpg-connect-agent", &["--no-autostart", "GETINFO pid", "/bye"])?.text();
        let pid = answer.lines().find_map(|line| line.strip_prefix("D "));
        pid.with_context(|| format!("gpg-agent did not tell its pid: {answer}"))?
            .trim()
            .parse()
            .context("gpg-agent's pid")
    }

    /// Accepts the new log that the server begins, as a person does who was told of it.
    ///
    /// # Errors
    /// The server begins none.
    pub fn accept_log(&self) -> Result<()> {
        wait_until("a new log", Duration::from_secs(30), || {
            let accepted = run(&mut self.sealcard(&["receipt", "--accept-log"]), Duration::from_secs(30))?;
            // Its name is that of the first one and a time.
            Ok((accepted.status.success() && accepted.text().contains("/record/")).then_some(()))
        })
    }

    /// Ends gpg-agent and all that it started, and waits until it is gone.
    ///
    /// # Errors
    /// It goes on living.
    pub fn end_agent(&self) -> Result<()> {
        let Ok(pid) = self.agent_pid() else {
            return Ok(());
        };
        self.run("gpgconf", &["--kill", "all"])?;
        wait_until("the end of gpg-agent", Duration::from_secs(10), || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
            Ok(stat.map_or(true, |stat| stat.contains(") Z ")).then_some(()))
        })
    }

    fn pinentry_log(&self) -> PathBuf {
        self.home.join("pinentry.log")
    }
}

impl Drop for Workstation {
    fn drop(&mut self) {
        // An agent that outlives this finds its folder gone and ends by itself.
        self.end_agent().ok();
    }
}

/// Cancels whatever it is asked, so that nothing ever waits for a person, and writes it down.
const PINENTRY: &str = r#"#!/bin/sh
echo "OK ready"
while IFS= read -r line; do
  case "$line" in
    GETPIN*|CONFIRM*|MESSAGE*) echo "$line" >>"LOG"; echo "ERR 83886179 Operation cancelled <Pinentry>";;
    SETDESC*|SETERROR*) echo "$line" >>"LOG"; echo "OK";;
    BYE*) echo "OK"; exit 0;;
    *) echo "OK";;
  esac
done
"#;
