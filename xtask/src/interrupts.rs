//! Ctrl-C and its like, held back so that what was started is ended in order.

use std::{sync::mpsc::Sender, thread};

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

/// From now on SIGINT, SIGTERM and SIGHUP no longer end this process: each is told to `sender`.
///
/// To be called before any thread is started. Children get their signals as usual (the standard library clears the mask
/// that they would inherit).
pub(crate) fn hold<T: Send + 'static>(sender: Sender<T>, event: impl Fn(Signal) -> T + Send + 'static) -> Result<()> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block()?;
    thread::spawn(move || {
        while let Ok(signal) = set.wait() {
            if sender.send(event(signal)).is_err() {
                break;
            }
        }
    });
    Ok(())
}
