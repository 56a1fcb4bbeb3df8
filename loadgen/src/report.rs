//! Cuts a run into intervals and hands them on, without ever making the schedule wait.
//!
//! Invariant: what was cut is in the totals, and nothing is lost to a slow receiver: while it has no
//! room the current interval grows.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc::{Sender, error::TrySendError};
use tokio::time::timeout;

use crate::clock::{MonoNanos, thread_cpu_usec};
use crate::shard::Shard;
use crate::tally::{Generator, Interval, Phase, Totals};
use crate::throttle::OwnCgroup;

/// How long the last intervals may wait for their receiver after the run.
const HANDOVER: Duration = Duration::from_secs(5);

/// The generator's own use, as the kernel counts it: from some start, growing.
#[derive(Debug, Clone, Copy)]
struct Meter {
    cpu_usec: u64,
    throttled_usec: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Report {
    events: Sender<Interval>,
    /// Cut, and not yet handed on: at most the last of each phase.
    waiting: VecDeque<Interval>,
    totals: Totals,
    start: MonoNanos,
    cut_at: MonoNanos,
    cgroup: Option<OwnCgroup>,
    meter: Meter,
}

impl Report {
    /// Of a run that starts at `start`; made on the engine's thread, whose CPU time it reads.
    pub(crate) fn new(events: Sender<Interval>, start: MonoNanos) -> Self {
        let cgroup = OwnCgroup::open();
        let meter = read_meter(cgroup.as_ref());
        let (waiting, totals) = (VecDeque::new(), Totals::default());
        Self { events, waiting, totals, start, cut_at: start, cgroup, meter }
    }

    /// Ends the current interval, unless its receiver still has no room for the one before.
    pub(crate) fn second(&mut self, shard: &Shard, phase: Phase, now: MonoNanos) {
        self.hand_on();
        if self.waiting.is_empty() {
            self.cut(shard, phase, now);
        }
    }

    /// Ends the current interval, because its phase has ended.
    pub(crate) fn cut(&mut self, shard: &Shard, phase: Phase, now: MonoNanos) {
        let meter = read_meter(self.cgroup.as_ref());
        let throttled = meter.throttled_usec.zip(self.meter.throttled_usec);
        let interval = Interval {
            seq: self.totals.intervals,
            phase,
            from_nanos: self.cut_at.since(self.start),
            to_nanos: now.since(self.start),
            tally: shard.cut(),
            generator: Generator {
                cpu_usec: meter.cpu_usec.saturating_sub(self.meter.cpu_usec),
                throttled_usec: throttled.map(|(now, before)| now.saturating_sub(before)),
            },
        };
        self.totals.add(&interval);
        self.cut_at = now;
        self.meter = meter;
        self.waiting.push_back(interval);
        self.hand_on();
    }

    /// Hands the last intervals on, and gives the sum of all.
    pub(crate) async fn finish(mut self) -> Totals {
        for interval in self.waiting.drain(..) {
            // A receiver that is gone, or asleep, does without it; the totals count it, so that a
            // receiver who sums up the intervals sees that one is missing.
            if timeout(HANDOVER, self.events.send(interval)).await.is_err() {
                break;
            }
        }
        self.totals
    }

    fn hand_on(&mut self) {
        while let Some(interval) = self.waiting.pop_front() {
            match self.events.try_send(interval) {
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                Err(TrySendError::Full(interval)) => {
                    self.waiting.push_front(interval);
                    return;
                }
            }
        }
    }
}

fn read_meter(cgroup: Option<&OwnCgroup>) -> Meter {
    Meter { cpu_usec: thread_cpu_usec(), throttled_usec: cgroup.and_then(OwnCgroup::throttled_usec) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_receiver_gets_a_longer_interval_and_loses_nothing() {
        let shard = Shard::open();
        let start = MonoNanos::now();
        let (events, mut received) = tokio::sync::mpsc::channel(1);
        let mut report = Report::new(events, start);
        for second in 1..=5 {
            shard.offer(second, start, start);
            report.second(&shard, Phase::Load, start.plus(second));
        }
        let first = received.recv().await.unwrap();
        shard.offer(6, start, start);
        report.second(&shard, Phase::Load, start.plus(6));
        let second = received.recv().await.unwrap();
        let totals = report.finish().await;
        let third = received.recv().await.unwrap();

        let scheduled: Vec<u64> =
            [&first, &second, &third].iter().map(|interval| interval.tally.counts.scheduled).collect();
        assert_eq!(scheduled, [1, 1, 4]);
        assert_eq!((third.from_nanos, third.to_nanos), (2, 6));
        assert_eq!(totals.check_sum(&[first, second, third]), Ok(()));
        assert_eq!(received.recv().await, None);
    }

    #[tokio::test]
    async fn a_receiver_that_is_gone_stops_nothing() {
        let shard = Shard::open();
        let (events, received) = tokio::sync::mpsc::channel(1);
        drop(received);
        let start = MonoNanos::now();
        let mut report = Report::new(events, start);
        shard.offer(0, start, start);
        report.second(&shard, Phase::Load, start.plus(1));
        report.cut(&shard, Phase::Load, start.plus(2));
        let totals = report.finish().await;
        assert_eq!((totals.intervals, totals.load.tally.counts.scheduled), (2, 1));
    }
}
