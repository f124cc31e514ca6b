//! Notices: what people are told by mail and in channels.
//!
//! `compose` makes them, [`crate::storage::WriteTx::notify`] writes them in the transaction of what they tell of, and
//! `worker` sends them. Nothing that signs waits for a channel.

mod administer;
mod channel;
mod compose;
mod mail;
mod metrics;
mod render;
mod schedule;
mod sign;
mod webhook;
mod worker;

use std::sync::Arc;

use prometheus_client::registry::Registry;

pub(crate) use self::administer::{NoticesState, check_email};
use self::metrics::Metrics;
pub use self::sign::{SecretError, Signer};
pub use self::{
    administer::NoticesError,
    channel::{ChannelError, Channels},
    compose::{
        Subject, approval_decided, approval_reminder, approval_wanted, break_glass, change_made, change_wanted,
        review_open, test,
    },
};
use crate::storage::Store;

/// The outbox and the channels. Cheap to clone.
#[derive(Clone)]
pub struct Notices(Arc<Parts>);

struct Parts {
    store: Store,
    channels: Channels,
    metrics: Metrics,
}

impl Notices {
    /// With these channels.
    #[must_use]
    pub fn new(store: Store, channels: Channels) -> Self {
        Self(Arc::new(Parts { store, channels, metrics: Metrics::default() }))
    }

    /// Adds what is counted of deliveries.
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        self.0.metrics.register(self.0.channels.all.iter().map(|channel| channel.kind), registry);
    }
}
