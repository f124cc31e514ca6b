//! What all connections share.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    rc::Rc,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::Notify;

use super::{
    KeyHolder, Log, Misconfigured, asking::Askers, executable::Executable, record::LastWriter, refresh::Refresh,
    waiting::Told,
};
use crate::{
    cards::{Registry, cache},
    config::{ConfigError, Paths, SshKeys},
    last::LastOperation,
    remote::{Remote, RemoteError},
    trace::Trace,
};

/// The daemon: cards, the way to the server, and who is connected. One thread serves all, so nothing here is locked.
pub struct Daemon {
    pub(super) holder: Rc<dyn KeyHolder>,
    pub(super) paths: Option<Paths>,
    pub(super) log: Log,
    pub(super) trace: Option<Trace>,
    pub(super) refresh: Refresh,
    pub(super) lock: super::lock::CardLock,
    pub(super) askers: Askers,
    pub(super) told: Told,
    executable: Option<Executable>,
    registry: RefCell<Rc<Registry>>,
    stamp: RefCell<Option<Stamp>>,
    was_read: Cell<bool>,
    last: Rc<LastWriter>,
    socket: RefCell<Option<PathBuf>>,
    sessions: Cell<usize>,
    next_id: Cell<u64>,
    signals: RefCell<HashMap<u64, (Pid, Signal)>>,
    stop_requested: Cell<bool>,
    stop: Notify,
    pub(super) session_ended: Notify,
}

/// What tells one cache file from the next without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
    len: u64,
}

impl Daemon {
    /// A daemon that asks the server of this configuration. Nothing is read and nobody is asked before it is needed. If
    /// the configuration can't be found, every use of a key says why.
    #[must_use]
    pub fn new(paths: Result<Paths, ConfigError>) -> Self {
        match paths {
            Ok(paths) => {
                let holder: Rc<dyn KeyHolder> = match Remote::open(&paths) {
                    Ok(remote) => Rc::new(remote),
                    Err(error) => Rc::new(Misconfigured::new(&error)),
                };
                Self::with_holder(holder, Some(paths))
            }
            Err(error) => Self::with_holder(Rc::new(Misconfigured::new(&error)), None),
        }
    }

    /// A daemon that asks `holder` to use keys. Without `paths` it has no cache, no log and notes nothing.
    #[must_use]
    pub fn with_holder(holder: Rc<dyn KeyHolder>, paths: Option<Paths>) -> Self {
        Self {
            holder,
            log: Log::new(paths.as_ref().map(Paths::log_file)),
            trace: paths.as_ref().map(Trace::of),
            last: Rc::new(LastWriter::new(paths.as_ref().map(Paths::last_file))),
            refresh: Refresh::default(),
            lock: super::lock::CardLock::default(),
            askers: Askers::new(paths.clone()),
            told: Told::default(),
            executable: Executable::current(),
            paths,
            registry: RefCell::default(),
            stamp: RefCell::default(),
            was_read: Cell::new(false),
            socket: RefCell::default(),
            sessions: Cell::new(0),
            next_id: Cell::new(1),
            signals: RefCell::default(),
            stop_requested: Cell::new(false),
            stop: Notify::new(),
            session_ended: Notify::new(),
        }
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Whether another program lies where this one was started from.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.executable.as_ref().is_some_and(Executable::is_replaced)
    }

    /// The cards as the cache has them now. If the file can't be read, what was read before counts.
    #[must_use]
    pub fn registry(&self) -> Rc<Registry> {
        if let Some(path) = self.paths.as_ref().map(Paths::cards_file) {
            let stamp = std::fs::metadata(&path).ok().map(|facts| Stamp {
                inode: facts.ino(),
                seconds: facts.mtime(),
                nanoseconds: facts.mtime_nsec(),
                len: facts.len(),
            });
            if *self.stamp.borrow() != stamp {
                self.stamp.replace(stamp);
                match cache::load(&path) {
                    Ok(cache) => {
                        let registry = Registry::new(cache);
                        // gpg-agent has seen no card before the first reading, so none appeared.
                        if self.was_read.replace(true) {
                            self.set_registry(registry);
                        } else {
                            self.registry.replace(Rc::new(registry));
                        }
                    }
                    Err(error) => self.log.error(format!("the cache of cards: {error}")),
                }
            }
        }
        Rc::clone(&self.registry.borrow())
    }

