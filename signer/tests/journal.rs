//! The journal: broken files, torn ends, no room.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use common::{DEADLINE, Signer, journal_path, verify_journal};
use proptest::prelude::*;
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer::journal::{Journal, NewEntry, OpenJournal, Storage, TornTail, scan};
use sealcard_signer_protocol::{Operation, ResponseBody, SignerError, Stated};
use uuid::Uuid;

fn entry(n: u128) -> NewEntry {
    NewEntry {
        operation: "sign",
        component: Uuid::from_u128(7),
        stated: Stated::by_server(Uuid::from_u128(n)),
        checkpoint: None,
        input_sha256: Some([3; 32]),
    }
}

fn write(journal: &Journal, count: u128) -> Vec<Result<u64, SignerError>> {
    let (done, results) = mpsc::channel();
    for n in 0..count {
        let done = done.clone();
        journal.enqueue(entry(n), move |result| done.send(result).unwrap());
        journal.wake();
    }
    (0..count).map(|_| results.recv_timeout(DEADLINE).unwrap()).collect()
}

/// A journal with entries in a folder of its own.
fn sample(count: u128) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = journal_path(folder.path());
    std::fs::write(&path, "").unwrap();
    let journal = Journal::open(&path).unwrap();
    assert!(write(&journal, count).iter().all(Result::is_ok));
    folder
}

fn append(folder: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(journal_path(folder)).unwrap().write_all(bytes).unwrap();
}

fn torn_files(folder: &Path) -> Vec<Vec<u8>> {
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    names.filter(|p| p.to_str().unwrap().contains(".torn-")).map(|p| std::fs::read(p).unwrap()).collect()
}

#[test]
fn entries_come_back_in_order_from_anywhere() {
    let folder = sample(3000);
    let journal = Journal::open(&journal_path(folder.path())).unwrap();
    for from in [1, 2, 1023, 1024, 1025, 1026, 2048, 2049, 2999, 3000] {
        let (head, entries) = journal.read(from, 5).unwrap();
        assert_eq!(head.sequence, 3000);
        let expected: Vec<u64> = (from..=3000).take(5).collect();
        assert_eq!(entries.iter().map(|e| e.sequence).collect::<Vec<_>>(), expected);
    }
    assert!(journal.read(3001, 5).unwrap().1.is_empty());
    assert!(journal.read(u64::MAX, 5).unwrap().1.is_empty());
}

#[test]
fn a_torn_end_is_kept_aside_and_the_chain_goes_on() {
    let whole = std::fs::read(journal_path(sample(3).path())).unwrap();
    let line = whole.split_inclusive(|b| *b == b'\n').next().unwrap().to_vec();
    let zeros = [vec![0; 4096], line.clone()].concat();
    for tail in [&line[..line.len() - 1], &line[..1], b"{", &zeros[..4096], &zeros] {
        let folder = sample(3);
        append(folder.path(), tail);
        let path = journal_path(folder.path());
        let before = std::fs::read(&path).unwrap();
        assert_eq!(scan(&path).unwrap().torn.map(|t| t.len), Some(tail.len() as u64));
        assert_eq!(std::fs::read(&path).unwrap(), before, "looking changes nothing");
        let journal = Journal::open(&path).unwrap();
        assert_eq!(torn_files(folder.path()), [tail.to_vec()]);
        assert_eq!(journal.head().sequence, 3);
        assert!(write(&journal, 2).iter().all(Result::is_ok));
        drop(journal);
        let scan = scan(&path).unwrap();
        assert_eq!((scan.head.sequence, scan.torn), (5, None));
    }
}

#[test]
fn what_was_appended_since_is_verified_from_the_known_end_on() {
    let folder = sample(3);
    let path = journal_path(folder.path());
    let mut opened = OpenJournal::open(&path).unwrap();
    let journal = Journal::resume(opened.file().try_clone().unwrap(), opened.scan().clone()).unwrap();
    assert!(write(&journal, 1500).iter().all(Result::is_ok));
    let head = journal.head();
    drop(journal);
    append(folder.path(), b"{\"sequence\":15");
    opened.catch_up().unwrap();
    assert_eq!(opened.scan(), &scan(&path).unwrap());
    assert_eq!((opened.scan().head, opened.scan().torn), (head, None));
    assert_eq!(torn_files(folder.path()), [b"{\"sequence\":15".to_vec()]);

    // What is no continuation is found, and so is the loss of what was there.
    let first = std::fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned() + "\n";
    append(folder.path(), first.as_bytes());
    assert!(opened.catch_up().unwrap_err().to_string().contains("broken at line 1504"));
    std::fs::write(&path, &first).unwrap();
    assert!(opened.catch_up().is_err());
}

