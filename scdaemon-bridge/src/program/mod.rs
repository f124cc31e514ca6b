//! Running foreign programs: gpg and its tools, git, rpm.
//!
//! Each has a deadline, a person at a terminal sees what is waited for, and each error names the program, the cause and
//! what to do.

mod error;
mod progress;

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

pub use error::ProgramError;
use parking_lot::Mutex;
use progress::Progress;

/// How long a program may take unless its caller knows better. gpg waits for locks and its agent for longer than that.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(1);

/// How often to look whether a program ended that keeps its output open.
const TICK: Duration = Duration::from_millis(50);

/// The most that is kept of each output, in bytes. The keyring of a large team is about 50 MiB.
const MAX_OUTPUT: u64 = 256 * 1024 * 1024;

/// One run of a program that asks nobody anything. Its messages are in English, so that programs can read them.
#[derive(Debug)]
pub struct Program<'a> {
    name: &'static str,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    folder: Option<PathBuf>,
    input: Option<&'a [u8]>,
    limit: Duration,
}

/// What a program wrote, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The standard output as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last lines of the standard error, in one line.
    #[must_use]
    pub fn last_words(&self) -> String {
        last_lines(&self.stderr)
    }
}

impl<'a> Program<'a> {
    /// A program of the search path.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, arguments: Vec::new(), environment: Vec::new(), folder: None, input: None, limit: TIME_LIMIT }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Gives it this as standard input. Without it, the input is empty.
    #[must_use]
    pub const fn input(mut self, input: &'a [u8]) -> Self {
        self.input = Some(input);
        self
    }

    /// How long it may take, in place of [`TIME_LIMIT`].
    #[must_use]
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it. However it ends is no error; that it can't be started or does not end in time is.
    ///
    /// # Errors
    ///
    /// When it can't be started or does not end in time; it is ended then.
    pub fn run(&self) -> Result<Output, ProgramError> {
        let mut child = self.start()?;
        let (ended, end) = mpsc::channel();
        let stdout = child.stdout.take().map(|pipe| Collected::from(pipe, ended.clone()));
        let stderr = child.stderr.take().map(|pipe| Collected::from(pipe, ended.clone()));
        // Written by another thread: a program that answers before it has read everything would otherwise wait for us.
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), self.input) {
            let input = zeroize::Zeroizing::new(input.to_vec());
            // A program that ends early has said why on its standard error.
            thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let status = self.wait(&mut child, &end)?;
        let stderr = stderr.map(|pipe| pipe.take()).unwrap_or_default();
        match status {
            Some(status) => Ok(Output { status, stdout: stdout.map(|pipe| pipe.take()).unwrap_or_default(), stderr }),
            None => Err(ProgramError::TimedOut {
                program: self.name,
                command: self.command_line(),
                seconds: self.limit.as_secs(),
                said: last_lines(&stderr),
            }),
        }
    }

    /// Runs it; it must succeed.
    ///
    /// # Errors
    ///
    /// As [`Self::run`], and when it ends with another code than 0.
    pub fn checked(&self) -> Result<Output, ProgramError> {
        let output = self.run()?;
        if output.status.success() {
            return Ok(output);
        }
        Err(ProgramError::Failed { command: self.command_line(), message: output.last_words() })
    }

    fn start(&self) -> Result<Child, ProgramError> {
        let mut command = Command::new(self.name);
        command
            .args(&self.arguments)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("LANGUAGE")
            // A daemon that it starts would keep it for as long as it runs.
            .env_remove("SEALCARD_TOKEN")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.spawn().map_err(|error| ProgramError::Start { program: self.name, error })
    }

    /// `None` if it did not end in time.
    fn wait(&self, child: &mut Child, end: &mpsc::Receiver<()>) -> Result<Option<ExitStatus>, ProgramError> {
        let failed = |error| ProgramError::Start { program: self.name, error };
        let begin = Instant::now();
        let mut progress = Progress::new(self.name);
        let mut open = 2_u8;
        loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                // A daemon that it started may have kept the pipes; what it wrote itself is there at once.
                let deadline = Instant::now() + GRACE;
                while open > 0 && end.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {
                    open -= 1;
                }
                return Ok(Some(status));
            }
            let waited = begin.elapsed();
            if waited >= self.limit {
                stop(child).map_err(failed)?;
                return Ok(None);
            }
            progress.show(waited);
            let pause = if open == 0 { TICK / 10 } else { TICK };
            match end.recv_timeout(pause.min(self.limit.saturating_sub(waited))) {
                Ok(()) => open = open.saturating_sub(1),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK / 10),
            }
        }
    }

    /// As a person would type it.
    fn command_line(&self) -> String {
        let arguments = self.arguments.iter().map(|argument| argument.to_string_lossy());
        std::iter::once(self.name.into()).chain(arguments).collect::<Vec<_>>().join(" ")
    }
}

