//! Sending answers. Those that are there at the same time go in one write: each one wakes the server.

use std::{
    io::Write as _,
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use sealcard_signer_protocol::{self as protocol, Response, ResponseBody, SignerError};

use crate::{
    failpoint,
    log::{self, Level},
};

/// The writing half of the server's socket.
pub(super) struct Answers {
    /// Whole frames that wait to be written.
    outbox: Mutex<Vec<u8>>,
    socket: Mutex<UnixStream>,
    gone: AtomicBool,
}

impl Answers {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { outbox: Mutex::default(), socket: Mutex::new(socket), gone: AtomicBool::new(false) }
    }

    /// Sends one answer.
    pub(super) fn send(&self, response: &Response) {
        self.put(response);
        self.flush();
    }

    /// Takes one answer in without writing it: [`Answers::flush`] must follow.
    pub(super) fn put(&self, response: &Response) {
        let made_with_a_key = matches!(
            response.result,
            Ok(ResponseBody::Signature(_)
                | ResponseBody::Plaintext(_)
                | ResponseBody::Generated { .. }
                | ResponseBody::Checkpoint { .. })
        );
        if made_with_a_key {
            failpoint::hit("signer::before_answer");
        }
        let mut frame = match protocol::encode(response) {
            Ok(frame) => frame,
            Err(error) => {
                log::event(Level::Error, "answer-not-encodable", &[("id", &response.id), ("error", &error)]);
                let refusal = Response::new(response.id, Err(SignerError::Invalid(error.to_string())));
                match protocol::encode(&refusal) {
                    Ok(frame) => frame,
                    Err(_) => return,
                }
            }
        };
        self.outbox.lock().append(&mut frame);
    }

    /// Writes what waits. If the server is gone there is nobody to tell; the reading thread notices and ends the
    /// process.
    pub(super) fn flush(&self) {
        let mut socket = self.socket.lock();
        // Whoever waited for the socket finds here that its answer has gone with another one's.
        let frames = std::mem::take(&mut *self.outbox.lock());
        if let Err(error) = socket.write_all(&frames)
            && !self.gone.swap(true, Ordering::Relaxed)
        {
            log::event(Level::Warn, "server-gone", &[("error", &error)]);
        }
    }
}
