//! The scdaemon: what gpg-agent sends, and the cache of cards.

use std::rc::Rc;

use sealcard_bridge::{
    assuan::{CommandLine, Incoming, InquiryLine, LineBuffer},
    cards::{Registry, advanced, cache::Cache, canonical_len},
    scd::{Command, Connection, Daemon, Misconfigured, Peer, Session},
};

/// The cards of the sessions below: public facts of made-up keys.
const CARDS: &[u8] = include_bytes!("../../../scdaemon-bridge/src/cards/testdata/cards.json");

/// Cuts bytes into lines and reads each as a command and as an answer to an inquiry.
pub fn assuan_lines(bytes: &[u8]) {
    let mut buffer = LineBuffer::default();
    for chunk in bytes.chunks(37) {
        buffer.push(chunk);
        while let Some(incoming) = buffer.next() {
            let Incoming::Line(line) = incoming else { continue };
            let _ = InquiryLine::parse(&line);
            if let Some(line) = CommandLine::parse(&line) {
                let options = line.options();
                let _ = (options.value("demand"), options.argument(0));
            }
        }
    }
}

/// One line as a command with its arguments.
///
/// # Panics
///
/// When the case of its name matters.
pub fn scd_command(bytes: &[u8]) {
    let Some(line) = CommandLine::parse(bytes) else { return };
    let command = Command::try_from(line);
    let names = [line.name.to_ascii_lowercase(), line.name.to_ascii_uppercase()];
    for name in &names {
        let other = Command::try_from(CommandLine { name, rest: line.rest });
        assert_eq!(other, command, "{name} differs from {}", line.name);
    }
}

/// A whole session: what a client sends, on a daemon with three cards and no server. Gives what was answered.
#[must_use]
pub fn scd_session(input: &[u8]) -> Vec<u8> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return Vec::new() };
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let daemon = Rc::new(Daemon::with_holder(Rc::new(Misconfigured::new(&"no server")), None));
        daemon.set_registry(Registry::new(Cache::parse(CARDS).ok()));
        let (answers, mut collected) = tokio::io::duplex(1 << 24);
        let connection = Connection::new(std::io::Cursor::new(input.to_vec()), answers);
        let _ = Session::new(daemon, connection, Peer::Socket(None)).run().await;
        let mut all = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut collected, &mut all).await;
        all
    })
}

/// A cache file, and all that is worked out from it.
pub fn cards_cache(bytes: &[u8]) {
    if let Ok(cache) = Cache::parse(bytes) {
        let registry = Registry::new(Some(cache));
        for card in registry.listed() {
            let _ = (card.emulated().is_ok(), card.display_serial());
        }
    }
}

/// An S-expression.
///
/// # Panics
///
/// When its length and its text disagree about whether it is one.
pub fn s_expression(bytes: &[u8]) {
    let len = canonical_len(bytes);
    assert!(len.is_none_or(|len| len <= bytes.len()));
    assert_eq!(len.is_some(), advanced(bytes).is_some());
}
