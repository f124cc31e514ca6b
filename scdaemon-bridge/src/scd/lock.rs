//! LOCK and UNLOCK: gpg holds the lock around edits of several steps. It keeps nobody else from using keys.

use std::{cell::Cell, time::Duration};

use tokio::sync::Notify;

use super::{Code, Session};

/// Who holds the lock.
#[derive(Debug, Default)]
pub(super) struct CardLock {
    owner: Cell<Option<u64>>,
    released: Notify,
}

impl CardLock {
    fn take(&self, id: u64) -> bool {
        match self.owner.get() {
            Some(owner) => owner == id,
            None => {
                self.owner.set(Some(id));
                true
            }
        }
    }

    /// Lets go if session `id` has it; says whether it had.
    pub(super) fn release(&self, id: u64) -> bool {
        let held = self.owner.get() == Some(id);
        if held {
            self.owner.set(None);
            self.released.notify_waiters();
        }
        held
    }
}

impl Session {
    /// LOCK
    pub(super) async fn lock(&mut self, wait: bool) -> Result<(), Code> {
        while !self.daemon.lock.take(self.id()) {
            if !wait {
                return Err(Code::LOCKED);
            }
            self.reply.status("PROGRESS", "scd_locked . 0 0");
            if self.flush().await.is_err() {
                return Err(Code::LOCKED);
            }
            let released = self.daemon.lock.released.notified();
            let _ = tokio::time::timeout(Duration::from_secs(1), released).await;
        }
        Ok(())
    }

    /// UNLOCK
    pub(super) fn unlock(&mut self) -> Result<(), Code> {
        if self.daemon.lock.release(self.id()) { Ok(()) } else { Err(Code::NOT_LOCKED) }
    }
}
