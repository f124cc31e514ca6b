//! Sending answers.

use std::{
    io::Write as _,
    os::unix::net::UnixStream,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    failpoint,
    log::{self, Level},
    protocol::{self, Response, ResponseBody, SignerError},
};

/// The writing half of the server's socket.
pub(super) struct Answers {
    socket: Mutex<UnixStream>,
    gone: AtomicBool,
}

impl Answers {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { socket: Mutex::new(socket), gone: AtomicBool::new(false) }
    }

    /// Sends one answer. If the server is gone there is nobody to tell; the reading thread notices and ends the process.
    pub(super) fn send(&self, response: &Response) {
        let made_with_a_key = matches!(
            response.result,
            Ok(ResponseBody::Signature(_) | ResponseBody::Plaintext(_) | ResponseBody::Generated { .. })
        );
        if made_with_a_key {
            failpoint::hit("signer::before_answer");
        }
        let frame = match protocol::encode(response) {
            Ok(frame) => frame,
            Err(error) => {
                log::event(Level::Error, "answer-not-encodable", &[("id", &response.id), ("error", &error)]);
                let refusal = Response { id: response.id, result: Err(SignerError::Invalid(error.to_string())) };
                match protocol::encode(&refusal) {
                    Ok(frame) => frame,
                    Err(_) => return,
                }
            }
        };
        let written = self.socket.lock().unwrap_or_else(PoisonError::into_inner).write_all(&frame);
        if let Err(error) = written
            && !self.gone.swap(true, Ordering::Relaxed)
        {
            log::event(Level::Warn, "server-gone", &[("error", &error)]);
        }
    }
}
