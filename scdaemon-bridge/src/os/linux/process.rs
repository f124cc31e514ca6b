//! Processes of this machine, as procfs shows them (proc(5)).

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, Read as _},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::{OsStrExt as _, OsStringExt as _},
            fs::{FileTypeExt as _, MetadataExt as _},
        },
    },
    path::{Path, PathBuf},
    time::Instant,
};

use nix::{
    fcntl::{OFlag, open, openat, readlinkat},
    sys::{
        stat::{Mode, makedev},
        termios::{LocalFlags, tcgetattr},
    },
    unistd::Uid,
};

/// A process. Reads are about this process, also after another one got its id.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    id: i32,
    folder: OwnedFd,
}

/// The most bytes that are read of an environment.
const MAX_ENVIRONMENT: u64 = 1024 * 1024;

/// The most bytes that are read of a command line.
const MAX_COMMAND: u64 = 16 * 1024;

impl ProcessHandle {
    /// The process with this id, if there is one.
    pub(crate) fn open(id: i32) -> Option<Self> {
        let path = format!("/proc/{id}");
        let folder = open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        Some(Self { id, folder })
    }

    /// This process.
    pub(crate) fn current() -> Option<Self> {
        Self::open(i32::try_from(std::process::id()).ok()?)
    }

    /// Its parent. None beyond the leader of its session, and none that is the system's first process.
    pub(crate) fn parent(&self) -> Option<Self> {
        let status = self.status()?;
        if status.session == self.id || status.parent <= 1 {
            return None;
        }
        let parent = Self::open(status.parent)?;
        // If it is the parent still, then no other process had its id when it was opened.
        (self.status()?.parent == status.parent).then_some(parent)
    }

