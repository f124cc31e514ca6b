//! What is counted of signers.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::metrics::{Durations, durations};

/// What is counted of all signers. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    durations: Durations<EnvironmentLabel>,
    starts: Family<StartLabels, Counter>,
}

/// The same of one signer. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct SignerMetrics {
    /// From a use that is sent to the signer to its answer.
    pub(super) durations: Histogram,
    /// Attempts to start, or to connect to, a keeper.
    pub(super) keepers: Counter,
    /// Workers that keepers brought.
    pub(super) workers: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnvironmentLabel {
    environment: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StartLabels {
    environment: String,
    process: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { durations: durations(), starts: Family::default() }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Time from a use that is sent to a signer to its answer";
        registry.register_with_unit("signer_use_duration", help, Unit::Seconds, self.durations.clone());
        let help = "Starts of a signer's processes, the first one included";
        registry.register("signer_starts", help, self.starts.clone());
    }

    pub(super) fn of(&self, environment: &str) -> SignerMetrics {
        let environment = environment.to_owned();
        let starts = |process| {
            let labels = StartLabels { environment: environment.clone(), process };
            self.starts.get_or_create_owned(&labels)
        };
        SignerMetrics {
            keepers: starts("keeper"),
            workers: starts("worker"),
            durations: self.durations.get_or_create_owned(&EnvironmentLabel { environment }),
        }
    }
}
