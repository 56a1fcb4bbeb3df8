//! Maps the aggregator's axis to a worker's CLOCK_BOOTTIME.
//!
//! Invariant: the true offset is within half of the round trip of each ping, because the answer was
//! made neither before the ping left nor after it came back; so the ping with the least round trip
//! decides, and an old one loses by what two clocks may have drifted apart since.

use std::collections::VecDeque;

use berth_core::time::AxisNsec;

/// Pings that are remembered: enough that one of them met quiet queues.
const PINGS: usize = 16;

/// How fast two clocks part, in millionths: beyond what crystals and their slewing by a time daemon
/// do in practice.
const DRIFT_PPM: u64 = 200;

/// A ping and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pong {
    /// When the ping left, on the axis.
    pub(crate) ping_sent: AxisNsec,
    /// When it arrived, by the worker's clock.
    pub(crate) worker_received_nsec: u64,
    /// When the answer left, by the worker's clock.
    pub(crate) worker_sent_nsec: u64,
    /// When the answer arrived, on the axis.
    pub(crate) answered: AxisNsec,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: AxisNsec,
    /// The worker's clock less the axis.
    offset_nsec: i128,
    round_trip_nsec: u64,
}

impl Reading {
    fn error_nsec(&self, now: AxisNsec) -> u64 {
        let age_usec = now.0.saturating_sub(self.at.0) / 1_000;
        (self.round_trip_nsec / 2).saturating_add(age_usec.saturating_mul(DRIFT_PPM) / 1_000)
    }
}

/// The newest readings of one worker's clock.
#[derive(Debug, Default)]
pub(crate) struct ClockMap {
    readings: VecDeque<Reading>,
}

impl ClockMap {
    /// Takes an answer in. `false`: its times contradict themselves and it is passed over.
    pub(crate) fn heard(&mut self, pong: Pong) -> bool {
        let whole = pong.answered.0.checked_sub(pong.ping_sent.0);
        let held = pong.worker_sent_nsec.checked_sub(pong.worker_received_nsec);
        let (Some(whole), Some(held)) = (whole, held) else { return false };
        let Some(round_trip_nsec) = whole.checked_sub(held) else { return false };
        let middle = |from: u64, to: u64| i128::midpoint(i128::from(from), i128::from(to));
        let worker = middle(pong.worker_received_nsec, pong.worker_sent_nsec);
        let ours = middle(pong.ping_sent.0, pong.answered.0);
        if self.readings.len() == PINGS {
            self.readings.pop_front();
        }
        let reading = Reading { at: pong.answered, offset_nsec: worker - ours, round_trip_nsec };
        self.readings.push_back(reading);
        true
    }

    /// How many readings there are, up to the limit.
    pub(crate) fn readings(&self) -> usize {
        self.readings.len()
    }

    /// A time of the axis by the worker's clock; `None` before the first answer, or where the
    /// worker's clock had not begun.
    pub(crate) fn at_worker(&self, at: AxisNsec) -> Option<u64> {
        let now = self.readings.back()?.at;
        let best = self.readings.iter().min_by_key(|reading| reading.error_nsec(now))?;
        u64::try_from(i128::from(at.0) + best.offset_nsec).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker whose clock reads `offset` when ours reads 0; the ways there and back take so long.
    fn pong(sent: u64, offset: u64, there: u64, back: u64) -> Pong {
        let received = sent + there;
        Pong {
            ping_sent: AxisNsec(sent),
            worker_received_nsec: offset + received,
            worker_sent_nsec: offset + received + 5,
            answered: AxisNsec(received + 5 + back),
        }
    }

    #[test]
    fn the_ping_with_the_least_round_trip_decides() {
        let mut map = ClockMap::default();
        assert_eq!(map.at_worker(AxisNsec(0)), None);
        assert!(map.heard(pong(1_000, 7_000, 10, 900)));
        assert!(map.heard(pong(2_000, 7_000, 10, 10)));
        assert!(map.heard(pong(3_000, 7_000, 800, 10)));
        assert_eq!(map.at_worker(AxisNsec(50_000)), Some(57_000));
    }

    #[test]
    fn a_quiet_ping_of_long_ago_loses_to_a_new_one() {
        let mut map = ClockMap::default();
        assert!(map.heard(pong(0, 7_000, 10, 10)));
        assert!(map.heard(pong(100_000_000_000, 9_000, 1_000_000, 1_000_000)));
        assert_eq!(map.at_worker(AxisNsec(0)), Some(9_000));
    }

    #[test]
    fn an_answer_from_before_its_question_is_passed_over() {
        let mut map = ClockMap::default();
        let good = pong(1_000, 0, 10, 10);
        assert!(!map.heard(Pong { answered: AxisNsec(999), ..good }));
        assert!(!map.heard(Pong { worker_sent_nsec: good.worker_received_nsec - 1, ..good }));
        assert!(!map.heard(Pong { worker_sent_nsec: good.worker_sent_nsec + 1_000, ..good }));
        assert_eq!(map.readings(), 0);
    }

    #[test]
    fn old_readings_make_way() {
        let mut map = ClockMap::default();
        for n in 0..100 {
            map.heard(pong(n * 1_000, 1_000_000 + n, 10, 10));
        }
        assert_eq!(map.readings(), PINGS);
        assert!(map.at_worker(AxisNsec(0)).unwrap() >= 1_000_084, "a reading older than the newest 16");
    }
}