    /// Which keys are offered to ssh. All, if that can't be read.
    pub(super) fn ssh_keys(&self) -> SshKeys {
        let Some(paths) = &self.paths else { return SshKeys::All };
        SshKeys::load(paths).unwrap_or_else(|error| {
            self.log.error(format!("the choice of ssh keys: {error}"));
            SshKeys::All
        })
    }

    /// Puts a new registry in place, and tells gpg-agent when a card appeared or vanished.
    pub fn set_registry(&self, registry: Registry) {
        let old = self.registry.replace(Rc::new(registry));
        if !old.lists_the_same(&self.registry.borrow()) {
            self.send_events();
        }
    }

    /// Notes what came of an operation, without waiting.
    pub(super) fn note(&self, operation: LastOperation) {
        self.last.note(operation, &self.log);
    }

    /// Waits until everything noted is written.
    pub async fn finish(&self) {
        self.last.finish().await;
    }

    /// Waits until uses that were given up are known as such, at the server and here.
    pub async fn settle(&self) {
        self.told.finish().await;
        self.holder.settle().await;
    }

    /// Where the socket is, once there is one.
    pub fn set_socket(&self, path: PathBuf) {
        self.socket.replace(Some(path));
    }

    /// Where the socket is.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        self.socket.borrow().clone()
    }

    /// How many connections there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.get()
    }

    /// A connection begins; what comes back ends it when dropped, however it ends.
    pub(super) fn enter(self: &Rc<Self>) -> Presence {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        self.sessions.set(self.sessions.get() + 1);
        Presence { daemon: Rc::clone(self), id }
    }

    /// Sends `signal` to the process `pid` of session `id` when cards come or go; `None` stops that.
    pub(super) fn set_event_signal(&self, id: u64, target: Option<(Pid, Signal)>) {
        match target {
            Some(target) => self.signals.borrow_mut().insert(id, target),
            None => self.signals.borrow_mut().remove(&id),
        };
    }

    fn send_events(&self) {
        let mut targets: Vec<_> = self.signals.borrow().values().copied().collect();
        targets.sort_by_key(|(pid, _)| pid.as_raw());
        targets.dedup_by_key(|(pid, _)| pid.as_raw());
        for (pid, signal) in targets {
            let _ = kill(pid, signal);
        }
    }

    /// Ends the daemon, whoever is connected.
    pub fn request_stop(&self) {
        self.stop_requested.set(true);
        self.stop.notify_waiters();
    }

    /// Waits until the daemon is to end.
    pub async fn stopped(&self) {
        loop {
            let notified = self.stop.notified();
            if self.stop_requested.get() {
                return;
            }
            notified.await;
        }
    }

    /// The error of a refresh that nobody waits for goes to the log, once for each way of failing.
    pub(super) fn log_refresh_error(&self, error: &RemoteError) {
        self.log.warn(format!("can't refresh the cards: {error}"));
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("paths", &self.paths).finish_non_exhaustive()
    }
}

/// One connection's place in the daemon.
pub(super) struct Presence {
    daemon: Rc<Daemon>,
    pub(super) id: u64,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.daemon.set_event_signal(self.id, None);
        self.daemon.lock.release(self.id);
        self.daemon.askers.forget(self.id);
        self.daemon.sessions.set(self.daemon.sessions.get().saturating_sub(1));
        self.daemon.session_ended.notify_waiters();
    }
}
