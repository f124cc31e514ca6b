//! `sealcard-scdaemon` as a process: how it starts, whom it serves, when it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write},
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream,
        process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

const DEADLINE: Duration = Duration::from_secs(20);

/// A GnuPG home with a configuration, a cache of three cards and no server.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        let (config, state) = (path.join("config"), path.join("state"));
        fs::create_dir(&config).unwrap();
        fs::create_dir(&state).unwrap();
        fs::write(state.join("cards.json"), include_bytes!("../src/cards/testdata/cards.json")).unwrap();
        let pointer = format!("config-folder = {config:?}\nstate-folder = {state:?}\n");
        fs::write(path.join("sealcard.conf"), pointer).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the usual socket is when nothing else has its place.
    fn socket(&self) -> PathBuf {
        self.path().join("S.scdaemon")
    }

    /// Starts the daemon as gpg-agent does, but with an empty environment, and reads its greeting.
    fn start(&self) -> Daemon {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealcard-scdaemon"))
            .args(["--multi-server", "--homedir"])
            .arg(self.path())
            .args(["--an-option-of-gpg-3", "--debug-level=guru"])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipe = Lines { write: child.stdin.take().unwrap(), read: BufReader::new(child.stdout.take().unwrap()) };
        let mut daemon = Daemon { child, pipe: Some(pipe) };
        daemon.pipe().greeting();
        daemon
    }

    fn connect(&self) -> Lines<UnixStream, UnixStream> {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut lines = Lines { write: stream.try_clone().unwrap(), read: BufReader::new(stream) };
        lines.greeting();
        lines
    }
}

struct Daemon {
    child: Child,
    pipe: Option<Lines<ChildStdin, ChildStdout>>,
}

impl Daemon {
    fn pipe(&mut self) -> &mut Lines<ChildStdin, ChildStdout> {
        self.pipe.as_mut().unwrap()
    }

    /// Waits for the end of the process.
    fn wait(mut self) -> ExitStatus {
        let (sender, receiver) = mpsc::channel();
        let id = self.child.id();
        let pipe = self.pipe.take();
        thread::spawn(move || sender.send(self.child.wait().unwrap()));
        let status = receiver.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("process {id} does not end"));
        drop(pipe);
        status
    }

    /// Closes the pipe, as a dying gpg-agent does, and waits for the end.
    fn hang_up(mut self) -> ExitStatus {
        self.pipe = None;
        self.wait()
    }
}

struct Lines<W, R> {
    write: W,
    read: BufReader<R>,
}

impl<W: Write, R: Read> Lines<W, R> {
    fn greeting(&mut self) {
        let greeting = self.answer();
        assert!(greeting.len() == 1 && greeting[0].starts_with(b"OK "), "{greeting:?}");
    }

    fn ask(&mut self, line: &[u8]) -> Vec<Vec<u8>> {
        self.write.write_all(&[line, b"\n"].concat()).unwrap();
        self.write.flush().unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            assert!(self.read.read_until(b'\n', &mut line).unwrap() > 0, "closed after {lines:?}");
            let last = line.starts_with(b"OK") || line.starts_with(b"ERR ");
            lines.push(line);
            if last {
                return lines;
            }
        }
    }
}

#[test]
fn it_finds_its_cards_with_an_empty_environment_and_ends_with_its_agent() {
    let home = Home::new();
    let mut daemon = home.start();
    assert_eq!(daemon.pipe().ask(b"GETINFO card_list").len(), 4);
    let socket = home.socket();
    assert_eq!(daemon.pipe().ask(b"GETINFO socket_name")[0], format!("D {}\n", socket.display()).into_bytes());
    let facts = fs::symlink_metadata(&socket).unwrap();
    assert!(facts.file_type().is_socket() && facts.permissions().mode() & 0o777 == 0o600);
    assert!(daemon.hang_up().success());
    assert!(!socket.exists());
}

#[test]
fn a_client_of_the_socket_keeps_it_alive_when_the_agent_is_gone() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut client = home.connect();
    daemon.pipe = None;
    assert_eq!(client.ask(b"SERIALNO").len(), 2);
    assert!(daemon.child.try_wait().unwrap().is_none());
    assert_eq!(client.ask(b"BYE"), [b"OK closing connection\n"]);
    assert!(daemon.wait().success());
}

