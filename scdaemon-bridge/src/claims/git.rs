//! A justification in the configuration of the repository that git works in.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    process::Stdio,
};

use tokio::process::Command;

use super::{justification::clean_justification, origin::LIMIT_OF_GIT};

/// The variables that decide which configuration git reads.
const VARIABLES: [&str; 12] = [
    "HOME",
    "XDG_CONFIG_HOME",
    "GIT_DIR",
    "GIT_COMMON_DIR",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_CONFIG",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
];

/// The beginnings of such variables, with a number behind them.
const NUMBERED: [&str; 2] = ["GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"];

/// A git that runs, and where.
#[derive(Debug)]
pub(super) struct Git {
    /// Its executable.
    pub(super) program: PathBuf,
    /// Where its child works.
    pub(super) folder: PathBuf,
    /// What its child was started with: there git has put the options of its own command line.
    pub(super) environment: Vec<(OsString, OsString)>,
}

impl Git {
    /// `sealcard.justification` as this git sees it.
    pub(super) async fn justification(&self) -> Option<String> {
        let mut command = Command::new(&self.program);
        command
            .args(["config", "--get", "sealcard.justification"])
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("LC_ALL", "C")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(LIMIT_OF_GIT, command.output()).await.ok()?.ok()?;
        if !output.status.success() {
            return None;
        }
        clean_justification(&String::from_utf8_lossy(&output.stdout))
    }
}

/// The variables of an environment, each with a zero behind it, that decide which configuration git reads.
#[must_use]
pub fn environment_for_git(environment: &[u8]) -> Vec<(OsString, OsString)> {
    let variables = environment.split(|byte| *byte == 0).filter_map(|variable| {
        let at = variable.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (std::str::from_utf8(variable.get(..at)?).ok()?, variable.get(at + 1..)?);
        let counts = VARIABLES.contains(&name) || NUMBERED.iter().any(|begin| is_numbered(name, begin));
        counts.then(|| (name.into(), OsStr::from_bytes(value).to_owned()))
    });
    variables.collect()
}

fn is_numbered(name: &str, begin: &str) -> bool {
    name.strip_prefix(begin).is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn git(folder: &std::path::Path, environment: &[u8]) -> Git {
        Git {
            program: "git".into(),
            folder: folder.to_owned(),
            environment: environment_for_git(&[b"GIT_CONFIG_NOSYSTEM=1\0HOME=/nonexistent\0", environment].concat()),
        }
    }

    #[test]
    fn only_variables_that_lead_to_a_configuration_are_kept() {
        let kept = environment_for_git(
            b"GIT_DIR=/a=b\0GIT_TRACE=/etc/passwd\0GIT_CONFIG_KEY_0=x\0GIT_CONFIG_KEY_=y\0PATH=/x\0=\0HOME\0",
        );
        let names: Vec<_> =
            kept.iter().map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap())).collect();
        assert_eq!(names, [("GIT_DIR", "/a=b"), ("GIT_CONFIG_KEY_0", "x")]);
    }

    #[tokio::test]
    async fn configuration_of_repository_and_command_line_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| {
            let command = std::process::Command::new("git").args(arguments).current_dir(folder.path()).output();
            assert!(command.unwrap().status.success(), "{arguments:?}");
        };
        run(&["init", "-q"]);
        assert_eq!(git(folder.path(), b"").justification().await, None);
        run(&["config", "sealcard.justification", " Nightly build "]);
        assert_eq!(git(folder.path(), b"").justification().await.as_deref(), Some("Nightly build"));
        let given = b"GIT_CONFIG_PARAMETERS='sealcard.justification'='Other'\0";
        assert_eq!(git(folder.path(), given).justification().await.as_deref(), Some("Other"));
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(git(elsewhere.path(), b"").justification().await, None);
        assert_eq!(git(std::path::Path::new("/nonexistent"), b"").justification().await, None);
    }
}
