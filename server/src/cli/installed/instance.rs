//! A signer that runs as its own user: the instance NAME of `sealcard-signer@`, with its user, folder and socket.

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::DirBuilderExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::unistd::{User, chown};
use sealcard_api::rules::Name;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{SIGNERS, Seal, account::find, systemctl, token::TokenFile};
use crate::{cli::join, signers::SOCKETS};

/// What the name of an instance's user begins with.
const USER_PREFIX: &str = "sealcard-";

/// The longest name of a user (`sysusers.d(5)`).
const MAX_USER: usize = 31;

/// The socket on which a running signer takes a passphrase, in its folder.
const CONTROL_SOCKET: &str = "control.sock";

/// How long a signer may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A passphrase or PIN.
pub(in crate::cli) type Secret = Zeroizing<String>;

/// An instance of `sealcard-signer@`.
#[derive(Debug)]
pub(in crate::cli) struct Instance {
    name: String,
    program: PathBuf,
}

/// What keeps the private keys.
pub(in crate::cli) enum Keys<'a> {
    /// A sealed store.
    Sealed(&'a Seal),
    /// Those of another server that shares the database, whose signer's folder this is.
    Copy(&'a Path),
    /// The token that this `token.toml` describes. The PIN, if there is one, is put into the file that it names.
    Token { config: &'a Path, pin: Option<&'a Secret> },
}

/// Fingerprints that people compare before they give a secret from a workstation.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) struct Made {
    /// Of the key that a passphrase or PIN is encrypted to, if it is new.
    pub(in crate::cli) keeper_key: Option<String>,
}

impl Instance {
    /// The instance of this name.
    ///
    /// # Errors
    /// If a user can't have such a name.
    pub(in crate::cli) fn new(name: &str, program: PathBuf) -> anyhow::Result<Self> {
        Name::check(name).map_err(anyhow::Error::msg)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let longest = MAX_USER - USER_PREFIX.len();
        ensure!(
            name.bytes().all(plain) && name.len() <= longest,
            "the environment's name becomes the name of a user, {USER_PREFIX}{name}: use a-z 0-9 _ -, at most \
             {longest} characters"
        );
        Ok(Self { name: name.to_owned(), program })
    }

    /// The user that it runs as.
    pub(in crate::cli) fn user(&self) -> String {
        format!("{USER_PREFIX}{}", self.name)
    }

    /// Its folder.
    pub(in crate::cli) fn folder(&self) -> PathBuf {
        Path::new(SIGNERS).join(&self.name)
    }

    /// The socket that the server connects to.
    pub(in crate::cli) fn socket(&self) -> PathBuf {
        Path::new(SOCKETS).join(&self.name)
    }

    fn socket_unit(&self) -> String {
        format!("sealcard-signer@{}.socket", self.name)
    }

    fn service_unit(&self) -> String {
        format!("sealcard-signer@{}.service", self.name)
    }

    /// The folder of what setup adds to its unit.
    fn drop_ins(&self) -> PathBuf {
        Path::new("/etc/systemd/system").join(format!("{}.d", self.service_unit()))
    }

    /// Makes it, or nothing, and starts its socket.
    ///
    /// # Errors
    /// If it is there already, or something can't be made.
    pub(in crate::cli) fn make(&self, keys: &Keys<'_>) -> anyhow::Result<Made> {
        let folder = self.folder();
        if let Ok(entries) = fs::read_dir(&folder) {
            ensure!(
                entries.count() == 0,
                "{} has files already: if no key in it is needed any more, move it away",
                folder.display()
            );
        }
        let made = self.make_user().and_then(|user| self.fill(&user, keys));
        if made.is_err() {
            self.remove();
        }
        made
    }

    /// Removes what [`Self::make`] has made, whose keys nobody can have used yet. The user stays.
    pub(in crate::cli) fn remove(&self) {
        let _ = systemctl(&["disable", "--now", &self.socket_unit()]);
        let _ = systemctl(&["stop", &self.service_unit()]);
        for folder in [self.folder(), self.drop_ins()] {
            let _ = fs::remove_dir_all(folder);
        }
        let _ = systemctl(&["daemon-reload"]);
    }

