//! What is counted of deliveries.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use sealcard_api::notices::ChannelKind;

use crate::storage::Outcome;

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    attempts: Family<Labels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    channel: &'static str,
    result: &'static str,
}

const DELIVERED: &str = "delivered";
const RETRIED: &str = "retried";
const FAILED: &str = "failed";
const DROPPED: &str = "dropped";

impl Metrics {
    pub(super) fn count(&self, kind: ChannelKind, outcome: &Outcome) {
        let result = match outcome {
            Outcome::Delivered => DELIVERED,
            Outcome::Retry { .. } => RETRIED,
            Outcome::Failed { .. } | Outcome::Gone { .. } => FAILED,
            Outcome::Dropped { .. } => DROPPED,
        };
        self.attempts.get_or_create(&Labels { channel: kind.name(), result }).inc();
    }

    /// Adds the metrics of these kinds of channels, at zero.
    pub(super) fn register(&self, kinds: impl Iterator<Item = ChannelKind>, registry: &mut Registry) {
        for kind in kinds {
            for result in [DELIVERED, RETRIED, FAILED, DROPPED] {
                drop(self.attempts.get_or_create(&Labels { channel: kind.name(), result }));
            }
        }
        let help = "Attempts to deliver notices, by the kind of channel and what came of them";
        registry.register("notice_deliveries", help, self.attempts.clone());
    }
}
