//! Maps a node's CLOCK_BOOTTIME to the aggregator's axis, and back for a load worker's orders.
//!
//! A ping leaves at `a0` and its answer arrives at `a1`; in between the node's clock read `n0` and
//! `n1`. The answer was made neither before the ping left nor after it came back, so the offset of
//! the midpoints is within half of the round trip of the truth, however unequal the two ways are.
//!
//! Invariant: mapped times rise strictly with the node's, and never go back, also across a reboot.
//! Deliberately absent: a fit of the clock's rate; over the window two clocks part by less than
//! half of the shortest tick.

use std::{collections::VecDeque, time::Duration};

use crate::time::AxisNsec;

/// Pings that are remembered: the burst at the start of a stream, and then a window of one every
/// 10 s. Among so many, one met quiet queues.
const PINGS: usize = 16;

/// A ping older than this says less than any new one: at [`DRIFT_PPM`] its offset is off by 12 ms.
const WINDOW: Duration = Duration::from_secs(60);

/// How fast two clocks part: 100 millionths each way is beyond what crystals and their slewing by
/// a time daemon do in practice.
const DRIFT_PPM: u64 = 200;

/// A tick cannot be read later than it arrives. This much is forgiven, for a mapping that aged
/// during a long replay.
const AHEAD: Duration = Duration::from_secs(1);

/// The node's half of a ping, by its CLOCK_BOOTTIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// When the ping arrived.
    pub received_nsec: u64,
    /// When the answer left.
    pub sent_nsec: u64,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: AxisNsec,
    /// The axis less the node's clock.
    offset_nsec: i128,
    half_round_trip_nsec: u64,
}

impl Reading {
    /// How far its offset may be from the truth at `now`.
    fn error_nsec(&self, now: AxisNsec) -> u64 {
        let age_usec = now.0.saturating_sub(self.at.0) / 1_000;
        self.half_round_trip_nsec.saturating_add(age_usec.saturating_mul(DRIFT_PPM) / 1_000)
    }
}

/// The newest time that was mapped.
#[derive(Debug, Clone, Copy)]
struct Floor {
    at: AxisNsec,
    /// `None` after a reboot: the node's clock began anew.
    node_nsec: Option<u64>,
}

/// One node's clock, as its pings show it.
#[derive(Debug, Default)]
pub struct Timeline {
    readings: VecDeque<Reading>,
    /// From arrivals: a tick was read before it came, so the least such offset is nearest.
    arrival_offset_nsec: Option<i128>,
    floor: Option<Floor>,
}

impl Timeline {
    /// A stream begins. Readings of another boot, or too old to be trusted, are forgotten.
    pub fn attach(&mut self, same_boot: bool, now: AxisNsec) {
        if !same_boot {
            self.readings.clear();
            self.floor = self.floor.map(|floor| Floor { node_nsec: None, ..floor });
        }
        self.arrival_offset_nsec = None;
        self.forget_old(now);
    }

    /// A ping was answered and trusted.
    pub fn is_synchronised(&self) -> bool {
        !self.readings.is_empty()
    }

