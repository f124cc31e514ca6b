//! Checkpoints of a log: what a signer signs, what it refuses, and what it remembers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::convert::Infallible;

use common::{Signer, journal_path, stated, verify_journal};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer_protocol::{
    Growth, GrowthError, LogHead, Operation, PublicKeyBytes, RequestBody, ResponseBody, SignerError, Stated,
    StoredCheckpointKey, StoredKey, journal::parse_line,
};
use sealcard_transparency::{Checkpoint, Hash, KeyType, Node, Note, VerifierKey, prove_consistency, root};
use uuid::Uuid;

const ORIGIN: &str = "sign.example.org/record";

/// A log whose entries are these bytes.
struct Log(Vec<u8>);

impl Log {
    fn of(size: u8) -> Self {
        Self((0..size).collect())
    }

    fn hash(&self, node: Node) -> Hash {
        if node.level == 0 {
            return Hash::leaf(&[self.0[usize::try_from(node.index).unwrap()]]);
        }
        let child = |index| self.hash(Node { level: node.level - 1, index });
        Hash::node(&child(node.index * 2), &child(node.index * 2 + 1))
    }

    fn head(&self) -> LogHead {
        let size = self.0.len() as u64;
        let root = root(size, &mut |node: Node| Ok::<_, Infallible>(self.hash(node))).unwrap();
        LogHead { size, root: root.0 }
    }

    /// What the server sends for this log after a checkpoint of its beginning.
    fn growth(&self, old_size: u64) -> Growth {
        let read = &mut |node: Node| Ok::<_, Infallible>(self.hash(node));
        let proof = prove_consistency(old_size, self.0.len() as u64, read).unwrap();
        Growth { head: self.head(), old_size, proof: proof.into_iter().map(|hash| hash.0).collect() }
    }
}

fn checkpoint_key(signer: &mut Signer) -> StoredCheckpointKey {
    let (component, origin) = (Uuid::now_v7(), ORIGIN.to_owned());
    let body = RequestBody::GenerateCheckpointKey { component, origin, master_key: None, stated: stated() };
    match signer.ask(body) {
        Ok(ResponseBody::CheckpointKey(key)) => key,
        other => panic!("{other:?}"),
    }
}

fn signing(key: &StoredCheckpointKey, growth: Growth) -> RequestBody {
    RequestBody::SignCheckpoint { key: key.clone(), growth, stated: stated() }
}

fn sign(signer: &mut Signer, key: &StoredCheckpointKey, growth: Growth) -> Result<String, SignerError> {
    match signer.ask(signing(key, growth))? {
        ResponseBody::Checkpoint { note } => Ok(note),
        other => panic!("{other:?}"),
    }
}