#[test]
fn two_signers_never_hold_the_journal() {
    let folder = sample(1);
    let path = journal_path(folder.path());
    let first = OpenJournal::open(&path).unwrap();
    // As a worker has it.
    let descriptor = first.file().try_clone().unwrap();
    drop(first);
    let waiting = std::thread::spawn({
        let path = path.clone();
        move || OpenJournal::open(&path).map(drop)
    });
    assert!(File::open(&path).unwrap().try_lock().is_err());
    drop(descriptor);
    waiting.join().unwrap().unwrap();
}

#[test]
fn a_changed_removed_moved_or_added_entry_is_found() {
    let folder = sample(5);
    let path = journal_path(folder.path());
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let join = |order: &[usize]| order.iter().map(|i| format!("{}\n", lines[*i])).collect::<String>();
    for (broken, line) in [
        (join(&[0, 2, 3, 4]), 2),
        (join(&[1, 2, 3, 4]), 1),
        (join(&[0, 2, 1, 3, 4]), 2),
        (join(&[0, 1, 1, 2, 3, 4]), 3),
        (text.replacen("sign", "sing", 2).replacen("sing", "sign", 1), 2),
        (format!("{text}{}\n", lines[0]), 6),
        (format!("{text}\n"), 6),
        (text.replacen("\"sequence\":3", "\"sequence\": 3", 1), 3),
    ] {
        std::fs::write(&path, broken).unwrap();
        let error = scan(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("line {line}")), "{error}");
        assert!(Journal::open(&path).is_err());
        let (fine, text) = verify_journal(folder.path());
        assert!(!fine && text.contains(&format!("is broken at line {line}")), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_before_the_last_line_is_always_found(at in 0.0..1.0_f64, bit in 0_u8..7) {
        let folder = sample(4);
        let path = journal_path(folder.path());
        let mut bytes = std::fs::read(&path).unwrap();
        let lines = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).collect::<Vec<_>>();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (at * lines[2] as f64) as usize;
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, &bytes).unwrap();
        // A flip can make a zero byte, which also marks a torn end: then what follows is no part of the journal.
        let intact = scan(&path).is_ok_and(|scan| scan.torn.is_none());
        prop_assert!(!intact);
    }

    #[test]
    fn a_journal_cut_anywhere_keeps_its_whole_entries(cut in 0_usize..1200) {
        let folder = sample(4);
        let path = journal_path(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        let kept = &bytes[..cut.min(bytes.len())];
        std::fs::write(&path, kept).unwrap();
        let whole = kept.iter().filter(|b| **b == b'\n').count() as u64;
        let len = kept.iter().rposition(|b| *b == b'\n').map_or(0, |at| at as u64 + 1);
        let scan = scan(&path).unwrap();
        prop_assert_eq!(scan.head.sequence, whole);
        let torn = (len < kept.len() as u64).then(|| TornTail { offset: len, len: kept.len() as u64 - len });
        prop_assert_eq!(scan.torn, torn);
    }
}

/// A disk that is full, or whose `fdatasync` fails, while told so.
#[derive(Clone, Default)]
struct Disk {
    content: Arc<Mutex<Vec<u8>>>,
    room: Arc<AtomicUsize>,
    failing_syncs: Arc<AtomicUsize>,
    syncs: Arc<AtomicUsize>,
}

impl Storage for Disk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.content.lock().unwrap();
        let fits = bytes.len().min(self.room.load(Ordering::SeqCst).saturating_sub(content.len()));
        content.extend_from_slice(&bytes[..fits]);
        if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        match self.failing_syncs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => Err(io::Error::other("the device is gone")),
            Err(_) => Ok(()),
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.content.lock().unwrap().truncate(usize::try_from(len).unwrap());
        Ok(())
    }
}