    /// Takes an answer in. `false`: its times contradict themselves and it is passed over.
    pub fn pong(&mut self, ping_sent: AxisNsec, pong: Pong, now: AxisNsec) -> bool {
        let whole = now.0.checked_sub(ping_sent.0);
        let held = pong.sent_nsec.checked_sub(pong.received_nsec);
        let round_trip = whole.zip(held).and_then(|(whole, held)| whole.checked_sub(held));
        let Some(round_trip_nsec) = round_trip else { return false };
        let middle = |from: u64, to: u64| i128::midpoint(i128::from(from), i128::from(to));
        let reading = Reading {
            at: now,
            offset_nsec: middle(ping_sent.0, now.0) - middle(pong.received_nsec, pong.sent_nsec),
            // Rounded up: it is a bound.
            half_round_trip_nsec: round_trip_nsec.div_ceil(2),
        };
        // Readings that cannot both be true: one of the clocks has stepped since the older.
        self.readings.retain(|old| {
            let apart = (old.offset_nsec - reading.offset_nsec).unsigned_abs();
            apart <= u128::from(old.error_nsec(now)) + u128::from(reading.half_round_trip_nsec)
        });
        self.forget_old(now);
        if self.readings.len() == PINGS {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
        true
    }

    /// A tick read at `node_nsec` has come: until a ping is answered, this is all that is known.
    pub fn arrived(&mut self, node_nsec: u64, now: AxisNsec) {
        let offset = i128::from(now.0) - i128::from(node_nsec);
        self.arrival_offset_nsec = Some(self.arrival_offset_nsec.map_or(offset, |least| least.min(offset)));
    }

    /// The mapped time lies in the future, so it is not true.
    pub fn is_ahead(&self, node_nsec: u64, now: AxisNsec) -> bool {
        self.ideal(node_nsec) > now + AHEAD
    }

    /// Maps the next tick; each `node_nsec` is later than the one before. Where the mapping moved
    /// back, mapped time goes at half speed until it fits again.
    pub fn map(&mut self, node_nsec: u64) -> AxisNsec {
        let at = self.floor.map_or(self.ideal(node_nsec), |floor| {
            let since = floor.node_nsec.map_or(0, |before| node_nsec.saturating_sub(before));
            self.ideal(node_nsec).max(floor.at + Duration::from_nanos((since / 2).max(1)))
        });
        self.floor = Some(Floor { at, node_nsec: Some(node_nsec) });
        at
    }

    /// Maps a time about as old as the newest tick in the way in which that was mapped, and has no effect
    /// on what is mapped later.
    pub fn near(&self, node_nsec: u64) -> AxisNsec {
        match self.floor {
            Some(Floor { at, node_nsec: Some(newest) }) => {
                AxisNsec(at.0.saturating_add_signed(node_nsec.wrapping_sub(newest).cast_signed()))
            }
            Some(_) | None => self.ideal(node_nsec),
        }
    }

    /// A time of the axis by the node's clock; `None` before a ping is answered, or where the node's
    /// clock had not begun.
    pub fn unmap(&self, at: AxisNsec) -> Option<u64> {
        u64::try_from(i128::from(at.0) - self.best()?.offset_nsec).ok()
    }

    /// Half the round trip of the ping that maps the node's clock; `None` before there is one.
    pub fn error_nsec(&self) -> Option<u64> {
        self.best().map(|reading| reading.half_round_trip_nsec)
    }

    fn best(&self) -> Option<&Reading> {
        let now = self.readings.back()?.at;
        self.readings.iter().min_by_key(|reading| reading.error_nsec(now))
    }

    fn ideal(&self, node_nsec: u64) -> AxisNsec {
        let offset = self.best().map(|reading| reading.offset_nsec).or(self.arrival_offset_nsec);
        let at = i128::from(node_nsec) + offset.unwrap_or(0);
        AxisNsec(u64::try_from(at.max(0)).unwrap_or(u64::MAX))
    }

    fn forget_old(&mut self, now: AxisNsec) {
        self.readings.retain(|reading| now.since(reading.at) <= WINDOW);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEC: u64 = 1_000_000_000;
    const MSEC: u64 = 1_000_000;
    const START: AxisNsec = AxisNsec(1_700_000_000 * SEC);

    /// A node whose clock reads `axis - offset`; the ways there and back take so long.
    fn ping(timeline: &mut Timeline, sent: AxisNsec, offset: i64, there: u64, back: u64) {
        let received = sent.0 + there;
        let node = received.checked_add_signed(-offset).unwrap();
        let pong = Pong { received_nsec: node, sent_nsec: node + 5_000 };
        assert!(timeline.pong(sent, pong, AxisNsec(received + 5_000 + back)));
    }

    fn apart(a: AxisNsec, b: u64) -> u64 {
        a.0.abs_diff(b)
    }

    #[test]
    fn clocks_two_hours_apart_map_within_half_of_an_unequal_round_trip() {
        for offset in [-7_200, -1, 0, 1, 7_200].map(|sec| sec * 1_000_000_000_i64) {
            let mut timeline = Timeline::default();
            ping(&mut timeline, START, offset, 9 * MSEC, MSEC);
            let truth = START.0 + 20 * MSEC;
            let mapped = timeline.map(truth.checked_add_signed(-offset).unwrap());
            assert_eq!(timeline.error_nsec(), Some(5 * MSEC));
            assert!(apart(mapped, truth) <= 5 * MSEC, "{offset}: off by {}", apart(mapped, truth));
        }
    }

    #[test]
    fn one_quiet_ping_among_slow_ones_decides() {
        let mut timeline = Timeline::default();
        ping(&mut timeline, START, 0, 80 * MSEC, MSEC);
        ping(&mut timeline, START + Duration::from_secs(1), 0, MSEC / 10, MSEC / 10);
        ping(&mut timeline, START + Duration::from_secs(2), 0, MSEC, 90 * MSEC);
        assert_eq!(timeline.error_nsec(), Some(MSEC / 10));
        assert_eq!(timeline.map(START.0 + 3 * SEC), START + Duration::from_secs(3));
    }

    #[test]
    fn a_time_is_mapped_back_as_the_best_ping_says() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.unmap(START), None);
        ping(&mut timeline, START, 7_200_000_000_000, 9 * MSEC, MSEC);
        ping(&mut timeline, START + Duration::from_secs(1), 7_200_000_000_000, 1_000, 1_000);
        assert_eq!(timeline.unmap(START), Some(START.0 - 7_200 * SEC));
        assert_eq!(timeline.unmap(AxisNsec(5)), None, "the clock had not begun");
    }

