//! What happens while the server stands still.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use nix::unistd::Pid;
use sealcard_tests::{Playground, wait_until};

/// The pid of the scdaemon that gpg-agent started.
pub(crate) fn scdaemon_pid(playground: &Playground) -> Result<Pid> {
    let answer = playground.workstation.run("gpg-connect-agent", &["SCD GETINFO pid", "/bye"])?.text();
    let pid = answer.lines().find_map(|line| line.strip_prefix("D ")).context("scdaemon tells no pid")?;
    Ok(Pid::from_raw(pid.trim().parse()?))
}

/// Waits until something that the stopped server has not read yet lies in one of its sockets.
pub(crate) fn wait_for_request(playground: &Playground) -> Result<()> {
    let port: u16 = playground.server.url().rsplit(':').next().context("no port")?.parse()?;
    wait_until("the request at the stopped server", Duration::from_secs(20), || {
        let table = fs::read_to_string("/proc/net/tcp")?;
        // Columns: number, local address, remote address, state (01 is established), send queue:receive queue, …
        let waiting = table.lines().skip(1).any(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let received = columns[4].split(':').nth(1).is_some_and(|queue| queue != "00000000");
            columns[1].ends_with(&format!(":{port:04X}")) && columns[3] == "01" && received
        });
        Ok(waiting.then_some(()))
    })
}
