//! Why a foreign program did not do what it was asked.

use std::io;

use thiserror::Error;

/// Why a foreign program did not do what it was asked.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// It can't be started. Retrying helps after a person acted.
    #[error("{program} {}", start_text(error))]
    Start {
        /// Such as `gpg`.
        program: &'static str,
        /// What the system says. The text says it already, so it is not a source.
        error: io::Error,
    },
    /// It did not end in time. Retrying may help.
    #[error("`{command}` did not end within {seconds} s: {said}")]
    TimedOut {
        /// Such as `gpg`.
        program: &'static str,
        /// As a person would type it.
        command: String,
        /// How long it was waited for.
        seconds: u64,
        /// The last lines that it wrote to its standard error.
        said: String,
    },
    /// It ended with another code than 0. Whether retrying helps depends on what it says.
    #[error("`{command}` failed: {message}")]
    Failed {
        /// As a person would type it.
        command: String,
        /// The last lines that it wrote to its standard error.
        message: String,
    },
}

impl ProgramError {
    /// What to do next, for a person.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Start { program, error } if error.kind() == io::ErrorKind::NotFound => package(program),
            Self::TimedOut { program, .. } if is_gnupg(program) => Some(
                "Another gpg or a hanging gpg-agent may hold it up: end those, run `gpgconf --kill all`, and try \
                 again.",
            ),
            Self::TimedOut { .. } => Some("Run that command by hand to see what it waits for."),
            Self::Start { .. } | Self::Failed { .. } => None,
        }
    }
}

fn start_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is not installed, or not in a folder of PATH".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be run by this user".to_owned(),
        _ => format!("can't be started: {error}"),
    }
}

fn is_gnupg(program: &str) -> bool {
    program.starts_with("gpg")
}

fn package(program: &str) -> Option<&'static str> {
    match program {
        "git" => Some("Install the package git."),
        "rpm" => Some("Install the package rpm."),
        program if is_gnupg(program) => Some("Install GnuPG: the package gnupg (Debian, macOS) or gnupg2 (Fedora)."),
        _ => None,
    }
}
