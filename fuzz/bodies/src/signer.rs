//! The signer: messages, its journal, and its files.

use sealcard_signer::{
    control::{ToKeeper, ToWorker},
    keeper::ControlRequest,
    pkcs11::{KeyHandle, TokenUri, config::TokenConfig},
    seal::SealFile,
    worker::decode_request,
};
use sealcard_signer_protocol::{
    self as protocol, KeeperMessage, KeeperRequest,
    journal::{format_line, parse_line},
};

/// A frame's body from the server, or from the control socket.
///
/// # Panics
///
/// When a request does not survive its frame.
pub fn signer_request(data: &[u8]) {
    if let Ok(request) = decode_request(data) {
        let again = protocol::encode(&request).ok();
        let again = again.as_deref().and_then(|frame| frame.get(4..)).map(|body| protocol::decode(body).ok());
        assert_eq!(again, Some(Some(request)), "a request survives its frame");
    }
    let _ = protocol::decode::<ControlRequest>(data);
}

/// A frame's body that keeper, server and worker send one another.
///
/// # Panics
///
/// When a request does not survive its frame.
pub fn signer_keeper(data: &[u8]) {
    if let Ok(request) = protocol::decode::<KeeperRequest>(data) {
        let again = protocol::encode(&request).ok();
        let again = again.as_deref().and_then(|frame| frame.get(4..)).map(|body| protocol::decode(body).ok());
        assert_eq!(again, Some(Some(request)), "a request survives its frame");
    }
    let _ = protocol::decode::<KeeperMessage>(data);
    let _ = protocol::decode::<ToKeeper>(data);
    let _ = protocol::decode::<ToWorker>(data);
}

/// A line of the journal.
///
/// # Panics
///
/// When an entry has two forms.
pub fn signer_journal_line(data: &[u8]) {
    if let Ok(entry) = parse_line(data) {
        assert_eq!(format_line(&entry).trim_end().as_bytes(), data, "an entry has one form");
    }
}

/// A `seal.json`.
///
/// # Panics
///
/// When a seal does not survive its text.
pub fn signer_seal_file(data: &[u8]) {
    if let Ok(seal) = SealFile::parse(data) {
        assert_eq!(SealFile::parse(seal.to_text().as_bytes()).ok(), Some(seal), "a seal survives its text");
    }
}

/// The URI of a token.
///
/// # Panics
///
/// When a URI does not survive its text.
pub fn signer_token_uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(uri) = text.parse::<TokenUri>() {
        assert_eq!(uri.to_string().parse(), Ok(uri), "a URI survives its text");
    }
}

/// A `token.toml`.
///
/// # Panics
///
/// When an error is on no line of the file.
pub fn signer_token_config(data: &[u8]) {
    if let Err(error) = TokenConfig::parse(data) {
        assert!(error.line >= 1 && error.line <= 1 + data.iter().filter(|byte| **byte == b'\n').count());
    }
}

/// What a row keeps of a token's key.
///
/// # Panics
///
/// When a handle does not survive its bytes.
pub fn signer_key_handle(data: &[u8]) {
    if let Some(handle) = KeyHandle::parse(data) {
        assert_eq!(KeyHandle::parse(&handle.to_bytes()), Some(handle), "a handle survives its bytes");
    }
}
