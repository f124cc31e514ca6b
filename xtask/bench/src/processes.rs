//! Start-up time and memory, against absolute goals.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{SysconfVar, sysconf},
};
use sealcard_tests::{Algorithm, Playground};

use crate::report::{Report, median};

/// Descriptors of this process and, inherited, of a server.
const DESCRIPTORS: u64 = 16_384;

/// Memory of server and signer together after one signature, in MiB.
pub(crate) fn idle_memory(playground: &Playground, wanted: &dyn Fn(&str) -> bool, report: &mut Report) -> Result<()> {
    let name = "server and signer resident, idle";
    if !wanted(name) {
        return Ok(());
    }
    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    let mut sum = resident(playground.server.pid())?;
    for signer in playground.server.signers()? {
        sum += resident(signer)?;
    }
    report.add(name, "MiB", sum, "goal", 48.0);
    Ok(())
}

/// Time from the start of `sealcard-scdaemon` to its greeting, in milliseconds.
pub(crate) fn start_up(
    playground: &Playground,
    wanted: &dyn Fn(&str) -> bool,
    runs: usize,
    report: &mut Report,
) -> Result<()> {
    let name = "sealcard-scdaemon ready";
    if !wanted(name) {
        return Ok(());
    }
    let station = &playground.workstation;
    let program = playground.binaries.folder().join("sealcard-scdaemon");
    let home = station.gnupg_home();
    let mut times = Vec::new();
    for _ in 0..runs {
        let mut command = station.command(&program, &["--multi-server", "--homedir"]);
        command.arg(&home).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let started = Instant::now();
        let mut child = command.spawn().context("starting sealcard-scdaemon")?;
        let mut greeting = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut greeting)?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        // It ends when its standard input does.
        drop(child.stdin.take());
        child.wait()?;
        if !greeting.starts_with("OK") {
            bail!("sealcard-scdaemon greeted with {greeting:?}");
        }
    }
    report.add(name, "ms", median(times)?, "goal", 10.0);
    Ok(())
}

/// Memory of the scdaemon that gpg-agent runs, after all that was signed, in MiB.
pub(crate) fn scdaemon_memory(
    playground: &Playground,
    wanted: &dyn Fn(&str) -> bool,
    report: &mut Report,
) -> Result<()> {
    let name = "sealcard-scdaemon resident";
    if !wanted(name) {
        return Ok(());
    }
    let answer = playground.workstation.run("gpg-connect-agent", &["SCD GETINFO pid", "/bye"])?.text();
    let pid =
        answer.lines().find_map(|line| line.strip_prefix("D ")).context("sealcard-scdaemon did not tell its pid")?;
    report.add(name, "MiB", resident(pid.trim().parse()?)?, "goal", 12.0);
    Ok(())
}

/// Seconds that a process has kept processors busy, all its threads together (`/proc/PID/stat`, fields 14 and 15).
pub(crate) fn processor_time(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, the name, may hold anything but ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat without a name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> Result<f64> { Ok(fields.next().context("/proc/PID/stat is short")?.parse()?) };
    let ticks = ticks()? + ticks()?;
    let second = sysconf(SysconfVar::CLK_TCK)?.context("the system does not say how long a tick is")?;
    #[allow(clippy::cast_precision_loss)] // 100
    Ok(ticks / second as f64)
}

/// Lets this process, and the servers that it starts, have many connections.
pub(crate) fn many_descriptors() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS.min(hard), hard).context("descriptors for connections")
}

/// Memory of a process, in MiB.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    memory(pid, "VmRSS:")
}

/// The most memory that a process has had so far, in MiB.
pub(crate) fn peak(pid: u32) -> Result<f64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, which: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)).context("a process without memory")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes / 1024.0)
}
