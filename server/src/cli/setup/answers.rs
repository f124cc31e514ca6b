//! The answers to all questions of a setup.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use sealcard_api::{
    Timestamp,
    algorithm::KeyAlgorithm,
    rules::{Name, NewKeyName, UserId},
};

use super::{Setup, certificate::Source, questions::Questions};
use crate::{
    authn::one_time_password,
    cli::{
        create::{Account, ENVIRONMENT, LOG_ENVIRONMENT},
        installed::{Secret, default_seal, has_tpm, person_gives_pin, recovery_file},
        passwords,
        seal::SealKind,
    },
    clock::DAY,
    config::{DatabaseConfig, Limits},
    tls,
};

/// Where a server listens that is for others: all networks.
const LISTEN: &str = "[::]:8443";

/// Everything that is decided before anything is made.
pub(super) struct Answers {
    pub(super) names: Vec<String>,
    pub(super) listen: SocketAddr,
    pub(super) source: Source,
    pub(super) key_store: KeyStoreAnswer,
    /// The key store of the log's key.
    pub(super) log: SealedAnswer,
    pub(super) database: DatabaseConfig,
    pub(super) administrator: Account,
    pub(super) key: Option<KeyAnswer>,
}

/// The key store of the first environment.
pub(super) enum KeyStoreAnswer {
    Sealed(SealedAnswer),
    Token { config: PathBuf, pin: Option<Secret> },
}

/// A sealed store, and what opens it.
pub(super) struct SealedAnswer {
    pub(super) choice: SealKind,
    pub(super) passphrase: Option<Secret>,
    /// The file with the key that opens the store on another machine, if there will be one.
    pub(super) recovery: PathBuf,
}

impl KeyStoreAnswer {
    /// As [`SealedAnswer::recovery`].
    pub(super) fn recovery(&self) -> Option<&Path> {
        match self {
            Self::Sealed(sealed) => sealed.recovery(),
            Self::Token { .. } => None,
        }
    }

    /// The store for the log's key: opened as that of the other keys, but never by a person, who would have to come before
    /// the server's first checkpoint after each start.
    fn for_log(&self) -> SealedAnswer {
        let own = recovery_file(LOG_ENVIRONMENT);
        match self {
            Self::Sealed(SealedAnswer { choice, passphrase: None, recovery }) => {
                let recovery = own.file_name().map_or_else(|| own.clone(), |name| recovery.with_file_name(name));
                SealedAnswer { choice: *choice, passphrase: None, recovery }
            }
            Self::Sealed(_) | Self::Token { .. } => {
                SealedAnswer { choice: default_seal(), passphrase: None, recovery: own }
            }
        }
    }
}

impl SealedAnswer {
    /// The file with the key that opens the store on another machine, if there will be one.
    pub(super) fn recovery(&self) -> Option<&Path> {
        matches!(self.choice, SealKind::Tpm | SealKind::SystemdCredential).then_some(&*self.recovery)
    }
}

/// The first key.
pub(super) struct KeyAnswer {
    pub(super) project: String,
    pub(super) name: String,
    pub(super) user_id: String,
    pub(super) algorithm: KeyAlgorithm,
    pub(super) user: Account,
}

impl Answers {
    /// Asks for what the options do not say.
    ///
    /// # Errors
    /// If an answer can't be used, or there is nobody to ask for what has no default.
    pub(super) fn of(setup: Setup) -> anyhow::Result<Self> {
        let questions = Questions::new(setup.non_interactive)?;
        Account::check(&setup.admin, "--admin")?;
        let names = names(setup.names, questions)?;
        let listen = match setup.listen {
            Some(listen) => listen,
            None => questions.text("Address and port to listen on", LISTEN, |text| {
                super::listen::parse(text).map_err(anyhow::Error::msg)
            })?,
        };
        let source = setup.certificate.decide(questions)?;
        let key_store = match setup.token_config {
            Some(config) => {
                let config = std::path::absolute(config)?;
                ensure!(config.is_file(), "{} is not a file", config.display());
                let pin = setup.pin_file.as_deref().map(passwords::first_line).transpose()?;
                KeyStoreAnswer::Token { config, pin }
            }
            None => {
                KeyStoreAnswer::Sealed(seal(setup.seal, setup.seal_passphrase_file, setup.recovery_file, questions)?)
            }
        };
        let log = key_store.for_log();
        let database = setup.database.section()?;
        let administrator = one_time(setup.admin)?;
        let key = first_key(setup.key, setup.user_id, setup.user, setup.algorithm, questions)?;
        if let (Some(_), KeyStoreAnswer::Token { config, .. }) = (&key, &key_store) {
            let by_hand = person_gives_pin(config)?;
            ensure!(!by_hand, "a person gives this token's PIN after the start, so create the key then, without --key");
        }
        if let Some(key) = &key {
            ensure!(
                key.user.name != administrator.name,
                "the administrator can't be the key's user: choose another --user"
            );
        }
        Ok(Self { names, listen, source, key_store, log, database, administrator, key })
    }
}

