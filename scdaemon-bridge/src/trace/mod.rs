//! The trace: what the scdaemon and the command do, in a file, while `sealcard trace` is on.
//!
//! It is switched by a file, so that a scdaemon that runs already begins and ends it too. Each place that notes
//! something says what may be told: never a token, a password, decrypted data, or a body of a request.

mod file;

use std::time::Duration;

pub(crate) use file::append_line;

use crate::config::{ConfigError, Paths, files};

/// Above this size, in bytes, the trace is put aside as `trace.log.1`, in the place of an older one.
const MAX_SIZE: u64 = 4 * 1024 * 1024;

/// Where to note things, if at all.
#[derive(Debug, Clone)]
pub struct Trace {
    paths: Paths,
}

impl Trace {
    /// The trace of this configuration. Reads nothing.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        Self { paths: paths.clone() }
    }

    /// Whether it is on: one look at the file system, a few microseconds.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.paths.trace_switch().exists()
    }

    /// Switches it on.
    ///
    /// # Errors
    ///
    /// When the file can't be made.
    pub fn switch_on(&self) -> Result<(), ConfigError> {
        files::write_private(&self.paths.trace_switch(), b"")
    }

    /// Switches it off. Says whether it was on. What was noted stays.
    ///
    /// # Errors
    ///
    /// When the file can't be removed.
    pub fn switch_off(&self) -> Result<bool, ConfigError> {
        files::remove(&self.paths.trace_switch())
    }

    /// Notes a line if it is on; that it can't be written hurts nobody. The text is made only then.
    pub fn note(&self, text: impl FnOnce() -> String) {
        if self.is_on() {
            append_line(&self.paths.trace_file(), MAX_SIZE, &text());
        }
    }
}

/// `12.3 ms`.
#[must_use]
pub fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn it_notes_only_while_it_is_on() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("c"), folder.path().join("s")).unwrap();
        let trace = Trace::of(&paths);
        trace.note(|| panic!("the text is made although nobody reads it"));
        trace.switch_on().unwrap();
        trace.note(|| "first".to_owned());
        assert!(trace.switch_off().unwrap());
        trace.note(|| panic!("the text is made although nobody reads it"));
        let text = std::fs::read_to_string(paths.trace_file()).unwrap();
        assert!(text.ends_with(" first\n") && text.lines().count() == 1, "{text}");
    }
}
