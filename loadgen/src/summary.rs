//! A run in figures, and whether they are the target's or the generator's.
//!
//! Invariant: everything here is computed from a run's totals, so merging workers first and
//! summarising then is the only way to a percentile. Pure.

use std::fmt;

use crate::clock::NANOS_PER_SEC;
use crate::tally::{Counts, Totals};
use berth::Latencies;

/// A request that is released late by up to this is no fault of the generator: a wake-up is late by 57 us in
/// one of a hundred (measured), and a busy machine needs room above that.
const PACING_LAG_USEC: u64 = 1_000;

/// Lag up to this part of the response time does not change what a user would see.
const PACING_LAG_OF_RESPONSE: f64 = 0.05;

/// In a shorter run most of the generator's work is to open its connections, and is no sign of a limit.
const SHORTEST_JUDGED_SEC: f64 = 1.0;

/// Above this part of its thread a generator has no reserve left for a burst.
const CPU_SHARE: f64 = 0.8;

/// What a histogram says, in microseconds; every field is absent when it is empty. In JSON the unit
/// stands in the name of what was measured, such as `response_usec`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Quantiles {
    /// How many values there are.
    pub count: u64,
    /// The smallest.
    #[serde(rename = "min")]
    pub min_usec: Option<u64>,
    /// The mean.
    #[serde(rename = "mean")]
    pub mean_usec: Option<f64>,
    /// Half of the values are not above it.
    #[serde(rename = "p50")]
    pub p50_usec: Option<u64>,
    /// 90 % are not above it.
    #[serde(rename = "p90")]
    pub p90_usec: Option<u64>,
    /// 95 % are not above it.
    #[serde(rename = "p95")]
    pub p95_usec: Option<u64>,
    /// 99 % are not above it.
    #[serde(rename = "p99")]
    pub p99_usec: Option<u64>,
    /// 99.9 % are not above it.
    #[serde(rename = "p999")]
    pub p999_usec: Option<u64>,
    /// The largest.
    #[serde(rename = "max")]
    pub max_usec: Option<u64>,
}

impl Quantiles {
    /// Of a merged histogram.
    pub fn of(latencies: &Latencies) -> Self {
        Self {
            count: latencies.count(),
            min_usec: latencies.quantile_usec(0.0),
            mean_usec: latencies.mean_usec(),
            p50_usec: latencies.quantile_usec(0.5),
            p90_usec: latencies.quantile_usec(0.9),
            p95_usec: latencies.quantile_usec(0.95),
            p99_usec: latencies.quantile_usec(0.99),
            p999_usec: latencies.quantile_usec(0.999),
            max_usec: latencies.quantile_usec(1.0),
        }
    }
}

/// Whether the generator kept its schedule.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It did.
    Ok,
    /// It did not: the figures are its own, and the target is not to be blamed.
    GeneratorLimited {
        /// Why, and the mend.
        reason: Limit,
    },
}

/// What held the generator back.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "limit", rename_all = "snake_case")]
pub enum Limit {
    /// Requests found neither a connection nor a place in the queue.
    Dropped {
        /// How many.
        requests: u64,
    },
    /// Its own CPU limit stopped it.
    Throttled {
        /// For how long.
        usec: u64,
    },
    /// It used nearly all of its thread.
    Cpu {
        /// The part of the load's time in which its thread ran.
        share: f64,
    },
    /// It was not there when requests became due. A send that waits for a connection is not meant: that
    /// all are busy is what the target does.
    Pacing {
        /// The 99th percentile.
        p99_usec: u64,
        /// What it may be.
        limit_usec: u64,
    },
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped { requests } => write!(
                f,
                "{requests} requests were dropped: every connection was busy and the queue was full; allow more connections or send less"
            ),
            Self::Throttled { usec } => {
                write!(f, "its own cgroup was throttled for {usec} us; raise the generator's CPU limit")
            }
            Self::Cpu { share } => {
                write!(f, "it used {:.0} % of its thread; add workers or send less", share * 100.0)
            }
            Self::Pacing { p99_usec, limit_usec } => write!(
                f,
                "1 in 100 requests was released {p99_usec} us late or more, over the limit of {limit_usec} us; add workers, or give it an idle CPU"
            ),
        }
    }
}

/// A run in figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// How long requests were sent.
    pub load_sec: f64,
    /// Over load and drain.
    pub counts: Counts,
    /// Requests that went out a second, while requests were sent.
    pub sent_per_sec: f64,
    /// Successes a second while requests were sent; those of the drain do not count.
    pub throughput_per_sec: f64,
    /// From the intended send to the last byte.
    pub response: Quantiles,
    /// From the send to the last byte.
    pub service: Quantiles,
    /// From the send to the first byte.
    pub first_byte: Quantiles,
    /// From the intended send to the send.
    pub send_lag: Quantiles,
    /// From the intended send to when the generator was there to send it: its own part of the send lag.
    pub pacing_lag: Quantiles,
    /// Of opened connections.
    pub connect: Quantiles,
    /// Part of the load's time in which the engine's thread ran.
    pub cpu_share: f64,
    /// Whose figures these are.
    pub generator: Verdict,
}

