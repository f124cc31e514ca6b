//! Bodies of the fuzz targets, so that a test can replay their corpora.

use crate::{
    journal::{format_line, parse_line},
    keeper::ControlRequest,
    leash::{ToKeeper, ToWorker},
    protocol::{self, KeeperMessage, KeeperRequest},
    seal::SealFile,
    worker::decode_request,
};

/// A frame's body from the server, or from the control socket.
pub fn request(data: &[u8]) {
    if let Ok(request) = decode_request(data) {
        let again = protocol::encode(&request).ok();
        let again = again.as_deref().and_then(|frame| frame.get(4..)).map(|body| protocol::decode(body).ok());
        assert_eq!(again, Some(Some(request)), "a request survives its frame");
    }
    let _ = protocol::decode::<ControlRequest>(data);
}

/// A frame's body that keeper, server and worker send one another.
pub fn keeper(data: &[u8]) {
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
pub fn journal_line(data: &[u8]) {
    if let Ok(entry) = parse_line(data) {
        assert_eq!(format_line(&entry).trim_end().as_bytes(), data, "an entry has one form");
    }
}

/// A `seal.json`.
pub fn seal_file(data: &[u8]) {
    if let Ok(seal) = SealFile::parse(data) {
        assert_eq!(SealFile::parse(seal.to_text().as_bytes()).ok(), Some(seal), "a seal survives its text");
    }
}
