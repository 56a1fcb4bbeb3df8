//! Rates from counters: what a subject used between its last two seconds.
//!
//! Invariant: a rate comes from two readings of one counter, in order; a counter that ran backwards
//! has none. Pure: time comes with the samples. Memory is two readings a series.

use std::collections::HashMap;

use berth::wire::{Group, SampleChunk, SampleSeries};

/// The groups that the meter reads.
pub(super) const GROUPS: [Group; 3] =
    [Group::ContainerCpu, Group::ContainerThrottling, Group::ContainerMemory];

/// Positions in the groups' tuples, as the contract orders them.
const USAGE_USEC: Key = (Group::ContainerCpu, 0);
const PERIODS: Key = (Group::ContainerThrottling, 0);
const THROTTLED_PERIODS: Key = (Group::ContainerThrottling, 1);
const CURRENT_BYTES: Key = (Group::ContainerMemory, 0);

const NANOS_PER_USEC: f64 = 1e3;

type Key = (Group, u32);

/// One reading of one metric.
#[derive(Debug, Clone, Copy)]
struct Reading {
    unix_nsec: i64,
    value: i64,
}

/// The last two readings.
#[derive(Debug, Default)]
struct Series {
    before: Option<Reading>,
    last: Option<Reading>,
}

impl Series {
    fn take(&mut self, reading: Reading) {
        if self.last.is_none_or(|last| last.unix_nsec < reading.unix_nsec) {
            self.before = self.last.replace(reading);
        }
    }

    /// What was added, and in how many nanoseconds.
    fn growth(&self) -> Option<(f64, f64)> {
        let (before, last) = (self.before?, self.last?);
        let added = last.value.checked_sub(before.value).filter(|added| *added >= 0)?;
        Some((added as f64, last.unix_nsec.saturating_sub(before.unix_nsec) as f64))
    }
}

/// What the samples say of every subject.
#[derive(Debug, Default)]
pub(super) struct Meter {
    series: HashMap<String, HashMap<Key, Series>>,
    newest_unix_nsec: i64,
}

impl Meter {
    /// Takes in samples, oldest first.
    pub(super) fn take(&mut self, chunk: &SampleChunk) {
        for series in &chunk.series {
            self.take_series(series, &chunk.times_unix_nsec);
        }
        let newest = chunk.times_unix_nsec.iter().copied().max().unwrap_or(0);
        self.newest_unix_nsec = self.newest_unix_nsec.max(newest);
    }

    fn take_series(&mut self, wire: &SampleSeries, times: &[i64]) {
        let key = (wire.group(), wire.metric);
        if ![USAGE_USEC, PERIODS, THROTTLED_PERIODS, CURRENT_BYTES].contains(&key) {
            return;
        }
        let subject = self.series.entry(wire.subject_id.clone()).or_default();
        let series = subject.entry(key).or_default();
        for (index, (unix_nsec, value)) in (0..).zip(times.iter().zip(&wire.values)) {
            if !wire.absent.contains(&index) {
                series.take(Reading { unix_nsec: *unix_nsec, value: *value });
            }
        }
    }

    /// Forgets subjects that are no more.
    pub(super) fn keep(&mut self, is_known: impl Fn(&str) -> bool) {
        self.series.retain(|subject, _| is_known(subject));
    }

    /// Whether samples came of a subject that nobody described.
    pub(super) fn has_stranger(&self, is_known: impl Fn(&str) -> bool) -> bool {
        self.series.keys().any(|subject| !is_known(subject))
    }

    /// When the newest sample was taken.
    pub(super) fn newest_unix_nsec(&self) -> Option<i64> {
        (self.newest_unix_nsec > 0).then_some(self.newest_unix_nsec)
    }

    /// CPUs in use.
    pub(super) fn cpus(&self, subject: &str) -> Option<f64> {
        let (usec, nsec) = self.series(subject, USAGE_USEC)?.growth()?;
        Some(usec * NANOS_PER_USEC / nsec)
    }

    /// Part of the CFS periods in which its limit stopped it; `None` without a limit.
    pub(super) fn throttled_share(&self, subject: &str) -> Option<f64> {
        let (periods, _) = self.series(subject, PERIODS)?.growth()?;
        let (throttled, _) = self.series(subject, THROTTLED_PERIODS)?.growth()?;
        Some(if periods > 0.0 { throttled / periods } else { 0.0 })
    }

    /// Memory in use.
    pub(super) fn memory_bytes(&self, subject: &str) -> Option<u64> {
        u64::try_from(self.series(subject, CURRENT_BYTES)?.last?.value).ok()
    }

    fn series(&self, subject: &str, key: Key) -> Option<&Series> {
        self.series.get(subject)?.get(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: i64 = 1_000_000_000;

    fn chunk(times: &[i64], series: &[(Key, &[i64])]) -> SampleChunk {
        let series = series.iter().map(|((group, metric), values)| SampleSeries {
            subject_id: "a".to_owned(),
            group: (*group).into(),
            metric: *metric,
            values: values.to_vec(),
            ..SampleSeries::default()
        });
        SampleChunk { node: "n".to_owned(), times_unix_nsec: times.to_vec(), series: series.collect() }
    }

    #[test]
    fn figures_come_from_the_last_two_seconds() {
        let mut meter = Meter::default();
        meter.take(&chunk(
            &[SEC, 2 * SEC],
            &[
                (USAGE_USEC, &[0, 9_000_000]),
                (PERIODS, &[0, 10]),
                (THROTTLED_PERIODS, &[0, 10]),
                (CURRENT_BYTES, &[1, 2]),
            ],
        ));
        meter.take(&chunk(
            &[4 * SEC],
            &[
                (USAGE_USEC, &[12_000_000]),
                (PERIODS, &[30]),
                (THROTTLED_PERIODS, &[15]),
                (CURRENT_BYTES, &[7]),
            ],
        ));
        assert!((meter.cpus("a").unwrap() - 1.5).abs() < 1e-9);
        assert!((meter.throttled_share("a").unwrap() - 0.25).abs() < 1e-9);
        assert_eq!(meter.memory_bytes("a"), Some(7));
        assert_eq!(meter.newest_unix_nsec(), Some(4 * SEC));
    }

    #[test]
    fn an_unknown_value_is_passed_over_and_a_repeated_time_changes_nothing() {
        let mut meter = Meter::default();
        let mut gap = chunk(&[SEC, 2 * SEC, 3 * SEC], &[(USAGE_USEC, &[0, 777, 2_000_000])]);
        gap.series[0].absent = vec![1];
        meter.take(&gap);
        meter.take(&gap);
        assert!((meter.cpus("a").unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_counter_that_ran_backwards_has_no_rate() {
        let mut meter = Meter::default();
        meter.take(&chunk(&[SEC, 2 * SEC], &[(USAGE_USEC, &[500, 100])]));
        assert_eq!(meter.cpus("a"), None);
        assert_eq!(meter.throttled_share("a"), None);
    }

    #[test]
    fn subjects_that_are_no_more_are_forgotten() {
        let mut meter = Meter::default();
        meter.take(&chunk(&[SEC], &[(CURRENT_BYTES, &[1])]));
        assert!(meter.has_stranger(|_| false));
        meter.keep(|subject| subject != "a");
        assert_eq!(meter.memory_bytes("a"), None);
    }
}