impl Summary {
    /// Of a whole run.
    pub fn of(totals: &Totals) -> Self {
        let tally = totals.tally();
        let load_sec = totals.load.span_nanos as f64 / NANOS_PER_SEC as f64;
        let part_of_load = |value: f64| if load_sec > 0.0 { value / load_sec } else { 0.0 };
        Self {
            load_sec,
            counts: tally.counts,
            sent_per_sec: part_of_load(totals.load.tally.counts.sent as f64),
            throughput_per_sec: part_of_load(totals.load.tally.counts.completed as f64),
            response: Quantiles::of(&tally.response),
            service: Quantiles::of(&tally.service),
            first_byte: Quantiles::of(&tally.first_byte),
            send_lag: Quantiles::of(&tally.send_lag),
            pacing_lag: Quantiles::of(&tally.pacing_lag),
            connect: Quantiles::of(&tally.connect),
            cpu_share: part_of_load(totals.load.generator.cpu_usec as f64 / 1e6),
            generator: Verdict::Ok,
        }
        .judged(totals)
    }

    /// The most direct evidence is named first: each of these also makes the ones after it likely.
    fn judged(mut self, totals: &Totals) -> Self {
        let throttled = totals.load.generator.throttled_usec.unwrap_or(0);
        let p99_usec = self.pacing_lag.p99_usec.unwrap_or(0);
        let tolerated = self.response.p50_usec.unwrap_or(0) as f64 * PACING_LAG_OF_RESPONSE;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a u64 that is at most an hour of microseconds"
        )]
        let limit_usec = PACING_LAG_USEC.max(tolerated as u64);
        let limit = if self.counts.dropped > 0 {
            Limit::Dropped { requests: self.counts.dropped }
        } else if throttled > 0 {
            Limit::Throttled { usec: throttled }
        } else if self.cpu_share > CPU_SHARE && self.load_sec >= SHORTEST_JUDGED_SEC {
            Limit::Cpu { share: self.cpu_share }
        } else if p99_usec > limit_usec {
            Limit::Pacing { p99_usec, limit_usec }
        } else {
            return self;
        };
        self.generator = Verdict::GeneratorLimited { reason: limit };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of 100 requests that took 10 ms and were sent 20 us late.
    fn kept() -> Totals {
        let mut totals = Totals::default();
        totals.load.span_nanos = NANOS_PER_SEC;
        totals.load.generator.cpu_usec = 10_000;
        totals.load.generator.throttled_usec = Some(0);
        let tally = &mut totals.load.tally;
        (tally.counts.scheduled, tally.counts.sent, tally.counts.completed) = (100, 100, 100);
        for _ in 0..100 {
            tally.response.record_nanos(10_000_000);
            tally.pacing_lag.record_nanos(20_000);
        }
        totals
    }

    fn limit(damage: impl Fn(&mut Totals)) -> Option<Limit> {
        let mut totals = kept();
        damage(&mut totals);
        match Summary::of(&totals).generator {
            Verdict::Ok => None,
            Verdict::GeneratorLimited { reason } => Some(reason),
        }
    }

    fn late(totals: &mut Totals, usec: u64) {
        for _ in 0..2 {
            totals.load.tally.pacing_lag.record_nanos(usec * 1_000);
        }
    }

    #[test]
    fn a_run_that_kept_its_schedule_is_ok() {
        assert_eq!(limit(|_| {}), None);
        let summary = Summary::of(&kept());
        assert!((summary.throughput_per_sec - 100.0).abs() < 1e-9);
        assert!((summary.cpu_share - 0.01).abs() < 1e-9);
        assert_eq!(summary.response.p99_usec.unwrap() / 100, 100);
    }

    #[test]
    fn each_limit_is_named_with_its_figure() {
        assert_eq!(limit(|t| t.load.tally.counts.dropped = 3), Some(Limit::Dropped { requests: 3 }));
        assert_eq!(limit(|t| t.load.generator.throttled_usec = Some(7)), Some(Limit::Throttled { usec: 7 }));
        assert_eq!(limit(|t| t.load.generator.cpu_usec = 810_000), Some(Limit::Cpu { share: 0.81 }));
        assert!(matches!(limit(|t| late(t, 1_100)), Some(Limit::Pacing { limit_usec: 1_000, .. })));
    }

    #[test]
    fn what_is_within_a_limit_or_unknown_is_no_fault() {
        assert_eq!(limit(|t| t.load.generator.cpu_usec = 790_000), None);
        assert_eq!(limit(|t| t.load.generator.throttled_usec = None), None);
        assert_eq!(limit(|t| late(t, 900)), None);
        // Every connection was busy: the target's doing.
        assert_eq!(limit(|t| t.load.tally.send_lag.record_nanos(NANOS_PER_SEC)), None);
    }

    #[test]
    fn a_slow_target_allows_a_lag_of_a_twentieth_of_its_time() {
        let slow = |t: &mut Totals| {
            for _ in 0..200 {
                t.load.tally.response.record_nanos(100_000_000);
            }
        };
        assert_eq!(
            limit(|t| {
                slow(t);
                late(t, 4_000);
            }),
            None
        );
        assert!(matches!(
            limit(|t| {
                slow(t);
                late(t, 6_000);
            }),
            Some(Limit::Pacing { limit_usec: 5_000..5_010, .. })
        ));
    }

    #[test]
    fn answers_of_the_drain_have_latencies_but_are_no_throughput() {
        let mut totals = kept();
        totals.drain.tally.counts.completed = 50;
        totals.drain.tally.response.record_nanos(2_000_000_000);
        let summary = Summary::of(&totals);
        assert!((summary.throughput_per_sec - 100.0).abs() < 1e-9);
        assert_eq!(summary.counts.completed, 150);
        assert!(summary.response.max_usec.unwrap() >= 2_000_000);
    }
}
