//! A running signer and the server's end of its socket.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
use sealcard_signer::protocol::{
    self, JournalHead, Operation, Request, RequestBody, Response, ResponseBody, SignerError, StoreState, StoredKey,
};
use uuid::Uuid;

pub const BINARY: &str = env!("CARGO_BIN_EXE_sealcard-signer");
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a command of the binary to its end.
pub fn run(args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(BINARY)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that needs no input may have ended by now.
    if let Err(error) = child.stdin.take().unwrap().write_all(stdin.as_bytes()) {
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
    child.wait_with_output().unwrap()
}

/// A folder with a key-file seal.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &["--seal", "key-file"], "");
    folder
}

pub fn init(folder: &Path, args: &[&str], stdin: &str) -> String {
    let mut all = vec!["init", "--folder", folder.to_str().unwrap()];
    all.extend(args);
    let output = run(&all, stdin);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A signer process.
pub struct Signer {
    child: Child,
    pub socket: UnixStream,
    log: mpsc::Receiver<String>,
    seen: Vec<String>,
    next: u64,
    early: HashMap<u64, Result<ResponseBody, SignerError>>,
}

impl Signer {
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, |_| {})
    }

    pub fn start_with(folder: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut command = Command::new(BINARY);
        // Descriptor 0 is the one that a test can set without unsafe code.
        command.args(["serve", "--socket-fd", "0", "--folder"]).arg(folder).env_clear();
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stderr(Stdio::piped());
        configure(&mut command);
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (lines, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, socket: ours, log, seen: Vec::new(), next: 1, early: HashMap::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a log line that contains `text`.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("no {text:?} among {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a request and gives its id.
    pub fn send(&mut self, body: RequestBody) -> u64 {
        let id = self.next;
        self.next += 1;
        self.socket.write_all(&protocol::encode(&Request { id, body }).unwrap()).unwrap();
        id
    }

    /// Reads the next answer, whichever it is.
    pub fn receive(&mut self) -> Response {
        let mut header = [0; 4];
        self.socket.read_exact(&mut header).unwrap();
        let mut body = vec![0; u32::from_be_bytes(header) as usize];
        self.socket.read_exact(&mut body).unwrap();
        protocol::decode(&body).unwrap()
    }

    /// Waits for the answer to `id`.
    pub fn wait(&mut self, id: u64) -> Result<ResponseBody, SignerError> {
        loop {
            if let Some(result) = self.early.remove(&id) {
                return result;
            }
            let response = self.receive();
            self.early.insert(response.id, response.result);
        }
    }

    pub fn ask(&mut self, body: RequestBody) -> Result<ResponseBody, SignerError> {
        let id = self.send(body);
        self.wait(id)
    }

    pub fn status(&mut self) -> (bool, JournalHead) {
        match self.ask(RequestBody::Status) {
            Ok(ResponseBody::Status { state, journal }) => (state == StoreState::Sealed, journal),
            other => panic!("{other:?}"),
        }
    }

    pub fn generate(&mut self, algorithm: ComponentAlgorithm, role: ComponentRole) -> StoredKey {
        match self.ask(generate(algorithm, role)) {
            Ok(ResponseBody::Generated { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    }

    pub fn operate(&mut self, key: &StoredKey, operation: Operation) -> Result<ResponseBody, SignerError> {
        self.ask(using(key, operation))
    }

    /// Closes the socket, as a server that ends does, and waits for the process.
    pub fn stop(mut self) -> ExitStatus {
        self.socket.shutdown(std::net::Shutdown::Both).unwrap();
        self.wait_for_end()
    }

    /// Waits for the process to end by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        // stderr closes when the process ends, so there is something to wait for.
        while let Ok(line) = self.log.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.seen.push(line);
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn generate(algorithm: ComponentAlgorithm, role: ComponentRole) -> RequestBody {
    RequestBody::Generate { component: Uuid::now_v7(), algorithm, role, request: Uuid::now_v7() }
}

pub fn using(key: &StoredKey, operation: Operation) -> RequestBody {
    RequestBody::Use { key: key.clone(), operation, request: Uuid::now_v7() }
}

pub fn journal_path(folder: &Path) -> PathBuf {
    folder.join("journal.jsonl")
}

pub fn verify_journal(folder: &Path) -> (bool, String) {
    let output = run(&["journal", "verify", "--folder", folder.to_str().unwrap()], "");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}
