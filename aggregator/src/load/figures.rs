//! What load workers measured: counts, histograms and cost, and how stretches of them add up.
//!
//! Invariant: adding is exact, bucket by bucket, so the sum of a worker's intervals equals its final
//! report or something was lost. Deliberately absent: percentiles; clients take them from the merged
//! histograms.

use std::collections::BTreeMap;

use berth::{Latencies, ProtocolError};

use crate::edge::refused;

/// Classes of errors in one report: the contract has seven, and a newer worker may know more.
pub(crate) const ERROR_CLASSES: usize = 32;

/// The longest name of a class: `count_mismatch` is 14.
const ERROR_CLASS_BYTES: usize = 32;

/// Statuses of one report: every one that HTTP allows.
pub(crate) const STATUSES: usize = 900;

/// Why requests failed, in snake_case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ErrorClass(String);

impl ErrorClass {
    /// Errors: the name is empty, too long, or not in snake_case.
    pub(crate) fn new(name: String) -> Result<Self, ProtocolError> {
        let snake = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || name.len() > ERROR_CLASS_BYTES || !name.bytes().all(snake) {
            return Err(refused("errors.class", name, "1 to 32 letters, digits or underscores"));
        }
        Ok(Self(name))
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Requests, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Due by the schedule.
    pub(crate) scheduled: u64,
    /// Really sent.
    pub(crate) sent: u64,
    /// Answered, and a success.
    pub(crate) completed: u64,
    /// Never sent.
    pub(crate) dropped: u64,
    /// Still in flight when the drain ended.
    pub(crate) censored: u64,
    /// Answered wrongly or not at all.
    pub(crate) errors: BTreeMap<ErrorClass, u64>,
    /// Whole answers by their HTTP status.
    pub(crate) statuses: BTreeMap<u32, u64>,
    /// In the bodies of whole answers.
    pub(crate) received_bytes: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        let add = |mine: &mut u64, more: u64| *mine = mine.saturating_add(more);
        add(&mut self.scheduled, other.scheduled);
        add(&mut self.sent, other.sent);
        add(&mut self.completed, other.completed);
        add(&mut self.dropped, other.dropped);
        add(&mut self.censored, other.censored);
        for (class, &count) in &other.errors {
            add(self.errors.entry(class.clone()).or_default(), count);
        }
        for (&status, &count) in &other.statuses {
            add(self.statuses.entry(status).or_default(), count);
        }
        add(&mut self.received_bytes, other.received_bytes);
    }
}

/// Latencies, by what they measure.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Histograms {
    /// From the intended send to the last byte, of successes.
    pub(crate) response: Latencies,
    /// From the real send to the last byte, of successes.
    pub(crate) service: Latencies,
    /// From the intended to the real send.
    pub(crate) send_lag: Latencies,
    /// From the intended send to when the worker was there to send it.
    pub(crate) pacing_lag: Latencies,
    /// Opening a connection.
    pub(crate) connect: Latencies,
    /// From the real send to the first byte, of successes.
    pub(crate) first_byte: Latencies,
}

impl Histograms {
    fn add(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.send_lag.merge(&other.send_lag);
        self.pacing_lag.merge(&other.pacing_lag);
        self.connect.merge(&other.connect);
        self.first_byte.merge(&other.first_byte);
    }
}

/// What the generator itself used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// CPU time.
    pub(crate) cpu_usec: u64,
    /// Its own cgroup's throttling; `None` where nobody knows it.
    pub(crate) throttled_usec: Option<u64>,
}

impl Cost {
    /// What some do not know is left out: the sum is a lower bound then.
    fn add(&mut self, other: Self) {
        self.cpu_usec = self.cpu_usec.saturating_add(other.cpu_usec);
        let known = self.throttled_usec.into_iter().chain(other.throttled_usec);
        self.throttled_usec = known.reduce(u64::saturating_add);
    }
}

/// A stretch of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    /// Requests.
    pub(crate) counts: Counts,
    /// Latencies.
    pub(crate) histograms: Histograms,
    /// What the generator used.
    pub(crate) cost: Cost,
}

impl Figures {
    /// Adds another stretch, or another worker's part of the same one.
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.histograms.add(&other.histograms);
        self.cost.add(other.cost);
    }

    /// The first figure in which two accounts of the same requests differ. The cost is no such
    /// figure: it is read at two different moments.
    pub(crate) fn difference(&self, other: &Self) -> Option<&'static str> {
        let (mine, theirs) = (&self.histograms, &other.histograms);
        [
            ("counts", self.counts == other.counts),
            ("response_hdr", mine.response == theirs.response),
            ("service_hdr", mine.service == theirs.service),
            ("send_lag_hdr", mine.send_lag == theirs.send_lag),
            ("pacing_lag_hdr", mine.pacing_lag == theirs.pacing_lag),
            ("connect_hdr", mine.connect == theirs.connect),
            ("first_byte_hdr", mine.first_byte == theirs.first_byte),
        ]
        .into_iter()
        .find_map(|(figure, same)| (!same).then_some(figure))
    }
}

/// One second of a run: of one worker, or merged over workers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Second {
    /// From 0, without holes.
    pub(crate) seq: u64,
    /// Since the first send.
    pub(crate) from_nsec: u64,
    /// Since the first send; exclusive.
    pub(crate) to_nsec: u64,
    /// Sending had ended and answers were waited for.
    pub(crate) draining: bool,
    /// What came in it.
    pub(crate) figures: Figures,
}

impl Second {
    /// Adds another worker's part of the same second.
    pub(crate) fn add(&mut self, other: &Self) {
        self.from_nsec = self.from_nsec.min(other.from_nsec);
        self.to_nsec = self.to_nsec.max(other.to_nsec);
        self.draining &= other.draining;
        self.figures.add(&other.figures);
    }
}

/// Whether the generator kept its schedule, in rising order of how little the figures are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GeneratorVerdict {
    /// It did.
    Ok,
    /// The figures are the generator's, not the target's.
    Limited,
    /// No figure is good.
    Invalid,
}

/// What the generator says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Generator {
    /// Whether the figures are good.
    pub(crate) verdict: GeneratorVerdict,
    /// Empty when they are.
    pub(crate) reason: String,
}

/// A worker's whole part of a run, counted apart from its intervals.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FinalReport {
    /// All of it.
    pub(crate) figures: Figures,
    /// How many intervals were sent.
    pub(crate) intervals: u64,
    /// The worker's own verdict.
    pub(crate) generator: Generator,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_that_nobody_knows_stays_unknown() {
        for (mine, theirs, sum) in [
            (None, None, None),
            (Some(1), None, Some(1)),
            (None, Some(2), Some(2)),
            (Some(1), Some(2), Some(3)),
        ] {
            let mut cost = Cost { cpu_usec: 1, throttled_usec: mine };
            cost.add(Cost { cpu_usec: 2, throttled_usec: theirs });
            assert_eq!(cost, Cost { cpu_usec: 3, throttled_usec: sum });
        }
    }
}
