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
use sealcard_signer_protocol::{
    self as protocol, Hello, JournalHead, KeeperAnswer, KeeperMessage, KeeperRefusal, KeeperRequest, KeeperRequestBody,
    Operation, Request, RequestBody, Response, ResponseBody, SignerError, Stated, StoreState, StoredKey,
    channel::Incoming,
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

/// A signer: the keeper, and the worker that it brought last.
pub struct Signer {
    child: Child,
    link: UnixStream,
    incoming: Incoming,
    answers: HashMap<u64, Result<KeeperAnswer, KeeperRefusal>>,
    /// The states that the keeper told of.
    pub states: Vec<StoreState>,
    worker: Option<(u32, UnixStream)>,
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
        Self::start_program(Path::new(BINARY), folder, configure)
    }

    pub fn start_program(program: &Path, folder: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut command = Command::new(program);
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
        Self {
            child,
            link: ours,
            incoming: Incoming::default(),
            answers: HashMap::new(),
            states: Vec::new(),
            worker: None,
            log,
            seen: Vec::new(),
            next: 1,
            early: HashMap::new(),
        }
    }

    /// The keeper's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process id of the worker.
    pub fn worker_pid(&mut self) -> u32 {
        self.socket();
        self.worker.as_ref().unwrap().0
    }

    /// The socket to the worker; waits for the first one.
    pub fn socket(&mut self) -> &UnixStream {
        while self.worker.is_none() {
            self.hear().expect("the keeper brings a worker");
        }
        &self.worker.as_ref().unwrap().1
    }

    /// Waits for the worker after the present one.
    pub fn next_worker(&mut self) -> u32 {
        self.worker = None;
        self.early.clear();
        self.worker_pid()
    }

    /// Takes in one message of the keeper; `None` when it has closed its socket.
    fn hear(&mut self) -> Option<()> {
        match self.incoming.wait(&self.link).unwrap()? {
            KeeperMessage::Worker { process } => {
                let socket = UnixStream::from(self.incoming.descriptor().unwrap());
                socket.set_read_timeout(Some(DEADLINE)).unwrap();
                self.worker = Some((process, socket));
            }
            KeeperMessage::Hello(hello) => assert_eq!(hello, Hello::of_this_release()),
            KeeperMessage::State(state) => self.states.push(state),
            KeeperMessage::Answer { id, result } => {
                self.answers.insert(id, result);
            }
        }
        Some(())
    }

    /// Asks the keeper and waits for its answer.
    pub fn ask_keeper(&mut self, body: KeeperRequestBody) -> Result<KeeperAnswer, KeeperRefusal> {
        let id = self.next;
        self.next += 1;
        self.link.write_all(&protocol::encode(&KeeperRequest { id, body }).unwrap()).unwrap();
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return answer;
            }
            self.hear().expect("the keeper answers");
        }
    }

    /// Sends the keeper any bytes.
    pub fn send_keeper(&mut self, bytes: &[u8]) {
        self.link.write_all(bytes).unwrap();
    }

    /// Reads what the worker still sends until its socket ends.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.socket().read_to_end(&mut rest);
        rest
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
        self.socket().write_all(&protocol::encode(&Request { id, body }).unwrap()).unwrap();
        id
    }

    /// Reads the next answer, whichever it is.
    pub fn receive(&mut self) -> Response {
        let mut header = [0; 4];
        let mut socket = self.socket();
        socket.read_exact(&mut header).unwrap();
        let mut body = vec![0; u32::from_be_bytes(header) as usize];
        socket.read_exact(&mut body).unwrap();
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

    /// Closes the sockets, as a server that ends does, and waits for the processes.
    pub fn stop(mut self) -> ExitStatus {
        self.link.shutdown(std::net::Shutdown::Both).unwrap();
        if let Some((_, socket)) = &self.worker {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        self.wait_for_end()
    }

    /// Waits for the process to end by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        // stderr closes when both processes end, so there is something to wait for.
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

pub fn stated() -> Stated {
    Stated::by_server(Uuid::now_v7())
}

pub fn generate(algorithm: ComponentAlgorithm, role: ComponentRole) -> RequestBody {
    RequestBody::Generate { component: Uuid::now_v7(), algorithm, role, master_key: None, stated: stated() }
}

pub fn using(key: &StoredKey, operation: Operation) -> RequestBody {
    RequestBody::Use { key: key.clone(), operation, stated: stated() }
}

pub fn journal_path(folder: &Path) -> PathBuf {
    folder.join("journal.jsonl")
}

pub fn verify_journal(folder: &Path) -> (bool, String) {
    let output = run(&["journal", "verify", "--folder", folder.to_str().unwrap()], "");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}
