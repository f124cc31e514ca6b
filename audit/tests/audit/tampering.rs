//! Logs that somebody has tampered with: the first thing that is wrong is named.

use std::{fs, path::Path};

use sealcard_record::export::LogFile;
use sealcard_transparency::{Note, Tile, encode_bundle, parse_bundle};

use crate::harness::{Finished, ORIGIN, TestLog, audit, head, line, log_keys, path, signed, signer};

fn tile(level: u8, index: u64, width: u16) -> Tile {
    Tile::new(level, index, width).unwrap()
}

/// Changes a file.
fn change(file: &Path, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    fs::write(file, change(fs::read(file).unwrap())).unwrap();
}

fn flip(mut bytes: Vec<u8>, place: usize, bit: u8) -> Vec<u8> {
    bytes[place] ^= 1 << bit;
    bytes
}

#[test]
fn whole_log_is_verified() {
    for size in [1, 255, 256, 257, 600] {
        let log = TestLog::new(size);
        let said = log.verify(&[]).well();
        let root = head(size, |number| line(number, 0)).root.to_string();
        assert!(said.stdout.contains("All is well") && said.stdout.contains(&root), "{said:#?}");
        assert!(said.stdout.contains("hashes, leaves, entries"), "{said:#?}");
    }
}

#[test]
fn any_flipped_bit_is_named() {
    let log = TestLog::new(600);
    let full = [
        LogFile::tile(tile(0, 0, 256)),
        LogFile::tile(tile(0, 1, 256)),
        LogFile::tile(tile(0, 2, 88)),
        LogFile::tile(tile(1, 0, 2)),
        LogFile::leaves(tile(0, 1, 256)),
        LogFile::leaves(tile(0, 2, 88)),
        LogFile::Lines(tile(0, 0, 256)),
        LogFile::Lines(tile(0, 2, 88)),
        LogFile::CHECKPOINT,
    ];
    for file in full {
        let path = log.file(file);
        let whole = fs::read(&path).unwrap();
        // Spread over the file, each time another bit.
        for step in 0..13 {
            let place = step * (whole.len() - 1) / 12;
            fs::write(&path, flip(whole.clone(), place, (step % 8) as u8)).unwrap();
            let said = log.verify(&[]);
            assert_eq!(said.code, Some(3), "{file}, byte {place}: {said:#?}");
            assert!(said.stdout.contains(&format!("{file}: ")), "{file}, byte {place}: {said:#?}");
        }
        fs::write(&path, whole).unwrap();
    }
    log.verify(&[]).well();
}

#[test]
fn changed_entry_is_named_by_its_number() {
    let log = TestLog::new(300);
    let lines = log.file(LogFile::Lines(tile(0, 1, 44)));
    change(&lines, |text| String::from_utf8(text).unwrap().replacen("alice", "carol", 1).into_bytes());
    log.verify(&[]).finds(&["1 finding:", "record/001.p/44: entry 257: the log commits to another entry"]);
    // Nobody looks at the entries.
    log.verify(&["--no-entries"]).well();
}

#[test]
fn entry_that_was_put_in_removed_or_moved_is_named() {
    let log = TestLog::new(100);
    let file = log.file(LogFile::Lines(tile(0, 0, 100)));
    let whole = String::from_utf8(fs::read(&file).unwrap()).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let write = |lines: &[&str]| fs::write(&file, lines.join("\n") + "\n").unwrap();

    write(&[&lines[..9], &lines[10..]].concat());
    log.verify(&[]).finds(&["entry 10: the log commits to another entry", "it has 99 entries instead of 100"]);
    let mut swapped = lines.clone();
    swapped.swap(20, 21);
    write(&swapped);
    log.verify(&[]).finds(&["2 findings", "entry 21: ", "entry 22: "]);
    let other = serde_json::to_string(&line(31, 1)).unwrap();
    write(&[&lines[..30], &[&other], &lines[30..]].concat());
    log.verify(&[]).finds(&["entry 31: the log commits to another entry"]);
    write(&lines[..99]);
    log.verify(&[]).finds(&["record/000.p/100: it has 99 entries instead of 100"]);
}