    /// The path of its executable, also if that file was removed or replaced since.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let path = PathBuf::from(readlinkat(&self.folder, "exe").ok()?);
        let removed = path.as_os_str().as_bytes().strip_suffix(b" (deleted)").filter(|_| !path.exists());
        Some(removed.map_or_else(|| path.clone(), |path| Path::new(std::ffi::OsStr::from_bytes(path)).to_owned()))
    }

    /// Its executable, opened.
    pub(crate) fn executable(&self) -> Option<File> {
        self.file("exe").ok()
    }

    /// Its arguments, each with a zero behind it. A very long list is cut.
    pub(crate) fn arguments(&self) -> Option<Vec<u8>> {
        self.content("cmdline", MAX_COMMAND)
    }

    /// The environment that it was started with, each variable with a zero behind it.
    pub(crate) fn environment(&self) -> Option<Vec<u8>> {
        if u32::try_from(self.id).is_ok_and(|id| id == std::process::id()) {
            // A shielded process can't read its own file.
            let variables =
                std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
            return Some(variables.flatten().collect());
        }
        self.content("environ", MAX_ENVIRONMENT)
    }

    /// The folder that it works in. None if its path leads elsewhere here, as from within a container.
    pub(crate) fn working_folder(&self) -> Option<PathBuf> {
        let path = PathBuf::from(readlinkat(&self.folder, "cwd").ok()?);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = File::from(openat(&self.folder, "cwd", flags, Mode::empty()).ok()?);
        is_same(&path, &folder).then_some(path)
    }

    /// The path of its executable, if that leads to the same file here.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        let path = self.path()?;
        is_same(&path, &self.executable()?).then_some(path)
    }

    /// What tells it from every other process of this boot.
    pub(crate) fn identity(&self) -> Option<ProcessIdentity> {
        Some(ProcessIdentity { id: self.id, start: self.status()?.start })
    }

    /// The process of this identity, if it has not ended.
    pub(crate) fn of(identity: ProcessIdentity) -> Option<Self> {
        Self::open(identity.id).filter(|process| process.identity() == Some(identity))
    }

    /// Its controlling terminal, opened to be written to without waiting. None if it has none that belongs to this user,
    /// or if a program draws on it or edits a line there: such a program has switched canonical input off.
    pub(crate) fn terminal(&self) -> Option<File> {
        let terminal = self.status()?.terminal;
        // A dev_t as the kernel encodes it for user space: eight bits of major between the bits of minor.
        let (major, minor) = (terminal >> 8 & 0xFFF, terminal & 0xFF | terminal >> 12 & 0xF_FF00);
        let name = match major {
            4 => format!("root/dev/tty{minor}"),
            136 => format!("root/dev/pts/{minor}"),
            _ => return None,
        };
        let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.folder, name.as_str(), flags, Mode::empty()).ok()?);
        let facts = file.metadata().ok()?;
        let is_it = facts.file_type().is_char_device()
            && facts.rdev() == makedev(u64::from(major), u64::from(minor))
            && facts.uid() == Uid::effective().as_raw();
        let settings = tcgetattr(&file).ok().filter(|_| is_it)?;
        settings.local_flags.contains(LocalFlags::ICANON).then_some(file)
    }

    fn status(&self) -> Option<Status> {
        Status::parse(&self.content("stat", 4096)?)
    }

    fn content(&self, name: &str, limit: u64) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        self.file(name).ok()?.take(limit).read_to_end(&mut content).ok()?;
        Some(content)
    }

    fn file(&self, name: &str) -> io::Result<File> {
        Ok(openat(&self.folder, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }

    /// Whether one of its file descriptors is this socket. False if that may not be known.
    fn holds(&self, socket: u64) -> bool {
        held_sockets(self.id).is_some_and(|mut sockets| sockets.any(|held| held == socket))
    }
}

fn is_same(path: &Path, opened: &File) -> bool {
    let id = |facts: fs::Metadata| (facts.dev(), facts.ino());
    matches!((fs::metadata(path).map(id), opened.metadata().map(id)), (Ok(one), Ok(other)) if one == other)
}

/// The processes that hold these sockets, as far as this user may know. Of a process and its children the process. Gives
/// up at the deadline.
pub(crate) fn holders(sockets: &HashSet<u64>, deadline: Instant) -> HashMap<u64, ProcessHandle> {
    let mut found = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return found };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut ids: Vec<i32> = ids.collect();
    // A client of gpg-agent is usually one of the newest processes.
    ids.sort_unstable_by(|a, b| b.cmp(a));
    for id in ids {
        if found.len() == sockets.len() || Instant::now() > deadline {
            break;
        }
        let Some(process) = ProcessHandle::open(id) else { continue };
        let Some(held) = held_sockets(id) else { continue };
        for socket in held.filter(|socket| sockets.contains(socket)) {
            if let Some(holder) = ProcessHandle::open(id).filter(|_| process.status().is_some()) {
                found.entry(socket).or_insert_with(|| oldest_holder(holder, socket));
            }
        }
    }
    found
}

/// A child may have inherited the socket of the process that opened it.
fn oldest_holder(mut process: ProcessHandle, socket: u64) -> ProcessHandle {
    while let Some(parent) = process.parent().filter(|parent| parent.holds(socket)) {
        process = parent;
    }
    process
}

fn held_sockets(id: i32) -> Option<impl Iterator<Item = u64>> {
    let entries = fs::read_dir(format!("/proc/{id}/fd")).ok()?;
    Some(entries.filter_map(|entry| {
        let target = fs::read_link(entry.ok()?.path()).ok()?.into_os_string().into_vec();
        let number = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
        std::str::from_utf8(number).ok()?.parse().ok()
    }))
}

/// A process, for as long as the system runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessIdentity {
    id: i32,
    /// When it began, in ticks since the boot.
    start: u64,
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status {
    parent: i32,
    session: i32,
    /// The number of its controlling terminal; 0 if it has none.
    terminal: u32,
    start: u64,
}

