//! What is counted of uses of keys.

use std::time::Instant;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::{Registry, Unit},
};
use sealcard_api::ids::RequestId;
use sealcard_record::event::SignerOperation;

use super::{RequestError, Requests, UseAnswer};
use crate::metrics::{Durations, durations};

/// What is counted of uses of keys. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    answers: Family<AnswerLabels, Counter>,
    denials: Family<DenialLabel, Counter>,
    durations: Durations<OperationLabel>,
    stages: Durations<StageLabel>,
    unknown: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DenialLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

/// The outcomes that are no [`RequestError`].
const DONE: &str = "done";
const REPEATED: &str = "repeated";
const WAITING: &str = "waiting";
const ABANDONED: &str = "abandoned";

/// The steps of a request whose time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Facts are read and judged for the first time.
    Receive,
    /// A permit of the signer's limiter is waited for.
    Wait,
    /// The decision and the intent become durable.
    Decide,
    /// The signer is asked.
    Use,
    /// The signature is checked.
    Verify,
    /// The outcome becomes durable.
    Finish,
}

impl Stage {
    const ALL: [Self; 6] = [Self::Receive, Self::Wait, Self::Decide, Self::Use, Self::Verify, Self::Finish];

    const fn label(self) -> StageLabel {
        let stage = match self {
            Self::Receive => "receive",
            Self::Wait => "wait",
            Self::Decide => "decide",
            Self::Use => "use",
            Self::Verify => "verify",
            Self::Finish => "finish",
        };
        StageLabel { stage }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            answers: Family::default(),
            denials: Family::default(),
            durations: durations(),
            stages: durations(),
            unknown: Counter::default(),
        };
        // What has not happened yet is 0, not absent, so that its first time is seen as a change.
        for operation in SignerOperation::ALL.map(SignerOperation::name) {
            for outcome in [DONE, REPEATED, WAITING, ABANDONED].into_iter().chain(RequestError::KINDS) {
                drop(metrics.answers.get_or_create(&AnswerLabels { operation, outcome }));
            }
            drop(metrics.durations.get_or_create(&OperationLabel { operation }));
        }
        for reason in sealcard_policy::Decision::REASON_KINDS.into_iter().chain(RequestError::DENIAL_KINDS) {
            drop(metrics.denials.get_or_create(&DenialLabel { reason }));
        }
        for stage in Stage::ALL {
            drop(metrics.stages.get_or_create(&stage.label()));
        }
        metrics
    }
}

impl Requests {
    /// Registers what is counted of uses of keys.
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("uses", "Uses of keys that were asked for, by what came of them", self.answers.clone());
        let help = "Uses of keys that were denied, by the weightiest reason";
        registry.register("use_denials", help, self.denials.clone());
        let help = "Uses of keys of which it is not known whether the key was used";
        registry.register("use_unknown_outcomes", help, self.unknown.clone());
        let help = "Time from the arrival of a use that was done to its answer";
        registry.register_with_unit("use_duration", help, Unit::Seconds, self.durations.clone());
        let help = "Time of each stage of a use";
        registry.register_with_unit("use_stage_duration", help, Unit::Seconds, self.stages.clone());
    }

    /// A use arrives.
    pub(super) fn arrival(&self, operation: &'static str) -> Answer<'_> {
        Answer { metrics: self, operation, since: Instant::now(), outcome: ABANDONED }
    }

    /// Measures the stages from now on.
    pub(super) fn stopwatch(&self) -> Stopwatch {
        Stopwatch { stages: self.stages.clone(), since: Instant::now() }
    }

    /// A use got the outcome `unknown`.
    pub(super) fn outcome_is_unknown(&self) {
        self.unknown.inc();
    }
}

/// Counts what came of one use when it is dropped. Without an answer its caller has hung up.
pub(super) struct Answer<'a> {
    metrics: &'a Metrics,
    operation: &'static str,
    since: Instant,
    outcome: &'static str,
}

impl Answer<'_> {
    /// The use with this id has this result.
    pub(super) fn is(&mut self, result: &Result<UseAnswer, RequestError>, id: RequestId) {
        let Self { metrics, operation, since, .. } = *self;
        self.outcome = match result {
            Ok(UseAnswer::Waits(_)) => WAITING,
            Ok(UseAnswer::Done(response)) if response.request_id != id => REPEATED,
            Ok(UseAnswer::Done(_)) => {
                metrics.durations.get_or_create(&OperationLabel { operation }).observe(since.elapsed().as_secs_f64());
                DONE
            }
            Err(error) => {
                if let Some(reason) = error.denial_kind() {
                    metrics.denials.get_or_create(&DenialLabel { reason }).inc();
                }
                error.kind()
            }
        };
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        let Self { metrics, operation, outcome, .. } = *self;
        metrics.answers.get_or_create(&AnswerLabels { operation, outcome }).inc();
    }
}

/// Measures the stages of one use.
pub(super) struct Stopwatch {
    stages: Durations<StageLabel>,
    since: Instant,
}

impl Stopwatch {
    /// The stage that began with the last one's end is over.
    pub(super) fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        let took = now.saturating_duration_since(std::mem::replace(&mut self.since, now));
        self.stages.get_or_create(&stage.label()).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::storage::StorageError;

    #[test]
    fn every_error_is_counted_under_a_label_that_was_there_before() {
        let lines = |metrics: &Metrics| {
            let (mut registry, mut text) = (Registry::default(), String::new());
            metrics.register(&mut registry);
            encode(&mut text, &registry).unwrap();
            text.lines().count()
        };
        let (metrics, text) = (Metrics::default(), String::new);
        let before = lines(&metrics);
        let errors = [
            RequestError::Denied { decision: sealcard_policy::Decision::default(), detail: None },
            RequestError::UnknownGrant,
            RequestError::Unfit(text()),
            RequestError::Mismatch,
            RequestError::InProgress,
            RequestError::Busy,
            RequestError::SinkBehind {
                behind: crate::sinks::Behind { sink: text(), lag: None, error: None },
                caller_may_know: false,
            },
            RequestError::TooManyWaiting { limit: 32, of_project: false },
            RequestError::Rejected(text()),
            RequestError::TooManyDenials { retry_after: 1 },
            RequestError::TooManyUses { retry_after: 1 },
            RequestError::OutcomeUnknown,
            RequestError::Sealed,
            RequestError::DecryptionFailed { delay: std::time::Duration::ZERO },
            RequestError::SignerUnavailable,
            RequestError::Token(text()),
            RequestError::NotStarted { why: text(), caller_may_know: false },
            RequestError::DiskFull(text()),
            RequestError::Fault(text()),
            RequestError::Storage(Arc::new(StorageError::Closed)),
        ];
        for error in errors {
            metrics.arrival("decrypt").is(&Err(error), RequestId::new());
        }
        assert_eq!(lines(&metrics), before);
    }

    #[test]
    fn outcome_of_a_use_is_counted_once_also_a_hang_up() {
        let metrics = Metrics::default();
        let count = |outcome| metrics.answers.get_or_create(&AnswerLabels { operation: "sign", outcome }).get();
        metrics.arrival("sign").is(&Err(RequestError::Busy), RequestId::new());
        drop(metrics.arrival("sign"));
        assert_eq!((count("busy"), count(ABANDONED), count(DONE)), (1, 1, 0));
    }

    #[test]
    fn denials_are_counted_by_their_reason() {
        let metrics = Metrics::default();
        metrics.arrival("sign").is(&Err(RequestError::UnknownGrant), RequestId::new());
        assert_eq!(metrics.denials.get_or_create(&DenialLabel { reason: "unknown-grant" }).get(), 1);
    }
}
