//! Log files: private, of limited size, one line for each thing.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use sealcard_api::Timestamp;

/// Longest line, in characters.
const MAX_LINE: usize = 2000;

/// Appends `TIME [PID] TEXT`. Control characters become blanks, so that a line stays one. A file above `limit` bytes is
/// put aside as `….1`, in the place of an older one. That it can't be written hurts nobody.
pub(crate) fn append_line(path: &Path, limit: u64, text: &str) {
    if fs::metadata(path).is_ok_and(|facts| facts.len() > limit) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".1");
        let _ = fs::rename(path, aside);
    }
    let clean: String =
        text.chars().take(MAX_LINE).map(|c| if sealcard_api::text::is_plain(c) { c } else { ' ' }).collect();
    let line = format!("{} [{}] {clean}\n", Timestamp::now(), std::process::id());
    if let Some(folder) = path.parent() {
        let _ = crate::config::files::make_private_folder(folder);
    }
    // One write: lines of several processes do not mix.
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).mode(0o600).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_log_is_private_has_one_line_each_and_keeps_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/some.log");
        append_line(&path, 100, "one\nline");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("one line\n") && text.lines().count() == 1, "{text}");

        fs::write(&path, [b'x'; 101]).unwrap();
        append_line(&path, 100, "fresh");
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert!(folder.path().join("state/some.log.1").exists());
    }
}
