//! The same files under another implementation: Go's `sumdb/note` and `sumdb/tlog`, from Debian's packages `golang-go`
//! and `golang-golang-x-mod-dev`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod common;

use std::{fs, path::Path, process::Command};

use common::{Log, cosign, signer};
use sealcard_transparency::{
    AddCheckpoint, Hash, KeyType, Note, PartialTiles, Receipt, Signer, Tile, VerifierKey, prove_consistency,
    prove_inclusion,
};

const SIZE: u64 = 66_000;
const OLDER: u64 = 513;

/// The example key of Go's package.
const SKEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

fn write(folder: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn write_log(folder: &Path) -> Note {
    let log = Log::new("sign.example.org/record", SIZE);
    let witness = signer("witness.example.org", KeyType::Ed25519Cosignature, 3);
    let mut checkpoint = log.checkpoint();
    cosign(&mut checkpoint, [&witness]);
    write(folder, "log.vkey", log.signers[0].key().to_string());
    write(folder, "witness.vkey", witness.key().to_string());
    write(folder, "go.skey", SKEY);
    write(folder, "checkpoint", checkpoint.to_string());

    let mut partial = PartialTiles::new();
    let write_tile = |tile: Tile, hashes: &[Hash]| write(folder, &tile.path(), tile.encode(hashes).unwrap());
    for entry in 0..SIZE {
        let full = partial.append(Hash::leaf(&entry.to_be_bytes()));
        full.iter().for_each(|(tile, hashes)| write_tile(*tile, hashes));
    }
    partial.partial().for_each(|(tile, hashes)| write_tile(tile, hashes));

    for index in [0, 1, 255, 256, 511, 65_535, 65_536, 65_791, 65_792, SIZE - 1] {
        let proof = prove_inclusion(index, SIZE, &mut log.reader()).unwrap();
        let receipt = Receipt { extra: None, index, proof, checkpoint: checkpoint.clone() };
        write(folder, &format!("receipts/{index}"), receipt.to_string());
        write(folder, &format!("entries/{index}"), index.to_be_bytes());
    }
    let proof = prove_consistency(OLDER, SIZE, &mut log.reader()).unwrap();
    let request = AddCheckpoint { old: OLDER, proof, note: checkpoint.clone() };
    write(folder, "request", request.to_string());
    checkpoint
}

#[test]
fn go_verifies_tiles_proofs_and_notes_and_signs_alike() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("go-{}", std::process::id()));
    let checkpoint = write_log(&folder);
    let mut go = Command::new("go");
    go.arg("run").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go/main.go")).arg(&folder);
    // Debian's packages are found without modules, and nothing is downloaded.
    go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOPROXY", "off").env("GOFLAGS", "");
    go.env("GOCACHE", folder.join("cache"));
    let output = go
        .output()
        .unwrap_or_else(|error| panic!("go can't be run: {error}. Install golang-go and golang-golang-x-mod-dev"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let note = Note::parse(&output.stdout).unwrap();
    let key: VerifierKey = VKEY.parse().unwrap();
    assert_eq!(note.verify([&key]).unwrap().len(), 1);
    assert_eq!(note.text(), checkpoint.text());
    fs::remove_dir_all(folder).unwrap();
}
