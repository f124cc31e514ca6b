//! `sealcard-server setup`: from the installed packages to a running server.

mod answers;
mod certificate;
mod questions;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use sealcard_api::{admin::EnvironmentKind, algorithm::KeyAlgorithm};

use super::{
    create::{self, Certificate, ENVIRONMENT, First, FirstKey, KeyStore, LOG_ENVIRONMENT, Plan},
    database::DatabaseOptions,
    installed::{self, Acting, DATA, Instance, Keys, Making, Seal, as_root, systemctl},
    listen, output,
    seal::SealKind,
};
use crate::{
    config::Limits,
    signers,
    tls::{self, ServerTls},
};
use answers::{Answers, KeyStoreAnswer, SealedAnswer};
use certificate::{CertificateOptions, Source};

/// Set up this machine's server: users, signer, certificate, database, service
///
/// Asks on the terminal for what no option gives. Afterwards the server runs and is enabled, its signers run as users
/// of their own, whose files the server can't read, and the administrator has a one-time password. One signer is for
/// keys; the other one has the key of the record's log. Run it as root, once. If something fails, it removes what it
/// has made: run it again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealcard-server setup
  sealcard-server setup --name sign.example.org --key release/tags \\
    --user-id 'Tags <tags@example.org>' --user alice
  sealcard-server setup --name sign.example.org --non-interactive")]
pub(super) struct Setup {
    /// The name of this machine that clients use; may be repeated [default: its host name]
    #[arg(long = "name", value_name = "HOSTNAME")]
    names: Vec<String>,
    /// Where the server listens [default: [::]:8443]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen::parse)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    certificate: CertificateOptions,
    /// What opens the private keys when the signer starts [default: tpm if this machine has one, else key-file]
    #[arg(long, value_enum, value_name = "KIND", conflicts_with = "token_config")]
    seal: Option<SealKind>,
    /// Read the passphrase of --seal passphrase from the first line of this file instead of asking
    #[arg(long, value_name = "FILE", conflicts_with = "token_config")]
    seal_passphrase_file: Option<PathBuf>,
    /// Where the key is written that opens the private keys on another machine, with --seal tpm or
    /// systemd-credential [default: /root/sealcard-default.recovery]
    #[arg(long, value_name = "FILE", conflicts_with = "token_config")]
    recovery_file: Option<PathBuf>,
    /// Keep the private keys on the PKCS#11 token that this file describes: see sealcard-token.toml(5)
    #[arg(long, value_name = "FILE")]
    token_config: Option<PathBuf>,
    /// Read the token's PIN from the first line of this file, and store it where the description says
    #[arg(long, value_name = "FILE", requires = "token_config")]
    pin_file: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseOptions,
    /// The first administrator
    #[arg(long, value_name = "NAME", default_value = "admin")]
    admin: String,
    /// Create this key too, and its project
    #[arg(long, value_name = "PROJECT/NAME")]
    key: Option<String>,
    /// The user id of --key
    #[arg(long, value_name = "NAME <EMAIL>")]
    user_id: Option<String>,
    /// The algorithm of --key
    #[arg(long, value_name = "NAME", default_value = "ed25519")]
    algorithm: KeyAlgorithm,
    /// Create this user too, who may use --key
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Ask nothing: take the defaults, and fail where there is none
    #[arg(long)]
    non_interactive: bool,
}

impl Setup {
    pub(super) fn run(self: Box<Self>) -> anyhow::Result<()> {
        installed::expect_administrator("sealcard-server setup")?;
        let data = Path::new(DATA);
        if data.join(crate::config::FILE).exists() && !data.join(create::UNFINISHED).exists() {
            bail!("{DATA} already has a server: see sealcard-server environment and sealcard-server tls to change it");
        }
        let program = signers::program(None).context("can't find the signer's program")?;
        ensure!(program.is_file(), "{} is missing: install the package sealcard-signer", program.display());
        let instances = [Instance::new(ENVIRONMENT, program.clone())?, Instance::new(LOG_ENVIRONMENT, program)?];
        create::expect_free(data)?;
        let answers = Answers::of(*self)?;
        // Before anything is made: it may take a person to mend what an authority does not like.
        let certificate = answers.source.certificate(&answers.names)?;
        let made = make(&answers, certificate, instances)?;
        let renewed = answers.source.keep_renewed(&answers.names);
        let started = start(&answers, &made);
        // Also after an error: the passwords are shown this once.
        report(&answers, &made)?;
        started.and(renewed)
    }
}

/// What was made, but for the server.
struct Made {
    /// The signer of the keys.
    keys: Instance,
    /// What opens its key store, if that is not a token.
    seal: Option<Seal>,
    /// The signer of the log's key.
    log: Instance,
    /// What opens its key store.
    log_seal: Seal,
}

/// Makes signers and server. An error removes all of it.
fn make(answers: &Answers, certificate: Certificate, [keys, log]: [Instance; 2]) -> anyhow::Result<Made> {
    let keys = keys.begin(answers.key_store.recovery())?;
    let log = match log.begin(answers.log.recovery()) {
        Ok(log) => log,
        Err(error) => {
            keys.undo();
            return Err(error);
        }
    };
    match fill(answers, certificate, &keys, &log) {
        // From here on nothing is removed: the server is complete.
        Ok((seal, log_seal)) => Ok(Made { keys: keys.finish()?, seal, log: log.finish()?, log_seal }),
        Err(error) => {
            output::note("Setup failed: removing what it has made.");
            log.undo();
            keys.undo();
            Err(error)
        }
    }
}

/// Only root, and who is given the right, may listen on ports below this one.
const FIRST_FREE_PORT: u16 = 1024;

