//! One second of a run, as `-o ndjson` writes it while the run goes on: docs/schema/load-second.json.

use berth_loadgen::{Interval, Phase, Quantiles};
use serde::Serialize;

/// A line.
#[derive(Debug, Serialize)]
pub(super) struct Second {
    /// Tells it from the run's own line, which comes last.
    kind: &'static str,
    phase: Phase,
    from_seconds: f64,
    to_seconds: f64,
    scheduled: u64,
    sent: u64,
    completed: u64,
    failed: u64,
    dropped: u64,
    censored: u64,
    response_usec: Quantiles,
    service_usec: Quantiles,
    send_lag_usec: Quantiles,
}

impl From<&Interval> for Second {
    fn from(interval: &Interval) -> Self {
        let (tally, counts) = (&interval.tally, &interval.tally.counts);
        Self {
            kind: "second",
            phase: interval.phase,
            from_seconds: interval.from_nanos as f64 / 1e9,
            to_seconds: interval.to_nanos as f64 / 1e9,
            scheduled: counts.scheduled,
            sent: counts.sent,
            completed: counts.completed,
            failed: counts.errors.total(),
            dropped: counts.dropped,
            censored: counts.censored,
            response_usec: Quantiles::of(&tally.response),
            service_usec: Quantiles::of(&tally.service),
            send_lag_usec: Quantiles::of(&tally.send_lag),
        }
    }
}
