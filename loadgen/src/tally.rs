//! What happened in a stretch of a run: counts and histograms, and how stretches add up.
//!
//! Invariant: a run's totals are the sum of its intervals, bucket by bucket, and every request that
//! was due is in exactly one count: scheduled = completed + errors + dropped + censored + what is
//! still waiting or in flight. Failed requests are counted and never enter a latency histogram.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::answer::ErrorClass;
use berth::Latencies;

/// Failed requests by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Errors([u64; ErrorClass::ALL.len()]);

impl Errors {
    /// How many failed in this way.
    pub fn of(&self, class: ErrorClass) -> u64 {
        self.0[class as usize]
    }

    /// How many failed in any way.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The sum of these counts.
    pub(crate) fn of_classes(counts: impl Iterator<Item = (ErrorClass, u64)>) -> Self {
        let mut errors = Self::default();
        for (class, count) in counts {
            errors.0[class as usize] += count;
        }
        errors
    }

    pub(crate) fn count(&mut self, class: ErrorClass) {
        self.0[class as usize] += 1;
    }

    fn add(&mut self, other: &Self) {
        for (mine, more) in self.0.iter_mut().zip(other.0) {
            *mine += more;
        }
    }
}

impl Serialize for Errors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(ErrorClass::ALL.len()))?;
        for class in ErrorClass::ALL {
            map.serialize_entry(class.name(), &self.of(class))?;
        }
        map.end()
    }
}

/// Requests of a stretch of a run, counted when each thing happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Became due.
    pub scheduled: u64,
    /// Were written to a connection.
    pub sent: u64,
    /// Were answered, with success.
    pub completed: u64,
    /// Failed.
    pub errors: Errors,
    /// Were never sent: every connection was busy and the queue was full.
    pub dropped: u64,
    /// Were still waiting or in flight when the drain ended.
    pub censored: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.scheduled += other.scheduled;
        self.sent += other.sent;
        self.completed += other.completed;
        self.errors.add(&other.errors);
        self.dropped += other.dropped;
        self.censored += other.censored;
    }
}

/// Counts and latencies of a stretch of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// How many.
    pub counts: Counts,
    /// From the intended send to the last byte, of successes.
    pub response: Latencies,
    /// From the send to the last byte, of successes.
    pub service: Latencies,
    /// From the send to the first byte, of successes.
    pub first_byte: Latencies,
    /// From the intended send to the send, of all that were sent.
    pub send_lag: Latencies,
    /// From the intended send to when the generator was there to send it, with a connection or without:
    /// its own part of the send lag. Of an open run.
    pub pacing_lag: Latencies,
    /// Of connections that were opened: from the first packet to readiness.
    pub connect: Latencies,
    /// Whole answers by their HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// In the bodies of whole answers.
    pub received_bytes: u64,
}

impl Tally {
    /// Adds another stretch.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.first_byte.merge(&other.first_byte);
        self.send_lag.merge(&other.send_lag);
        self.pacing_lag.merge(&other.pacing_lag);
        self.connect.merge(&other.connect);
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.received_bytes += other.received_bytes;
    }
}

/// What the generator itself used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Generator {
    /// CPU time of the engine's thread.
    pub cpu_usec: u64,
    /// Time for which the generator's own cgroup was throttled; `None` where the kernel does not say.
    pub throttled_usec: Option<u64>,
}

impl Generator {
    /// Adds another stretch.
    pub(crate) fn add(&mut self, other: &Self) {
        self.cpu_usec += other.cpu_usec;
        self.throttled_usec = match (self.throttled_usec, other.throttled_usec) {
            (None, None) => None,
            (mine, more) => Some(mine.unwrap_or(0) + more.unwrap_or(0)),
        };
    }
}

/// Whether requests were being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// They were.
    Load,
    /// The last had become due, and answers were waited for.
    Drain,
}

/// One second of a run; longer when the receiver was slow, shorter at the end of a phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// From 0, without holes.
    pub seq: u64,
    /// No interval spans two phases.
    pub phase: Phase,
    /// Nanoseconds since the start of the run.
    pub from_nanos: u64,
    /// Nanoseconds since the start of the run; the next interval begins here.
    pub to_nanos: u64,
    /// What happened.
    pub tally: Tally,
    /// What it cost.
    pub generator: Generator,
}

/// One phase of a run, whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PhaseTotals {
    /// How long it lasted.
    pub span_nanos: u64,
    /// What happened.
    pub tally: Tally,
    /// What it cost.
    pub generator: Generator,
}

/// A run, whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// While requests were sent.
    pub load: PhaseTotals,
    /// While answers were waited for.
    pub drain: PhaseTotals,
    /// How many intervals they are the sum of.
    pub intervals: u64,
}

