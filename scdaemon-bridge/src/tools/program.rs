//! Running tools, and finding them.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::program::{Output, Program, ProgramError};

/// Where a program is found, as a shell would find it.
#[must_use]
pub fn search_path(program: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_executable =
        |path: &Path| path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0);
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| is_executable(path))
}

/// Whether a program is on the search path.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    search_path(program).is_some()
}

/// Runs a tool.
pub(super) fn run(program: &'static str, arguments: &[&str]) -> Result<Output, ProgramError> {
    Program::new(program).arguments(arguments).run()
}

/// What a tool that must succeed writes.
pub(super) fn output(
    program: &'static str,
    arguments: &[&str],
    variables: &[(&'static str, &str)],
) -> Result<String, ProgramError> {
    let run = Program::new(program).arguments(arguments);
    let run = variables.iter().fold(run, |run, (name, value)| run.environment(name, *value));
    Ok(run.checked()?.text())
}
