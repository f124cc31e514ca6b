//! A witness: what it cosigns, and what it refuses in which way.

use std::{
    collections::HashMap,
    convert::Infallible,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Stdio},
};

use sealcard_transparency::{
    AddCheckpoint, Answer, Frontier, Hash, KeyType, Node, Note, Signer as _, TreeHead, VerifierKey, monitoring_path,
    prove_consistency,
};
use tempfile::TempDir;

use crate::harness::{ORIGIN, audit, command, log_keys, path, signed, signer};

/// A log in memory. `variant` makes another one with the same name.
struct Log {
    nodes: HashMap<Node, Hash>,
    heads: Vec<TreeHead>,
}

impl Log {
    fn new(size: u64, variant: u8) -> Self {
        let (mut frontier, mut nodes, mut heads) = (Frontier::new(), HashMap::new(), vec![TreeHead::EMPTY]);
        for number in 0..size {
            nodes.extend(frontier.append(Hash::leaf(&[number as u8, variant])).unwrap());
            heads.push(frontier.head());
        }
        Self { nodes, heads }
    }

    fn request(&self, old: u64, size: u64) -> AddCheckpoint {
        let note = signed(ORIGIN, self.heads[size as usize], &log_keys());
        let mut reader = |node: Node| Ok::<_, Infallible>(self.nodes[&node]);
        AddCheckpoint { old, proof: prove_consistency(old, size, &mut reader).unwrap_or_default(), note }
    }
}

/// A witness that runs until this is dropped.
struct Witness {
    scratch: TempDir,
    keys: Vec<VerifierKey>,
    process: Option<Child>,
    address: String,
}

impl Witness {
    fn start() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let policy: String = log_keys().iter().map(|key| format!("log {}\n", key.key())).collect();
        fs::write(scratch.path().join("logs.tlog-policy"), format!("{policy}quorum none\n")).unwrap();
        let mut witness = Self { scratch, keys: Vec::new(), process: None, address: String::new() };
        for (file, more) in [("key", None), ("ml-dsa.key", Some("--ml-dsa-44"))] {
            let file = witness.file(file);
            let words = ["witness", "key", "witness.example.org", path(&file)];
            let made = audit(&words.into_iter().chain(more).collect::<Vec<_>>()).well();
            witness.keys.push(made.stdout.trim().parse().unwrap());
        }
        witness.start_again();
        witness
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn words(&self) -> Vec<String> {
        let file = |name: &str| path(&self.file(name)).to_owned();
        let words = ["witness", "serve", "--listen", "127.0.0.1:0", "--key"].map(str::to_owned);
        let files = [file("key"), "--key".to_owned(), file("ml-dsa.key")];
        let more = ["--policy".to_owned(), file("logs.tlog-policy"), "--state".to_owned(), file("state")];
        words.into_iter().chain(files).chain(more).collect()
    }

