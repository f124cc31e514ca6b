//! A signer that runs as a user of its own and is connected to, as the units in `packaging/systemd` start it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use nix::unistd::{Pid, geteuid};
use sealcard_tests::{
    Algorithm, Daemon, DatabaseKind, Playground, Scratch, StoreKind, good_signatures, run, wait_until,
};

use crate::{
    support::{PATIENCE, builder, record::expect_no_findings, rest::Rest},
    tokens::{kill_now, process},
};

const ENVIRONMENT: &str = "apart";

/// A user without any rights.
const NOBODY: u32 = 65534;

#[test]
fn a_signer_of_another_user_serves_one_server_after_the_other() -> Result<()> {
    let mut playground = builder()?.database(DatabaseKind::Sqlite).store(StoreKind::Sealed).start()?;
    let apart = Apart::start(&playground)?;
    playground.server.stop()?;
    let mut add = Command::new(playground.binaries.server());
    add.args(["environment", "add", ENVIRONMENT, "--kind", "sealed", "--data"]).arg(playground.server.data());
    run(add.arg("--socket").arg(&apart.socket), PATIENCE)?.success()?;
    playground.server.start_again(&[])?;
    playground.admin.wait_for_environment(ENVIRONMENT)?;
    let key = playground.admin.create_key_in(ENVIRONMENT, Algorithm::NistP256, "apart")?.fingerprint;
    playground.workstation.run_sealcard(&["sync"])?;
    expect_good_signature(&playground, &key)?;
    for verb in ["serve", "worker"] {
        let process = apart.process(verb)?.with_context(|| format!("there is no process for {verb}"))?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let user = format!("Uid:\t{0}\t{0}\t{0}\t{0}", apart.user);
        ensure!(status.contains(&user), "{verb} is another user's: {status}");
    }

    // A keeper that dies has a successor.
    let keeper = apart.keeper_after(None)?;
    kill_now(keeper)?;
    apart.keeper_after(Some(keeper))?;
    playground.admin.wait_for_environment(ENVIRONMENT)?;
    expect_good_signature(&playground, &key)?;

    // It ends with its server, however that ends, and the next server gets the next one.
    playground.server.stop()?;
    apart.wait_until_nobody_keeps()?;
    playground.server.start_again(&[])?;
    playground.admin.wait_for_environment(ENVIRONMENT)?;
    playground.server.kill()?;
    apart.wait_until_nobody_keeps()?;
    playground.server.start_again(&[])?;
    playground.admin.wait_for_environment(ENVIRONMENT)?;
    expect_good_signature(&playground, &key)?;
    expect_no_findings(&Rest::admin(&playground)?)
}

#[test]
fn a_server_waits_for_a_signer_that_is_not_there_yet() -> Result<()> {
    let mut playground = builder()?.database(DatabaseKind::Sqlite).store(StoreKind::Sealed).start()?;
    playground.server.stop()?;
    let folder = playground.server.data().join("signer").join(ENVIRONMENT);
    fs::create_dir(&folder)?;
    let mut apart = Apart::prepare(&playground)?;
    fs::write(folder.join("socket.toml"), format!("socket = {:?}\nkind = \"sealed\"\n", apart.socket))?;
    playground.server.start_again(&[])?;
    let state = playground.admin.environment(ENVIRONMENT)?.0;
    ensure!(state == "unavailable", "the environment is {state}");
    let log = playground.server.log();
    ensure!(log.contains("can't be connected to") && log.contains("apart/socket"), "{log}");
    apart.listen(&playground)?;
    playground.admin.wait_for_environment(ENVIRONMENT)?;

    // Its fingerprint is not to be had here, and none is made up.
    let mut keeper_key = Command::new(playground.binaries.signer());
    let refused = run(keeper_key.args(["keeper-key", "--folder"]).arg(&folder), PATIENCE)?.failure()?;
    ensure!(refused.stderr.contains("has its own folder"), "{}", refused.description());

    // An environment that contradicts the database disturbs no other one.
    playground.server.stop()?;
    fs::write(folder.join("socket.toml"), format!("socket = {:?}\nkind = \"pkcs11\"\n", apart.socket))?;
    playground.server.start_again(&[])?;
    playground.admin.wait_for_environment("default")?;
    let state = playground.admin.environment(ENVIRONMENT)?.0;
    ensure!(state == "unavailable", "the environment is {state}");
    ensure!(playground.server.log().contains("of another kind here"), "{}", playground.server.log());
    expect_good_signature(&playground, &playground.key(Algorithm::NistP256)?.fingerprint)
}