/// Makes signers and data folder. What opens the signers' key stores; a token needs nothing.
fn fill(
    answers: &Answers,
    certificate: Certificate,
    making: &Making,
    log: &Making,
) -> anyhow::Result<(Option<Seal>, Seal)> {
    let instance = making.instance();
    output::note(&format!("Creating the signer of the environment {ENVIRONMENT}, which runs as {}.", instance.user()));
    let (seal, kind) = match &answers.key_store {
        KeyStoreAnswer::Sealed(sealed) => (Some(make_sealed(ENVIRONMENT, sealed, making)?), EnvironmentKind::Sealed),
        KeyStoreAnswer::Token { config, pin } => {
            making.make(&Keys::Token { config, pin: pin.as_ref() })?;
            (None, EnvironmentKind::Pkcs11)
        }
    };
    let user = log.instance().user();
    output::note(&format!("Creating the signer of the record's log, which runs as {user}."));
    let log_seal = make_sealed(LOG_ENVIRONMENT, &answers.log, log)?;
    let unseal = || match &answers.key_store {
        // Nothing else is done meanwhile: whoever asks waits for this.
        KeyStoreAnswer::Sealed(SealedAnswer { passphrase: Some(passphrase), .. }) => {
            as_root(|| instance.unseal(passphrase))
        }
        KeyStoreAnswer::Sealed(_) | KeyStoreAnswer::Token { .. } => bail!("the key store does not open by itself"),
    };
    let first = answers.key.as_ref().map_or_else(First::default, |key| First {
        project: Some(key.project.clone()),
        key: Some(FirstKey {
            name: &key.name,
            user_id: &key.user_id,
            algorithm: key.algorithm,
            user: &key.user,
            unseal: &unseal,
        }),
    });
    output::note(&format!("Creating the server in {DATA}, which runs as {}.", installed::USER));
    let plan = Plan {
        data: Path::new(DATA),
        listen: answers.listen,
        names: &answers.names,
        database: answers.database.clone(),
        certificate,
        key_store: KeyStore::Signer { socket: instance.socket(), kind, log: Some(log.instance().socket()) },
        administrator: &answers.administrator,
        first,
    };
    let _acting = Acting::begin(installed::USER)?;
    create::make(&plan)?;
    Ok((seal, log_seal))
}

fn make_sealed(environment: &str, answer: &SealedAnswer, making: &Making) -> anyhow::Result<Seal> {
    let seal = Seal::make(environment, answer.choice, answer.passphrase.clone(), &answer.recovery)?;
    making.make(&Keys::Sealed(&seal))?;
    Ok(seal)
}

/// Starts the server, and waits until it serves.
fn start(answers: &Answers, made: &Made) -> anyhow::Result<()> {
    output::note("Starting the server.");
    if answers.listen.port() < FIRST_FREE_PORT {
        installed::allow_low_ports()?;
    }
    systemctl(&["enable", "--now", installed::UNIT])
        .context("the server is set up and does not start; journalctl -u sealcard-server has the reason")?;
    if let KeyStoreAnswer::Sealed(SealedAnswer { passphrase: Some(passphrase), .. }) = &answers.key_store {
        made.keys.unseal_soon(passphrase)?;
    }
    Ok(())
}

const fn without(sealed: bool) -> &'static str {
    if sealed {
        "Without them nobody can use the private keys on another machine, or continue\nthe record's log there."
    } else {
        "Without it nobody can continue the record's log on another machine."
    }
}

fn report(answers: &Answers, made: &Made) -> anyhow::Result<()> {
    let data = Path::new(DATA);
    let name = answers.names.first().map_or("localhost", String::as_str);
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    let url = format!("https://{name}:{}", answers.listen.port());
    output::line(format_args!("\nThe server is set up.\n"));
    output::line(format_args!("  Address         {url}"));
    output::line(format_args!("  Configuration   {}", data.join(crate::config::FILE).display()));
    for (what, instance) in [("Signer", &made.keys), ("Log's signer", &made.log)] {
        let (folder, user) = (instance.folder(), instance.user());
        output::line(format_args!("  {what:<14}  {}, as the user {user}", folder.display()));
    }
    if let Some(key) = &answers.key {
        output::line(format_args!("  Key             {}/{}, {}", key.project, key.name, key.user_id));
    }
    output::line(format_args!("\nKeep in a safe place, apart from backups:"));
    if let Some(seal) = &made.seal {
        output::line(format_args!("  {}", seal.keep(&made.keys.folder())));
    }
    output::line(format_args!("  {}", made.log_seal.keep(&made.log.folder())));
    output::line(format_args!("{}", without(made.seal.is_some())));
    let accounts = std::iter::once((&answers.administrator, "the administrator"));
    let accounts = accounts.chain(answers.key.iter().map(|key| (&key.user, "the user of the key")));
    let days = Limits::default().one_time_password_days;
    output::line(format_args!("\nOne-time passwords, valid for {days} days. They are shown this once:"));
    for (account, what) in accounts {
        output::line(format_args!("  {:<14}  {}  ({what})", account.name, account.password.as_str()));
    }
    output::line(format_args!("\nOn a workstation:"));
    if let Some(key) = &answers.key {
        output::line(format_args!("  sealcard login {url} --user {} --setup", key.user.name));
    }
    output::line(format_args!("  sealcard login {url} --user {} --no-sync", answers.administrator.name));
    if matches!(answers.source, Source::Own) {
        // Last: what can't be shown again is above.
        let fingerprint = ServerTls::fingerprint(&tls::default_pair(data).0)?;
        output::line(format_args!("\nThe first login asks whether this SHA-256 fingerprint is the right one:"));
        output::line(format_args!("  {fingerprint}"));
    }
    Ok(())
}