#[test]
fn changed_leaves_are_named() {
    let log = TestLog::new(300);
    let file = log.file(LogFile::leaves(tile(0, 0, 256)));
    let whole = fs::read(&file).unwrap();
    let leaves = parse_bundle(&whole).unwrap();
    let mut swapped = leaves.clone();
    swapped.swap(4, 5);
    fs::write(&file, encode_bundle(&swapped).unwrap()).unwrap();
    let said = log.verify(&[]).finds(&["2 findings", "tile/entries/000: the leaf of entry 5 is not"]);
    assert!(said.stdout.contains("the leaf of entry 6 is not"), "{said:#?}");
    fs::write(&file, encode_bundle(&leaves[..255]).unwrap()).unwrap();
    log.verify(&[]).finds(&["tile/entries/000: it has 255 leaves instead of 256"]);
}

#[test]
fn missing_files_are_named() {
    let log = TestLog::new(600);
    for file in [
        LogFile::tile(tile(0, 1, 256)),
        LogFile::tile(tile(0, 2, 88)),
        LogFile::tile(tile(1, 0, 2)),
        LogFile::leaves(tile(0, 0, 256)),
        LogFile::Lines(tile(0, 1, 256)),
    ] {
        let path = log.file(file);
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        log.verify(&[]).finds(&["1 finding:", &format!("{file}: the file is missing")]);
        fs::write(&path, whole).unwrap();
    }
}

/// Somebody who has the folder changes an entry with all hashes that follow from it, but not the log's key.
#[test]
fn entry_changed_with_all_its_hashes_is_found() {
    let (log, forged) = (TestLog::new(300), TestLog::new(1));
    fs::remove_dir_all(&forged.folder).unwrap();
    forged.grow_with(300, |number| line(number, u8::from(number == 7)));
    fs::copy(log.file(LogFile::CHECKPOINT), forged.file(LogFile::CHECKPOINT)).unwrap();
    forged.verify(&[]).finds(&["don't lead to its root"]);
}

/// Somebody has the log's key too. Only those who remember find it.
#[test]
fn rewritten_log_is_found_by_who_remembers() {
    let log = TestLog::new(300);
    let state = log.scratch.path().join("state");
    log.verify(&["--state", path(&state)]).well();
    let kept = log.scratch.path().join("kept");
    fs::copy(log.file(LogFile::CHECKPOINT), &kept).unwrap();
    let older = log.copy("older");
    let grown = |size: u64, other: Option<u64>| {
        fs::remove_dir_all(&log.folder).unwrap();
        log.grow_with(size, |number| line(number, u8::from(Some(number) == other)));
    };
    grown(700, Some(250));
    log.verify(&[]).well();
    log.verify(&["--state", path(&state)]).finds(&["the log was rewritten: its first 300 entries"]);
    grown(300, Some(250));
    log.verify(&["--state", path(&state)]).finds(&["the log was rewritten: its first 300 entries"]);
    let policy = log.policy();
    let consistency =
        |files: &[&str]| audit(&[&["consistency", path(&log.folder), "--policy", path(&policy)], files].concat());
    consistency(&[path(&kept)]).finds(&["was rewritten"]);
    grown(700, None);
    log.verify(&["--state", path(&state)]).well();
    consistency(&[path(&kept)]).well();
    let newer = log.scratch.path().join("newer");
    fs::copy(log.file(LogFile::CHECKPOINT), &newer).unwrap();
    log.grow(800);
    let said = consistency(&[path(&newer), path(&kept)]).well();
    assert!(said.stdout.contains("from 300 entries to 700 entries"), "{said:#?}");
    // An older copy.
    fs::remove_dir_all(&log.folder).unwrap();
    fs::rename(&older, &log.folder).unwrap();
    log.verify(&[]).well();
    log.verify(&["--state", path(&state)]).finds(&["the log went back: it had 700 entries, and has 300"]);
    consistency(&[path(&newer)]).finds(&["the log went back: it had 700 entries, and has 300"]);
}

