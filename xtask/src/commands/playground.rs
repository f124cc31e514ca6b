//! `cargo xtask playground`: the real thing, for trying anything.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitCode, ExitStatus},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_tests::{Algorithm, DatabaseKind, PlaygroundBuilder, StoreKind};
use signal_hook::consts::SIGINT;

use xtask::{cargo, interrupts, output, packages};

use crate::kryoptic;

/// Start a server with a user, a project and keys, and run a command against it
///
/// Starts a server in a temporary folder with one user (ada), one project (playground) and a key of each algorithm, and
/// a GnuPG home that is set up for the user. Runs COMMAND with GNUPGHOME and the keys' fingerprints set and gives its
/// exit code; without COMMAND prints the exports and waits for Ctrl-C. The fingerprints are in SEALCARD_KEY_RSA2048,
/// SEALCARD_KEY_RSA3072, SEALCARD_KEY_RSA4096, SEALCARD_KEY_NISTP256, SEALCARD_KEY_NISTP384, SEALCARD_KEY_NISTP521 and
/// SEALCARD_KEY_ED25519. With --store softhsm or kryoptic, pkcs11-tool can look at the token: SEALCARD_PKCS11_MODULE is
/// its module, SEALCARD_PKCS11_PIN_FILE its PIN, and what the module reads is set too. Ends and removes everything
/// afterwards.
///
/// Example: cargo xtask playground -- sh -c 'echo hello | gpg --clear-sign -u $SEALCARD_KEY_ED25519'
#[derive(Debug, Args)]
pub(crate) struct Playground {
    /// Uses optimized programs
    #[arg(long)]
    release: bool,
    /// Makes new keys of these algorithms only (comma-separated: rsa2048, rsa3072, rsa4096, nistp256, nistp384,
    /// nistp521, ed25519). Without this option the playgrounds of one build share their keys, which saves the making of
    /// RSA keys each time
    #[arg(long, value_name = "ALGORITHMS", value_delimiter = ',')]
    algorithms: Vec<Algorithm>,
    /// Where the server keeps its data: sqlite, or postgres (a cluster of its own, made for the purpose)
    #[arg(long, value_name = "DATABASE", default_value_t)]
    database: DatabaseKind,
    /// Where the keys are: sealed (the server's own encrypted store), softhsm or kryoptic (a software token behind
    /// PKCS#11, as the environment "hsm"; kryoptic has no Ed25519, and is built first)
    #[arg(long, value_name = "STORE", default_value_t)]
    store: StoreKind,
    /// What to run, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

enum Event {
    Interrupted(i32),
    Ended(std::io::Result<ExitStatus>),
}

impl Playground {
    pub(crate) fn run(self) -> Result<ExitCode> {
        packages::ensure(packages::DEMO)?;
        if self.database == DatabaseKind::Postgres {
            packages::ensure(packages::POSTGRES)?;
        }
        match self.store {
            StoreKind::Sealed => {}
            StoreKind::SoftHsm => packages::ensure(packages::SOFTHSM)?,
            StoreKind::Kryoptic => kryoptic::ensure()?,
        }
        let binaries = cargo::build(self.release)?;
        let (sender, events) = mpsc::channel();
        interrupts::hold(sender.clone(), Event::Interrupted)?;

        output::step("starting the playground");
        let mut builder = PlaygroundBuilder::new(binaries).note(output::note).database(self.database).store(self.store);
        if !self.algorithms.is_empty() {
            builder = builder.algorithms(&self.algorithms);
        }
        let playground = builder.start()?;
        let exports = exports(&playground)?;
        let code = match self.command.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).envs(exports);
                let child = command.spawn().with_context(|| format!("starting {}", program.to_string_lossy()))?;
                wait_for(child, sender, &events)?
            }
            None => {
                for (name, value) in exports {
                    output::result(&format!("export {name}='{}'", value.to_string_lossy()));
                }
                output::note("paste these lines into a shell; Ctrl-C here ends and removes it all");
                match events.recv()? {
                    Event::Interrupted(SIGINT) => ExitCode::SUCCESS,
                    Event::Interrupted(signal) => exit_code(128 + signal),
                    Event::Ended(_) => bail!("nothing was started that could end"),
                }
            }
        };
        output::step("ending the playground");
        drop(playground);
        Ok(code)
    }
}

/// What the command finds in its environment: what [`sealcard_tests::Playground::exports`] says, and where the programs
/// and the user's and the administrator's files lie, so that `sealcard` works too.
fn exports(playground: &sealcard_tests::Playground) -> Result<Vec<(String, OsString)>> {
    let mut exports: Vec<(String, OsString)> =
        playground.exports().into_iter().map(|(name, value)| (name, value.into_os_string())).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(playground.binaries.folder().to_owned()).chain(std::env::split_paths(&path));
    exports.push(("PATH".into(), std::env::join_paths(folders)?));
    if let Some(token) = &playground.token {
        exports.push(("SEALCARD_PKCS11_MODULE".into(), token.module.clone().into()));
        exports.push(("SEALCARD_PKCS11_PIN_FILE".into(), token.pin_file.clone().into()));
        exports.extend(token.variables.iter().map(|(name, value)| (name.clone(), value.into())));
    }
    exports.push(("SEALCARD_PLAYGROUND".into(), playground.scratch.path().into()));
    Ok(exports)
}

/// Waits for the command's end; what would end this process meanwhile is passed on to it.
fn wait_for(mut child: Child, sender: Sender<Event>, events: &Receiver<Event>) -> Result<ExitCode> {
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    thread::spawn(move || sender.send(Event::Ended(child.wait())));
    loop {
        match events.recv_timeout(Duration::MAX)? {
            // Ctrl-C reaches every process of the terminal, the command too: only what else it is sent is passed on.
            Event::Interrupted(SIGINT) => {}
            Event::Interrupted(signal) => kill(pid, Signal::try_from(signal)?).unwrap_or_default(),
            Event::Ended(status) => {
                let status = status?;
                let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
                return Ok(exit_code(code.unwrap_or(1)));
            }
        }
    }
}

fn exit_code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