    /// `systemd-sysusers` makes a user of the system without a password, shell or home.
    ///
    /// # Errors
    /// If it does not.
    pub(in crate::cli) fn make_user(&self) -> anyhow::Result<User> {
        let user = self.user();
        if find(&user).is_err() {
            let line = format!("u {user} - \"Sealcard signer of {}\" {}\n", self.name, self.folder().display());
            let mut child = Command::new("systemd-sysusers")
                .arg("-")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .context("can't start systemd-sysusers")?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(line.as_bytes()).context("systemd-sysusers does not read")?;
            }
            let Output { status, stderr, .. } = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&stderr);
            ensure!(status.success(), "systemd-sysusers could not make the user {user} ({status}): {}", said.trim());
        }
        find(&user)
    }

    fn fill(&self, user: &User, keys: &Keys<'_>) -> anyhow::Result<Made> {
        let folder = self.folder();
        if !folder.is_dir() {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("can't make {}", folder.display()))?;
        }
        chown(&folder, Some(user.uid), Some(user.gid))
            .with_context(|| format!("can't give {} away", folder.display()))?;
        let (made, drop_in) = match keys {
            Keys::Sealed(seal) => (self.init(user, seal)?, seal.drop_in()),
            Keys::Copy(from) => {
                join::copy_key_store(from, &folder)?;
                for entry in fs::read_dir(&folder)? {
                    chown(&entry?.path(), Some(user.uid), Some(user.gid))?;
                }
                (Made::default(), None)
            }
            Keys::Token { config, pin } => self.init_token(user, config, *pin)?,
        };
        if let Some(text) = drop_in {
            let folder = self.drop_ins();
            fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
            let file = folder.join("sealcard-setup.conf");
            fs::write(&file, text).with_context(|| format!("can't write {}", file.display()))?;
        }
        systemctl(&["daemon-reload"])?;
        systemctl(&["enable", "--now", &self.socket_unit()])?;
        Ok(made)
    }

    fn init(&self, user: &User, seal: &Seal) -> anyhow::Result<Made> {
        let mut command = self.signer(user, "init");
        let _credential = seal.prepare(&mut command, user)?;
        answer(command, seal.passphrase())
    }

    fn init_token(&self, user: &User, config: &Path, pin: Option<&Secret>) -> anyhow::Result<(Made, Option<String>)> {
        let text = Secret::new(fs::read_to_string(config).with_context(|| format!("can't read {}", config.display()))?);
        let described: TokenFile = toml::from_str(&text)
            .with_context(|| format!("{} is no token.toml: see sealcard-token.toml(5)", config.display()))?;
        let mut command = self.signer(user, "init-token");
        // Its own user may not be able to read the file.
        command.args(["--config", "-"]);
        let made = answer(command, Some(&text))?;
        if let (Some(pin), Some(file)) = (pin, described.pin_file()) {
            let place = self.folder().join(file);
            crate::files::write_new(&place, format!("{}\n", pin.as_str()).as_bytes())?;
            chown(&place, Some(user.uid), Some(user.gid))?;
        }
        Ok((made, described.drop_in()))
    }

    /// Opens the key store of the running signer.
    ///
    /// # Errors
    /// If it stays sealed.
    pub(in crate::cli) fn unseal(&self, passphrase: &Secret) -> anyhow::Result<()> {
        let mut command = self.signer(&find(&self.user())?, "unseal");
        command.args(["--passphrase-file", "-"]);
        let output = converse(command, Some(passphrase))?;
        ensure!(output.status.success(), "the key store could not be opened ({})", output.status);
        Ok(())
    }

    /// As [`Self::unseal`], of a signer that is just being started.
    ///
    /// # Errors
    /// If it stays sealed.
    pub(in crate::cli) fn unseal_soon(&self, passphrase: &Secret) -> anyhow::Result<()> {
        let socket = self.folder().join(CONTROL_SOCKET);
        let end = Instant::now() + PATIENCE;
        while !socket.exists() && Instant::now() < end {
            std::thread::sleep(LOOK_AGAIN);
        }
        self.unseal(passphrase)
    }

    /// A command of `sealcard-signer` about its folder, as its user.
    fn signer(&self, user: &User, command: &str) -> Command {
        let mut signer = Command::new(&self.program);
        // Root's other groups are left as well.
        signer.arg(command).arg("--folder").arg(self.folder()).uid(user.uid.as_raw()).gid(user.gid.as_raw());
        signer.current_dir("/").env_clear();
        signer
    }
}

/// The answer of a command that makes a key store.
fn answer(command: Command, input: Option<&Secret>) -> anyhow::Result<Made> {
    let output = converse(command, input)?;
    ensure!(output.status.success(), "the signer could not make its key store ({})", output.status);
    serde_json::from_slice(&output.stdout).context("the signer did not say what it made")
}

/// Runs a command of the signer, which reads `input`. Its errors go to the terminal.
fn converse(mut command: Command, input: Option<&Secret>) -> anyhow::Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("can't start {program} (package sealcard-signer)"))?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A signer that refuses its options does not read; its status says so.
        let _ = stdin.write_all(input.as_bytes());
    }
    Ok(child.wait_with_output()?)
}
