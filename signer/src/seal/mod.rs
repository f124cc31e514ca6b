//! How the master key is kept while nobody uses it.
//!
//! A master key is 32 random bytes. It and, during a replacement, its successor are stored in `seal.json` ([`SealFile`]), encrypted with
//! AES-256-GCM under a key that is derived from the seal's secret: the content of a key file or of a systemd credential (HKDF-SHA256), or a
//! passphrase (argon2id, then HKDF-SHA256). Whoever has `seal.json` and the database, but not the secret, has nothing.

mod edit;
mod file;
mod master;
mod passphrase;
pub(crate) mod secret_file;

pub use edit::SealEdit;
pub use file::{Argon2Cost, MAX_SEAL_FILE, SealFile, SealFormatError, SealSource};
pub use master::{MasterKey, MasterKeys};
pub use passphrase::{MIN_PASSPHRASE, Passphrase};

use std::{
    io,
    path::{Path, PathBuf},
};

use sealcard_signer_protocol::MasterKeyId;

use crate::{
    crypto::{self, CryptoError},
    folder::{self, JOURNAL_FILE, KEEPER_KEY_FILE, KEY_FILE, SEAL_FILE},
};

/// Why the master key can't be sealed or unsealed. Retrying helps only where a variant says so.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is a seal already: overwriting it would lose every key.
    #[error("{} exists already; this folder has a master key", .0.display())]
    Exists(PathBuf),
    /// A file can't be read or written. Retrying helps once that is mended.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// `seal.json` is not what `init` wrote.
    #[error("{} is damaged", .0.display())]
    Format(PathBuf, #[source] SealFormatError),
    /// Others than the owner may read or change the secret. Retrying helps after the command in the text.
    #[error("{} has mode {mode:04o}, so others may use it; run: chmod 600 {}", .path.display(), .path.display())]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The secret belongs to somebody else.
    #[error("{} belongs to user {owner}, not to the signer's user or root", .path.display())]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
    },
    /// Not a file, too short or too long.
    #[error("{} is not usable: {why}", .path.display())]
    BadSecretFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The variable that systemd sets is missing.
    #[error(
        "CREDENTIALS_DIRECTORY is not set, so there is no systemd credential {name:?}; start the server from a unit \
         with LoadCredentialEncrypted={name}:…"
    )]
    NoCredentials {
        /// The credential.
        name: String,
    },
    /// A passphrase is needed and none was given. Retrying with one helps.
    #[error("the key store is sealed with a passphrase; run: sealcard-signer unseal")]
    PassphraseNeeded,
    /// The keeper's own key is missing. Retrying helps once it was restored, or made anew on purpose.
    #[error(
        "{} is missing: restore it from a backup, or make a new one with: sealcard-signer keeper-key --new --folder \
         DIR",
        .0.display()
    )]
    NoKeeperKey(PathBuf),
    /// A token's PIN is needed, and a person has it. Retrying with it helps.
    #[error("a person must give the token's PIN; run: sealcard-signer unseal")]
    PinNeeded,
    /// The configured PIN is still the one that the token has refused. Retrying helps once it was changed.
    #[error(
        "the configured PIN is still the one that the token refused, so no attempt was spent on it; put the right one \
         there (or, if the token's PIN was changed to it, restart the server first)"
    )]
    PinUnchanged,
    /// The passphrase is too short to be one.
    #[error("a passphrase needs at least {MIN_PASSPHRASE} characters")]
    PassphraseTooShort,
    /// The secret is not the one that sealed the master key, or `seal.json` was changed. Retrying helps with the right
    /// one.
    #[error("{}", wrong(.0))]
    WrongSecret(SealSource),
    /// Another `seal.json` is sealed with another secret. Retrying with one of the same secret helps.
    #[error(
        "{} is sealed with another secret than this server's; seal both with the same secret first (sealcard-signer \
         reseal)",
        .0.display()
    )]
    OtherSecret(PathBuf),
    /// Another `seal.json` lacks a master key under which keys are stored. Retrying can't help.
    #[error("{} lacks master key {id}, under which keys may be stored: nothing was changed", .file.display())]
    LacksMasterKey {
        /// The other file.
        file: PathBuf,
        /// The key.
        id: MasterKeyId,
    },
    /// Too many master keys. Retrying helps after those that are not used were removed.
    #[error("the store has too many master keys: run sealcard-signer rekey --finish first")]
    TooManyMasterKeys,
    /// No master key would be left. Retrying can't help.
    #[error("no master key would be left: nothing was changed")]
    LastMasterKey,
    /// The cryptographic library failed, such as for want of memory. Retrying may help.
    #[error("the cryptographic library failed")]
    Library,
}

