//! Replays the corpora of the fuzz targets.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use sealcard_signer::{
    fuzzing,
    pkcs11::{TokenUri, config::TokenConfig},
    seal::SealFile,
    worker::decode_request,
};
use sealcard_signer_protocol::{KeeperRequest, decode, journal::parse_line};

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(p).unwrap())).collect()
}

/// Replays a corpus and gives how many of its inputs are valid.
fn replay(name: &str, target: fn(&[u8]), valid: fn(&[u8]) -> bool) -> usize {
    corpus(name).iter().inspect(|(_, data)| target(data)).filter(|(_, data)| valid(data)).count()
}

#[test]
fn corpora_hold_valid_inputs_and_none_that_breaks_anything() {
    assert!(replay("signer_request", fuzzing::request, |d| decode_request(d).is_ok()) >= 6);
    assert!(replay("signer_keeper", fuzzing::keeper, |d| decode::<KeeperRequest>(d).is_ok()) >= 5);
    assert!(replay("signer_journal_line", fuzzing::journal_line, |d| parse_line(d).is_ok()) >= 2);
    assert!(replay("signer_seal_file", fuzzing::seal_file, |d| SealFile::parse(d).is_ok()) >= 3);
    assert!(replay("signer_token_uri", fuzzing::token_uri, is_uri) >= 3);
    // What is a handle, only the signer itself knows.
    assert!(replay("signer_key_handle", fuzzing::key_handle, |_| true) >= 3);
    assert!(replay("signer_token_config", fuzzing::token_config, |d| TokenConfig::parse(d).is_ok()) >= 2);
}

fn is_uri(data: &[u8]) -> bool {
    std::str::from_utf8(data).is_ok_and(|text| text.parse::<TokenUri>().is_ok())
}
