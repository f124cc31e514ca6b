//! A signer that runs as its own user: the instance NAME of `sealcard-signer@`, with its user, folder and socket.

use std::{
    fs,
    io::{self, Write as _},
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

use super::{Acting, SIGNERS, Seal, account::find, seal::credential_file, systemctl, token::TokenFile};
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

/// The key store of an instance.
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

    /// Begins to make it, if nothing of it is there but what an interrupted attempt has left behind. `recovery` is the
    /// file for the key that opens the store on another machine, if there will be one.
    ///
    /// # Errors
    /// If something of it is there already. Then nothing was changed.
    pub(in crate::cli) fn begin(self, recovery: Option<&Path>) -> anyhow::Result<Making> {
        let mark = Path::new(SIGNERS).join(format!(".making-{}", self.name));
        if mark.exists() {
            // Only root can make the mark, and it is gone before the keys can be used.
            let text = fs::read_to_string(&mark).with_context(|| format!("can't read {}", mark.display()))?;
            let left = text.lines().next().filter(|line| !line.is_empty()).map(PathBuf::from);
            let unfinished = Making { instance: self, mark, recovery: left };
            unfinished.clear();
            let mark = &unfinished.mark;
            ensure!(!mark.exists(), "an interrupted attempt left {} behind, which can't be removed", mark.display());
            return unfinished.instance.begin(recovery);
        }
        let folder = self.folder();
        let files = fs::read_dir(&folder).map_or(0, Iterator::count);
        ensure!(files == 0, "{} has files already: if no key in it is needed any more, move it away", folder.display());
        let credential = credential_file(&self.name);
        for file in [Some(credential.as_path()), recovery].into_iter().flatten() {
            ensure!(
                file.symlink_metadata().is_err(),
                "{} is there already: if nothing needs it any more, move it away",
                file.display()
            );
        }
        let text = recovery.map(|file| file.display().to_string()).unwrap_or_default();
        crate::files::write_new(&mark, format!("{text}\n").as_bytes())?;
        Ok(Making { instance: self, mark, recovery: recovery.map(Path::to_owned) })
    }

    /// `systemd-sysusers` makes a user of the system without a password, shell or home.
    ///
    /// # Errors
    /// If it does not, or somebody else has the name.
    pub(in crate::cli) fn make_user(&self) -> anyhow::Result<User> {
        let user = self.user();
        if let Ok(found) = find(&user) {
            ensure!(
                found.dir == self.folder(),
                "the user {user} is not a signer's, because its home is {}: choose another name for the environment",
                found.dir.display()
            );
        } else {
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
        let made = match keys {
            Keys::Sealed(seal) => {
                let made = self.init(user, seal)?;
                seal.drop_in().map_or(Ok(()), |text| self.add_to_unit(&text))?;
                made
            }
            Keys::Copy(from) => {
                let files = join::read_key_store(from)?;
                let acting = Acting::as_user(user)?;
                join::write_key_store(&files, &folder)?;
                drop(acting);
                self.allow_token()?;
                Made::default()
            }
            Keys::Token { config, pin } => self.init_token(user, config, *pin)?,
        };
        systemctl(&["daemon-reload"])?;
        systemctl(&["enable", "--now", &self.socket_unit()])?;
        Ok(made)
    }

    /// Gives its unit what the token in its folder needs, if it has one.
    ///
    /// # Errors
    /// If the description can't be read, or names what a unit can't have.
    pub(in crate::cli) fn allow_token(&self) -> anyhow::Result<()> {
        let file = self.folder().join("token.toml");
        match fs::read_to_string(&file) {
            Ok(text) => TokenFile::parse(&text, &file)?.drop_in()?.map_or(Ok(()), |text| self.add_to_unit(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("can't read {}", file.display())),
        }
    }

    fn add_to_unit(&self, text: &str) -> anyhow::Result<()> {
        let folder = self.drop_ins();
        fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        let file = folder.join("sealcard-setup.conf");
        fs::write(&file, text).with_context(|| format!("can't write {}", file.display()))
    }

    fn init(&self, user: &User, seal: &Seal) -> anyhow::Result<Made> {
        let mut command = self.signer(user, "init");
        let _credential = seal.prepare(&mut command, user)?;
        answer(command, seal.passphrase())
    }

    fn init_token(&self, user: &User, config: &Path, pin: Option<&Secret>) -> anyhow::Result<Made> {
        let text = Secret::new(fs::read_to_string(config).with_context(|| format!("can't read {}", config.display()))?);
        let described = TokenFile::parse(&text, config)?;
        let drop_in = described.drop_in()?;
        let place = match pin {
            Some(pin) => Some((
                pin,
                described.pin_file().context("--pin-file needs a token.toml with pin = { file = \"NAME\" }")?,
            )),
            None => None,
        };
        let mut command = self.signer(user, "init-token");
        // Its own user may not be able to read the file.
        command.args(["--config", "-"]);
        let made = answer(command, Some(&text))?;
        if let Some((pin, file)) = place {
            // The folder is the signer's: root follows no link there.
            let _acting = Acting::as_user(user)?;
            let line = Secret::new(format!("{}\n", pin.as_str()));
            crate::files::write_new(&self.folder().join(file), line.as_bytes())?;
        }
        drop_in.map_or(Ok(()), |text| self.add_to_unit(&text))?;
        Ok(made)
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

/// An instance that is being made. [`Self::undo`] removes it; after a crash the next attempt does.
#[derive(Debug)]
pub(in crate::cli) struct Making {
    instance: Instance,
    /// Exists until the instance is complete. Only root can make it.
    mark: PathBuf,
    recovery: Option<PathBuf>,
}

impl Making {
    /// The instance.
    pub(in crate::cli) const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Makes it and starts its socket.
    ///
    /// # Errors
    /// If something can't be made.
    pub(in crate::cli) fn make(&self, keys: &Keys<'_>) -> anyhow::Result<Made> {
        self.instance.fill(&self.instance.make_user()?, keys)
    }

    /// It is complete.
    ///
    /// # Errors
    /// If the mark can't be removed.
    pub(in crate::cli) fn finish(self) -> anyhow::Result<Instance> {
        fs::remove_file(&self.mark).with_context(|| format!("can't remove {}", self.mark.display()))?;
        Ok(self.instance)
    }

    /// Removes what was made, whose keys nobody can have used yet. The user stays.
    pub(in crate::cli) fn undo(self) {
        self.clear();
    }

    fn clear(&self) {
        let instance = &self.instance;
        let _ = systemctl(&["disable", "--now", &instance.socket_unit()]);
        let _ = systemctl(&["stop", &instance.service_unit()]);
        for folder in [instance.folder(), instance.drop_ins()] {
            let _ = fs::remove_dir_all(folder);
        }
        for file in [Some(&credential_file(&instance.name)), self.recovery.as_ref()].into_iter().flatten() {
            let _ = fs::remove_file(file);
        }
        let _ = systemctl(&["daemon-reload"]);
        let _ = fs::remove_file(&self.mark);
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