    /// Kills it, if it runs, and starts it.
    fn start_again(&mut self) {
        self.stop();
        let words = self.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut process = command(&words).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
        self.process = Some(process);
        let address = line.trim().strip_prefix("Listening at http://").and_then(|line| line.strip_suffix('.'));
        address.unwrap_or_else(|| panic!("{line}")).clone_into(&mut self.address);
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Status, content type and body of an answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!("{method} /{path} HTTP/1.1\r\nHost: witness\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
        (status, kind.to_owned(), body.to_owned())
    }

    fn add(&self, request: &AddCheckpoint) -> (u16, String, String) {
        self.ask("POST", "add-checkpoint", &request.to_string())
    }

    /// Expects both cosignatures, and verifies them.
    fn cosigns(&self, request: &AddCheckpoint) {
        let (status, _, body) = self.add(request);
        let Ok(Answer::Cosigned(signatures)) = Answer::parse(status, body.as_bytes()) else {
            panic!("{status}: {body}");
        };
        let mut note = Note::new(request.note.text().to_owned()).unwrap();
        signatures.into_iter().for_each(|signature| note.add(signature).unwrap());
        let verified = note.verify(&self.keys).unwrap();
        assert!(verified.len() == 2 && verified.iter().all(|verified| verified.time.is_some()), "{verified:?}");
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn log_that_grows_is_cosigned_and_the_newest_checkpoint_served() {
    let mut witness = Witness::start();
    let log = Log::new(20, 0);
    let newest = monitoring_path(ORIGIN);
    assert_eq!(witness.ask("GET", &newest, "").0, 404);
    witness.cosigns(&log.request(0, 5));
    witness.cosigns(&log.request(5, 12));
    // The same again gets new cosignatures.
    witness.cosigns(&log.request(12, 12));
    witness.start_again();
    witness.cosigns(&log.request(12, 20));
    let (status, kind, body) = witness.ask("GET", &newest, "");
    assert_eq!((status, kind.as_str()), (200, "text/plain; charset=utf-8"));
    let note = Note::parse(body.as_bytes()).unwrap();
    assert_eq!(note.text(), log.request(12, 20).note.text());
    assert_eq!(note.verify(&witness.keys).unwrap().len(), 2);
    assert_eq!(note.verify(log_keys().iter().map(|key| key.key()).collect::<Vec<_>>()).unwrap().len(), 2);
}

#[test]
fn each_refusal_has_the_status_of_the_specification() {
    let witness = Witness::start();
    let (log, other) = (Log::new(20, 0), Log::new(20, 1));
    assert_eq!(witness.ask("POST", "add-checkpoint", "old 0\nnothing\n").0, 400);
    assert_eq!(witness.ask("POST", "add-checkpoint", &"x".repeat(1 << 20)).0, 400);
    assert_eq!(witness.ask("GET", "add-checkpoint", "").0, 405);
    assert_eq!(witness.ask("GET", "../../etc/passwd", "").0, 404);
    witness.cosigns(&log.request(0, 10));
    let with_old = |old: u64| AddCheckpoint { old, ..log.request(10, 15) };
    assert_eq!(witness.add(&with_old(16)).0, 400, "the older one is larger");
    let unknown = signer("other.example.org", KeyType::Ed25519, 5);
    let note = signed("other.example.org", log.heads[15], &[unknown]);
    assert_eq!(witness.add(&AddCheckpoint { note, ..log.request(10, 15) }).0, 404);
    let forger = signer(ORIGIN, KeyType::Ed25519, 5);
    let note = signed(ORIGIN, log.heads[15], &[forger]);
    assert_eq!(witness.add(&AddCheckpoint { note, ..log.request(10, 15) }).0, 403);
    assert_eq!(witness.add(&AddCheckpoint { proof: Vec::new(), ..log.request(10, 15) }).0, 422);
    assert_eq!(witness.add(&other.request(10, 15)).0, 422, "the past was rewritten");
    assert_eq!(witness.add(&other.request(10, 10)).0, 409, "two trees of one size");

    // A log that has forgotten what the witness knows recovers with the size in the answer.
    let (status, kind, body) = witness.add(&log.request(7, 15));
    assert_eq!((status, kind.as_str(), body.as_str()), (409, "text/x.tlog.size", "10\n"));
    let Ok(Answer::Conflict(size)) = Answer::parse(status, body.as_bytes()) else { panic!("{body}") };
    witness.cosigns(&log.request(size, 15));
    let (status, _, body) = witness.add(&log.request(0, 12));
    assert_eq!((status, body.as_str()), (409, "15\n"), "the log went back");
}

#[test]
fn checkpoint_is_durable_before_its_cosignature_is_given() {
    let mut witness = Witness::start();
    let log = Log::new(40, 0);
    for size in 1..40 {
        witness.cosigns(&log.request(size - 1, size));
        if size % 10 == 0 {
            witness.start_again();
        }
    }
    assert_eq!(witness.add(&log.request(38, 40)).2, "39\n");
    // A damaged file is not the beginning of a log.
    witness.stop();
    let file = witness.file("state").join(monitoring_path(ORIGIN));
    fs::write(&file, "x").unwrap();
    let words = witness.words();
    let refused = audit(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(refused.code == Some(1) && refused.stderr.contains("/checkpoint"), "{refused:#?}");
}

#[test]
fn of_requests_at_once_one_log_is_cosigned() {
    let witness = Witness::start();
    let logs = [Log::new(20, 0), Log::new(20, 1)];
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let ask = |number: usize| {
            let (witness, log) = (&witness, &logs[number % 2]);
            scope.spawn(move || witness.add(&log.request(0, 20)).0)
        };
        let asked: Vec<_> = (0..8).map(ask).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    // The first one wins; its repetitions are of another size than they say.
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| [200, 409].contains(status)), "{answers:?}");
}

#[test]
fn second_witness_and_open_key_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut witness = Witness::start();
    let words = witness.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let refused = audit(&words);
    assert!(refused.code == Some(1) && refused.stderr.contains("another witness uses it"), "{refused:#?}");
    witness.stop();
    let key = witness.file("key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = audit(&words);
    assert!(refused.code == Some(1) && refused.stderr.contains("chmod 600"), "{refused:#?}");
    let again = audit(&["witness", "key", "witness.example.org", path(&key)]);
    assert_eq!(again.code, Some(1), "a key must not be overwritten");
}
