//! A server as the packages install it: systemd's units, and a user for the server and for each signer.

mod account;
mod instance;
mod seal;
mod token;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use nix::unistd::geteuid;

pub(super) use account::{Acting, as_root, copy_for};
pub(super) use instance::{Instance, Keys, Made, Making, Secret};
pub(super) use seal::{Seal, default_seal, has_tpm, recovery_file};
pub(super) use token::person_gives_pin;

/// The user that the server runs as.
pub(super) const USER: &str = "sealcard";

/// The server's data folder.
pub(super) const DATA: &str = "/var/lib/sealcard";

/// The server's unit.
pub(super) const UNIT: &str = "sealcard-server.service";

/// The folder with the folders of the signers.
pub(super) const SIGNERS: &str = "/var/lib/sealcard-signer";

/// Whether systemd manages this machine (`sd_booted(3)`).
fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Expects root, on a machine that systemd manages.
pub(super) fn expect_administrator(command: &str) -> anyhow::Result<()> {
    if !geteuid().is_root() {
        bail!("{command} changes users and units of this machine: run it as root");
    }
    if !has_systemd() {
        bail!("{command} needs a machine that systemd manages");
    }
    Ok(())
}

/// Runs `systemctl`, whose errors go to the terminal.
pub(super) fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    run(Command::new("systemctl").args(arguments))
}

/// Runs a command of the system to its end.
pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("can't start {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("{name} {} failed ({}): {}", arguments.join(" "), output.status, said.trim())
}

/// Lets the server listen on ports below 1024.
pub(super) fn allow_low_ports() -> anyhow::Result<()> {
    // A process in another user namespace can't use this capability in the network of the machine.
    const TEXT: &str = "# The server listens on a port below 1024.\n[Service]\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n\
        CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nPrivateUsers=no\n";
    let folder = Path::new("/etc/systemd/system").join(format!("{UNIT}.d"));
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let file = folder.join("sealcard-setup.conf");
    fs::write(&file, TEXT).with_context(|| format!("can't write {}", file.display()))?;
    systemctl(&["daemon-reload"])
}
