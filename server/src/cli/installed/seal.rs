//! What opens the sealed store of a signer that runs as its own user.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use aws_lc_rs::rand;
use nix::unistd::{User, chown};
use zeroize::Zeroizing;

use super::{Secret, run};
use crate::cli::seal::SealKind;

/// The name under which the unit's processes find the credential.
const CREDENTIAL: &str = "sealcard-seal";

/// Where systemd looks for encrypted credentials.
const CREDENTIALS: &str = "/etc/credstore.encrypted";

/// Whether systemd can use a TPM here.
pub(in crate::cli) fn has_tpm() -> bool {
    Path::new("/dev/tpmrm0").exists() && run(Command::new("systemd-creds").arg("has-tpm2")).is_ok()
}

/// The key of an environment, encrypted to this machine.
pub(super) fn credential_file(environment: &str) -> PathBuf {
    Path::new(CREDENTIALS).join(format!("{CREDENTIAL}-{environment}"))
}

/// Where the key is written that opens an environment's key store on another machine, unless an option says otherwise.
pub(in crate::cli) fn recovery_file(environment: &str) -> PathBuf {
    format!("/root/sealcard-{environment}.recovery").into()
}

/// What opens one key store.
#[derive(Debug)]
pub(in crate::cli) enum Seal {
    /// The file `master.key` in the signer's folder.
    KeyFile,
    /// A person.
    Passphrase(Secret),
    /// systemd.
    Credential(Credential),
}

/// A key that systemd decrypts for the signer.
#[derive(Debug)]
pub(in crate::cli) struct Credential {
    key: Zeroizing<[u8; 32]>,
    /// The key, encrypted to this machine.
    encrypted: PathBuf,
    /// The key as it is, for another machine.
    recovery: PathBuf,
}

impl Seal {
    /// What `choice` means for the environment. For a credential it is encrypted to this machine, with a copy in
    /// `recovery` that opens the keys elsewhere.
    ///
    /// # Errors
    /// If the passphrase is missing, the system can't encrypt the key so, or a file is there already.
    pub(in crate::cli) fn make(
        environment: &str,
        choice: SealKind,
        passphrase: Option<Secret>,
        recovery: &Path,
    ) -> anyhow::Result<Self> {
        let with = match choice {
            SealKind::KeyFile => return Ok(Self::KeyFile),
            SealKind::Passphrase => return passphrase.map(Self::Passphrase).context("there is no passphrase"),
            SealKind::Tpm => "tpm2",
            SealKind::SystemdCredential => "auto",
        };
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(key.as_mut()).context("the system gives no random numbers")?;
        crate::files::write_new(recovery, key.as_ref()).context("the recovery key")?;
        let credential = Credential { key, encrypted: credential_file(environment), recovery: recovery.to_owned() };
        credential.encrypt(with)?;
        Ok(Self::Credential(credential))
    }

    /// The options of `sealcard-signer init`, and what it needs while it runs.
    pub(super) fn prepare(&self, command: &mut Command, user: &User) -> anyhow::Result<Option<tempfile::TempDir>> {
        command.arg("--seal");
        match self {
            Self::KeyFile => command.arg("key-file"),
            Self::Passphrase(_) => command.args(["passphrase", "--passphrase-file", "-"]),
            Self::Credential(credential) => {
                let folder = credential.decrypted(user)?;
                command.args(["systemd-credential", "--credential", CREDENTIAL]);
                command.env("CREDENTIALS_DIRECTORY", folder.path());
                return Ok(Some(folder));
            }
        };
        Ok(None)
    }

    /// The passphrase, if it is one.
    pub(in crate::cli) const fn passphrase(&self) -> Option<&Secret> {
        match self {
            Self::Passphrase(passphrase) => Some(passphrase),
            Self::KeyFile | Self::Credential(_) => None,
        }
    }

    /// What the signer's unit needs.
    pub(super) fn drop_in(&self) -> Option<String> {
        let Self::Credential(Credential { encrypted, .. }) = self else { return None };
        Some(format!("[Service]\nLoadCredentialEncrypted={CREDENTIAL}:{}\n", encrypted.display()))
    }

    /// What a person has to keep, and where it is.
    pub(in crate::cli) fn keep(&self, folder: &Path) -> String {
        match self {
            Self::KeyFile => format!("a copy of {}", folder.join("master.key").display()),
            Self::Passphrase(_) => "the passphrase".to_owned(),
            Self::Credential(credential) => {
                format!("{}, away from this machine", credential.recovery.display())
            }
        }
    }
}

impl Credential {
    fn encrypt(&self, with: &str) -> anyhow::Result<()> {
        let folder = Path::new(CREDENTIALS);
        if !folder.is_dir() {
            fs::DirBuilder::new().mode(0o700).create(folder).with_context(|| format!("can't make {CREDENTIALS}"))?;
        }
        let mut command = Command::new("systemd-creds");
        command.args(["encrypt", &format!("--with-key={with}"), &format!("--name={CREDENTIAL}")]);
        run(command.arg(&self.recovery).arg(&self.encrypted)).context("can't encrypt the key to this machine")
    }

    /// A folder in memory with the key, as systemd would make it for the unit; it lasts as long as the value.
    fn decrypted(&self, user: &User) -> anyhow::Result<tempfile::TempDir> {
        use std::io::Write as _;
        let folder = tempfile::Builder::new().prefix("sealcard-").tempdir_in("/run").context("can't write to /run")?;
        let file = folder.path().join(CREDENTIAL);
        let mut open = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&file)?;
        open.write_all(self.key.as_ref())?;
        for path in [file.as_path(), folder.path()] {
            chown(path, Some(user.uid), Some(user.gid))?;
        }
        Ok(folder)
    }
}

/// What opens a key store if nobody says it.
pub(in crate::cli) fn default_seal() -> SealKind {
    if has_tpm() { SealKind::Tpm } else { SealKind::KeyFile }
}
