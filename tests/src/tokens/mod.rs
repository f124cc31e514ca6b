//! Tokens for tests: each lives in a folder of its own, and can be put behind a daemon ([`P11Kit`]) or behind the
//! module that makes mistakes on request ([`Shim`]).

mod kryoptic;
mod p11kit;
mod shim;
mod softhsm;
mod store;

pub use kryoptic::{KRYOPTIC_VERSION, kryoptic_module};
pub use p11kit::P11Kit;
pub use shim::{Fault, Shim};
pub use store::StoreKind;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{Finished, run};

/// The environment of a test's server whose keys are on a token.
pub const ENVIRONMENT: &str = "hsm";
/// The label of that token.
pub(crate) const TOKEN_LABEL: &str = "sealcard-tests";

/// Enough for a token that makes an RSA-4096 key on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Which software plays the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// SoftHSM 2: Cryptoki 2.40, with Ed25519.
    SoftHsm,
    /// kryoptic: Cryptoki 3.2 and strict; no Ed25519 on Debian 12, whose OpenSSL is too old for it.
    Kryoptic,
}

/// A token and all that its module needs.
#[derive(Debug, Clone)]
pub struct Token {
    /// Where its files are.
    pub folder: PathBuf,
    /// The module's file.
    pub module: PathBuf,
    /// The token's label.
    pub label: String,
    /// Holds the user's PIN, open to its owner only.
    pub pin_file: PathBuf,
    /// Environment variables that the module reads.
    pub variables: Vec<(String, String)>,
    /// Files and folders that the module reads, besides itself and the system's libraries.
    pub read: Vec<PathBuf>,
    /// Folders that the module writes.
    pub write: Vec<PathBuf>,
    /// Unix sockets that the module connects to.
    pub sockets: Vec<PathBuf>,
}

impl Token {
    /// The user's PIN of every token here.
    pub const PIN: &str = "user-pin-27182";
    /// The security officer's.
    pub const SO_PIN: &str = "officer-pin-31415";

    /// Makes a token with this label in `folder`, which does not exist yet.
    ///
    /// # Errors
    /// Its software is not installed, or failed.
    pub fn create(kind: TokenKind, folder: &Path, label: &str) -> Result<Self> {
        fs::create_dir_all(folder.join("objects"))?;
        for folder in [folder, &folder.join("objects")] {
            fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        }
        private(&folder.join("pin"), Self::PIN)?;
        let token = Self::open(kind, folder, label)?;
        match kind {
            TokenKind::SoftHsm => softhsm::initialize(&token)?,
            TokenKind::Kryoptic => kryoptic::initialize(&token)?,
        }
        Ok(token)
    }

    /// The token in a folder that [`Self::create`] made, which may have been copied or moved since.
    ///
    /// # Errors
    /// Its software is not installed.
    pub fn open(kind: TokenKind, folder: &Path, label: &str) -> Result<Self> {
        let pin_file = folder.join("pin");
        match kind {
            TokenKind::SoftHsm => softhsm::open(folder, label, pin_file),
            TokenKind::Kryoptic => kryoptic::open(folder, label, pin_file),
        }
    }

    /// The text of a `token.toml` for it, with the PIN from its file.
    #[must_use]
    pub fn config(&self) -> String {
        self.config_with(&format!("{{ file = {:?} }}", text(&self.pin_file)), "")
    }

    /// The text of a `token.toml` for it, with another source of the PIN, and more lines at its end.
    #[must_use]
    pub fn config_with(&self, pin: &str, more: &str) -> String {
        let paths =
            |paths: &[PathBuf]| paths.iter().map(|path| format!("{:?}", text(path))).collect::<Vec<_>>().join(", ");
        let variables = self.variables.iter().map(|(name, value)| format!("{name} = {value:?}"));
        format!(
            "module = {:?}\ntoken = {{ label = {:?} }}\npin = {pin}\n\n[sandbox]\nread = [{}]\nwrite = [{}]\n\
             unix-sockets = [{}]\nenvironment = {{ {} }}\n{more}",
            text(&self.module),
            self.label,
            paths(&self.read),
            paths(&self.write),
            paths(&self.sockets),
            variables.collect::<Vec<_>>().join(", "),
        )
    }

    /// Runs `pkcs11-tool` on the token's module, which must succeed.
    ///
    /// # Errors
    /// It failed.
    pub fn tool(&self, arguments: &[&str]) -> Result<Finished> {
        self.try_tool(arguments)?.success()
    }

    /// Runs `pkcs11-tool` on the token's module, whatever comes of it.
    ///
    /// # Errors
    /// It hung.
    pub fn try_tool(&self, arguments: &[&str]) -> Result<Finished> {
        let mut command = self.command("pkcs11-tool");
        run(command.arg("--module").arg(&self.module).args(arguments), DEADLINE)
    }

    /// Runs `pkcs11-tool` on this token, logged in as the user; it must succeed.
    ///
    /// # Errors
    /// It failed.
    pub fn tool_as_user(&self, arguments: &[&str]) -> Result<Finished> {
        self.try_tool_as_user(arguments)?.success()
    }

    /// Runs `pkcs11-tool` on this token, logged in as the user, whatever comes of it.
    ///
    /// # Errors
    /// It hung.
    pub fn try_tool_as_user(&self, arguments: &[&str]) -> Result<Finished> {
        self.try_tool(&[&["--token-label", &self.label, "--login", "--pin", Self::PIN], arguments].concat())
    }

    /// A command that finds what the module needs.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Writes a file that only its owner may read.
fn private(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o600))?)
}

/// The first of these files that exists.
fn installed(what: &str, candidates: &[&str]) -> Result<PathBuf> {
    let found = candidates.iter().map(PathBuf::from).find(|path| path.is_file());
    found.with_context(|| format!("{what} is not installed: there is none of {}", candidates.join(", ")))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
