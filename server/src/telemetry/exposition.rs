//! The metrics as text: what is counted, and what is the case now.

use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text, text},
    metrics::{counter::ConstCounter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use sealcard_api::{Timestamp, admin::EnvironmentState, sinks::SinkState, status::WitnessState};
use tokio::time::timeout;

use super::{
    Parts, Telemetry,
    health::EnvironmentFound,
    overview::{Overview, usable},
    process,
};
use crate::limits;

/// A registry for what is counted.
pub(crate) fn registry() -> Registry {
    Registry::with_prefix(PREFIX)
}

const PREFIX: &str = "sealcard";

/// How the text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus 0.0.4, for programs that do not ask for OpenMetrics.
    Prometheus,
}

impl Format {
    /// The one that fits a request's header `Accept`.
    pub(super) fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnvironmentLabel {
    environment: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnvironmentStateLabels {
    environment: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabel {
    sink: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WitnessLabel {
    witness: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabel {
    certificate: &'static str,
}

impl Telemetry {
    /// All metrics. If the database does not answer in time, those that it tells are absent.
    ///
    /// # Errors
    /// A fault of this program.
    pub(super) async fn text(&self, format: Format) -> Result<String, std::fmt::Error> {
        let overview = timeout(limits::METRICS_DEADLINE, self.overview()).await.ok().and_then(Result::ok);
        let now = self.now(overview.as_ref());
        let mut written = String::new();
        for registry in [&self.0.registry, &now] {
            match format {
                Format::OpenMetrics => text::encode_registry(&mut written, registry)?,
                Format::Prometheus => prometheus_text::encode(&mut written, registry)?,
            }
        }
        if format == Format::OpenMetrics {
            text::encode_eof(&mut written)?;
        }
        Ok(written)
    }

    /// What is the case now.
    fn now(&self, overview: Option<&Overview>) -> Registry {
        let Parts { store, signers, watched, started, .. } = &*self.0;
        let mut root = Registry::default();
        process::register(&mut root, *started);
        let registry = root.sub_registry_with_prefix(PREFIX);
        registry.register(
            "build",
            "The version of the server",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        let ready = overview.is_some_and(|overview| overview.found.ready);
        register(registry, "ready", "Whether the server can work, as /readyz says", i64::from(ready));
        if let Some(bytes) = watched.disk.free_bytes() {
            let free: Gauge = gauge(bytes.try_into().unwrap_or(i64::MAX));
            registry.register_with_unit("disk_free", "Free space on the disk of the data folder", Unit::Bytes, free);
        }
        let load = store.writer_load();
        let help = "Transactions that the database's writer has committed";
        registry.register("database_commits", help, ConstCounter::new(load.commits));
        registry.register("database_jobs", "Changes in these transactions", ConstCounter::new(load.jobs));
        register(registry, "database_jobs_waiting", "Changes that wait for the writer", count(load.waiting));
        let in_progress = Family::<EnvironmentLabel, Gauge>::default();
        let waiting = Family::<EnvironmentLabel, Gauge>::default();
        for (_, signer) in signers.all() {
            let (label, occupancy) = (EnvironmentLabel::of(signer.name()), signer.occupancy());
            in_progress.get_or_create(&label).set(count(occupancy.in_progress));
            waiting.get_or_create(&label).set(count(occupancy.waiting));
        }
        let help = "Uses of keys that a signer has";
        registry.register("signer_uses_in_progress", help, in_progress);
        registry.register("signer_uses_waiting", "Uses of keys that wait for a permit of a signer", waiting);
        if let Some(overview) = overview {
            overview.register(registry, Timestamp::now());
        }
        root
    }
}

impl Overview {
    fn register(&self, registry: &mut Registry, now: Timestamp) {
        self.register_environments(registry, now);
        let help = "Whether the clock is in doubt since it jumped";
        register(registry, "clock_in_doubt", help, i64::from(self.found.clock_doubt.is_some()));
        let entries = self.newest.map_or(0, |(number, _)| i64::try_from(number).unwrap_or(i64::MAX));
        register(registry, "record_entries", "Entries of the record", entries);
        if let Some((_, time)) = self.newest {
            timestamp(registry, "record_newest_entry", "When the newest entry of the record was written", time);
        }
        if let Some((finished, report)) =
            self.verification.as_ref().and_then(|last| last.finished.zip(last.report.as_ref()))
        {
            timestamp(registry, "record_verified", "When the record was verified last", finished);
            let found = (report.findings.len() as u64).saturating_add(report.more_findings);
            let help = "What the last verification of the record found wrong";
            register(registry, "record_findings", help, i64::try_from(found).unwrap_or(i64::MAX));
        }
        let requests = Family::<StateLabel, Gauge>::default();
        for (state, number) in [("waiting", self.open.waiting), ("unknown", self.open.unknown)] {
            requests.get_or_create(&StateLabel { state }).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
        let help = "Signing requests that wait for people or have an unknown outcome, as long as they are kept";
        registry.register("requests", help, requests);
        let pending = i64::try_from(self.notices.pending).unwrap_or(i64::MAX);
        register(
            registry,
            "notice_deliveries_pending",
            "Deliveries of notices that are tried, or tried again",
            pending,
        );
        self.register_sinks(registry);
        self.register_log(registry);
        let certificates = Family::<CertificateLabel, Gauge>::default();
        for one in &self.certificates {
            certificates.get_or_create(&CertificateLabel { certificate: one.used_as.name() }).set(one.expires.unix());
        }
        let help = "When a certificate ends by which workstations know the server";
        registry.register_with_unit("certificate_expiry_timestamp", help, Unit::Seconds, certificates);
    }

    fn register_sinks(&self, registry: &mut Registry) {
        let gauges = || Family::<SinkLabel, Gauge>::default();
        let (entries, seconds, parked, failing) = (gauges(), gauges(), gauges(), gauges());
        for sink in &self.sinks.sinks {
            let label = SinkLabel { sink: sink.name.clone() };
            let set = |family: &Family<SinkLabel, Gauge>, value: u64| {
                family.get_or_create(&label).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            set(&entries, sink.lag_entries);
            set(&seconds, sink.lag_seconds);
            set(&parked, sink.parked);
            set(&failing, u64::from(sink.failures > 0 || sink.state == SinkState::Stopped));
        }
        let help = "Entries of the record that a sink has not delivered yet";
        registry.register("sink_lag_entries", help, entries);
        registry.register_with_unit("sink_lag", "The age of the oldest of these entries", Unit::Seconds, seconds);
        registry.register("sink_parked_entries", "Entries that the receiver of a sink refused", parked);
        registry.register("sink_failing", "Whether the last attempt of a sink failed, or it is stopped", failing);
    }

    fn register_log(&self, registry: &mut Registry) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        if let Some(entries) = self.log.published {
            let help = "Entries of the record that the checkpoint covers which is given out";
            register(registry, "log_published_entries", help, number(entries));
        }
        let gauges = || Family::<WitnessLabel, Gauge>::default();
        let (cosigned, failing) = (gauges(), gauges());
        for witness in &self.log.witnesses {
            let label = WitnessLabel { witness: witness.name.clone() };
            cosigned.get_or_create(&label).set(number(witness.size));
            failing.get_or_create(&label).set((witness.failures > 0).into());
        }
        let help = "Entries of the record that the newest checkpoint covers which a witness has cosigned";
        registry.register("witness_cosigned_entries", help, cosigned);
        registry.register("witness_failing", "Whether the last attempt of a witness failed", failing);
        let forked = self.log.witnesses.iter().filter(|witness| witness.state == WitnessState::Forked).count();
        let help = "Witnesses that have cosigned another log than the server has";
        register(registry, "log_forked_witnesses", help, count(forked));
    }

    fn register_environments(&self, registry: &mut Registry, now: Timestamp) {
        let states = Family::<EnvironmentStateLabels, Gauge>::default();
        let (keys, ends) = (Family::<EnvironmentLabel, Gauge>::default(), Family::<EnvironmentLabel, Gauge>::default());
        for found in &self.found.environments {
            let EnvironmentFound { name, state, .. } = found;
            for one in EnvironmentState::ALL {
                let labels = EnvironmentStateLabels { environment: name.clone(), state: one.name() };
                states.get_or_create(&labels).set((one == *state).into());
            }
            let label = EnvironmentLabel::of(name);
            keys.get_or_create(&label).set(count(usable(&self.keys, found, now).count()));
            if let Some(end) = usable(&self.keys, found, now).filter_map(|key| key.end).min() {
                ends.get_or_create(&label).set(end.unix());
            }
        }
        registry.register("environment_state", "1 for the state that an environment is in, else 0", states);
        registry.register("environment_keys", "Keys that can be used if their environment is ready", keys);
        let help = "When the first of these keys ends; absent if none of an environment ends";
        registry.register_with_unit("key_expiry_timestamp", help, Unit::Seconds, ends);
    }
}

impl EnvironmentLabel {
    fn of(name: &str) -> Self {
        Self { environment: name.to_owned() }
    }
}

fn gauge(value: i64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value);
    gauge
}

fn register(registry: &mut Registry, name: &str, help: &str, value: i64) {
    registry.register(name, help, gauge(value));
}

fn timestamp(registry: &mut Registry, what: &str, help: &str, time: Timestamp) {
    registry.register_with_unit(format!("{what}_timestamp"), help, Unit::Seconds, gauge(time.unix()));
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_gets_open_metrics_and_others_what_they_can_read() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("*/*"), Format::Prometheus);
    }
}