fn refused(signer: &mut Signer, key: &StoredCheckpointKey, growth: Growth) -> GrowthError {
    match sign(signer, key, growth) {
        Err(SignerError::Checkpoint(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn last(signer: &mut Signer, key: &StoredCheckpointKey) -> Option<LogHead> {
    match signer.ask(RequestBody::CheckpointState { component: key.component }) {
        Ok(ResponseBody::CheckpointState { last }) => last,
        other => panic!("{other:?}"),
    }
}

/// The note is signed with both keys, says this of the log and nothing else.
#[track_caller]
fn assert_signed(note: &str, key: &StoredCheckpointKey, head: LogHead) {
    let note = Note::parse(note.as_bytes()).unwrap();
    let verifier = |key_type, public: &[u8]| VerifierKey::new(ORIGIN.parse().unwrap(), key_type, public).unwrap();
    let keys = [verifier(KeyType::Ed25519, &key.ed25519), verifier(KeyType::MlDsa44, &key.ml_dsa_44)];
    assert_eq!((note.verify(&keys).unwrap().len(), note.signatures().len()), (2, 2));
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.extensions().len()), (ORIGIN, 0));
    assert_eq!(LogHead::from(*checkpoint.tree()), head);
}

#[test]
fn log_that_grows_is_signed_and_journaled() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let key = checkpoint_key(&mut signer);
    assert_eq!((key.origin.as_str(), key.ml_dsa_44.len(), last(&mut signer, &key)), (ORIGIN, 1312, None));
    let mut old_size = 0;
    for size in [3, 4, 10, 10, 64, 65] {
        let log = Log::of(size);
        let note = sign(&mut signer, &key, log.growth(old_size)).unwrap();
        assert_signed(&note, &key, log.head());
        assert_eq!(last(&mut signer, &key), Some(log.head()));
        old_size = size.into();
    }
    let server = Stated {
        request: Uuid::from_u128(1),
        principal: Some(Uuid::from_u128(2)),
        grant: Some(Uuid::from_u128(3)),
        record: Some(LogHead { size: 80, root: [8; 32] }),
    };
    let id =
        signer.send(RequestBody::SignCheckpoint { key: key.clone(), growth: Log::of(80).growth(65), stated: server });
    let response = signer.receive();
    assert_eq!((response.id, response.journal), (id, Some(8)), "{:?}", response.result);
    assert!(signer.stop().success());
    let text = std::fs::read_to_string(journal_path(folder.path())).unwrap();
    let entries: Vec<_> = text.lines().map(|line| parse_line(line.as_bytes()).unwrap()).collect();
    let operations: Vec<&str> = entries.iter().map(|entry| entry.operation.as_str()).collect();
    assert_eq!(operations, [&["generate"][..], &["checkpoint"; 7]].concat());
    assert_eq!((entries[7].stated, entries[7].checkpoint), (server, Some(Log::of(80).head())));
    let (fine, text) = verify_journal(folder.path());
    assert!(
        fine && text.contains("checkpoint: 80 entries, root ") && text.contains(&key.component.to_string()),
        "{text}"
    );
}

#[test]
fn rewritten_past_is_refused_and_leaves_no_entry() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let key = checkpoint_key(&mut signer);
    sign(&mut signer, &key, Log::of(10).growth(0)).unwrap();
    let before = signer.status().1;

    let mut rewritten = Log::of(20);
    rewritten.0[4] = 99;
    let inconsistent = GrowthError::Inconsistent { size: 20, last: 10 };
    assert_eq!(refused(&mut signer, &key, rewritten.growth(10)), inconsistent);
    let good = Log::of(20).growth(10);
    assert_eq!(refused(&mut signer, &key, Growth { head: rewritten.head(), ..good.clone() }), inconsistent);
    assert_eq!(refused(&mut signer, &key, Growth { proof: vec![], ..good.clone() }), inconsistent);
    // Nor does a log that begins anew, or says that it was shorter.
    assert_eq!(refused(&mut signer, &key, rewritten.growth(0)), GrowthError::NotLast { old_size: 0, last: 10 });
    assert_eq!(refused(&mut signer, &key, Log::of(20).growth(9)), GrowthError::NotLast { old_size: 9, last: 10 });
    assert_eq!(refused(&mut signer, &key, Log::of(9).growth(0)), GrowthError::Shorter { size: 9, last: 10 });
    rewritten.0.truncate(10);
    assert_eq!(refused(&mut signer, &key, rewritten.growth(0)), GrowthError::OtherRoot(10));

    assert_eq!(signer.status().1, before, "nothing was signed");
    assert_signed(&sign(&mut signer, &key, good).unwrap(), &key, Log::of(20).head());
    // Another log's key knows nothing of this one.
    let other = checkpoint_key(&mut signer);
    sign(&mut signer, &other, rewritten.growth(0)).unwrap();
}

