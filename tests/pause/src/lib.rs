//! A process that stands still: whatever waits for it does so for as long as a test wants.

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Far more than a loaded machine needs.
const DEADLINE: Duration = Duration::from_secs(20);

/// A process that was stopped in the middle of everything, until dropped.
#[derive(Debug)]
pub struct Pause(Pid);

impl Pause {
    /// Stops a process, and waits until it stands.
    ///
    /// # Errors
    /// If there is no such process, or it does not stop.
    pub fn of(pid: u32) -> Result<Self> {
        let process = Pid::from_raw(i32::try_from(pid)?);
        kill(process, Signal::SIGSTOP).with_context(|| format!("stop process {pid}"))?;
        let pause = Self(process);
        // The signal stops one thread, which stops the others: on a busy machine these work on for a while.
        let tasks = format!("/proc/{pid}/task");
        let start = Instant::now();
        while !all_stand(Path::new(&tasks))? {
            ensure!(start.elapsed() < DEADLINE, "process {pid} does not stop");
            sleep(Duration::from_millis(1));
        }
        Ok(pause)
    }
}

impl Drop for Pause {
    /// Lets it go on, if it is still there.
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).ok();
    }
}

/// Whether each thread is in the state `T` (proc(5), `/proc/pid/stat`, field 3, after the name in brackets).
fn all_stand(tasks: &Path) -> Result<bool> {
    for task in fs::read_dir(tasks)? {
        // A thread may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
        let (_, fields) = stat.rsplit_once(')').context("a stat file without a name")?;
        if !fields.trim_start().starts_with('T') {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_stands_until_the_pause_ends() {
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        let used = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            stat.rsplit_once(')').unwrap().1.split_whitespace().nth(11).unwrap().parse::<u64>().unwrap()
        };
        let pause = Pause::of(child.id()).unwrap();
        let before = used();
        sleep(Duration::from_millis(100));
        assert_eq!(used(), before);
        drop(pause);
        let start = Instant::now();
        while used() == before {
            assert!(start.elapsed() < DEADLINE);
            sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(Pause::of(child.id()).is_err());
    }
}
