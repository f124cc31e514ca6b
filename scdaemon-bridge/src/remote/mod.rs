//! The server's client: HTTPS with a kept-alive connection, the grant, and errors that say what to do.
//!
//! [`Remote::open`] does nothing at all; the configuration, the grant and TLS are loaded by the first request, and read
//! again when `sealcard login` changed them, so a scdaemon that was started before the login need not be restarted.

mod client;
mod error;
mod grants;
mod guard;
mod observe;
mod operations;
mod path;
mod requests;
mod route;
mod session;
pub mod tls;
mod wait;
mod watch;

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

pub use client::{NameError, ServerUrl, ServerUrlError};
pub use error::{CertificateError, RemoteError, UnreachableKind};
pub use observe::{Anchor, Observed, observe};
pub use path::{path, query};
pub use requests::Anonymous;
pub use route::Route;
pub use wait::{WaitEnd, WaitObserver};

use crate::config::Paths;

/// The server, as this workstation's configuration names it. Clones share connections and grant.
#[derive(Clone)]
pub struct Remote {
    shared: Arc<Shared>,
    wait: wait::Wait,
}

struct Shared {
    paths: Paths,
    /// What the last answer's header said; 0 before the first answer.
    registry_version: AtomicU64,
    /// By how many seconds the server's clock is ahead of this machine's, as of the last answer.
    clock_ahead: AtomicI64,
    /// The client, made when first needed, with the configuration that it was made from.
    session: tokio::sync::Mutex<Option<Arc<session::Session>>>,
    /// When the server's log was looked at last, with a use of a key.
    log_seen: parking_lot::Mutex<Option<std::time::Instant>>,
    /// Requests that are being given up.
    given_up: parking_lot::Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Remote {
    /// Remembers where the configuration is. Touches neither files, network nor keyring.
    ///
    /// # Errors
    ///
    /// None today: what is wrong with the configuration is said by the first request.
    pub fn open(paths: &Paths) -> Result<Self, RemoteError> {
        Ok(Self {
            shared: Arc::new(Shared {
                paths: paths.clone(),
                registry_version: AtomicU64::new(0),
                clock_ahead: AtomicI64::new(0),
                session: tokio::sync::Mutex::new(None),
                log_seen: parking_lot::Mutex::new(None),
                given_up: parking_lot::Mutex::default(),
            }),
            wait: wait::Wait::default(),
        })
    }

    /// The registry version that the newest answer carried; `None` before the first answer. When it is larger than the
    /// cache's, `sealcard sync` has something to fetch.
    #[must_use]
    pub fn registry_version(&self) -> Option<u64> {
        match self.shared.registry_version.load(Ordering::Relaxed) {
            0 => None,
            version => Some(version),
        }
    }
}
