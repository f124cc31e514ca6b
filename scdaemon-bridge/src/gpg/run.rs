//! Running GnuPG's tools for one GnuPG home.

use std::{
    fmt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::GpgError;
use crate::{
    config::{ConfigError, files, gnupg_home},
    os,
    program::{Output, Program, ProgramError},
};

/// How long gpg-agent may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// GnuPG with one home folder.
#[derive(Debug, Clone)]
pub struct Gnupg {
    home: PathBuf,
}

impl Gnupg {
    /// The GnuPG of this environment: `GNUPGHOME`, else `~/.gnupg`.
    ///
    /// # Errors
    ///
    /// When there is no home folder.
    pub fn of_environment() -> Result<Self, ConfigError> {
        Ok(Self { home: gnupg_home()? })
    }

    /// GnuPG with this home folder, an absolute path.
    #[must_use]
    pub const fn new(home: PathBuf) -> Self {
        Self { home }
    }

    /// The home folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Makes the home folder, with mode 0700 as gpg wants it, if it is missing.
    ///
    /// # Errors
    ///
    /// When it can't be made.
    pub fn make_home(&self) -> Result<(), ConfigError> {
        files::make_private_folder(&self.home)
    }

    /// The version of gpg.
    ///
    /// # Errors
    ///
    /// When gpg is not installed or tells none.
    pub fn version(&self) -> Result<Version, GpgError> {
        let output = self.run("gpg", &["--version"], None)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let first = text.lines().next().unwrap_or_default();
        Version::find(first)
            .ok_or_else(|| GpgError::Unexpected { command: "gpg --version".to_owned(), answer: first.to_owned() })
    }

    /// Whether gpg-agent knows this option (without dashes).
    ///
    /// # Errors
    ///
    /// When gpg-agent is not installed.
    pub fn agent_has_option(&self, option: &str) -> Result<bool, GpgError> {
        let output = self.run("gpg-agent", &["--dump-options"], None)?;
        let wanted = format!("--{option}");
        Ok(String::from_utf8_lossy(&output.stdout).lines().any(|line| line.trim() == wanted))
    }

    /// Asks a running gpg-agent, without starting one. Gives the lines of its answer, one for each of the commands'
    /// lines; `None` if no agent runs.
    ///
    /// # Errors
    ///
    /// When gpg-connect-agent is not installed.
    pub fn ask_running_agent(&self, commands: &[&str]) -> Result<Option<Vec<String>>, GpgError> {
        Ok(self.connect_agent(&["--no-autostart"], commands)?.0)
    }

    /// Asks gpg-agent, which is started if need be.
    ///
    /// # Errors
    ///
    /// When gpg-connect-agent is not installed or gpg-agent does not start.
    pub fn ask_agent(&self, commands: &[&str]) -> Result<Vec<String>, GpgError> {
        let (lines, said) = self.connect_agent(&[], commands)?;
        lines.ok_or(GpgError::NoAgent { said })
    }

    /// The answer, if an agent runs, and what was said on standard error.
    fn connect_agent(
        &self,
        options: &[&str],
        commands: &[&str],
    ) -> Result<(Option<Vec<String>>, String), ProgramError> {
        let mut input = commands.join("\n");
        input.push_str("\n/bye\n");
        let output = self.run("gpg-connect-agent", options, Some(input.as_bytes()))?;
        let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect();
        // Without an agent it says so on standard error, answers nothing, and in some versions still exits with 0.
        Ok(((!lines.is_empty()).then_some(lines), output.last_words()))
    }

    /// Whether gpg-agent runs, and what runs as its scdaemon. Starts neither gpg-agent nor, if it was not started yet,
    /// scdaemon.
    ///
    /// # Errors
    ///
    /// When gpg-connect-agent is not installed.
    pub fn agent_state(&self) -> Result<AgentState, GpgError> {
        let Some(lines) = self.ask_running_agent(&["GETINFO scd_running"])? else {
            return Ok(AgentState::Stopped);
        };
        // It answers OK or ERR false.
        let scdaemon = lines.last().is_some_and(|line| line.starts_with("OK"));
        Ok(if scdaemon { AgentState::WithScdaemon } else { AgentState::Running })
    }

    /// The process id of the running gpg-agent; `None` if none runs.
    fn agent_process(&self) -> Result<Option<u32>, GpgError> {
        let answer = self.ask_running_agent(&["GETINFO pid"])?;
        Ok(answer.and_then(|lines| lines.iter().find_map(|line| line.strip_prefix("D ")?.parse().ok())))
    }

    /// Stops gpg-agent and its scdaemon, if they run; the next gpg starts them again. Says whether one ran.
    ///
    /// # Errors
    ///
    /// When gpgconf is not installed or gpg-agent does not stop within 5 seconds.
    pub fn stop_agent(&self) -> Result<bool, GpgError> {
        let Some(old) = self.agent_process()? else { return Ok(false) };
        // gpg 2.2 answers "Broken pipe" for up to 4 s after its scdaemon alone was stopped, so the agent goes too.
        self.checked("gpgconf", &["--kill", "gpg-agent"], None)?;
        let deadline = Instant::now() + STOP_LIMIT;
        // Its process, not its socket: an agent that ends drops new connections, and with systemd's sockets another
        // agent, which has the new configuration, answers at once.
        while os::process_lives(old) {
            if Instant::now() > deadline {
                return Err(GpgError::StillRuns { home: self.home.clone() });
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(true)
    }

    /// Where gpg-agent's socket is, or will be.
    ///
    /// # Errors
    ///
    /// When gpgconf is not installed.
    pub fn agent_socket(&self) -> Result<PathBuf, GpgError> {
        self.socket("agent-socket")
    }

    /// Where gpg-agent's socket for ssh is, or will be.
    ///
    /// # Errors
    ///
    /// When gpgconf is not installed.
    pub fn agent_ssh_socket(&self) -> Result<PathBuf, GpgError> {
        self.socket("agent-ssh-socket")
    }

    fn socket(&self, name: &str) -> Result<PathBuf, GpgError> {
        let output = self.checked("gpgconf", &["--list-dirs", name], None)?;
        // gpgconf percent-escapes; only `%` and `:` matter in a path.
        let text = String::from_utf8_lossy(&output.stdout).trim().replace("%3a", ":").replace("%25", "%");
        Ok(PathBuf::from(text))
    }

    /// Runs a tool that must succeed.
    pub(super) fn checked(
        &self,
        program: &'static str,
        arguments: &[&str],
        input: Option<&[u8]>,
    ) -> Result<Output, ProgramError> {
        self.program(program, arguments, input).checked()
    }

    /// Runs a tool.
    pub(super) fn run(
        &self,
        program: &'static str,
        arguments: &[&str],
        input: Option<&[u8]>,
    ) -> Result<Output, ProgramError> {
        self.program(program, arguments, input).run()
    }

    pub(super) fn program<'a>(&self, name: &'static str, arguments: &[&str], input: Option<&'a [u8]>) -> Program<'a> {
        let program = Program::new(name).arguments(arguments).environment("GNUPGHOME", &self.home);
        match input {
            Some(input) => program.input(input),
            None => program,
        }
    }
}

/// What of GnuPG runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// No gpg-agent.
    Stopped,
    /// gpg-agent, which did not start scdaemon yet.
    Running,
    /// gpg-agent and scdaemon.
    WithScdaemon,
}

/// A version of GnuPG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2 in 2.4.7.
    pub major: u32,
    /// 4 in 2.4.7.
    pub minor: u32,
    /// 7 in 2.4.7.
    pub micro: u32,
}

impl Version {
    /// The first word of the line that is a version, such as in `gpg (GnuPG) 2.2.40` or `2.4.7-beta12`.
    #[must_use]
    pub fn find(line: &str) -> Option<Self> {
        line.split_whitespace().find_map(|word| {
            let mut numbers = word.split('-').next()?.split('.').map(str::parse);
            match (numbers.next(), numbers.next(), numbers.next()) {
                (Some(Ok(major)), Some(Ok(minor)), Some(Ok(micro))) => Some(Self { major, minor, micro }),
                _ => None,
            }
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_gpg_prints() {
        let v = |major, minor, micro| Some(Version { major, minor, micro });
        assert_eq!(Version::find("gpg (GnuPG) 2.2.40"), v(2, 2, 40));
        assert_eq!(Version::find("gpg (GnuPG) 2.5.13-unknown"), v(2, 5, 13));
        assert_eq!(Version::find("gpg (GnuPG/MacGPG2) 2.2.41"), v(2, 2, 41));
        assert_eq!(Version::find("gpg: error"), None);
    }

    #[test]
    fn a_home_without_an_agent_is_stopped_and_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let gnupg = Gnupg::new(folder.path().to_owned());
        assert_eq!(gnupg.agent_state().unwrap(), AgentState::Stopped);
        assert!(!gnupg.stop_agent().unwrap());
        assert_eq!(gnupg.ask_running_agent(&["GETINFO version"]).unwrap(), None);
    }

    #[test]
    fn a_running_agent_is_asked_and_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let gnupg = Gnupg::new(folder.path().to_owned());
        let lines = gnupg.ask_agent(&["GETINFO version"]).unwrap();
        assert!(lines.iter().any(|line| line.starts_with("D 2.")), "{lines:?}");
        assert_eq!(gnupg.agent_state().unwrap(), AgentState::Running);
        let process = gnupg.agent_process().unwrap().unwrap();
        assert!(gnupg.stop_agent().unwrap());
        assert!(!os::process_lives(process));
        assert_eq!(gnupg.agent_state().unwrap(), AgentState::Stopped);
    }
}
