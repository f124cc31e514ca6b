//! What the parts of the server count with: histograms of durations with the same bounds everywhere. Each part has its
//! own `metrics` with its handles; [`crate::telemetry`] exposes them.

use std::hash::Hash;

use prometheus_client::metrics::{family::Family, histogram::Histogram};

/// Durations in seconds, for each set of labels.
pub(crate) type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// No durations yet.
pub(crate) fn durations<L: Clone + Eq + Hash>() -> Durations<L> {
    Family::new_with_constructor(histogram)
}

/// From what one signature of a sealed store takes to the longest that a request waits for.
const BOUNDS: [f64; 15] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

fn histogram() -> Histogram {
    Histogram::new(BOUNDS)
}
