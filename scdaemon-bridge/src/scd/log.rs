//! The daemon's log: `scdaemon.log` in the state folder.
//!
//! gpg-agent gives its scdaemon /dev/null as standard error, so warnings and errors go to a file of limited size. Nothing
//! that a client sent and no answer of a key is ever written here.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use sealcard_api::Timestamp;

/// Above this size, in bytes, the log is put aside as `….1`, in the place of an older one.
const MAX_SIZE: u64 = 512 * 1024;

/// Longest message, in characters.
const MAX_MESSAGE: usize = 2000;

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
        let Some(path) = &self.path else { return };
        if fs::metadata(path).is_ok_and(|facts| facts.len() > MAX_SIZE) {
            let _ = fs::rename(path, path.with_extension("log.1"));
        }
        let clean: String = message.chars().take(MAX_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = format!("{} {level} [{}] {clean}\n", Timestamp::now(), std::process::id());
        if let Some(folder) = path.parent() {
            let _ = crate::config::files::make_private_folder(folder);
        }
        if let Ok(mut file) = OpenOptions::new().append(true).create(true).mode(0o600).open(path) {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_log_is_private_has_one_line_each_and_keeps_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/scdaemon.log");
        let log = Log::new(Some(path.clone()));
        log.error("one\nline");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("one line\n") && text.lines().count() == 1, "{text}");

        fs::write(&path, vec![b'x'; usize::try_from(MAX_SIZE).unwrap() + 1]).unwrap();
        log.warn("fresh");
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert!(path.with_extension("log.1").exists());
    }
}
