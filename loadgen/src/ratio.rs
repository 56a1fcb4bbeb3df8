//! How much better or worse one run was than another, with an interval.
//!
//! A circular block bootstrap over the runs' one-second intervals: seconds are drawn again, with
//! replacement, in stretches of neighbours, so that a slow spell stays one event and does not count
//! as many (Politis and Romano 1992). The percentile interval is widened by Student's t, because on
//! few blocks it is too narrow (Hesterberg 2015, "expanded percentile"). Pure: the same intervals
//! and the same seed give the same answer. Deliberately absent: a verdict; that is the caller's.

use crate::clock::NANOS_PER_SEC;
use crate::random::Random;
use crate::tally::{Interval, Phase};

/// Draws of each bootstrap: the ends of the interval then move by about 2 % of its width from seed
/// to seed.
const RESAMPLES: usize = 2_000;

/// Fewer intervals leave fewer than four blocks, whose spread says nothing.
pub const FEWEST_INTERVALS: usize = 8;

/// At least this part of the draws must have a value.
const USABLE_DRAWS: usize = RESAMPLES / 10 * 9;

/// The two-sided 95 % point of the normal distribution.
const Z: f64 = 1.959_964;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// The mean service time of successes.
    MeanService,
    /// The 99th percentile of the response time of successes.
    ResponseP99,
    /// Successes a second while requests were sent.
    Throughput,
}

/// After divided by before, with a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Ratio {
    /// Of the two runs as they were.
    pub estimate: f64,
    /// The lower end.
    pub lo: f64,
    /// The upper end.
    pub hi: f64,
}

/// Why two runs cannot be compared, with the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatioError {
    /// A run is too short.
    #[error(
        "{intervals} one-second intervals are too few to compare: run for {FEWEST_INTERVALS} s or longer"
    )]
    TooFew {
        /// Of the shorter run.
        intervals: usize,
    },
    /// In a run, or in most draws from it, nothing succeeded.
    #[error("too few requests succeeded to compare: fix the errors first")]
    NoValues,
}

/// Compares two runs by their intervals.
pub fn ratio_interval(
    after: &[Interval],
    before: &[Interval],
    statistic: Statistic,
    seed: u64,
) -> Result<Ratio, RatioError> {
    bootstrap(&Series::of(after, statistic), &Series::of(before, statistic), seed)
}

/// One run's seconds, reduced to what the statistic needs.
enum Series {
    /// The statistic is a sum over seconds divided by another.
    Quotient(Vec<(f64, f64)>),
    /// The statistic is a quantile of the values of all seconds: the distinct values, ascending, and
    /// for each second its (index of value, count).
    Quantile { usec: Vec<u64>, seconds: Vec<Vec<(usize, u64)>> },
}

impl Series {
    fn of(intervals: &[Interval], statistic: Statistic) -> Self {
        match statistic {
            Statistic::MeanService => Self::Quotient(with_drain(intervals, |interval| {
                let service = &interval.tally.service;
                let count = service.count() as f64;
                (service.mean_usec().unwrap_or(0.0) * count, count)
            })),
            Statistic::ResponseP99 => {
                let buckets = with_drain(intervals, |interval| interval.tally.response.buckets().collect());
                Self::quantile(&buckets)
            }
            Statistic::Throughput => {
                let load = intervals.iter().filter(|interval| interval.phase == Phase::Load);
                let per_second = load.map(|interval| {
                    let span_nanos = interval.to_nanos.saturating_sub(interval.from_nanos);
                    (interval.tally.counts.completed as f64, span_nanos as f64 / NANOS_PER_SEC as f64)
                });
                Self::Quotient(per_second.collect())
            }
        }
    }

    fn quantile(buckets: &[Vec<(u64, u64)>]) -> Self {
        let mut usec: Vec<u64> = buckets.iter().flatten().map(|(usec, _)| *usec).collect();
        usec.sort_unstable();
        usec.dedup();
        let index = |value: u64| usec.partition_point(|known| *known < value);
        let seconds = buckets
            .iter()
            .map(|second| second.iter().map(|(value, count)| (index(*value), *count)).collect())
            .collect();
        Self::Quantile { usec, seconds }
    }

    fn len(&self) -> usize {
        match self {
            Self::Quotient(seconds) => seconds.len(),
            Self::Quantile { seconds, .. } => seconds.len(),
        }
    }

    /// The statistic over seconds, of which each counts `times[second]` times; `None` without values.
    fn value(&self, times: &[u32]) -> Option<f64> {
        match self {
            Self::Quotient(seconds) => {
                let (mut sum, mut by) = (0.0, 0.0);
                for ((dividend, divisor), times) in seconds.iter().zip(times) {
                    sum += dividend * f64::from(*times);
                    by += divisor * f64::from(*times);
                }
                (by > 0.0).then(|| sum / by)
            }
            Self::Quantile { usec, seconds } => {
                let mut counts = vec![0_u64; usec.len()];
                for (second, times) in seconds.iter().zip(times) {
                    for (index, count) in second {
                        counts[*index] += count * u64::from(*times);
                    }
                }
                percentile_99(usec, &counts)
            }
        }
    }
}

