//! The daemon's log: `scdaemon.log` in the state folder.
//!
//! gpg-agent gives its scdaemon /dev/null as standard error, so warnings and errors go to a file of limited size.
//! Nothing that a client sent and no answer of a key is ever written here.

use std::path::PathBuf;

use crate::trace::append_line;

/// Above this size, in bytes, the log is put aside as `….1`, in the place of an older one.
const MAX_SIZE: u64 = 512 * 1024;

/// Writes warnings and errors; that it can't be written hurts nobody.
#[derive(Debug, Clone, Default)]
pub struct Log {
    path: Option<PathBuf>,
}

impl Log {
    /// A log in this file, or one that forgets everything.
    #[must_use]
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// Something went wrong.
    pub fn error(&self, message: impl AsRef<str>) {
        self.write("error", message.as_ref());
    }

    /// Something is odd.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.write("warning", message.as_ref());
    }

    fn write(&self, level: &str, message: &str) {
        if let Some(path) = &self.path {
            append_line(path, MAX_SIZE, &format!("{level}: {message}"));
        }
    }
}
