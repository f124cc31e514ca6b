//! The program `sealcard-signer`, as it is when it is first started: a package that is installed while the server runs
//! brings another release, whose messages the server may not understand.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use tokio::process::Command;

/// The signer's program. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    file: Arc<OnceLock<Option<File>>>,
}

impl Program {
    /// The program in this file.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: Arc::default() }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that starts it: the file that was found first, also when another one has taken its place.
    pub(super) fn command(&self) -> io::Result<Command> {
        let kept = match self.file.get() {
            Some(kept) => kept,
            // A program that is missing may be installed later.
            None => {
                let file = open(&self.path)?;
                self.file.get_or_init(|| file)
            }
        };
        let mut command = match kept {
            Some(file) => Command::new(format!("/proc/self/fd/{}", file.as_raw_fd())),
            None => Command::new(&self.path),
        };
        command.arg0("sealcard-signer");
        Ok(command)
    }
}

/// None if it is a script: its interpreter would find the file closed.
fn open(path: &Path) -> io::Result<Option<File>> {
    let mut file = File::open(path)?;
    let mut begin = [0; 2];
    file.read_exact(&mut begin)?;
    Ok((begin != *b"#!").then_some(file))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    async fn answer(program: &Program, argument: &str) -> String {
        let output = program.command().unwrap().arg(argument).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[tokio::test]
    async fn program_that_was_replaced_is_started_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let program = Program::new(&path);
        assert!(program.command().is_err(), "it is not installed yet");
        fs::copy("/bin/echo", &path).unwrap();
        assert_eq!(answer(&program, "same").await, "same\n");
        // As a package does it.
        fs::copy("/bin/false", folder.path().join("new")).unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(answer(&program, "same").await, "same\n");
        assert_eq!(answer(&Program::new(&path), "other").await, "");
    }

    #[tokio::test]
    async fn script_is_started_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        fs::write(&path, "#!/bin/sh\necho \"$1\"\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(answer(&Program::new(&path), "said").await, "said\n");
    }
}
