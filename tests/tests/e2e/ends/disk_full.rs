//! No space left, on a workstation and on a server: on a small file system of its own.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use sealcard_api::record::RequestState;
use sealcard_tests::{Algorithm, Flavour, run, wait_until};
use serde_json::Value;

use crate::support::{
    builder, expect_no_prompt, playground,
    record::{expect_no_findings, read_record, uses_in_state},
    rest::Rest,
};

#[test]
fn a_workstation_without_space_signs_all_the_same() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let state = station.home().join("state/sealcard");
    let disk = SmallDisk::mount(&state, 1)?;
    let filler = disk.fill(0)?;
    for key in &playground.facts.keys {
        station.try_sign(&key.fingerprint)?.success()?;
    }
    // What must write says so, and leaves what was there.
    let finished = run(&mut station.sealcard(&["sync"]), Duration::from_secs(60))?.failure()?;
    ensure!(finished.stderr.contains("No space left on device"), "{}", finished.description());
    station.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    fs::remove_file(filler)?;
    station.run_sealcard(&["sync"])?;
    expect_no_prompt(&playground)
}

#[test]
fn a_server_without_space_releases_nothing_says_so_and_goes_on_once_there_is_space() -> Result<()> {
    let disk = std::cell::RefCell::new(None);
    let prepare = |data: &Path| {
        disk.replace(Some(SmallDisk::mount(data, 64)?));
        Ok(())
    };
    let playground = builder()?.prepare(prepare).start()?;
    let disk = disk.take().context("nothing was mounted")?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.try_sign(key)?.success()?;
    let (server, signers) = (playground.server.pid(), playground.server.signers()?);

    // A little is left, so that it runs out somewhere in the middle of a signature.
    let filler = disk.fill(96 * 1024)?;
    let mut released = 1;
    let failed = loop {
        let finished = station.try_sign(key)?;
        if !finished.status.success() {
            break finished;
        }
        released += 1;
        ensure!(released < 1000, "the space never runs out");
    };
    ensure!(failed.took < Duration::from_secs(20), "{}", failed.description());
    let last = station.run_sealcard(&["last", "--json"])?;
    let last: Value = serde_json::from_slice(&last.stdout).with_context(|| last.description())?;
    ensure!(last["request_id"].is_string(), "{last}");
    ensure!(last["reason"].as_str().is_some_and(|reason| reason.contains("disk is full")), "{last}");
    let ready = Rest::user(&playground)?.readiness()?;
    ensure!(ready.status == 503 && ready.body.to_string().contains("The server's disk is full."), "{ready:?}");
    // What needs no key and no space still works.
    station.run_sealcard(&["keys"])?;

    fs::remove_file(filler)?;
    wait_until("a signature after there is space again", Duration::from_secs(30), || {
        Ok(station.try_sign(key)?.status.success().then_some(()))
    })?;
    released += 1;
    ensure!(playground.server.pid() == server && playground.server.signers()? == signers, "something was restarted");
    // What began and could not be noted is settled without a restart.
    let admin = Rest::admin(&playground)?;
    let record = wait_until("an end of every request", Duration::from_secs(30), || {
        let record = read_record(&admin)?;
        Ok((uses_in_state(&record, RequestState::Signing) == 0).then_some(record))
    })?;
    ensure!(uses_in_state(&record, RequestState::Signed) >= released, "a released signature is not in the record");
    expect_no_findings(&admin)?;
    expect_no_prompt(&playground)
}

/// A file system of a few megabytes in place of a folder, which keeps its content. Needs root, as the chroots do.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path, megabytes: u32) -> Result<Self> {
        let aside = folder.with_extension("aside");
        fs::rename(folder, &aside)?;
        fs::create_dir(folder)?;
        let options =
            format!("size={megabytes}m,mode=0700,uid={},gid={}", nix::unistd::getuid(), nix::unistd::getgid());
        let mut mount = privileged("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder);
        run(&mut mount, Duration::from_secs(20))?.success()?;
        let disk = Self { folder: folder.to_owned() };
        let mut copy = Command::new("cp");
        run(copy.arg("-a").arg(aside.join(".")).arg(folder), Duration::from_secs(20))?.success()?;
        Ok(disk)
    }

    /// Fills it up but for so many bytes, and gives the file that does.
    fn fill(&self, leave: usize) -> Result<PathBuf> {
        let path = self.folder.join("filler");
        let mut file = File::create(&path)?;
        let mut written = 0_usize;
        // In pages: the last one then fits or does not.
        while file.write_all(&[0; 4096]).is_ok() {
            written += 4096;
            if written > 1 << 30 {
                bail!("the file system is not small");
            }
        }
        file.set_len(u64::try_from(written.saturating_sub(leave))?)?;
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it until the end.
        run(privileged("umount").arg("--lazy").arg(&self.folder), Duration::from_secs(20)).ok();
    }
}

fn privileged(program: &str) -> Command {
    if nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", program]);
    command
}
