//! `sealcard-server environment`: more places where keys are kept.

use std::{
    fs,
    io::{IsTerminal as _, stdin},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use nix::unistd::{Uid, User, geteuid};
use sealcard_api::{admin::EnvironmentKind, rules::Name};

use super::{
    Data,
    installed::{self, Acting, Instance, Making, Seal, systemctl},
    join, output, passwords,
    seal::{SealKind, SealOptions},
};
use crate::{
    config::Config,
    files,
    signers::{self, Place, SOCKET_FILE, SocketFile, discover},
};

#[derive(Debug, Subcommand)]
pub(super) enum EnvironmentCommand {
    /// Create an environment: a sealed store or a token
    ///
    /// Without --token-config and --socket it is a sealed store: files, encrypted under a key that --seal protects. On
    /// an installed server, run this as root: it creates the signer with its user and units, and the running server
    /// uses it at once. If several servers share a database, create the environment on each of them under the same
    /// name: for a token with the same configuration, for a sealed store with --from.
    #[command(after_help = "\
Examples:
  sealcard-server environment add tests
  sealcard-server environment add hsm --pin-file pin \\
    --token-config /etc/sealcard/hsm.toml
  sealcard-server environment add release --kind sealed \\
    --socket /run/sealcard-signer/release")]
    Add(Box<Add>),
    /// List the environments of this data folder
    ///
    /// Shows how each keeps its keys, and where. `sealcard admin environment list` also shows whether they are ready.
    List {
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    data: Data,
    /// The name, unique on this server
    name: String,
    /// Keep keys on the token that this file describes (token.toml); the file is checked and copied
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["seal", "seal_key_file", "seal_passphrase_file", "seal_credential"])]
    token_config: Option<PathBuf>,
    /// Read the token's PIN from the first line of this file, and store it where the description says; only for an
    /// installed server
    #[arg(long, value_name = "FILE", requires = "token_config")]
    pin_file: Option<PathBuf>,
    /// Use a signer that runs as its own user and listens on this socket (sealcard-signer@NAME.socket); create its
    /// folder with sealcard-signer init or init-token
    #[arg(long, value_name = "SOCKET", requires = "kind", conflicts_with_all = ["token_config", "from", "seal",
        "seal_key_file", "seal_passphrase_file", "seal_credential"])]
    socket: Option<PathBuf>,
    /// How that signer stores keys: sealed (created with init) or pkcs11 (created with init-token)
    #[arg(long, value_name = "KIND", requires = "socket", value_parser = parse_kind)]
    kind: Option<EnvironmentKind>,
    /// Copy the sealed store of another server that shares the database: its signer's folder
    #[arg(long, value_name = "DIR")]
    #[arg(conflicts_with_all = ["token_config", "seal", "seal_key_file", "seal_passphrase_file",
        "seal_credential"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    seal: SealOptions,
}

impl EnvironmentCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => add.run(),
            Self::List { data } => {
                let _acting = data.act_as_owner()?;
                let all = discover(&data.data.join("signer")).context("can't read the folder signer")?;
                let width = all.iter().map(|found| found.name.len()).max().unwrap_or(0).max("NAME".len());
                output::line(format_args!("{:<width$}  KEY STORE     PLACE", "NAME"));
                for found in all {
                    let store = match found.kind {
                        EnvironmentKind::Sealed => "sealed store",
                        EnvironmentKind::Pkcs11 => "PKCS#11 token",
                    };
                    let place = match &found.place {
                        Place::Here(folder) => folder.display(),
                        Place::Socket(socket) => socket.display(),
                    };
                    output::line(format_args!("{:<width$}  {store:<13} {place}", found.name));
                }
                Ok(())
            }
        }
    }
}