/// Asks it to end, so that it can remove its lock files, and then makes it.
fn stop(child: &mut Child) -> io::Result<()> {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
    }
    let deadline = Instant::now() + GRACE;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(());
        }
        thread::sleep(TICK / 10);
    }
    Ok(())
}

/// What a thread has read from a pipe so far. It is not waited for: a daemon may keep the pipe open for ever.
struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    fn from(pipe: impl Read + Send + 'static, ended: mpsc::Sender<()>) -> Self {
        let content: Arc<Mutex<Vec<u8>>> = Arc::default();
        let filled = Arc::clone(&content);
        thread::spawn(move || {
            let mut pipe = pipe.take(MAX_OUTPUT);
            let mut chunk = [0; 8192];
            while let Ok(size @ 1..) = pipe.read(&mut chunk) {
                let mut filled = filled.lock();
                filled.extend_from_slice(chunk.get(..size).unwrap_or_default());
            }
            // Nobody waits any more after the program ended.
            let _ = ended.send(());
        });
        Self(content)
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// The last lines of what a program wrote to its standard error, in one line.
#[must_use]
pub fn last_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.get(lines.len().saturating_sub(3)..) {
        Some([]) | None => "it said nothing".to_owned(),
        Some(last) => last.join("; "),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program<'static> {
        Program::new("sh").arguments(["-c", script])
    }

    #[test]
    fn a_program_that_hangs_is_ended_and_its_words_are_told() {
        let error = shell("echo 'waiting for lock' >&2; echo $$ >&2; exec sleep 1000")
            .limit(Duration::from_millis(300))
            .run()
            .unwrap_err();
        let ProgramError::TimedOut { said, .. } = &error else { panic!("{error}") };
        let pid = said.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err());
        assert!(error.to_string().contains("waiting for lock"), "{error}");
        assert!(error.to_string().contains("`sh -c"), "{error}");
    }

    #[test]
    fn a_program_that_ignores_the_request_to_end_is_killed() {
        let script = "trap '' TERM; echo $$ >&2; while :; do sleep 0.05; done";
        let error = shell(script).limit(Duration::from_millis(300)).run().unwrap_err();
        let ProgramError::TimedOut { said, .. } = error else { panic!("{error}") };
        assert!(nix::sys::signal::kill(nix::unistd::Pid::from_raw(said.parse().unwrap()), None).is_err());
    }

    #[test]
    fn a_daemon_that_keeps_the_output_open_is_not_waited_for() {
        let output = shell("sleep 1000 & echo $!").run().unwrap();
        let pid = output.text().trim().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        assert!(output.status.success());
    }

    #[test]
    fn large_input_and_output_do_not_block_each_other() {
        let input = vec![b'x'; 1 << 20];
        let output = Program::new("cat").input(&input).checked().unwrap();
        assert_eq!(output.stdout.len(), input.len());
    }

    #[test]
    fn a_missing_program_is_named_with_the_package_to_install() {
        let error = Program::new("sealcard-no-such-program").run().unwrap_err();
        assert!(error.to_string().starts_with("sealcard-no-such-program is not installed"), "{error}");
        let gpg = ProgramError::Start { program: "gpg", error: io::Error::from(io::ErrorKind::NotFound) };
        assert!(gpg.advice().unwrap().contains("gnupg"), "{gpg}");
    }

    #[test]
    fn a_failure_names_the_command_and_its_last_words() {
        let error = shell("echo one >&2; echo two >&2; exit 3").checked().unwrap_err();
        assert!(error.to_string().ends_with("failed: one; two"), "{error}");
    }
}