#[test]
fn the_units_are_well_formed() -> Result<()> {
    let scratch = Scratch::new()?;
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for unit in ["sealcard-server.service", "sealcard-signer@.service", "sealcard-signer@.socket"] {
        // What the programs are called where they are installed does not matter here.
        let text = fs::read_to_string(packaging.join(unit))?;
        let text = text.replace("/usr/bin/sealcard-server", "/bin/true");
        let text = text.replace("/usr/bin/sealcard-signer", "/bin/true");
        scratch.file(unit, &text)?;
        verify.arg(scratch.file(&unit.replace("@.", "@default."), &text)?);
    }
    let verified = run(&mut verify, PATIENCE)?.success()?;
    ensure!(verified.stderr.is_empty(), "{}", verified.description());
    Ok(())
}

/// A signer apart from the server.
struct Apart {
    /// The signer's own folders, which another user may enter.
    _outer: tempfile::TempDir,
    folder: PathBuf,
    socket: PathBuf,
    program: PathBuf,
    /// Whose it is. Only root can become somebody else.
    user: u32,
    daemon: Option<Daemon>,
}

impl Apart {
    fn start(playground: &Playground) -> Result<Self> {
        let mut apart = Self::prepare(playground)?;
        apart.listen(playground)?;
        Ok(apart)
    }

    fn prepare(playground: &Playground) -> Result<Self> {
        let outer = tempfile::Builder::new().prefix("apart.").tempdir_in("/tmp")?;
        fs::set_permissions(outer.path(), Permissions::from_mode(0o755))?;
        let user = if geteuid().is_root() { NOBODY } else { geteuid().as_raw() };
        let folder = outer.path().join("folder");
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        chown(&folder, Some(user), Some(user))?;
        // A copy, because the build folder may be closed to that user.
        let program = outer.path().join("sealcard-signer");
        fs::copy(playground.binaries.signer(), &program)?;
        let socket = outer.path().join("apart").join("socket");
        fs::create_dir(outer.path().join("apart"))?;
        let apart = Self { _outer: outer, folder, socket, program, user, daemon: None };
        let mut init = apart.as_its_user();
        run(init.args(["init", "--seal", "key-file", "--folder"]).arg(&apart.folder), PATIENCE)?.success()?;
        Ok(apart)
    }

    /// What systemd does with the socket's unit.
    fn listen(&mut self, playground: &Playground) -> Result<()> {
        let signer = self.as_its_user();
        let mut activate = Command::new("systemd-socket-activate");
        activate.arg("--listen").arg(&self.socket).arg(signer.get_program()).args(signer.get_args());
        activate
            .args(["listen", "--folder"])
            .arg(&self.folder)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        self.daemon = Some(Daemon::spawn(&activate, &playground.scratch.path().join("apart.log"))?);
        wait_until("the socket", PATIENCE, || {
            Ok(self.socket.metadata().is_ok_and(|socket| socket.file_type().is_socket()).then_some(()))
        })
    }

    fn as_its_user(&self) -> Command {
        let mut command = Command::new("setpriv");
        if geteuid().is_root() {
            let id = self.user.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        }
        command.arg(&self.program);
        command
    }

    fn process(&self, verb: &str) -> Result<Option<Pid>> {
        process(&self.folder, verb)
    }

    fn keeper_after(&self, before: Option<Pid>) -> Result<Pid> {
        wait_until("a keeper", PATIENCE, || Ok(self.process("serve")?.filter(|keeper| Some(*keeper) != before)))
    }

    fn wait_until_nobody_keeps(&self) -> Result<()> {
        wait_until("keeper and worker to end", PATIENCE, || {
            Ok((self.process("serve")?.is_none() && self.process("worker")?.is_none()).then_some(()))
        })
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // The keeper and its worker end with their server, which may live longer than this value.
        for verb in ["serve", "worker"] {
            if let Ok(Some(process)) = self.process(verb) {
                let _ = kill_now(process);
            }
        }
        drop(self.daemon.take());
    }
}

fn expect_good_signature(playground: &Playground, key: &str) -> Result<()> {
    let station = &playground.workstation;
    station.try_sign(key)?.success()?;
    let verified =
        station.gpg(&["--status-fd", "1", "--verify", &station.path("to-sign.sig"), &station.path("to-sign")])?;
    ensure!(good_signatures(&verified.text(), key) == 1, "{}", verified.description());
    Ok(())
}
