//! Replays the corpora of the fuzz targets.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use sealcard_bridge::{assuan::CommandLine, scd::Command};
use sealcard_fuzz_bodies as bodies;
use sealcard_oidc::{KeySet, SignedToken};
use sealcard_policy::rules::{Document, Examples, split_templates};
use sealcard_server::backup::Manifest;
use sealcard_server::http::proxy_header::{self, Parsed};
use sealcard_server::notices::Signer;
use sealcard_signer::{
    pkcs11::{KeyHandle, TokenUri, config::TokenConfig},
    seal::SealFile,
    worker::decode_request,
};
use sealcard_signer_protocol::{KeeperRequest, decode, journal::parse_line};
use sealcard_transparency::{AddCheckpoint, Checkpoint, Note, Receipt, TrustPolicy, parse_bundle};

/// Runs a body on each input of its corpus and gives how many of them are valid.
fn replay(target: &str, body: fn(&[u8]), valid: fn(&[u8]) -> bool) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let inputs = std::fs::read_dir(folder).unwrap().map(|input| std::fs::read(input.unwrap().path()).unwrap());
    inputs.inspect(|input| body(input)).filter(|input| valid(input)).count()
}

#[test]
fn inputs_of_the_card_hold() {
    assert!(replay("apdu", bodies::apdu, |_| true) >= 5);
}

#[test]
fn certificates_and_exported_keys_hold() {
    assert!(replay("import_certificate", bodies::import_certificate, |_| true) >= 10);
    assert!(replay("import_exported_key", bodies::import_exported_key, |_| true) >= 10);
}

#[test]
fn inputs_of_the_scdaemon_hold() {
    assert!(replay("assuan_lines", bodies::assuan_lines, |_| true) >= 3);
    assert!(replay("scd_command", bodies::scd_command, is_command) >= 8);
    assert!(replay("scd_session", |input| drop(bodies::scd_session(input)), |_| true) >= 3);
    assert!(replay("cards_cache", bodies::cards_cache, |_| true) >= 1);
    assert!(replay("s_expression", bodies::s_expression, |_| true) >= 5);
}

#[test]
fn inputs_of_the_server_hold() {
    assert!(replay("json_bodies", bodies::json_bodies, |_| true) >= 5);
    assert!(replay("backup_manifest", bodies::backup_manifest, |input| Manifest::parse(input).is_ok()) >= 2);
    assert!(replay("proxy_header", bodies::proxy_header, is_proxy_header) >= 4);
    assert!(replay("server_config", bodies::server_config, |_| true) >= 3);
    assert!(replay("webhook", bodies::webhook, |input| Signer::parse(text(input)).is_ok()) >= 2);
}

fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap()
}

#[test]
fn rules_hold() {
    assert!(replay("rules_document", bodies::rules_document, |d| Document::parse(text(d)).is_ok()) >= 3);
    assert!(replay("rules_templates", bodies::rules_templates, |d| split_templates(text(d)).is_ok()) >= 2);
    assert!(replay("rules_examples", bodies::rules_examples, |d| Examples::parse(text(d)).is_ok()) >= 1);
}

#[test]
fn inputs_of_the_signer_hold_and_are_mostly_valid() {
    assert!(replay("signer_request", bodies::signer_request, |d| decode_request(d).is_ok()) >= 9);
    assert!(replay("signer_keeper", bodies::signer_keeper, |d| decode::<KeeperRequest>(d).is_ok()) >= 5);
    assert!(replay("signer_journal_line", bodies::signer_journal_line, |d| parse_line(d).is_ok()) >= 4);
    assert!(replay("signer_seal_file", bodies::signer_seal_file, |d| SealFile::parse(d).is_ok()) >= 3);
    assert!(replay("signer_token_uri", bodies::signer_token_uri, is_uri) >= 3);
    assert!(replay("signer_key_handle", bodies::signer_key_handle, |d| KeyHandle::parse(d).is_some()) >= 2);
    assert!(replay("signer_token_config", bodies::signer_token_config, |d| TokenConfig::parse(d).is_ok()) >= 2);
}

#[test]
fn tokens_and_keys_of_issuers_hold() {
    assert!(replay("oidc_token", bodies::oidc_token, |d| SignedToken::parse(text(d)).is_ok()) >= 4);
    assert!(replay("oidc_keys", bodies::oidc_keys, |d| KeySet::parse(d).is_ok()) >= 2);
}

#[test]
fn files_of_a_workstation_hold() {
    assert!(replay("workstation_files", bodies::workstation_files, |_| true) >= 5);
    assert!(replay("workstation_claims", bodies::workstation_claims, |_| true) >= 4);
}

#[test]
fn entries_of_the_record_hold() {
    let is_entry = |data: &[u8]| std::str::from_utf8(data).is_ok_and(|text| sealcard_record::parse(text).is_ok());
    assert!(replay("record_entry", bodies::record_entry, is_entry) >= 5);
    assert!(replay("record_lines", bodies::record_lines, |_| true) >= 3);
    assert!(replay("record_tables", bodies::record_tables, |_| true) >= 3);
    assert!(replay("record_signatures", bodies::record_signatures, has_signature) >= 3);
}

#[test]
fn formats_of_the_merkle_log_hold() {
    let is_checkpoint = |data: &[u8]| Checkpoint::parse(text(data)).is_ok();
    assert!(replay("transparency_note", bodies::transparency_note, |d| Note::parse(d).is_ok()) >= 3);
    assert!(replay("transparency_checkpoint", bodies::transparency_checkpoint, is_checkpoint) >= 2);
    assert!(replay("transparency_receipt", bodies::transparency_receipt, |d| Receipt::parse(d).is_ok()) >= 2);
    assert!(replay("transparency_policy", bodies::transparency_policy, |d| TrustPolicy::parse(d).is_ok()) >= 2);
    assert!(replay("transparency_tiles", bodies::transparency_tiles, |d| parse_bundle(d).is_ok()) >= 1);
    assert!(replay("transparency_witness", bodies::transparency_witness, |d| AddCheckpoint::parse(d).is_ok()) >= 2);
}

fn has_signature(data: &[u8]) -> bool {
    !sealcard_bridge::signatures::of(data).is_empty()
}

fn is_command(data: &[u8]) -> bool {
    CommandLine::parse(data).is_some_and(|line| Command::try_from(line).is_ok())
}

fn is_uri(data: &[u8]) -> bool {
    std::str::from_utf8(data).is_ok_and(|text| text.parse::<TokenUri>().is_ok())
}

fn is_proxy_header(input: &[u8]) -> bool {
    matches!(proxy_header::parse(input), Ok(Parsed::Header(..)))
}
