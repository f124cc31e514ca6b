//! Sinks: the record leaves the server, towards what others collect logs with.
//!
//! Each sink has a task of its own, which reads the record by number, gives entries to its receiver in their order, and
//! moves the sink's position in the database once the receiver has acknowledged them: at least once. One node delivers
//! for a sink at a time. Nothing that signs waits for a sink; a required sink that is too far behind has uses of keys
//! refused.

mod administer;
mod event;
mod forms;
mod load;
mod metrics;
mod redact;
mod required;
mod transports;
mod worker;

use std::sync::Arc;

use prometheus_client::registry::Registry;

pub(crate) use self::administer::SinksState;
use self::metrics::Metrics;
pub use self::{
    administer::SinksError,
    event::{Severity, SinkEvent},
    forms::Form,
    load::{SinkError, Targets},
    redact::Redaction,
    required::{Behind, Requirement},
};
use crate::storage::Store;

/// The sinks of this server. Cheap to clone.
#[derive(Clone)]
pub struct Sinks(Arc<Parts>);

struct Parts {
    store: Store,
    targets: Targets,
    required: Requirement,
    metrics: Metrics,
}

impl Sinks {
    /// With these receivers.
    #[must_use]
    pub fn new(store: Store, targets: Targets) -> Self {
        let required = Requirement::new(&targets);
        Self(Arc::new(Parts { store, targets, required, metrics: Metrics::default() }))
    }

    /// What uses of keys have to ask.
    #[must_use]
    pub fn required(&self) -> Requirement {
        self.0.required.clone()
    }

    /// Adds what is counted of deliveries.
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        self.0.metrics.register(self.0.targets.all.iter().map(|target| target.name.as_str()), registry);
    }
}
