//! Ctrl-C and its like, so that what was started is ended in order.

use std::{sync::mpsc::Sender, thread};

use anyhow::Result;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// From now on SIGINT, SIGTERM and SIGHUP no longer end this process: each is told to `sender` by its number. Children
/// get theirs as usual.
pub fn hold<T: Send + 'static>(sender: Sender<T>, event: impl Fn(i32) -> T + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            if sender.send(event(signal)).is_err() {
                break;
            }
        }
    });
    Ok(())
}