    #[test]
    fn a_clock_that_drifts_is_followed() {
        let mut timeline = Timeline::default();
        for second in (0..600).step_by(10) {
            // 50 millionths: half a millisecond every ten seconds.
            let offset = i64::try_from(second * 50_000).unwrap();
            let sent = START + Duration::from_secs(second);
            ping(&mut timeline, sent, offset, MSEC / 2, MSEC / 4);
            let truth = sent.0 + SEC;
            let mapped = timeline.map(truth.checked_add_signed(-offset).unwrap());
            assert!(apart(mapped, truth) <= 2 * MSEC, "{second} s: off by {}", apart(mapped, truth));
        }
    }

    #[test]
    fn a_stepped_clock_is_believed_at_the_first_new_ping() {
        let mut timeline = Timeline::default();
        ping(&mut timeline, START, 0, 10_000, 10_000);
        ping(&mut timeline, START + Duration::from_secs(10), 3_600_000_000_000, 4 * MSEC, MSEC);
        let truth = START.0 + 11 * SEC;
        assert!(apart(timeline.map(truth - 3_600 * SEC), truth) <= 3 * MSEC);
    }

    #[test]
    fn before_the_first_pong_the_fastest_arrival_maps() {
        let mut timeline = Timeline::default();
        // A replay: the first tick is a minute old when it comes, the last one 2 ms.
        timeline.arrived(40 * SEC, START + Duration::from_secs(60));
        timeline.arrived(100 * SEC, START + Duration::from_secs(60) + Duration::from_millis(2));
        assert!(!timeline.is_synchronised() && timeline.error_nsec().is_none());
        assert_eq!(timeline.map(40 * SEC), START + Duration::from_millis(2));
    }