#[test]
fn checkpoint_needs_the_signatures_that_the_policy_asks_for() {
    use sealcard_transparency::{KeyType::Ed25519Cosignature, Signer as _};
    let log = TestLog::new(20);
    let file = log.file(LogFile::CHECKPOINT);
    let tree = head(20, |number| line(number, 0));
    // Another's key under the name of the log.
    let forger = signer(ORIGIN, sealcard_transparency::KeyType::Ed25519, 9);
    fs::write(&file, signed(ORIGIN, tree, &[forger]).to_string()).unwrap();
    log.verify(&[]).finds(&["no known key has signed"]);

    let witnesses = [signer("witness.one", Ed25519Cosignature, 3), signer("witness.two", Ed25519Cosignature, 4)];
    let own = fs::read_to_string(log.policy()).unwrap().replace("quorum none\n", "");
    let named: String = witnesses
        .iter()
        .zip(["one", "two"])
        .map(|(witness, name)| format!("witness {name} {}\n", witness.key()))
        .collect();
    fs::write(log.policy(), format!("{own}{named}group both all one two\nquorum both\n")).unwrap();
    let mut note: Note = signed(ORIGIN, tree, &log_keys());
    let verify = |note: &Note| -> Finished {
        fs::write(&file, note.to_string()).unwrap();
        log.verify(&[])
    };
    verify(&note).finds(&["the quorum is not reached: 0 witnesses"]);
    for (count, witness) in witnesses.iter().enumerate() {
        note.add(sealcard_transparency::sign(note.text(), 1_800_000_000, witness).unwrap()).unwrap();
        let said = verify(&note);
        assert_eq!(said.code, Some(if count == 0 { 3 } else { 0 }), "{said:#?}");
    }
}

#[test]
fn what_is_not_there_is_no_finding() {
    let log = TestLog::new(5);
    assert_eq!(audit(&["verify", "/nonexistent"]).code, Some(1));
    assert_eq!(audit(&["verify"]).code, Some(2));
    fs::remove_file(log.file(LogFile::Lines(tile(0, 0, 5)))).unwrap();
    let said = log.verify(&[]).well();
    assert!(!said.stdout.contains("entries,") && said.stdout.contains("checked    hashes, leaves\n"), "{said:#?}");
    let said = log.verify(&["--journal", "/dev/null"]);
    assert!(said.code == Some(1) && said.stderr.contains("export them with --entries"), "{said:#?}");
}

#[test]
fn export_refuses_a_log_that_was_rewritten_or_went_back() {
    use sealcard_record::export::{Export, ExportError};
    let log = TestLog::new(300);
    let mut export = Export::open(&log.folder, true).unwrap();
    assert!(matches!(Export::open(&log.folder, true), Err(ExportError::Busy(_))));
    let other = TestLog::new(1);
    fs::remove_dir_all(&other.folder).unwrap();
    other.grow_with(320, |number| line(number, u8::from(number == 260)));
    let wanted = export.wanted(320).unwrap();
    let read = |file: LogFile| fs::read(other.file(file)).unwrap();
    let added = export.add(wanted, &read(LogFile::leaves(wanted)), Some(&read(LogFile::Lines(wanted))));
    assert!(matches!(added, Err(ExportError::Rewritten { number: 260 })), "{added:?}");
    drop(export);
    log.verify(&[]).well();
    let export = Export::open(&log.folder, true).unwrap();
    let note = signed(ORIGIN, head(20, |number| line(number, 0)), &log_keys());
    let finished = export.finish(&note, "");
    assert!(matches!(finished, Err(ExportError::WentBack { has: 300, size: 20 })), "{finished:?}");
}

#[test]
fn export_adds_new_files_and_removes_partial_ones() {
    let log = TestLog::new(300);
    let full = log.file(LogFile::tile(tile(0, 0, 256)));
    let before = fs::metadata(&full).unwrap().modified().unwrap();
    log.grow(513);
    assert_eq!(fs::metadata(&full).unwrap().modified().unwrap(), before);
    for gone in ["tile/0/001.p", "tile/entries/001.p", "record/001.p"] {
        assert!(!log.folder.join(gone).exists(), "{gone}");
    }
    log.grow(520);
    // The hashes for those who still have the checkpoint before, and the entries once.
    assert!(log.folder.join("tile/0/002.p/1").exists() && !log.folder.join("record/002.p/1").exists());
    log.verify(&[]).well();
}