fn names(given: Vec<String>, questions: Questions) -> anyhow::Result<Vec<String>> {
    let check = |name: &str| {
        ensure!(tls::is_host_name(name), "{name:?} is neither a host name nor an address");
        Ok(name.to_owned())
    };
    if given.is_empty() {
        let host = host_name();
        if !questions.are_asked() && host.is_empty() {
            bail!("this machine has no host name that others could use: give --name");
        }
        return Ok(vec![questions.text("Name of this server that clients use", &host, check)?]);
    }
    given.iter().map(|name| check(name).context("--name")).collect()
}

/// This machine's name, if it can be one of a server.
fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    if name != "localhost" && tls::is_host_name(&name) { name } else { String::new() }
}

fn seal(
    given: Option<SealKind>,
    passphrase_file: Option<PathBuf>,
    recovery: Option<PathBuf>,
    questions: Questions,
) -> anyhow::Result<SealedAnswer> {
    let choice = match given {
        Some(choice) => choice,
        None if passphrase_file.is_some() => SealKind::Passphrase,
        None => {
            let tpm = ("tpm", "the TPM of this machine: starts unattended", SealKind::Tpm);
            let others = [
                ("key-file", "a file that only the signer can read: starts unattended", SealKind::KeyFile),
                (
                    "systemd-credential",
                    "a file encrypted to this machine: starts unattended",
                    SealKind::SystemdCredential,
                ),
                ("passphrase", "a passphrase: a person gives it after each start", SealKind::Passphrase),
            ];
            let choices: Vec<_> = has_tpm().then_some(tpm).into_iter().chain(others).collect();
            questions.choose("What opens the private keys when the signer starts?", &choices)?
        }
    };
    let passphrase = match (choice, passphrase_file) {
        (SealKind::Passphrase, Some(file)) => Some(passwords::first_line(&file)?),
        (SealKind::Passphrase, None) => Some(passwords::new_passphrase(questions.are_asked())?),
        (_, Some(_)) => bail!("--seal-passphrase-file goes with --seal passphrase"),
        (_, None) => None,
    };
    let recovery = recovery.unwrap_or_else(|| recovery_file(ENVIRONMENT));
    Ok(SealedAnswer { choice, passphrase, recovery: std::path::absolute(recovery)? })
}

fn first_key(
    key: Option<String>,
    user_id: Option<String>,
    user: Option<String>,
    algorithm: KeyAlgorithm,
    questions: Questions,
) -> anyhow::Result<Option<KeyAnswer>> {
    let parse = |text: &str| {
        if text.is_empty() {
            return Ok(None);
        }
        let (project, name) = text.split_once('/').context("write PROJECT/NAME, such as release/tags")?;
        Name::check(project).map_err(anyhow::Error::msg)?;
        NewKeyName::check(name).map_err(anyhow::Error::msg)?;
        Ok(Some((project.to_owned(), name.to_owned())))
    };
    let key = match key {
        Some(key) => parse(&key).context("--key")?,
        None => questions.text("First key, such as release/tags (empty: none now)", "", parse)?,
    };
    let Some((project, name)) = key else {
        ensure!(user.is_none() && user_id.is_none(), "--user and --user-id are those of a --key");
        return Ok(None);
    };
    let check = |text: &str| UserId::check(text).map_err(anyhow::Error::msg).map(|()| text.to_owned());
    let user_id = match user_id {
        Some(user_id) => check(&user_id).context("--user-id")?,
        None if !questions.are_asked() => bail!("--key needs --user-id, such as 'Tags <tags@example.org>'"),
        None => questions.text("Its user id, such as Tags <tags@example.org>", "", check)?,
    };
    let check = |name: &str| Name::check(name).map_err(anyhow::Error::msg).map(|()| name.to_owned());
    let user = match user {
        Some(user) => check(&user).context("--user")?,
        None if !questions.are_asked() => bail!("--key needs --user, who signs with it"),
        None => questions.text("User who signs with it", "", check)?,
    };
    Ok(Some(KeyAnswer { project, name, user_id, algorithm, user: one_time(user)? }))
}

/// An account whose one-time password is replaced at the first login.
fn one_time(name: String) -> anyhow::Result<Account> {
    let password = one_time_password().ok().context("the system gives no random numbers")?;
    let days = i64::from(Limits::default().one_time_password_days);
    let until = Timestamp::from_unix(Timestamp::now().unix() + days * DAY);
    Ok(Account { name, password, one_time_until: Some(until) })
}
