//! The schedule of a trial: which parts are on, second by second, in an order drawn by the seed.
//!
//! Invariant: blocks follow each other without a hole, from 0 to the end of the run, and their borders
//! are whole seconds, which is what the load engine's intervals are. Pure: the same seed gives the same
//! schedule. Deliberately absent: what a part is; here it is a number.

use berth_loadgen::Random;

/// Before the first switch: the aggregator has to hear of the victim, and to know how it fares alone.
pub const LEAD_SECONDS: u32 = 7;

/// After the last switch: an episode needs time to clear.
pub const TAIL_SECONDS: u32 = 6;

/// One block: a second of guard and two that count.
pub const BLOCK_SECONDS: u32 = 3;

/// Left out of the label at the start of each block: what was in flight at the switch ends in it.
pub const GUARD_SECONDS: u32 = 1;

/// All parts on for the first time: long enough that everything is said of it that will be said.
const FIRST_SECONDS: u32 = 7;

/// Pairs of an on and an off block after that: with it they give twelve seconds on, which the bootstrap draws
/// in four stretches. Nine to eleven would be three, and their interval half as wide again.
const PAIRS: u32 = 3;

/// Before the long block of several suspects: the last subset's episode has to clear.
const SETTLE_SECONDS: u32 = 8;

/// All suspects at once, long enough that the shares are theirs.
const TOGETHER_SECONDS: u32 = 9;

/// Two suspects have four subsets, which fit twice; three have eight, which fit once.
const SUBSET_SECONDS: u32 = 24;

/// What a block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its seconds make the label; what is detected in it counts too where everything is on or off.
    Label,
    /// What is detected in it is what counts, and its seconds are part of the label.
    Detect,
}

/// A stretch in which the same parts are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// In seconds of the run.
    pub start: u32,
    /// In seconds of the run; the next block begins here.
    pub end: u32,
    /// By number, ascending.
    pub on: Vec<usize>,
    /// What it is for.
    pub phase: Phase,
}

impl Block {
    /// The seconds of the run that count for the label.
    pub fn measured(&self) -> std::ops::Range<u32> {
        self.start + GUARD_SECONDS..self.end
    }
}

/// All parts on, and then pairs of all on and all off, in random order within each pair.
pub fn pairs(parts: usize, seed: u64) -> Vec<Block> {
    let mut random = Random::new(seed);
    let mut blocks = Schedule::default();
    blocks.push(LEAD_SECONDS, Vec::new(), Phase::Label);
    blocks.push(FIRST_SECONDS, (0..parts).collect(), Phase::Detect);
    for _ in 0..PAIRS {
        let on_first = random.below(2) == 0;
        for on in [on_first, !on_first] {
            blocks.push(BLOCK_SECONDS, if on { (0..parts).collect() } else { Vec::new() }, Phase::Label);
        }
    }
    blocks.push(TAIL_SECONDS, Vec::new(), Phase::Label);
    blocks.0
}

/// Every subset of the parts in random order, then all of them at once.
pub fn subsets(parts: usize, seed: u64) -> Vec<Block> {
    let mut random = Random::new(seed);
    let mut blocks = Schedule::default();
    blocks.push(LEAD_SECONDS, Vec::new(), Phase::Label);
    let all = 1_u32 << parts;
    for _ in 0..(SUBSET_SECONDS / BLOCK_SECONDS / all).max(1) {
        let mut subsets: Vec<u32> = (0..all).collect();
        random.shuffle(&mut subsets);
        for subset in subsets {
            let on = (0..parts).filter(|part| subset & 1 << part != 0).collect();
            blocks.push(BLOCK_SECONDS, on, Phase::Label);
        }
    }
    blocks.push(SETTLE_SECONDS, Vec::new(), Phase::Label);
    blocks.push(TOGETHER_SECONDS, (0..parts).collect(), Phase::Detect);
    blocks.push(TAIL_SECONDS, Vec::new(), Phase::Label);
    blocks.0
}

/// How long a run lasts, in seconds.
pub fn seconds(blocks: &[Block]) -> u32 {
    blocks.last().map_or(0, |block| block.end)
}

#[derive(Default)]
struct Schedule(Vec<Block>);

impl Schedule {
    fn push(&mut self, seconds: u32, on: Vec<usize>, phase: Phase) {
        let start = self::seconds(&self.0);
        self.0.push(Block { start, end: start + seconds, on, phase });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_has_no_hole_and_its_order_is_the_seeds() {
        for blocks in [pairs(1, 3), pairs(0, 3), subsets(2, 3), subsets(3, 3)] {
            assert_eq!(blocks[0].start, 0);
            assert!(blocks.windows(2).all(|two| two[0].end == two[1].start));
        }
        assert_eq!(pairs(1, 3), pairs(1, 3));
        assert!((0..8).any(|seed| pairs(1, seed) != pairs(1, 3)));
    }

    #[test]
    fn each_side_measures_the_seconds_that_an_interval_needs() {
        let blocks = pairs(2, 9);
        let side = |on: bool| -> usize {
            let blocks = blocks.iter().filter(|block| block.on.is_empty() != on);
            blocks.map(|block| block.measured().len()).sum()
        };
        assert!(side(true) >= berth_loadgen::FEWEST_INTERVALS);
        assert!(side(false) >= berth_loadgen::FEWEST_INTERVALS);
    }

    #[test]
    fn every_subset_is_measured_as_often_as_any_other() {
        for (parts, times) in [(2, 2), (3, 1)] {
            let blocks = subsets(parts, 5);
            let middle = &blocks[1..blocks.len() - 3];
            for subset in 0..1_u32 << parts {
                let on: Vec<usize> = (0..parts).filter(|part| subset & 1 << part != 0).collect();
                assert_eq!(middle.iter().filter(|block| block.on == on).count(), times, "{on:?}");
            }
        }
    }
}
