//! What is counted of deliveries.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    entries: Family<Labels, Counter>,
    failures: Family<SinkLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    sink: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabel {
    sink: String,
}

const DELIVERED: &str = "delivered";
const PARKED: &str = "parked";

impl Metrics {
    pub(super) fn delivered(&self, sink: &str, entries: usize) {
        self.count(sink, DELIVERED, entries);
    }

    pub(super) fn parked(&self, sink: &str, entries: usize) {
        self.count(sink, PARKED, entries);
    }

    pub(super) fn failed(&self, sink: &str) {
        self.failures.get_or_create(&SinkLabel { sink: sink.to_owned() }).inc();
    }

    fn count(&self, sink: &str, result: &'static str, entries: usize) {
        let labels = Labels { sink: sink.to_owned(), result };
        self.entries.get_or_create(&labels).inc_by(entries as u64);
    }

    /// Adds the metrics of these sinks, at zero.
    pub(super) fn register<'a>(&self, sinks: impl Iterator<Item = &'a str>, registry: &mut Registry) {
        for sink in sinks {
            self.delivered(sink, 0);
            self.parked(sink, 0);
            drop(self.failures.get_or_create(&SinkLabel { sink: sink.to_owned() }));
        }
        let help = "Entries of the record that a sink has delivered or parked";
        registry.register("sink_entries", help, self.entries.clone());
        registry.register("sink_failures", "Attempts to deliver that failed", self.failures.clone());
    }
}
