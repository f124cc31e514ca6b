//! Replays the corpora of the fuzz targets.
#![allow(clippy::unwrap_used)]

use std::path::Path;

/// Runs a body on each input of its corpus, of which there are at least so many.
fn replay(target: &str, body: fn(&[u8]), at_least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let mut inputs = 0;
    for input in std::fs::read_dir(folder).unwrap() {
        body(&std::fs::read(input.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= at_least, "{inputs} inputs for {target}");
}

#[test]
fn certificates_hold() {
    replay("import_certificate", sealcard_fuzz_bodies::import_certificate, 10);
}

#[test]
fn exported_keys_hold() {
    replay("import_exported_key", sealcard_fuzz_bodies::import_exported_key, 10);
}