#[test]
fn killscd_ends_it_whoever_is_connected() {
    let home = Home::new();
    let daemon = home.start();
    let mut client = home.connect();
    let mut killer = home.connect();
    client.ask(b"SERIALNO");
    assert_eq!(killer.ask(b"KILLSCD"), [b"OK\n"]);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!home.socket().exists());
}

#[test]
fn the_socket_of_a_killed_daemon_is_replaced() {
    let home = Home::new();
    let mut dead = home.start();
    dead.child.kill().unwrap();
    assert_eq!(dead.wait().signal(), Some(9));
    assert!(home.socket().exists());
    let daemon = home.start();
    assert_eq!(home.connect().ask(b"GETINFO card_list").len(), 4);
    assert!(daemon.hang_up().success());
}

#[test]
fn a_second_daemon_of_the_same_home_leaves_the_first_ones_socket_alone() {
    let home = Home::new();
    let first = home.start();
    let mut second = home.start();
    assert_ne!(second.pipe().ask(b"GETINFO socket_name")[0], format!("D {}\n", home.socket().display()).into_bytes());
    assert!(second.hang_up().success());
    assert_eq!(home.connect().ask(b"SERIALNO").len(), 2);
    assert!(first.hang_up().success());
}

#[test]
fn thirty_two_clients_at_once_are_served_and_malformed_lines_hurt_nobody() {
    let home = Home::new();
    let mut daemon = home.start();
    let lines: [&[u8]; 8] = [
        b"SERIALNO --all",
        b"KEYINFO --list",
        b"LEARN --force",
        b"\x00\xFF\xFE",
        &[b'A'; 3000],
        b"READKEY OPENPGP.1",
        b"SETDATA 00",
        b"PKSIGN --hash=sha256 OPENPGP.1",
    ];
    thread::scope(|scope| {
        for offset in 0..32 {
            let home = &home;
            scope.spawn(move || {
                let mut client = home.connect();
                for round in 0..64 {
                    client.ask(lines[(offset + round) % lines.len()]);
                }
            });
        }
    });
    assert_eq!(daemon.pipe().ask(b"GETINFO card_list").len(), 4);
    assert!(daemon.hang_up().success());
}

#[test]
fn a_client_that_goes_away_in_the_middle_is_forgotten() {
    let home = Home::new();
    let mut daemon = home.start();
    for part in [&b"SERIAL"[..], b"LEARN\n", &[b'x'; 100_000], b"LEARN --force\nLEARN --force\nLEARN --force\n"] {
        let mut client = home.connect();
        client.write.write_all(part).unwrap();
    }
    let mut locker = home.connect();
    locker.ask(b"LOCK");
    drop(locker);
    assert_eq!(daemon.pipe().ask(b"LOCK --wait").last().unwrap(), b"OK\n");
    assert!(daemon.hang_up().success());
}

#[test]
fn it_says_what_it_is_for_and_does_not_serve() {
    for (option, says) in [("--help", "sealcard doctor"), ("-h", "--homedir"), ("-V", env!("CARGO_PKG_VERSION"))] {
        let output = Command::new(env!("CARGO_BIN_EXE_sealcard-scdaemon")).arg(option).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(says) && !text.starts_with("OK"), "{option}: {text}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn it_leaves_no_core_image() {
    let home = Home::new();
    let daemon = home.start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.child.id())).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
    assert!(daemon.hang_up().success());
}

#[test]
fn it_says_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_sealcard-scdaemon")).arg("--version").output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, format!("sealcard-scdaemon {}\n", env!("CARGO_PKG_VERSION")).into_bytes());
}

/// It starts with every gpg-agent, so it links nothing that only the commands need (docs/decisions/file-signatures.md).
#[test]
#[cfg(target_os = "linux")]
fn it_links_no_openpgp_library() {
    let symbols = |program: &str| {
        let output = Command::new("nm").arg(program).output().unwrap();
        assert!(output.status.success(), "{program}");
        String::from_utf8(output.stdout).unwrap()
    };
    for library in ["sequoia_openpgp", "sealcard_openpgp_import"] {
        assert!(symbols(env!("CARGO_BIN_EXE_sealcard")).contains(library), "the command has no {library}");
        assert!(!symbols(env!("CARGO_BIN_EXE_sealcard-scdaemon")).contains(library), "the daemon has {library}");
    }
}
