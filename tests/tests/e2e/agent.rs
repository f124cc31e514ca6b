//! gpg-agent and scdaemon come, go and are replaced while people sign.

use std::{fs, path::PathBuf, sync::mpsc, thread, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use sealcard_tests::{Algorithm, Flavour, Playground, Workstation, run, wait_until};
use serde_json::Value;

use crate::support::{doctor, expect_no_prompt, playground};

with_every_gpg![
    signing_goes_on_whatever_gpgconf_reloads_or_kills,
    parallel_signatures_survive_reloads_of_the_agent,
    an_upgrade_under_a_running_agent_costs_no_signature_and_doctor_tells_of_it,
];

fn signing_goes_on_whatever_gpgconf_reloads_or_kills(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    for arguments in [
        ["--reload", "gpg-agent"],
        ["--reload", "scdaemon"],
        ["--kill", "gpg-agent"],
        ["--kill", "scdaemon"],
        ["--kill", "all"],
    ] {
        station.try_sign(key)?.success()?;
        station.run("gpgconf", &arguments)?;
        if flavour == Flavour::Machine && arguments[1] == "scdaemon" {
            // The agent of 2.2 looks every four seconds whether its scdaemon lives, and says "Broken pipe" meanwhile.
            wait_until("a signature after the end of scdaemon", Duration::from_secs(15), || {
                Ok(station.try_sign(key)?.status.success().then_some(()))
            })?;
        }
        station.try_sign(key)?.success().with_context(|| format!("after gpgconf {arguments:?}"))?;
    }
    expect_no_prompt(&playground)
}

fn parallel_signatures_survive_reloads_of_the_agent(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.write("text", "What is signed\n")?;
    let sign = format!(
        "seq 60 | xargs -P 4 -I N gpg --batch -q -u {key} -o N.sig --detach-sign text && \
         for s in *.sig; do gpg --batch -q --verify $s text 2>/dev/null || exit 1; done"
    );
    let (done, is_done) = mpsc::channel();
    let (signed, reloads) = thread::scope(|scope| {
        let signing = scope.spawn(|| {
            let finished = run(&mut station.command("sh", &["-c", &sign]), Duration::from_secs(120));
            done.send(()).ok();
            finished
        });
        let mut reloads = 0;
        while is_done.recv_timeout(Duration::from_millis(100)).is_err() {
            station.run("gpgconf", &["--reload", "gpg-agent"])?;
            reloads += 1;
        }
        anyhow::Ok((signing.join().map_err(|_| anyhow!("the signing thread panicked"))?, reloads))
    })?;
    signed?.success()?;
    ensure!(reloads > 0, "nothing was reloaded meanwhile");
    expect_no_prompt(&playground)
}

fn an_upgrade_under_a_running_agent_costs_no_signature_and_doctor_tells_of_it(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let installed = Installed::new(&playground)?;
    run(&mut station.command(installed.program("sealcard"), &["setup"]), Duration::from_secs(60))?.success()?;
    let config = fs::read_to_string(station.gnupg_home().join("gpg-agent.conf"))?;
    ensure!(config.contains(&installed.program("sealcard-scdaemon").display().to_string()), "{config}");
    station.try_sign(key)?.success()?;
    let old = scdaemon_pid(&installed.playground.workstation)?;
    ensure!(installed.doctor()?["verdict"] == "good", "{}", installed.doctor()?);

    installed.upgrade()?;
    // The old program goes on until its agent does, so that no signature waits for a start in between.
    station.try_sign(key)?.success()?;
    ensure!(scdaemon_pid(&installed.playground.workstation)? == old);
    let finding = installed.doctor()?;
    ensure!(finding["verdict"] == "warning" && finding["advice"] == "gpgconf --kill gpg-agent", "{finding}");

    station.run("gpgconf", &["--kill", "gpg-agent"])?;
    station.try_sign(key)?.success()?;
    ensure!(scdaemon_pid(&installed.playground.workstation)? != old);
    ensure!(installed.doctor()?["verdict"] == "good", "{}", installed.doctor()?);
    expect_no_prompt(&playground)
}

/// The workstation's programs in a folder of their own, to be upgraded there.
struct Installed<'a> {
    playground: &'a Playground,
    folder: PathBuf,
}

impl<'a> Installed<'a> {
    fn new(playground: &'a Playground) -> Result<Self> {
        let installed = Self { playground, folder: playground.scratch.folder("programs")? };
        installed.upgrade()?;
        Ok(installed)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts each program in place as package managers do: written beside the old one, then renamed.
    fn upgrade(&self) -> Result<()> {
        for name in ["sealcard", "sealcard-scdaemon"] {
            let beside = self.program(&format!("{name}.new"));
            fs::copy(self.playground.binaries.folder().join(name), &beside)?;
            fs::rename(beside, self.program(name))?;
        }
        Ok(())
    }

    /// What doctor says about scdaemon.
    fn doctor(&self) -> Result<Value> {
        doctor(self.playground.workstation.command(self.program("sealcard"), &[]), "scdaemon")
    }
}

/// The pid of the scdaemon that answers.
fn scdaemon_pid(station: &Workstation) -> Result<u32> {
    let answer = station.run("gpg-connect-agent", &["SCD GETINFO pid", "/bye"])?.text();
    let pid = answer.lines().find_map(|line| line.strip_prefix("D ")).context("scdaemon tells no pid")?;
    Ok(pid.trim().parse()?)
}
