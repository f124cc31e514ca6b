//! Noting what came of each operation: a success behind the answer's back, a failure before the answer.

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    rc::Rc,
};

use tokio::sync::Notify;

use super::Log;
use crate::last::{self, LastOperation};

/// Writes the newest operation to `last.json` from another thread. Operations that end while one is being written are
/// noted too, except that of several successes only the newest is.
#[derive(Debug)]
pub(super) struct LastWriter {
    path: Option<PathBuf>,
    waiting: RefCell<Vec<LastOperation>>,
    busy: Cell<bool>,
    idle: Notify,
}

impl LastWriter {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path, waiting: RefCell::default(), busy: Cell::new(false), idle: Notify::new() }
    }

    /// Notes an operation. Must run inside a `LocalSet`.
    pub(super) fn note(self: &Rc<Self>, operation: LastOperation, log: &Log) {
        let Some(path) = self.path.clone() else { return };
        {
            // The order stays; what is not the newest of its outcome is not needed any more.
            let mut waiting = self.waiting.borrow_mut();
            waiting.retain(|other| other.outcome != operation.outcome);
            waiting.push(operation);
        }
        if self.busy.replace(true) {
            return;
        }
        let (this, log) = (Rc::clone(self), log.clone());
        tokio::task::spawn_local(async move {
            loop {
                let next = {
                    let mut waiting = this.waiting.borrow_mut();
                    if waiting.is_empty() { None } else { Some(waiting.remove(0)) }
                };
                let Some(next) = next else { break };
                let path = path.clone();
                match tokio::task::spawn_blocking(move || last::save(&path, &next)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => log.warn(format!("can't note the last operation: {error}")),
                    Err(_) => log.warn("can't note the last operation"),
                }
            }
            this.busy.set(false);
            this.idle.notify_waiters();
        });
    }

    /// Waits until everything is written.
    pub(super) async fn finish(&self) {
        while self.busy.get() {
            self.idle.notified().await;
        }
    }
}