const fn wrong(source: &SealSource) -> &'static str {
    match source {
        SealSource::Passphrase { .. } => "the passphrase is wrong",
        SealSource::KeyFile { .. } => "the key file is not the one that this store was sealed with",
        SealSource::SystemdCredential { .. } => "the credential is not the one that this store was sealed with",
    }
}

impl From<CryptoError> for SealError {
    fn from(_: CryptoError) -> Self {
        Self::Library
    }
}

/// How `init` is to seal the master key.
pub enum SealMethod {
    /// With a key file of 32 random bytes, made if it is not there. Without a path: `master.key` in the folder.
    KeyFile(Option<PathBuf>),
    /// With a passphrase.
    Passphrase(Passphrase, Argon2Cost),
    /// With the systemd credential of this name.
    SystemdCredential(String),
}

impl SealMethod {
    const fn passphrase(&self) -> Option<&Passphrase> {
        match self {
            Self::Passphrase(passphrase, _) => Some(passphrase),
            Self::KeyFile(_) | Self::SystemdCredential(_) => None,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::KeyFile(_) => "key-file",
            Self::Passphrase(..) => "passphrase",
            Self::SystemdCredential(_) => "systemd-credential",
        }
    }
}

/// What `init` made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Initialized {
    /// `key-file`, `passphrase` or `systemd-credential`.
    pub seal: &'static str,
    /// The seal's file.
    pub seal_file: PathBuf,
    /// The key file, if there is one.
    pub key_file: Option<PathBuf>,
    /// Whether the key file was made now.
    pub key_file_created: bool,
    /// The empty journal.
    pub journal: PathBuf,
    /// The fingerprint of the key that envelopes for this signer are closed with: who imports a key compares it.
    pub envelope_key: String,
}

/// Whether a folder has no seal and no journal yet.
///
/// # Errors
/// [`SealError::Exists`] if it has.
pub fn ensure_uninitialized(folder: &Path) -> Result<(), SealError> {
    for name in [SEAL_FILE, JOURNAL_FILE, KEEPER_KEY_FILE] {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(SealError::Exists(path));
        }
    }
    Ok(())
}

/// Makes a signer's folder: a new master key, its seal and an empty journal, but no key of the keeper.
///
/// # Errors
/// If there is a seal already, or the secret can't be had. Nothing that existed is changed.
pub fn init(folder: &Path, method: &SealMethod) -> Result<Initialized, SealError> {
    folder::create(folder).map_err(|e| SealError::File(folder.to_owned(), e))?;
    ensure_uninitialized(folder)?;
    let seal_file = folder.join(SEAL_FILE);
    let journal = folder.join(JOURNAL_FILE);
    let Prepared { source, key_file, key_file_created } = prepare(folder, method)?;
    let keys = MasterKeys::generate()?;
    let kek = key_encryption_key(&source, folder, method.passphrase())?;
    let wrapped = crypto::seal(&kek, &source.associated_data(), &keys.joined())?;
    let text = SealFile::new(source, wrapped).to_text();
    folder::write_new(&seal_file, text.as_bytes()).map_err(|e| SealError::File(seal_file.clone(), e))?;
    folder::write_new(&journal, b"").map_err(|e| SealError::File(journal.clone(), e))?;
    let recipient = keys.oldest().envelope_key()?.recipient().map_err(|_| SealError::Library)?;
    let envelope_key = recipient.fingerprint().to_string();
    Ok(Initialized { seal: method.name(), seal_file, key_file, key_file_created, journal, envelope_key })
}