#[test]
fn after_a_full_disk_or_a_failing_sync_the_chain_goes_on_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = journal_path(folder.path());
    std::fs::write(&path, "").unwrap();
    let disk = Disk::default();
    disk.room.store(1000, Ordering::SeqCst);
    let journal =
        Journal::with_storage(File::open(&path).unwrap(), scan(&path).unwrap(), Box::new(disk.clone())).unwrap();
    // One after the other, so that each is a write of its own.
    let outcomes: Vec<_> = (0..6).map(|_| write(&journal, 1).remove(0)).collect();
    assert!(outcomes[0].is_ok() && matches!(outcomes[5], Err(SignerError::JournalFull(_))), "{outcomes:?}");
    disk.room.store(usize::MAX, Ordering::SeqCst);
    assert!(write(&journal, 1)[0].is_ok());
    disk.failing_syncs.store(2, Ordering::SeqCst);
    let failed = write(&journal, 1).remove(0);
    assert!(matches!(&failed, Err(SignerError::Journal(why)) if why.contains("the device is gone")), "{failed:?}");
    assert!(write(&journal, 1)[0].is_err());
    assert!(write(&journal, 1)[0].is_ok());
    let head = journal.head();
    drop(journal);
    std::fs::write(&path, &*disk.content.lock().unwrap()).unwrap();
    let scan = scan(&path).unwrap();
    let good = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64 + 2;
    assert_eq!((scan.head, scan.torn, scan.head.sequence), (head, None, good));
}

#[test]
fn entries_that_wait_together_share_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let path = journal_path(folder.path());
    std::fs::write(&path, "").unwrap();
    let disk = Disk::default();
    disk.room.store(usize::MAX, Ordering::SeqCst);
    let journal =
        Journal::with_storage(File::open(&path).unwrap(), scan(&path).unwrap(), Box::new(disk.clone())).unwrap();
    // The first entry's callback holds the journal's thread until a hundred more wait.
    let (release, held) = mpsc::channel::<()>();
    journal.enqueue(entry(0), move |_| held.recv_timeout(DEADLINE).unwrap());
    journal.wake();
    let (done, results) = mpsc::channel();
    for n in 1..=100 {
        let done = done.clone();
        journal.enqueue(entry(n), move |result| done.send(result).unwrap());
        journal.wake();
    }
    release.send(()).unwrap();
    assert!((0..100).all(|_| results.recv_timeout(DEADLINE).unwrap().is_ok()));
    assert!(disk.syncs.load(Ordering::SeqCst) <= 3, "{:?}", disk.syncs);
}

#[test]
fn a_signer_without_room_answers_journal_errors_and_recovers() {
    let folder = common::folder();
    let path = journal_path(folder.path());
    let mut signer = Signer::start(folder.path());
    let key = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    let sign = || Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![1; 32] };
    assert!(matches!(signer.operate(&key, sign()), Ok(ResponseBody::Signature(_))));
    let length = std::fs::metadata(&path).unwrap().len();
    let pid = signer.worker_pid().to_string();
    let limit = |limit: &str| {
        let done = std::process::Command::new("prlimit").args(["--pid", &pid, limit]).status().unwrap();
        assert!(done.success());
    };
    // Room for half a line.
    limit(&format!("--fsize={}:unlimited", length + 100));
    for _ in 0..3 {
        assert!(matches!(signer.operate(&key, sign()), Err(SignerError::Journal(_))));
    }
    limit("--fsize=unlimited");
    assert!(matches!(signer.operate(&key, sign()), Ok(ResponseBody::Signature(_))));
    assert_eq!(signer.status().1.sequence, 3);
    assert!(signer.stop().success());
    let (fine, text) = verify_journal(folder.path());
    assert!(fine && text.starts_with("entries: 3\n"), "{text}");
}

#[test]
fn a_signer_with_a_broken_or_missing_journal_does_not_start() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    assert!(signer.stop().success());
    let path = journal_path(folder.path());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("generate", "generale")).unwrap();
    let mut broken = Signer::start(folder.path());
    broken.wait_for_log("is broken at line 1");
    assert!(!broken.wait_for_end().success());
    std::fs::remove_file(&path).unwrap();
    let mut missing = Signer::start(folder.path());
    missing.wait_for_log("is missing; restore it from a backup");
    assert!(!missing.wait_for_end().success());
}