/// Answers of the drain belong to requests of the last seconds: leaving them out would hide the
/// slowest, and alone they would be a second of nothing but the slowest.
fn with_drain<T: Absorb>(intervals: &[Interval], reduce: impl Fn(&Interval) -> T) -> Vec<T> {
    let mut seconds: Vec<T> = Vec::new();
    for interval in intervals {
        let value = reduce(interval);
        match (interval.phase, seconds.last_mut()) {
            (Phase::Drain, Some(last)) => last.absorb(value),
            (Phase::Drain, None) | (Phase::Load, _) => seconds.push(value),
        }
    }
    seconds
}

trait Absorb {
    fn absorb(&mut self, more: Self);
}

impl Absorb for (f64, f64) {
    fn absorb(&mut self, more: Self) {
        self.0 += more.0;
        self.1 += more.1;
    }
}

impl Absorb for Vec<(u64, u64)> {
    fn absorb(&mut self, more: Self) {
        self.extend(more);
    }
}

/// As the histogram has it: the first value that has 99 % of all values at or below it.
fn percentile_99(usec: &[u64], counts: &[u64]) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    let rank = (total * 99).div_ceil(100);
    let mut below = 0;
    let found = usec.iter().zip(counts).find(|(_, count)| {
        below += **count;
        below >= rank
    });
    found.filter(|_| total > 0).map(|(usec, _)| *usec as f64)
}

fn bootstrap(after: &Series, before: &Series, seed: u64) -> Result<Ratio, RatioError> {
    let shorter = after.len().min(before.len());
    if shorter < FEWEST_INTERVALS {
        return Err(RatioError::TooFew { intervals: shorter });
    }
    let ratio = |after_times: &[u32], before_times: &[u32]| {
        let ratio = after.value(after_times)? / before.value(before_times)?;
        (ratio.is_finite() && ratio > 0.0).then_some(ratio)
    };
    let estimate = ratio(&vec![1; after.len()], &vec![1; before.len()]).ok_or(RatioError::NoValues)?;

    let mut random = Random::new(seed);
    let mut draws: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let after_times = draw_times(&mut random, after.len());
            let before_times = draw_times(&mut random, before.len());
            ratio(&after_times, &before_times).map(|drawn| (drawn / estimate).ln())
        })
        .collect();
    if draws.len() < USABLE_DRAWS {
        return Err(RatioError::NoValues);
    }
    draws.sort_unstable_by(f64::total_cmp);
    let tail = draws.len() / 40;
    let widened = widening(shorter / block_len(shorter));
    Ok(Ratio {
        estimate,
        lo: estimate * (draws[tail] * widened).exp(),
        hi: estimate * (draws[draws.len() - 1 - tail] * widened).exp(),
    })
}

/// The cube root of the length: the order at which a block bootstrap's error is least (Hall,
/// Horowitz and Jing 1995).
fn block_len(seconds: usize) -> usize {
    (1..seconds).find(|len| len * len * len >= seconds).unwrap_or(1)
}

/// How often each second is in one draw of as many seconds as there are.
fn draw_times(random: &mut Random, seconds: usize) -> Vec<u32> {
    let mut times = vec![0; seconds];
    let mut left = seconds;
    while left > 0 {
        let first = draw(random, seconds);
        let stretch = block_len(seconds).min(left);
        for second in first..first + stretch {
            times[second % seconds] += 1;
        }
        left -= stretch;
    }
    times
}

fn draw(random: &mut Random, seconds: usize) -> usize {
    let limit = u64::try_from(seconds).expect("a length fits 64 bits");
    usize::try_from(random.below(limit)).expect("below a usize")
}

