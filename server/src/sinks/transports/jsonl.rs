//! Files with one entry on each line, one file for each day (UTC). A line is never written in part: what an interrupted
//! write left is taken away before the next one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{fcntl::OFlag, unistd::Uid};
use tokio::{sync::Mutex, task::spawn_blocking};

use super::{Fault, Sent};
use crate::sinks::{Form, SinkEvent};

/// A folder for files.
pub(in crate::sinks) struct JsonlFiles {
    pub(in crate::sinks) name: String,
    pub(in crate::sinks) folder: PathBuf,
    /// Of new files.
    pub(in crate::sinks) mode: u32,
    /// Held while a file is written: a test must not take what is half written for what was interrupted.
    pub(in crate::sinks) writing: Arc<Mutex<()>>,
}

impl JsonlFiles {
    /// Makes the folder if it is not there.
    pub(super) fn prepare(&self) -> io::Result<()> {
        let mode = if self.mode & 0o040 == 0 { 0o700 } else { 0o750 };
        let new = !self.folder.exists();
        DirBuilder::new().recursive(true).mode(mode).create(&self.folder)?;
        // Whatever the umask is.
        if new { fs::set_permissions(&self.folder, Permissions::from_mode(mode)) } else { Ok(()) }
    }

    pub(super) async fn send(&self, form: Form, events: &[SinkEvent]) -> Sent {
        // Those of one day are written, and durable, together.
        let Some(first) = events.first() else { return Sent::all(events) };
        let (day, mut text, mut taken) = (first.time.day(), String::new(), 0);
        for event in events.iter().take_while(|event| event.time.day() == day) {
            text.push_str(&form.text(event));
            text.push('\n');
            taken += 1;
        }
        let (path, mode) = (self.folder.join(format!("{}-{day}.jsonl", self.name)), self.mode);
        let shown = path.display().to_string();
        // Held to the end of the write, also if nobody waits for that any more.
        let writing = Arc::clone(&self.writing).lock_owned().await;
        let written = spawn_blocking(move || {
            let _writing = writing;
            append(&path, mode, text.as_bytes())
        })
        .await;
        match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => Sent { taken, fault: None },
            Err(error) => Sent::nothing(Fault::again(format!("{shown}: {error}"))),
        }
    }
}

/// Opened anew each time: others may rename or remove it. They can't have anything else written to.
fn append(path: &Path, mode: u32, lines: &[u8]) -> io::Result<()> {
    let new = !path.exists();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(mode).custom_flags(flags.bits());
    let mut file = options.open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() != 1 || found.uid() != Uid::effective().as_raw() {
        return Err(io::Error::other("this is no file of the server's own: remove it"));
    }
    if new {
        // Whatever the umask is.
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    let begin = whole_lines(&mut file)?;
    if let Err(error) = file.write_all(lines).and_then(|()| file.sync_data()) {
        // The disk may be full.
        let _ = file.set_len(begin);
        return Err(error);
    }
    match path.parent().filter(|_| new) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The length of the file, after a line's beginning at its end was taken away.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = [0; 4096];
    while end > 0 {
        let begin = end.saturating_sub(block.len() as u64);
        let part = block.get_mut(..usize::try_from(end - begin).unwrap_or_default()).unwrap_or_default();
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(part)?;
        match part.iter().rposition(|byte| *byte == b'\n') {
            Some(place) => {
                end = begin + place as u64 + 1;
                break;
            }
            None => end = begin,
        }
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_of_the_servers_own_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a.jsonl"), folder.path().join("other"));
        fs::write(&other, "no line of ours").unwrap();
        symlink(&other, &path).unwrap();
        append(&path, 0o600, b"{}\n").unwrap_err();
        fs::remove_file(&path).unwrap();
        fs::hard_link(&other, &path).unwrap();
        let refused = append(&path, 0o600, b"{}\n").unwrap_err();
        assert!(refused.to_string().contains("remove it"), "{refused}");
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        append(&path, 0o600, b"{}\n").unwrap_err();
        assert_eq!(fs::read_to_string(&other).unwrap(), "no line of ours");
    }

    #[test]
    fn files_are_readable_by_the_group_whatever_the_umask_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        append(&path, 0o640, b"{}\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn torn_line_is_taken_away_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        append(&path, 0o600, b"{\"a\":1}\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for torn in [&b"{\"a\":"[..], &[b'x'; 10_000]] {
            let mut text = fs::read(&path).unwrap();
            let whole = text.clone();
            text.extend_from_slice(torn);
            fs::write(&path, text).unwrap();
            append(&path, 0o600, b"{\"b\":2}\n").unwrap();
            assert_eq!(fs::read(&path).unwrap(), [&whole[..], b"{\"b\":2}\n"].concat());
        }
        fs::write(&path, "no line").unwrap();
        append(&path, 0o600, b"{}\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}\n");
    }
}