impl Totals {
    /// The sum of a run's intervals.
    pub fn of<'a>(intervals: impl IntoIterator<Item = &'a Interval>) -> Self {
        let mut totals = Self::default();
        for interval in intervals {
            totals.add(interval);
        }
        totals
    }

    pub(crate) fn add(&mut self, interval: &Interval) {
        let phase = match interval.phase {
            Phase::Load => &mut self.load,
            Phase::Drain => &mut self.drain,
        };
        phase.span_nanos += interval.to_nanos - interval.from_nanos;
        phase.tally.add(&interval.tally);
        phase.generator.add(&interval.generator);
        self.intervals += 1;
    }

    /// Both phases together.
    pub fn tally(&self) -> Tally {
        let mut tally = self.load.tally.clone();
        tally.add(&self.drain.tally);
        tally
    }

    /// Whether `intervals` are all of this run's, and nothing else: their sum equals these totals in
    /// every count and every bucket.
    pub fn check_sum(&self, intervals: &[Interval]) -> Result<(), SumError> {
        if let Some((expected, interval)) = (0..).zip(intervals).find(|(seq, interval)| interval.seq != *seq)
        {
            return Err(SumError::Hole { expected, found: interval.seq });
        }
        let sum = Self::of(intervals);
        if sum.intervals != self.intervals {
            return Err(SumError::Missing { received: sum.intervals, sent: self.intervals });
        }
        if sum == *self { Ok(()) } else { Err(SumError::Differs) }
    }
}

/// Intervals that are not those of a run's totals: no figure of the run is good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumError {
    /// One is missing, repeated or out of order.
    #[error("interval {found} came where {expected} was due")]
    Hole {
        /// The next number in line.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The last ones are missing.
    #[error("{received} intervals came of {sent}")]
    Missing {
        /// How many came.
        received: u64,
        /// How many the engine sent.
        sent: u64,
    },
    /// A count or a bucket is another.
    #[error("the sum of the intervals is not the totals")]
    Differs,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(seq: u64, phase: Phase) -> Interval {
        let mut tally = Tally::default();
        tally.counts.scheduled = 10 + seq;
        tally.counts.errors.count(ErrorClass::Timeout);
        tally.response.record_nanos(1_000_000 * (seq + 1));
        Interval {
            seq,
            phase,
            from_nanos: seq * 1_000,
            to_nanos: (seq + 1) * 1_000,
            tally,
            generator: Generator { cpu_usec: 5, throttled_usec: Some(1) },
        }
    }

    fn run() -> Vec<Interval> {
        vec![interval(0, Phase::Load), interval(1, Phase::Load), interval(2, Phase::Drain)]
    }

    #[test]
    fn totals_are_the_sum_of_their_intervals() {
        let totals = Totals::of(&run());
        assert_eq!(totals.check_sum(&run()), Ok(()));
        assert_eq!(totals.load.tally.counts.scheduled, 21);
        assert_eq!(totals.load.span_nanos, 2_000);
        assert_eq!(totals.tally().counts.errors.of(ErrorClass::Timeout), 3);
        assert_eq!(totals.tally().response.count(), 3);
        assert_eq!(totals.load.generator, Generator { cpu_usec: 10, throttled_usec: Some(2) });
    }

    #[test]
    fn a_lost_a_repeated_and_a_changed_interval_are_each_found() {
        let totals = Totals::of(&run());
        let mut lost = run();
        lost.remove(1);
        assert_eq!(totals.check_sum(&lost), Err(SumError::Hole { expected: 1, found: 2 }));
        let mut cut = run();
        cut.pop();
        assert_eq!(totals.check_sum(&cut), Err(SumError::Missing { received: 2, sent: 3 }));
        let mut repeated = run();
        repeated.push(interval(2, Phase::Drain));
        assert_eq!(totals.check_sum(&repeated), Err(SumError::Hole { expected: 3, found: 2 }));
        let mut changed = run();
        changed[1].tally.response.record_nanos(5);
        assert_eq!(totals.check_sum(&changed), Err(SumError::Differs));
    }

    #[test]
    fn what_the_kernel_does_not_say_stays_unsaid() {
        let mut silent = interval(0, Phase::Load);
        silent.generator.throttled_usec = None;
        assert_eq!(Totals::of([&silent]).load.generator.throttled_usec, None);
    }

    #[test]
    fn errors_are_named_in_json() {
        let json = serde_json::to_value(interval(0, Phase::Load).tally.counts).unwrap();
        assert_eq!(json["errors"]["timeout"], 1);
        assert_eq!(json["errors"]["count_mismatch"], 0);
    }
}