#[test]
fn only_one_of_several_continuations_is_ever_signed() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let key = checkpoint_key(&mut signer);
    sign(&mut signer, &key, Log::of(10).growth(0)).unwrap();
    let forks: Vec<Log> = (0..8).map(|n| Log([&Log::of(10).0[..], &[n, 1, 2]].concat())).collect();
    let ids: Vec<u64> = forks.iter().map(|fork| signer.send(signing(&key, fork.growth(10)))).collect();
    let outcomes: Vec<_> = ids.into_iter().map(|id| signer.wait(id)).collect();
    let signed: Vec<usize> = (0..8).filter(|n| outcomes[*n].is_ok()).collect();
    assert_eq!(signed.len(), 1, "{outcomes:?}");
    assert_eq!(last(&mut signer, &key), Some(forks[signed[0]].head()));
}

#[test]
fn restarted_signer_and_worker_know_the_last_checkpoint() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let key = checkpoint_key(&mut signer);
    sign(&mut signer, &key, Log::of(10).growth(0)).unwrap();
    let mut rewritten = Log::of(20);
    rewritten.0[0] = 99;
    let worker = Pid::from_raw(signer.worker_pid().cast_signed());
    kill(worker, Signal::SIGKILL).unwrap();
    signer.next_worker();
    assert_eq!(last(&mut signer, &key), Some(Log::of(10).head()));
    assert_eq!(refused(&mut signer, &key, rewritten.growth(10)), GrowthError::Inconsistent { size: 20, last: 10 });
    sign(&mut signer, &key, Log::of(12).growth(10)).unwrap();
    assert!(signer.stop().success());

    let mut signer = Signer::start(folder.path());
    assert_eq!(last(&mut signer, &key), Some(Log::of(12).head()));
    assert_eq!(refused(&mut signer, &key, rewritten.growth(0)), GrowthError::NotLast { old_size: 0, last: 12 });
    sign(&mut signer, &key, Log::of(13).growth(12)).unwrap();
}

#[test]
fn server_that_knows_a_later_checkpoint_notices_a_cut_journal() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let key = checkpoint_key(&mut signer);
    sign(&mut signer, &key, Log::of(10).growth(0)).unwrap();
    sign(&mut signer, &key, Log::of(12).growth(10)).unwrap();
    assert!(signer.stop().success());
    // At the end of a line, so that the chain is intact.
    let path = journal_path(folder.path());
    let text = std::fs::read_to_string(&path).unwrap();
    let cut: String = text.split_inclusive('\n').take(2).collect();
    std::fs::write(&path, cut).unwrap();
    let mut signer = Signer::start(folder.path());
    assert_eq!(last(&mut signer, &key), Some(Log::of(10).head()));
    assert_eq!(refused(&mut signer, &key, Log::of(20).growth(12)), GrowthError::NotLast { old_size: 12, last: 10 });
}