/// By how much the percentile interval of `blocks` blocks is too narrow: Student's t to the normal
/// distribution, and the variance that a bootstrap of few blocks leaves out. The expansion of t is
/// Abramowitz and Stegun 26.7.5; at 3 degrees of freedom it is 0.7 % low.
fn widening(blocks: usize) -> f64 {
    let blocks = blocks as f64;
    let freedom = blocks - 1.0;
    let t = Z
        + (Z.powi(3) + Z) / (4.0 * freedom)
        + (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / (96.0 * freedom.powi(2))
        + (3.0 * Z.powi(7) + 19.0 * Z.powi(5) + 17.0 * Z.powi(3) - 15.0 * Z) / (384.0 * freedom.powi(3));
    t / Z * (blocks / freedom).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::{Generator, Tally};

    /// A second of 100 successes of the given service times, in microseconds, one after another.
    fn second(seq: u64, usec: impl Fn(u64) -> u64) -> Interval {
        let mut tally = Tally::default();
        tally.counts.completed = 100;
        for n in 0..100 {
            tally.service.record_nanos(usec(n) * 1_000);
            tally.response.record_nanos(usec(n) * 1_000);
        }
        let from_nanos = seq * NANOS_PER_SEC;
        let to_nanos = from_nanos + NANOS_PER_SEC;
        Interval { seq, phase: Phase::Load, from_nanos, to_nanos, tally, generator: Generator::default() }
    }

    fn run(seconds: u64, usec: impl Fn(u64, u64) -> u64) -> Vec<Interval> {
        (0..seconds).map(|seq| second(seq, |n| usec(seq, n))).collect()
    }

    #[test]
    fn a_run_that_is_twice_as_slow_has_a_ratio_of_two_in_mean_and_p99() {
        let before = run(20, |seq, n| 1_000 + (seq * 37) % 50 + n * 10);
        let after = run(20, |seq, n| 2 * (1_000 + (seq * 37) % 50 + n * 10));
        for statistic in [Statistic::MeanService, Statistic::ResponseP99] {
            let ratio = ratio_interval(&after, &before, statistic, 7).unwrap();
            assert!((ratio.estimate - 2.0).abs() < 0.01, "{statistic:?}: {ratio:?}");
            assert!(
                ratio.lo < 2.0 && 2.0 < ratio.hi && ratio.hi - ratio.lo < 0.2,
                "{statistic:?}: {ratio:?}"
            );
        }
    }

    #[test]
    fn throughput_counts_successes_a_second_of_load_and_not_of_the_drain() {
        let before = run(10, |_, _| 1_000);
        let mut after = run(10, |_, _| 1_000);
        for interval in &mut after {
            interval.tally.counts.completed = 150;
        }
        let mut drain = second(10, |_| 1_000);
        drain.phase = Phase::Drain;
        drain.tally.counts.completed = 1_000_000;
        after.push(drain);
        let ratio = ratio_interval(&after, &before, Statistic::Throughput, 7).unwrap();
        assert!((ratio.estimate - 1.5).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn answers_of_the_drain_belong_to_the_last_second() {
        let before = run(10, |_, _| 1_000);
        let mut after = run(10, |_, _| 1_000);
        let mut drain = second(10, |_| 101_000);
        drain.phase = Phase::Drain;
        after.push(drain);
        let mean = ratio_interval(&after, &before, Statistic::MeanService, 7).unwrap();
        assert!((mean.estimate - (10.0 + 101.0) / 11.0).abs() < 0.01, "{mean:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_p99_is_that_of_the_histogram() {
        let before = run(12, |seq, n| 500 + seq * 3 + n * n);
        let after = run(12, |seq, n| 600 + seq * 5 + n * n);
        let of = |seed| ratio_interval(&after, &before, Statistic::ResponseP99, seed).unwrap();
        assert_eq!(of(1), of(1));
        let p99 = |run: &[Interval]| {
            let mut merged = berth::Latencies::new();
            for interval in run {
                merged.merge(&interval.tally.response);
            }
            merged.quantile_usec(0.99).unwrap() as f64
        };
        assert!((of(1).estimate - p99(&after) / p99(&before)).abs() < 1e-12);
    }

    #[test]
    fn short_runs_and_runs_without_a_success_are_refused() {
        let (good, short) = (run(8, |_, _| 1_000), run(7, |_, _| 1_000));
        let mut failed = run(8, |_, _| 1_000);
        for interval in &mut failed {
            interval.tally = Tally::default();
        }
        for statistic in [Statistic::MeanService, Statistic::ResponseP99, Statistic::Throughput] {
            let refusal = |after: &[Interval]| ratio_interval(after, &good, statistic, 1).unwrap_err();
            assert_eq!(refusal(&short), RatioError::TooFew { intervals: 7 });
            assert_eq!(refusal(&failed), RatioError::NoValues, "{statistic:?}");
        }
    }

    /// Noise around 1 with a correlation of `memory` from second to second.
    fn noisy(random: &mut Random, seconds: usize, memory: f64) -> Series {
        let mut state = 0.0;
        let quotients = (0..seconds).map(|_| {
            let uniform = random.next() as f64 / u64::MAX as f64;
            state = memory * state + (uniform - 0.5);
            (1.0 + 0.2 * state, 1.0)
        });
        Series::Quotient(quotients.collect())
    }

    #[test]
    fn nine_of_ten_intervals_or_more_hold_the_truth() {
        for (seconds, memory) in [(10, 0.0), (60, 0.4)] {
            let mut random = Random::new(11);
            let trials = 100;
            let held = (0..trials)
                .filter(|trial| {
                    let after = noisy(&mut random, seconds, memory);
                    let before = noisy(&mut random, seconds, memory);
                    let ratio = bootstrap(&after, &before, *trial).unwrap();
                    ratio.lo <= 1.0 && 1.0 <= ratio.hi
                })
                .count();
            assert!(held >= 90, "{held} of {trials} at {seconds} s, memory {memory}");
        }
    }
}
