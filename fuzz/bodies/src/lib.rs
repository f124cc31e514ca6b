//! The bodies of the fuzz targets: one function for each, which panics when a parser breaks a promise.
//!
//! `fuzz/fuzz_targets` calls them with a fuzzer's inputs, `tests/corpora.rs` with the corpora, and the other tests with
//! inputs that proptest makes.

mod card;
mod oidc;
mod openpgp;
mod record;
mod rules;
mod scd;
mod server;
mod signer;
mod transparency;
mod workstation;

pub use card::{apdu, card};
pub use oidc::{oidc_keys, oidc_token};
pub use openpgp::{import_certificate, import_exported_key};
pub use record::{record_entry, record_lines, record_signatures, record_tables};
pub use rules::{rules_document, rules_examples, rules_templates};
pub use scd::{assuan_lines, cards_cache, s_expression, scd_command, scd_session};
pub use server::{backup_manifest, json_bodies, proxy_header, server_config, webhook};
pub use signer::{
    signer_journal_line, signer_keeper, signer_key_handle, signer_request, signer_seal_file, signer_token_config,
    signer_token_uri,
};
pub use transparency::{
    transparency_checkpoint, transparency_note, transparency_policy, transparency_receipt, transparency_tiles,
    transparency_witness,
};
pub use workstation::{workstation_claims, workstation_files};