    #[test]
    fn a_mapping_that_moves_back_slows_mapped_time_down_but_never_turns_it() {
        let mut timeline = Timeline::default();
        timeline.arrived(10 * SEC, START + Duration::from_millis(300));
        let first = timeline.map(10 * SEC);
        ping(&mut timeline, START, i64::try_from(START.0 - 10 * SEC).unwrap(), 1_000, 1_000);
        let ticks: Vec<AxisNsec> = (1..=10).map(|n| timeline.map(10 * SEC + n * 100 * MSEC)).collect();
        assert_eq!(ticks[0], first + Duration::from_millis(50));
        assert!(ticks.is_sorted_by(|a, b| a < b));
        assert_eq!(ticks[9], START + Duration::from_secs(1), "it has caught up");
    }

    #[test]
    fn a_time_near_a_tick_lies_beside_it_and_moves_no_later_tick() {
        let mut timeline = Timeline::default();
        timeline.arrived(10 * SEC, START);
        assert_eq!(timeline.near(10 * SEC), START, "before the first tick");
        let tick = timeline.map(10 * SEC);
        assert_eq!(timeline.near(10 * SEC), tick);
        assert_eq!(timeline.near(10 * SEC - 40 * MSEC).0, tick.0 - 40 * MSEC);
        assert_eq!(timeline.near(12 * SEC), tick + Duration::from_secs(2));
        assert_eq!(timeline.map(10 * SEC + 100 * MSEC), tick + Duration::from_millis(100));
    }

    #[test]
    fn a_reboot_starts_the_nodes_clock_anew_but_not_ours() {
        let mut timeline = Timeline::default();
        ping(&mut timeline, START, 0, 1_000, 1_000);
        let before = timeline.map(START.0);
        timeline.attach(false, START + Duration::from_secs(100));
        assert!(!timeline.is_synchronised());
        timeline.arrived(5 * SEC, START + Duration::from_secs(100));
        let after = timeline.map(5 * SEC);
        assert!(after > before);
        assert_eq!(after, START + Duration::from_secs(100));
    }

    #[test]
    fn an_answer_from_before_its_question_is_passed_over() {
        let mut timeline = Timeline::default();
        let pong = Pong { received_nsec: 100, sent_nsec: 200 };
        assert!(!timeline.pong(AxisNsec(10), pong, AxisNsec(9)), "it came before it was asked");
        assert!(!timeline.pong(AxisNsec(10), pong, AxisNsec(109)), "it was held for longer than it took");
        let backwards = Pong { received_nsec: 200, sent_nsec: 100 };
        assert!(!timeline.pong(AxisNsec(10), backwards, AxisNsec(1_000)));
        assert!(!timeline.is_synchronised());
    }

    #[test]
    fn a_tick_from_the_future_is_seen_as_such() {
        let mut timeline = Timeline::default();
        ping(&mut timeline, START, 0, 1_000, 1_000);
        assert!(!timeline.is_ahead(START.0 + SEC, START));
        assert!(timeline.is_ahead(START.0 + 2 * SEC, START));
        assert!(timeline.is_ahead(u64::MAX, START));
    }

    proptest! {
        #[test]
        fn mapped_times_rise_and_stay_within_the_error_bound(
            offset in -7_200_000_000_000_i64..7_200_000_000_000,
            pings in prop::collection::vec((0..50 * MSEC, 0..50 * MSEC), 1..40),
        ) {
            let mut timeline = Timeline::default();
            let mut last = AxisNsec(0);
            for (second, (there, back)) in (1_u64..).zip(pings) {
                let sent = START + Duration::from_secs(second);
                ping(&mut timeline, sent, offset, there, back);
                for tick in 2..10 {
                    let truth = sent.0 + tick * 100 * MSEC;
                    let mapped = timeline.map(truth.checked_add_signed(-offset).unwrap());
                    prop_assert!(mapped > last);
                    last = mapped;
                    // A slowed time is late by what the mapping moved, which two bounds limit.
                    prop_assert!(apart(mapped, truth) <= 50 * MSEC);
                }
            }
        }
    }
}
