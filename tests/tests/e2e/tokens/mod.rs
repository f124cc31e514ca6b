//! Keys on a token: what goes wrong with one, and what becomes of it.

mod commands;
mod faults;
mod pins;
mod recovery;

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_tests::{
    Algorithm, DatabaseKind, ENVIRONMENT, Fault, Finished, Playground, Shim, StoreKind, Token, run, wait_until,
};

use crate::support::{PATIENCE, builder};

/// A call that hangs is given up soon.
const DEADLINES: &str = "\n[deadlines]\nstart-seconds = 5\nlogin-seconds = 5\noperation-seconds = 1\n";

/// Where the PIN comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pin {
    /// A file with this content.
    File(&'static str),
    Person,
}

/// A server whose keys are on a token of SoftHSM, with the module in between that makes mistakes.
pub(super) struct Scene {
    pub(super) playground: Playground,
    pub(super) shim: Shim,
}

impl Scene {
    pub(super) fn new(database: DatabaseKind) -> Result<Self> {
        Self::with(database, Pin::File(Token::PIN), &[])
    }

    /// `rules` hold from the start.
    pub(super) fn with(database: DatabaseKind, pin: Pin, rules: &[(&str, Fault)]) -> Result<Self> {
        let mut shim = None;
        let mut builder = builder()?.database(database).store(StoreKind::SoftHsm);
        if let DatabaseKind::Postgres = database {
            // Who shares a database here signs nothing: no keys need be made.
            builder = builder.algorithms(&[]);
        }
        let library = builder.binaries().pkcs11_shim();
        let prepare = |token: &mut Token| {
            let between = Shim::around(token, &library, &token.folder.join("shim"))?;
            for (function, fault) in rules {
                between.always(function, *fault)?;
            }
            shim = Some(between);
            let source = match pin {
                Pin::Person => "\"person\"".to_owned(),
                Pin::File(pin) => {
                    fs::write(&token.pin_file, pin)?;
                    format!("{{ file = {:?} }}", token.pin_file.display().to_string())
                }
            };
            Ok(token.config_with(&source, DEADLINES))
        };
        let playground = builder.prepare_token(prepare).start()?;
        Ok(Self { playground, shim: shim.context("there is no token")? })
    }

    /// Waits until the environment is in this state, for a reason that has these words.
    pub(super) fn wait_for_state(&self, state: &str, why: &str) -> Result<()> {
        let mut last = None;
        wait_until(&format!("the environment {ENVIRONMENT} to be {state}"), PATIENCE, || {
            let (found, detail) = last.insert(self.playground.admin.environment(ENVIRONMENT)?);
            Ok((found == state && detail.contains(why)).then_some(()))
        })
        .with_context(|| format!("it is {last:?}; the server's log:\n{}", self.playground.server.log()))
    }

    pub(super) fn wait_until_ready(&self) -> Result<()> {
        self.wait_for_state("ready", "")
    }

    /// The fingerprint of the key that the tests here sign with.
    pub(super) fn key(&self) -> Result<&str> {
        Ok(&self.playground.key(Algorithm::NistP256)?.fingerprint)
    }

    /// Signs and verifies.
    pub(super) fn expect_good_signature(&self) -> Result<()> {
        let station = &self.playground.workstation;
        station.try_sign(self.key()?)?.success()?;
        let (signature, file) = (station.path("to-sign.sig"), station.path("to-sign"));
        let verified = station.gpg(&["--status-fd", "1", "--verify", &signature, &file])?;
        let good = sealcard_tests::good_signatures(&verified.text(), self.key()?);
        ensure!(good == 1, "{}", verified.description());
        Ok(())
    }

    /// The folder of the token's signer.
    pub(super) fn signer_folder(&self) -> PathBuf {
        self.playground.server.data().join("signer").join(ENVIRONMENT)
    }

    pub(super) fn keeper(&self) -> Result<Pid> {
        process(&self.signer_folder(), "serve")?.context("no keeper runs")
    }

    /// The worker, once there is one that is not `before`.
    pub(super) fn worker_after(&self, before: Option<Pid>) -> Result<Pid> {
        wait_until("a new worker", PATIENCE, || {
            Ok(process(&self.signer_folder(), "worker")?.filter(|worker| Some(*worker) != before))
        })
    }
}

/// The process of a signer's folder that was started with this verb.
pub(crate) fn process(folder: &std::path::Path, verb: &str) -> Result<Option<Pid>> {
    let folder = folder.as_os_str().as_encoded_bytes();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        // Processes come and go meanwhile: one that can't be read is gone.
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let named = words.nth(1) == Some(verb.as_bytes()) && words.any(|word| word == folder);
        let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let (true, Some(pid)) = (named, pid) {
            return Ok(Some(Pid::from_raw(pid)));
        }
    }
    Ok(None)
}

/// Acts as a person does at the server: types a PIN, or says that the configured one is right now.
pub(super) fn unseal(playground: &Playground, pin: Option<&str>) -> Result<Finished> {
    let mut command = Command::new(playground.binaries.signer());
    command.arg("unseal").arg("--folder").arg(playground.server.data().join("signer").join(ENVIRONMENT));
    if let Some(pin) = pin {
        command.arg("--passphrase-file").arg(playground.scratch.file("typed-pin", pin)?);
    }
    run(&mut command, PATIENCE)
}

pub(crate) fn kill_now(process: Pid) -> Result<()> {
    Ok(kill(process, Signal::SIGKILL)?)
}
