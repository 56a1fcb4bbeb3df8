//! What is switched when: blocks, and within them the rhythm of each part.
//!
//! Invariant: ascending in time, and a part that is off is not switched off again. Pure. Deliberately
//! absent: how a part is switched.

use std::time::Duration;

use berth_loadgen::Random;

use crate::blocks::Block;

/// How a part behaves while its block is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rhythm {
    /// On throughout.
    Steady,
    /// On and off for a random 20 to 500 ms each, as batch work comes.
    Bursty,
    /// On for 400 ms in every second, as a timer has it.
    Periodic,
    /// On for a growing part of every 100 ms, from a tenth to all.
    Ramping,
}

/// The bounds of a burst and of the pause after it.
const BURST_MSEC: (u64, u64) = (20, 500);

/// The period of [`Rhythm::Periodic`], and how long it is on.
const PERIODIC_MSEC: (u64, u64) = (1_000, 400);

/// The period of [`Rhythm::Ramping`]: of the order of a scheduler's turns, so that it reads as a level.
const RAMP_MSEC: u64 = 100;

/// A part is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Toggle {
    /// From the start of the run.
    pub at: Duration,
    /// Its number.
    pub part: usize,
    /// Or off.
    pub on: bool,
}

/// Every switch of a run. Parts of one rhythm beat together, so that one that does nothing to the victim
/// can be given the culprit's own time.
pub fn toggles(blocks: &[Block], rhythms: &[Rhythm], seed: u64) -> Vec<Toggle> {
    let mut toggles = Vec::new();
    for (number, block) in (0..).zip(blocks) {
        for &part in &block.on {
            let mut random = Random::new(seed.wrapping_add(number));
            let (start, end) = (u64::from(block.start) * 1_000, u64::from(block.end) * 1_000);
            let stretches = stretches(rhythms[part], end - start, &mut random);
            for (from, to) in stretches {
                let at = |msec: u64| Duration::from_millis(start + msec);
                toggles.push(Toggle { at: at(from), part, on: true });
                toggles.push(Toggle { at: at(to), part, on: false });
            }
        }
    }
    toggles.sort_by_key(|toggle| (toggle.at, toggle.on));
    join_neighbours(toggles)
}

/// When it is on within a block, in milliseconds from the block's start.
fn stretches(rhythm: Rhythm, length: u64, random: &mut Random) -> Vec<(u64, u64)> {
    let mut stretches = Vec::new();
    let mut at = 0;
    while at < length {
        let (on, off) = match rhythm {
            Rhythm::Steady => (length, 0),
            Rhythm::Periodic => (PERIODIC_MSEC.1, PERIODIC_MSEC.0 - PERIODIC_MSEC.1),
            Rhythm::Bursty => {
                let mut draw = || BURST_MSEC.0 + random.below(BURST_MSEC.1 - BURST_MSEC.0 + 1);
                (draw(), draw())
            }
            Rhythm::Ramping => {
                let on = RAMP_MSEC / 10 + at * RAMP_MSEC / length;
                (on.min(RAMP_MSEC), RAMP_MSEC.saturating_sub(on))
            }
        };
        stretches.push((at, (at + on).min(length)));
        at += on + off;
    }
    stretches
}

/// A part that goes off and on at one time stays on.
fn join_neighbours(toggles: Vec<Toggle>) -> Vec<Toggle> {
    let twin = |toggle: &Toggle| Toggle { on: !toggle.on, ..*toggle };
    let stays: Vec<bool> = toggles.iter().map(|toggle| !toggles.contains(&twin(toggle))).collect();
    toggles.into_iter().zip(stays).filter_map(|(toggle, stays)| stays.then_some(toggle)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{Phase, pairs};

    #[test]
    fn blocks_that_touch_are_one_stretch() {
        let block = |start, end| Block { start, end, on: vec![0], phase: Phase::Label };
        let toggles = toggles(&[block(2, 5), block(5, 8)], &[Rhythm::Steady], 1);
        let at = |seconds, on| Toggle { at: Duration::from_secs(seconds), part: 0, on };
        assert_eq!(toggles, [at(2, true), at(8, false)]);
    }

    #[test]
    fn every_part_ends_off_and_is_never_switched_twice_the_same_way() {
        for rhythm in [Rhythm::Steady, Rhythm::Bursty, Rhythm::Periodic, Rhythm::Ramping] {
            let blocks = pairs(2, 4);
            let toggles = toggles(&blocks, &[rhythm, rhythm], 4);
            for part in [0, 1] {
                let of_part: Vec<_> = toggles.iter().filter(|toggle| toggle.part == part).collect();
                assert!(of_part.iter().zip([true, false].into_iter().cycle()).all(|(one, on)| one.on == on));
                assert!(of_part.last().is_some_and(|last| !last.on), "{rhythm:?}");
            }
        }
    }

    #[test]
    fn parts_of_one_rhythm_beat_together() {
        let toggles = toggles(&pairs(2, 4), &[Rhythm::Bursty, Rhythm::Bursty], 4);
        let of = |part| toggles.iter().filter(move |toggle| toggle.part == part).map(|one| (one.at, one.on));
        assert!(of(0).eq(of(1)));
    }

    #[test]
    fn a_ramp_ends_all_on() {
        let stretches = stretches(Rhythm::Ramping, 3_000, &mut Random::new(1));
        assert_eq!(stretches.first(), Some(&(0, 10)));
        assert_eq!(stretches.last(), Some(&(2_900, 3_000)));
    }
}