impl Status {
    fn parse(stat: &[u8]) -> Option<Self> {
        // The name is in parentheses and may hold any character, these too.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
        let mut fields = fields.split_ascii_whitespace().skip(1);
        let (parent, _group, session) = (fields.next()?, fields.next()?, fields.next()?);
        let terminal: i32 = fields.next()?.parse().ok()?;
        // The twenty-second field of all.
        let start = fields.nth(14)?;
        Some(Self {
            parent: parent.parse().ok()?,
            session: session.parse().ok()?,
            terminal: terminal.cast_unsigned(),
            start: start.parse().ok()?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{os::unix::net::UnixStream, process::Command, time::Duration};

    use super::*;

    #[test]
    fn status_is_read_whatever_the_name_is() {
        let fields = "S 7 42 40 34819 42 4194304 10 11 12 13 14 15 16 17 18 19 20 21 8861 23 24";
        let read = |name: &str| Status::parse(format!("42 ({name}) {fields}").as_bytes());
        let expected = Status { parent: 7, session: 40, terminal: 0x8803, start: 8861 };
        for name in ["gpg", "a b", ") R 1 1 1", "(("] {
            assert_eq!(read(name), Some(expected), "{name}");
        }
        assert_eq!(Status::parse(b"42 (gpg"), None);
    }

    #[test]
    fn process_and_its_parent_are_described() {
        let mut child = Command::new("sleep").arg("60").env("CLAIMED", "yes").current_dir("/").spawn().unwrap();
        let process = ProcessHandle::open(i32::try_from(child.id()).unwrap()).unwrap();
        // The child is this program until it becomes the other one.
        let deadline = Instant::now() + Duration::from_secs(10);
        while process.arguments().unwrap() != b"sleep\x0060\0" {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert_eq!(process.path().unwrap(), fs::canonicalize("/usr/bin/sleep").unwrap());
        assert!(process.environment().unwrap().split(|byte| *byte == 0).any(|variable| variable == b"CLAIMED=yes"));
        assert_eq!(process.working_folder().unwrap(), Path::new("/"));
        assert_eq!(process.program(), process.path());
        assert!(process.executable().unwrap().metadata().unwrap().len() > 0);
        let parent = process.parent().unwrap();
        assert_eq!(parent.path().unwrap(), std::env::current_exe().unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.path().is_none() && process.arguments().is_none() && process.parent().is_none());
    }

    #[test]
    fn process_is_known_by_its_id_and_its_start() {
        let process = ProcessHandle::current().unwrap();
        let identity = process.identity().unwrap();
        assert_eq!(ProcessHandle::of(identity).unwrap().identity(), Some(identity));
        assert!(ProcessHandle::of(ProcessIdentity { start: identity.start + 1, ..identity }).is_none());
    }

    /// `script` gives its command a terminal of its own, with canonical input unless `stty` changes that.
    #[test]
    fn terminal_is_written_to_unless_a_program_draws_on_it() {
        for (settings, expected) in [("icanon", true), ("-icanon", false)] {
            let folder = tempfile::tempdir().unwrap();
            let (ready, shown) = (folder.path().join("ready"), folder.path().join("shown"));
            let command = format!("stty {settings}; echo $$ > {0}.new; mv {0}.new {0}; sleep 60", ready.display());
            let mut script = Command::new("script")
                .args(["--quiet", "--flush", "--command", &command])
                .arg(&shown)
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            let wait = |done: &dyn Fn() -> bool| {
                while !done() {
                    assert!(Instant::now() < deadline);
                    std::thread::sleep(Duration::from_millis(5));
                }
            };
            wait(&|| ready.exists());
            let id = fs::read_to_string(&ready).unwrap().trim().parse().unwrap();
            let terminal = ProcessHandle::open(id).unwrap().terminal();
            assert_eq!(terminal.is_some(), expected, "{settings}");
            if let Some(mut terminal) = terminal {
                io::Write::write_all(&mut terminal, b"sealcard: waits\n").unwrap();
                wait(&|| fs::read_to_string(&shown).unwrap().contains("sealcard: waits"));
            }
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL).unwrap();
            script.kill().unwrap();
            script.wait().unwrap();
        }
    }

    #[test]
    fn holder_of_a_socket_is_found_by_its_number() {
        let (one, other) = UnixStream::pair().unwrap();
        let number = |stream: &UnixStream| {
            let link = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(stream))).unwrap();
            link.to_str().unwrap().trim_start_matches("socket:[").trim_end_matches(']').parse::<u64>().unwrap()
        };
        let sockets = HashSet::from([number(&one), number(&other), u64::MAX]);
        let found = holders(&sockets, Instant::now() + Duration::from_secs(10));
        assert_eq!(found.len(), 2);
        assert!(found.values().all(|process| process.path().unwrap() == std::env::current_exe().unwrap()));
        assert!(holders(&sockets, Instant::now() - Duration::from_secs(1)).is_empty());
    }
}