/// A new seal, before anything is wrapped.
struct Prepared {
    source: SealSource,
    key_file: Option<PathBuf>,
    key_file_created: bool,
}

/// Sees to it that there is what a seal is to be opened with.
fn prepare(folder: &Path, method: &SealMethod) -> Result<Prepared, SealError> {
    let salt = crypto::random::<32>()?.to_vec();
    Ok(match method {
        SealMethod::KeyFile(path) => {
            let stored = match path {
                // Relative to the folder, so that the folder can be moved.
                None => PathBuf::from(KEY_FILE),
                Some(path) => std::path::absolute(path).map_err(|e| SealError::File(path.clone(), e))?,
            };
            let path = folder.join(&stored);
            let key_file_created = secret_file::create_key_file_if_absent(&path)?;
            Prepared { source: SealSource::KeyFile { path: stored, salt }, key_file: Some(path), key_file_created }
        }
        SealMethod::Passphrase(passphrase, cost) => {
            if passphrase.chars() < MIN_PASSPHRASE {
                return Err(SealError::PassphraseTooShort);
            }
            Prepared { source: SealSource::Passphrase { salt, cost: *cost }, key_file: None, key_file_created: false }
        }
        SealMethod::SystemdCredential(name) => {
            let source = SealSource::SystemdCredential { name: name.clone(), salt };
            Prepared { source, key_file: None, key_file_created: false }
        }
    })
}

/// Reads the folder's `seal.json`.
///
/// # Errors
/// If it is missing or damaged.
pub fn load(folder: &Path) -> Result<SealFile, SealError> {
    let path = folder.join(SEAL_FILE);
    let bytes = secret_file::read_limited(&path, MAX_SEAL_FILE)?;
    SealFile::parse(&bytes).map_err(|e| SealError::Format(path, e))
}

/// Unwraps the master keys. A passphrase is used if the seal wants one.
///
/// # Errors
/// If the secret can't be had or is the wrong one.
pub fn unseal(seal: &SealFile, folder: &Path, passphrase: Option<&Passphrase>) -> Result<MasterKeys, SealError> {
    unwrap(seal, &key_encryption_key(seal.source(), folder, passphrase)?)
}

fn unwrap(seal: &SealFile, kek: &crypto::Key) -> Result<MasterKeys, SealError> {
    let wrong = || SealError::WrongSecret(seal.source().clone());
    let bytes = crypto::open(kek, &seal.source().associated_data(), seal.wrapped_master_keys()).map_err(|_| wrong())?;
    MasterKeys::split(&bytes)?.ok_or_else(wrong)
}

fn key_encryption_key(
    source: &SealSource,
    folder: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<crypto::Key, SealError> {
    Ok(match source {
        SealSource::KeyFile { path, salt } => {
            let secret = secret_file::read_key_file(&folder.join(path))?;
            crypto::hkdf(secret.as_ref(), salt, b"sealcard seal 1 key-file")?
        }
        SealSource::Passphrase { salt, cost } => {
            let stretched = passphrase.ok_or(SealError::PassphraseNeeded)?.stretch(salt, *cost)?;
            crypto::hkdf(stretched.as_ref(), salt, b"sealcard seal 1 passphrase")?
        }
        SealSource::SystemdCredential { name, salt } => {
            let secret = secret_file::read_credential(name)?;
            crypto::hkdf(&secret, salt, b"sealcard seal 1 systemd-credential")?
        }
    })
}
