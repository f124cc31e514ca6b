//! How the server is, for those who watch it: `/readyz`, `/v1/status` and the metrics.
//!
//! Events are counted where they happen. The present state is read when somebody asks.

mod disk;
mod exposition;
mod health;
mod listener;
mod overview;
mod process;

use std::{path::PathBuf, sync::Arc};

use prometheus_client::registry::Registry;
use sealcard_api::Timestamp;

use self::health::Health;
pub(crate) use self::{disk::Disk, exposition::registry, listener::keep_serving};
use crate::{audit::Audit, ends::KeyEnds, log::Log, notices::Notices, signers::Signers, sinks::Sinks, storage::Store};

/// What is known of the server. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry(Arc<Parts>);

struct Parts {
    /// What is counted where it happens.
    registry: Registry,
    store: Store,
    signers: Arc<Signers>,
    audit: Audit,
    notices: Notices,
    sinks: Sinks,
    log: Log,
    health: Health,
    ends: KeyEnds,
    watched: Watched,
    started: Timestamp,
}

/// What is looked at besides.
pub(crate) struct Watched {
    /// Where the signers write.
    pub(crate) disk: Disk,
    /// The server's certificate.
    pub(crate) certificate: PathBuf,
    /// The certificate of the data folder's authority. There may be none.
    pub(crate) authority: PathBuf,
}

impl Telemetry {
    /// With what is counted in `registry`.
    pub(crate) fn new(
        registry: Registry,
        (store, signers, audit, (notices, sinks, log)): (Store, Arc<Signers>, Audit, (Notices, Sinks, Log)),
        watched: Watched,
    ) -> Self {
        let health = Health::new(store.clone(), Arc::clone(&signers), watched.disk.clone());
        let (ends, started) = (KeyEnds::default(), Timestamp::now());
        Self(Arc::new(Parts { registry, store, signers, audit, notices, sinks, log, health, ends, watched, started }))
    }

    /// Whether the server can work.
    pub(crate) fn health(&self) -> &Health {
        &self.0.health
    }
}
