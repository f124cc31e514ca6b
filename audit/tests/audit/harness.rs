//! A log in a folder, and the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sealcard_api::{
    Timestamp,
    ids::{GrantId, GroupId, PrincipalId, RequestId},
};
use sealcard_record::{
    Actor, Draft, Event, Line, Named, Salt,
    event::GroupAct,
    export::{Export, LogFile, keys_file},
    leaf,
};
use sealcard_transparency::{
    Checkpoint, Frontier, Hash, KeyType, Note, SeedSigner, Signer as _, TreeHead, encode_bundle, sign,
};
use serde_json::value::RawValue;
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const ORIGIN: &str = "sign.example.org/record";

/// A key of the log or of a witness.
pub(crate) fn signer(name: &str, key_type: KeyType, seed: u8) -> SeedSigner {
    SeedSigner::new(name.parse().unwrap(), key_type, &zeroize::Zeroizing::new([seed; 32])).unwrap()
}

pub(crate) fn log_keys() -> Vec<SeedSigner> {
    vec![signer(ORIGIN, KeyType::Ed25519, 1), signer(ORIGIN, KeyType::MlDsa44, 2)]
}

pub(crate) fn signed(origin: &str, tree: TreeHead, signers: &[SeedSigner]) -> Note {
    let mut note = Note::new(Checkpoint::new(origin, tree).unwrap().to_string()).unwrap();
    for signer in signers {
        note.add(sign(note.text(), 1_800_000_000, signer).unwrap()).unwrap();
    }
    note
}

/// The entry with this number. `variant` makes others of the same number.
pub(crate) fn line(number: u64, variant: u8) -> Line {
    let id = |part: u128| Uuid::from_u128(0x0193_5b6c_7000_7000_8000_0000_0000_0000 + part);
    let grant = GrantId(id(3));
    let group = Named::new(GroupId(id(4)), if variant == 1 { "auditors" } else { "approvers" });
    let event = Event::GroupAdded(GroupAct { group });
    let actor = Actor::new(PrincipalId(id(2)), "alice", grant);
    let draft = Draft::new(RequestId(id(1000 + u128::from(number))), event).by(actor);
    let mut salt = Salt([variant; 16]);
    salt.0[..8].copy_from_slice(&number.to_be_bytes());
    let time = Timestamp::from_unix(1_800_000_000 + number.cast_signed());
    let placed = draft.place(number, time, salt).unwrap();
    let entry = RawValue::from_string(placed.text).unwrap();
    Line { hash: placed.hash, salt, entry }
}

fn leaf_of(line: &Line) -> Vec<u8> {
    leaf(line.entry.get(), &line.salt).unwrap().to_bytes()
}

/// A log that grows, in a folder.
pub(crate) struct TestLog {
    pub(crate) scratch: TempDir,
    pub(crate) folder: PathBuf,
    pub(crate) signers: Vec<SeedSigner>,
}

impl TestLog {
    /// With so many entries.
    pub(crate) fn new(size: u64) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("log");
        let log = Self { scratch, folder, signers: log_keys() };
        let policy: String = log.signers.iter().map(|signer| format!("log {}\n", signer.key())).collect();
        fs::write(log.policy(), format!("{policy}quorum none\n")).unwrap();
        log.grow(size);
        log
    }

    /// Adds entries up to this number, as `sealcard admin record export-log` does.
    pub(crate) fn grow(&self, size: u64) {
        self.grow_with(size, |number| line(number, 0));
    }

    /// The same, with other entries.
    pub(crate) fn grow_with(&self, size: u64, line: impl Fn(u64) -> Line) {
        let mut export = Export::open(&self.folder, true).unwrap();
        let (is_new, mut log) = (export.origin().is_none(), Frontier::new());
        while let Some(tile) = export.wanted(size) {
            let first = tile.node(0).index + 1;
            let entries: Vec<Line> = (first..first + u64::from(tile.width())).map(&line).collect();
            let leaves: Vec<Vec<u8>> = entries.iter().map(leaf_of).collect();
            let text: String = entries.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
            leaves.iter().for_each(|leaf| drop(log.append(Hash::leaf(leaf)).unwrap()));
            export.add(tile, &encode_bundle(&leaves).unwrap(), Some(text.as_bytes())).unwrap();
        }
        let tree = if is_new { log.head() } else { head(size, line) };
        let note = signed(ORIGIN, tree, &self.signers);
        export.finish(&note, &keys_file(self.signers.iter().map(|signer| signer.key()))).unwrap();
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.scratch.path().join("trusted.tlog-policy")
    }

    pub(crate) fn file(&self, file: LogFile) -> PathBuf {
        self.folder.join(file.to_string())
    }

    /// A copy of the folder.
    pub(crate) fn copy(&self, name: &str) -> PathBuf {
        let copy = self.scratch.path().join(name);
        copy_folder(&self.folder, &copy);
        copy
    }

    /// `verify` with the policy.
    pub(crate) fn verify(&self, more: &[&str]) -> Finished {
        let policy = self.policy();
        audit(&[&["verify", path(&self.folder), "--policy", path(&policy)], more].concat())
    }
}

/// Size and root of the log with these entries.
pub(crate) fn head(size: u64, line: impl Fn(u64) -> Line) -> TreeHead {
    let mut log = Frontier::new();
    for number in 1..=size {
        log.append(Hash::leaf(&leaf_of(&line(number)))).unwrap();
    }
    log.head()
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What the program printed.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    #[track_caller]
    pub(crate) fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Ended with a finding that has these words.
    #[track_caller]
    pub(crate) fn finds(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(3), "{self:#?}");
        for word in words {
            assert!(self.stdout.contains(word), "no {word:?} in {self:#?}");
        }
        self
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealcard-audit"));
    command.args(arguments).env_clear();
    command
}

pub(crate) fn audit(arguments: &[&str]) -> Finished {
    command(arguments).output().unwrap().into()
}