impl Add {
    fn run(self) -> anyhow::Result<()> {
        self.seal.check()?;
        Name::check(&self.name).map_err(anyhow::Error::msg)?;
        let data = std::path::absolute(&self.data.data).context("--data")?;
        let config = Config::load(&data)
            .with_context(|| format!("{} can't be used (create it with: sealcard-server setup)", data.display()))?;
        if !config.trial && self.socket.is_none() {
            return self.install(&data);
        }
        if config.trial {
            self.seal.check_trial()?;
        }
        expect_own(&data)?;
        let folder = data.join("signer").join(&self.name);
        if folder.symlink_metadata().is_ok() {
            bail!("an environment named {} already exists", self.name);
        }
        let program = signers::program(config.signer_program.as_deref()).context("can't find the signer's program")?;
        // Made under a name that no environment can have, so that a server never sees half of it.
        let making = data.join("signer").join(format!(".new.{}", self.name));
        if making.symlink_metadata().is_ok() {
            fs::remove_dir_all(&making).context("can't remove what an earlier attempt left behind")?;
        }
        let made = self.make(&program, &making).and_then(|keys| {
            fs::rename(&making, &folder).with_context(|| format!("can't make {}", folder.display()))?;
            files::sync_entry(&folder)?;
            Ok(keys)
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&making);
        }
        let keys = made?;
        output::line(format_args!("Created the environment {} in {}.", self.name, folder.display()));
        if self.token_config.is_none() && self.from.is_none() && self.socket.is_none() {
            output::line(format_args!("Its key store is {}.", self.seal.describe(&folder)));
            if let Some(care) = self.seal.care() {
                output::line(format_args!("{care}"));
            }
        }
        if let Some(envelope) = keys.envelope {
            output::line(format_args!("  Envelope key    {envelope}"));
        }
        if let Some(keeper) = keys.keeper {
            output::line(format_args!("  Keeper key      {keeper}"));
        }
        if self.token_config.is_some() {
            let place = "Put a PIN file that it names without a folder into";
            output::line(format_args!("  {place} {}, mode 0600, before the server starts", folder.display()));
        }
        output::line(format_args!("\nIf the server runs, reload it: systemctl reload sealcard-server (SIGHUP)"));
        output::line(format_args!("Then check: sealcard admin environment list"));
        Ok(())
    }

    /// Makes a signer that runs as its own user, and has the server use it.
    fn install(&self, data: &Path) -> anyhow::Result<()> {
        installed::expect_administrator("sealcard-server environment add")?;
        ensure!(data == Path::new(installed::DATA), "only the server in {} has units", installed::DATA);
        let program = signers::program(None).context("can't find the signer's program")?;
        let recovery = installed::recovery_file(&self.name);
        let kind = self.seal.seal.unwrap_or_else(installed::default_seal);
        let sealed = self.token_config.is_none() && self.from.is_none();
        let has_recovery = sealed && matches!(kind, SealKind::Tpm | SealKind::SystemdCredential);
        let place = data.join("signer").join(&self.name);
        ensure!(place.symlink_metadata().is_err(), "an environment named {} already exists", self.name);
        let file = self.seal.installed()?;
        let passphrase = match (kind, file) {
            _ if !sealed => None,
            (SealKind::Passphrase, Some(file)) => Some(passwords::first_line(file)?),
            (SealKind::Passphrase, None) => Some(passwords::new_passphrase(stdin().is_terminal())?),
            _ => None,
        };
        let making = Instance::new(&self.name, program)?.begin(has_recovery.then_some(recovery.as_path()))?;
        let seal = sealed.then(|| Seal::make(&self.name, kind, passphrase.clone(), &recovery)).transpose();
        let made = seal.and_then(|seal| Ok((self.install_instance(&making, seal.as_ref(), &place)?, seal)));
        let (made, seal) = match made {
            Ok(made) => made,
            Err(error) => {
                making.undo();
                return Err(error);
            }
        };
        let instance = making.finish()?;
        output::line(format_args!("Created the environment {}, whose signer runs as {}.", self.name, instance.user()));
        output::line(format_args!("  Folder          {}", instance.folder().display()));
        if let Some(keeper) = made.keeper_key {
            output::line(format_args!("  Keeper key      {keeper}"));
        }
        if let Some(seal) = &seal {
            output::line(format_args!("\nKeep in a safe place, apart from backups:"));
            output::line(format_args!("  {}", seal.keep(&instance.folder())));
        }
        if systemctl(&["is-active", installed::UNIT]).is_ok() {
            systemctl(&["reload", installed::UNIT])?;
            if let Some(passphrase) = &passphrase {
                instance.unseal_soon(passphrase)?;
            }
        }
        output::line(format_args!("\nCheck it: sealcard admin environment list"));
        Ok(())
    }

