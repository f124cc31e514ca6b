//! Processes: commands that must end in time, and daemons that end with the value that holds them.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How a command ended.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// The exit status.
    pub status: ExitStatus,
    /// All that it wrote to standard output.
    pub stdout: Vec<u8>,
    /// All that it wrote to standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Finished {
    /// Itself if it succeeded.
    ///
    /// # Errors
    /// The command failed; the message holds its output.
    pub fn success(self) -> Result<Self> {
        if self.status.success() { Ok(self) } else { bail!("{}", self.description()) }
    }

    /// Itself if it failed, as a test expects it to.
    ///
    /// # Errors
    /// The command succeeded.
    pub fn failure(self) -> Result<Self> {
        if self.status.success() {
            bail!("succeeded although it should fail: {}", self.description())
        } else {
            Ok(self)
        }
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Everything there is to say about it.
    #[must_use]
    pub fn description(&self) -> String {
        format!("{}\n{}\nstdout: {}\nstderr: {}", self.command, self.status, self.text(), self.stderr)
    }
}

/// Runs a command to its end, with nothing on its standard input.
///
/// # Errors
/// It can't be started, or does not end before the deadline (then it is killed).
pub fn run(command: &mut Command, deadline: Duration) -> Result<Finished> {
    run_with_input(command, &[], deadline)
}

/// Runs a command to its end, with `input` on its standard input.
///
/// Output goes through files, so that a daemon which the command left behind can't keep a pipe open.
///
/// # Errors
/// It can't be started, or does not end before the deadline (then it is killed).
pub fn run_with_input(command: &mut Command, input: &[u8], deadline: Duration) -> Result<Finished> {
    let line = command_line(command);
    let (mut stdin, stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?, tempfile::tempfile()?);
    stdin.write_all(input)?;
    stdin.seek(SeekFrom::Start(0))?;
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout.try_clone()?))
        .stderr(Stdio::from(stderr.try_clone()?))
        .spawn()
        .with_context(|| format!("starting {line}"))?;
    let pid = pid_of(&child)?;
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::spawn(move || {
        // The receiver may be gone already: then nobody wants to know.
        let _ = sender.send(child.wait());
    });
    let Ok(status) = receiver.recv_timeout(deadline) else {
        kill(pid, Signal::SIGKILL).ok();
        // Reaped by the waiter, so the pid was still the child's when it was killed.
        waiter.join().ok();
        bail!("did not end within {deadline:?}: {line}\nstdout: {}\nstderr: {}", lossy(stdout)?, lossy(stderr)?);
    };
    waiter.join().ok();
    let took = started.elapsed();
    Ok(Finished { command: line, status: status?, stdout: all(stdout)?, stderr: lossy(stderr)?, took })
}

/// Waits until `condition` gives a value.
///
/// # Errors
/// The deadline passed, or the condition failed.
pub fn wait_until<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() > end {
            bail!("waited {deadline:?} in vain for: {what}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A process that lives until this value is dropped; a death of the harness ends it too.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a process whose output goes to the file `log` (added to its end).
    ///
    /// It gets a process group of its own, so that Ctrl-C at a terminal reaches the harness alone, which ends it in its
    /// own order.
    ///
    /// # Errors
    /// It can't be started.
    pub fn spawn(command: &Command, log: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt;

        let output = File::options().create(true).append(true).open(log).context("opening the log of a daemon")?;
        // setpriv asks the kernel for SIGKILL when the parent dies, then becomes the program: no process in between.
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                wrapped.env(name, value);
            }
        }
        if let Some(folder) = command.get_current_dir() {
            wrapped.current_dir(folder);
        }
        let child = wrapped
            .stdin(Stdio::null())
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output))
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", command_line(command)))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The exit status, if it has ended.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// The deadline passed.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let pid = self.pid();
        wait_until(&format!("the end of process {pid}"), deadline, || self.ended())
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_some() {
            bail!("process {} has ended already", self.pid());
        }
        Ok(kill(pid_of(&self.child)?, signal)?)
    }

    /// Kills it with SIGKILL and reaps it.
    ///
    /// # Errors
    /// The system does not tell how it ended.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Politely first, so that SQLite and the signer close what they hold.
        if self.signal(Signal::SIGTERM).is_ok() && self.wait(Duration::from_secs(5)).is_ok() {
            return;
        }
        self.kill().ok();
    }
}

/// A command as a person would type it.
#[must_use]
pub fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn pid_of(child: &Child) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

fn all(mut file: File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn lossy(file: File) -> Result<String> {
    Ok(String::from_utf8_lossy(&all(file)?).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_end_is_killed_at_its_deadline() {
        let started = Instant::now();
        let error = run(Command::new("sleep").arg("60"), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn input_output_and_status_of_a_command_are_told() {
        let finished = run_with_input(
            Command::new("sh").args(["-c", "cat; echo no >&2; exit 3"]),
            b"yes",
            Duration::from_secs(10),
        )
        .unwrap();
        assert_eq!((finished.text().as_str(), finished.stderr.as_str()), ("yes", "no\n"));
        assert_eq!(finished.status.code(), Some(3));
        assert!(finished.success().is_err());
    }

    #[test]
    fn a_daemon_ends_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::spawn(Command::new("/bin/sleep").arg("60"), &folder.path().join("log")).unwrap();
        let stat = PathBuf::from(format!("/proc/{}", daemon.pid()));
        assert!(stat.exists());
        drop(daemon);
        assert!(!stat.exists());
    }
}