#[test]
fn keys_of_other_kinds_and_changed_keys_never_open() {
    let (folder, elsewhere) = (common::folder(), common::folder());
    let mut signer = Signer::start(folder.path());
    let key = checkpoint_key(&mut signer);
    let other = checkpoint_key(&mut signer);
    let openpgp = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    let before = signer.status().1;
    let PublicKeyBytes::Ec { point } = &openpgp.public_key else { panic!() };
    let mut flipped = key.handle.clone();
    flipped[80] ^= 1;
    for wrong in [
        // A signing key of OpenPGP.
        StoredCheckpointKey { handle: openpgp.handle.clone(), ..key.clone() },
        StoredCheckpointKey {
            component: openpgp.component,
            ed25519: point.as_slice().try_into().unwrap(),
            handle: openpgp.handle.clone(),
            ..key.clone()
        },
        StoredCheckpointKey { handle: other.handle, ..key.clone() },
        StoredCheckpointKey { component: Uuid::now_v7(), ..key.clone() },
        StoredCheckpointKey { origin: "sign.example.org/other".into(), ..key.clone() },
        StoredCheckpointKey { ed25519: other.ed25519, ..key.clone() },
        StoredCheckpointKey { ml_dsa_44: other.ml_dsa_44, ..key.clone() },
        StoredCheckpointKey { handle: flipped, ..key.clone() },
        StoredCheckpointKey { handle: key.handle[..100].to_vec(), ..key.clone() },
        StoredCheckpointKey { handle: Vec::new(), ..key.clone() },
    ] {
        assert_eq!(sign(&mut signer, &wrong, Log::of(3).growth(0)), Err(SignerError::NotOurs));
    }
    for wrong in [
        StoredCheckpointKey { origin: "two words".into(), ..key.clone() },
        StoredCheckpointKey { ml_dsa_44: vec![0; 1311], ..key.clone() },
    ] {
        assert!(matches!(sign(&mut signer, &wrong, Log::of(3).growth(0)), Err(SignerError::Invalid(_))));
    }
    // And the reverse: no digest is signed with a checkpoint key.
    let point = key.ed25519.to_vec();
    for role in ComponentRole::ALL {
        let disguised = StoredKey {
            component: key.component,
            algorithm: ComponentAlgorithm::EddsaEd25519,
            role,
            public_key: PublicKeyBytes::Ec { point: point.clone() },
            handle: key.handle.clone(),
        };
        let operation = Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![1; 32] };
        assert!(signer.operate(&disguised, operation).is_err());
    }
    let disguised = StoredKey {
        component: key.component,
        public_key: PublicKeyBytes::Ec { point },
        handle: key.handle.clone(),
        ..openpgp
    };
    let operation = Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![1; 32] };
    assert_eq!(signer.operate(&disguised, operation), Err(SignerError::NotOurs));
    assert_eq!(signer.status().1, before);
    sign(&mut signer, &key, Log::of(3).growth(0)).unwrap();
    // Nor does another store open it: its master keys are others.
    let mut stranger = Signer::start(elsewhere.path());
    assert!(matches!(sign(&mut stranger, &key, Log::of(3).growth(0)), Err(SignerError::UnknownMasterKey(_))));
}

#[test]
fn what_can_be_no_log_is_refused() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    for origin in ["", "two words", "a+b", "a\nb"] {
        let (component, origin) = (Uuid::now_v7(), origin.to_owned());
        let body = RequestBody::GenerateCheckpointKey { component, origin, master_key: None, stated: stated() };
        assert!(matches!(signer.ask(body), Err(SignerError::Invalid(_))));
    }
    let key = checkpoint_key(&mut signer);
    for head in [LogHead { size: 0, root: [7; 32] }, LogHead { size: u64::MAX, root: [7; 32] }] {
        let outcome = sign(&mut signer, &key, Growth { head, old_size: 0, proof: vec![] });
        assert!(matches!(outcome, Err(SignerError::Invalid(_))), "{outcome:?}");
    }
    sign(&mut signer, &key, Log::of(0).growth(0)).unwrap();
    sign(&mut signer, &key, Log::of(1).growth(0)).unwrap();
}

#[test]
fn no_checkpoint_leaves_without_its_entry() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let key = checkpoint_key(&mut signer);
    sign(&mut signer, &key, Log::of(10).growth(0)).unwrap();
    let length = std::fs::metadata(journal_path(folder.path())).unwrap().len();
    let pid = signer.worker_pid().to_string();
    let limit = |limit: &str| {
        let done = std::process::Command::new("prlimit").args(["--pid", &pid, limit]).status().unwrap();
        assert!(done.success());
    };
    // Room for half a line.
    limit(&format!("--fsize={}:unlimited", length + 100));
    for size in [11, 12] {
        assert!(matches!(sign(&mut signer, &key, Log::of(size).growth(10)), Err(SignerError::Journal(_))));
    }
    assert_eq!(last(&mut signer, &key), Some(Log::of(10).head()));
    limit("--fsize=unlimited");
    sign(&mut signer, &key, Log::of(13).growth(10)).unwrap();
    assert!(signer.stop().success());
    assert!(verify_journal(folder.path()).0);
}