    fn install_instance(&self, making: &Making, seal: Option<&Seal>, place: &Path) -> anyhow::Result<installed::Made> {
        let pin = self.pin_file.as_deref().map(passwords::first_line).transpose()?;
        let (keys, kind) = match (seal, &self.token_config, &self.from) {
            (Some(seal), ..) => (installed::Keys::Sealed(seal), EnvironmentKind::Sealed),
            (None, Some(config), _) => (installed::Keys::Token { config, pin: pin.as_ref() }, EnvironmentKind::Pkcs11),
            (None, None, Some(from)) => (installed::Keys::Copy(from), EnvironmentKind::Sealed),
            (None, None, None) => bail!("say what keeps the keys"),
        };
        let made = making.make(&keys)?;
        let _acting = Acting::begin(installed::USER)?;
        files::make_folder(place)?;
        let text = toml::to_string(&SocketFile { socket: making.instance().socket(), kind })?;
        let written = files::write_new(&place.join(SOCKET_FILE), text.as_bytes());
        if written.is_err() {
            let _ = fs::remove_dir_all(place);
        }
        written?;
        Ok(made)
    }

    /// What secrets for the new environment are encrypted to.
    fn make(&self, program: &Path, folder: &Path) -> anyhow::Result<Keys> {
        if let (Some(socket), Some(kind)) = (&self.socket, self.kind) {
            let socket = std::path::absolute(socket).context("--socket")?;
            files::make_folder(folder)?;
            let text = toml::to_string(&SocketFile { socket, kind })?;
            files::write_new(&folder.join(SOCKET_FILE), text.as_bytes())?;
            return Ok(Keys { envelope: None, keeper: None });
        }
        if let Some(from) = &self.from {
            let from = std::path::absolute(from).context("--from")?;
            if !from.join("seal.json").is_file() {
                bail!("{} is not the folder of a sealed store", from.display());
            }
            join::join_key_store(&from, folder)?;
            return Ok(Keys { envelope: None, keeper: None });
        }
        let Some(config) = &self.token_config else {
            files::make_folder(folder)?;
            let made = self.seal.run(program, folder)?;
            return Ok(Keys { envelope: Some(made.envelope_key), keeper: Some(made.keeper_key) });
        };
        let config = std::path::absolute(config).context("--token-config")?;
        let output = Command::new(program)
            .arg("init-token")
            .arg("--folder")
            .arg(folder)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("can't start {} (it belongs beside sealcard-server)", program.display()))?;
        if !output.status.success() {
            bail!("the signer could not make the environment ({})", output.status);
        }
        let made: TokenMade = serde_json::from_slice(&output.stdout).context("the signer did not say what it made")?;
        Ok(Keys { envelope: None, keeper: Some(made.keeper_key) })
    }
}

/// What another user makes here the server can't read.
fn expect_own(data: &Path) -> anyhow::Result<()> {
    let (owner, user) = (fs::metadata(data).with_context(|| data.display().to_string())?.uid(), geteuid().as_raw());
    if owner != user {
        let name =
            User::from_uid(Uid::from_raw(owner)).ok().flatten().map_or_else(|| owner.to_string(), |user| user.name);
        bail!("{} belongs to the user {name}: run this as {name}, as the server runs", data.display());
    }
    Ok(())
}

pub(super) fn parse_kind(text: &str) -> Result<EnvironmentKind, String> {
    let all = [EnvironmentKind::Sealed, EnvironmentKind::Pkcs11];
    all.into_iter().find(|kind| kind.name() == text).ok_or_else(|| "it is sealed or pkcs11".to_owned())
}

/// Fingerprints that people compare before they give a secret.
struct Keys {
    /// Of the key that imported keys are encrypted to.
    envelope: Option<String>,
    /// Of the key that a passphrase or PIN is encrypted to.
    keeper: Option<String>,
}

/// What of the signer's answer is shown.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TokenMade {
    keeper_key: String,
}
