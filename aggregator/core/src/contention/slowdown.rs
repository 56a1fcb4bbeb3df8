//! S = (R + W) / R: wall seconds that a second of the model's work takes, with its interval. R is its CPU
//! time and what its own requests wait for each other when it is alone; W is the wait, less what it spares.
//!
//! What S does not see (caches, frequency, steal while running) makes it a lower bound of harm on a
//! busy machine, and queueing makes it an upper bound of the mean latency's ratio; the interval covers
//! the second only.

use crate::contention::{cusum::RUN_AT_LEAST_PER_SEC, episode::Estimate, step::STEP_SLACK};

/// Waits come in bursts, so what is drawn again is not a step but half a second of them.
const BLOCK_NSEC: f64 = 5e8;

/// More blocks than this are joined two and two, so that an episode of hours stays small.
const BLOCKS_AT_MOST: usize = 128;

/// Enough for a 95 % interval to two digits.
const RESAMPLES: usize = 200;

/// What is added may be so much less than is told: it was less than 0.75 of what was waited in 2 of 72 trials
/// with nobody there before the neighbour, and in none of three cases measured elsewhere.
const MODEL_ERROR: f64 = 0.13;

/// A ratio of less CPU time than this part of a CPU is a ratio of noise ...
const RUN_EVIDENCE_PER_SEC: f64 = 0.02;

/// ... unless it waits this long a second: who starves hardly runs.
const WAIT_EVIDENCE_PER_SEC: f64 = 0.02;

/// Tasks that always want to run want it nearly all of the time: waiting for a request takes the rest.
const ALWAYS: f64 = 0.95;

/// Of a thread that is no worker, one that accepts connections or takes out the rubbish.
const HELPERS: f64 = 0.1;

/// Two seconds: a burst of requests is no queue that grows.
const SATURATED_BLOCKS: usize = 4;

/// Work and wait over some time, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Span {
    pub(crate) dt: f64,
    pub(crate) run: f64,
    /// By which it took longer.
    pub(crate) wait: f64,
    /// Waited for as well, in place of what it would have cost if nobody had been in the way.
    pub(crate) spared: f64,
}

impl Span {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            dt: self.dt + other.dt,
            run: self.run + other.run,
            wait: self.wait + other.wait,
            spared: self.spared + other.spared,
        }
    }

    /// 1 where nothing was seen.
    pub(crate) fn slowdown(&self) -> f64 {
        1.0 + self.wait_per_run()
    }

    /// Seconds waited for each second of work.
    pub(crate) fn wait_per_run(&self) -> f64 {
        let run = self.run.max(RUN_AT_LEAST_PER_SEC * self.dt);
        if run > 0.0 { self.wait / run } else { 0.0 }
    }

    /// All that was waited.
    pub(crate) fn waited(&self) -> f64 {
        self.wait + self.spared
    }

    /// Seconds waited in each second, over all threads.
    pub(crate) fn stall(&self) -> f64 {
        if self.dt > 0.0 { self.wait / self.dt } else { 0.0 }
    }

    /// It did enough to speak of a slowdown.
    pub(crate) fn is_evidence(&self) -> bool {
        self.dt > 0.0 && (self.run >= RUN_EVIDENCE_PER_SEC * self.dt || self.stall() >= WAIT_EVIDENCE_PER_SEC)
    }
}

/// A span in blocks, to draw from.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    block_nsec: f64,
    full: Vec<Span>,
    filling: Span,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { block_nsec: BLOCK_NSEC, full: Vec::new(), filling: Span::default() }
    }
}

impl Blocks {
    pub(crate) fn add(&mut self, step: Span) {
        self.filling = self.filling.and(step);
        if self.filling.dt < self.block_nsec - STEP_SLACK.as_nanos() as f64 {
            return;
        }
        self.full.push(std::mem::take(&mut self.filling));
        if self.full.len() == BLOCKS_AT_MOST {
            self.full = self.full.chunks(2).map(total).collect();
            self.block_nsec *= 2.0;
        }
    }

    pub(crate) fn total(&self) -> Span {
        total(&self.full).and(self.filling)
    }

    /// Its queue grows: as many of its threads as ever want to run want it all the time, so that work
    /// comes faster than it is done and there is no response time to speak of. They are a whole number: of
    /// an even load as many want it as well, but not every one of them always.
    pub(crate) fn is_saturated(&self) -> bool {
        let wanting = |block: &Span| (block.run + block.waited()) / block.dt;
        let threads = self.full.iter().map(|block| (wanting(block) - HELPERS).ceil());
        let most = threads.fold(1.0, f64::max);
        self.full.len() >= SATURATED_BLOCKS && self.full.iter().all(|block| wanting(block) >= ALWAYS * most)
    }

    /// The slowdown and its interval. Fewer than about ten blocks span little and their interval is
    /// too narrow, which the confidence in a young episode does not hide. The upper end spares nothing.
    pub(crate) fn estimate(&self, seed: u64) -> Estimate {
        let total = self.total();
        let estimate = total.slowdown();
        let (lo, hi) = self.interval(seed);
        let all = if total.wait > 0.0 { total.waited() / total.wait } else { 1.0 };
        Estimate {
            estimate,
            lo: 1.0 + (lo.min(estimate) - 1.0) * (1.0 - MODEL_ERROR),
            hi: 1.0 + (hi.max(estimate) - 1.0) * all,
        }
    }

    /// Between these 95 % of the means lie that can be drawn from the blocks.
    pub(crate) fn interval(&self, seed: u64) -> (f64, f64) {
        let mut blocks = self.full.clone();
        blocks.extend((self.filling.dt > 0.0).then_some(self.filling));
        if blocks.is_empty() {
            return (1.0, 1.0);
        }
        let mut random = SplitMix(seed);
        let mut drawn: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let sum = (0..blocks.len()).fold(Span::default(), |sum, _| sum.and(random.pick(&blocks)));
                sum.slowdown()
            })
            .collect();
        drawn.sort_by(f64::total_cmp);
        (drawn[RESAMPLES * 25 / 1000], drawn[RESAMPLES * 975 / 1000])
    }
}

fn total(spans: &[Span]) -> Span {
    spans.iter().fold(Span::default(), |sum, span| sum.and(*span))
}

/// Steele, Lea and Flood's `SplitMix64`: one word of state, so that a seed is all there is to keep.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The high word of the product falls on each place alike, but for one part in 2^57.
    fn pick(&mut self, blocks: &[Span]) -> Span {
        let count = u128::try_from(blocks.len()).expect("a length fits");
        let place = (u128::from(self.next()) * count) >> 64;
        blocks[usize::try_from(place).expect("it is below a length")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(run: f64, wait: f64) -> Span {
        Span { dt: 1e8, run: run * 1e6, wait: wait * 1e6, spared: 0.0 }
    }

    #[test]
    fn an_even_slowdown_has_a_narrow_interval_but_for_the_model_error() {
        let mut blocks = Blocks::default();
        (0..100).for_each(|_| blocks.add(step(25.0, 25.0)));
        let slowdown = blocks.estimate(7);
        assert!((slowdown.estimate - 2.0).abs() < 1e-9);
        assert!((slowdown.lo - 1.87).abs() < 1e-9 && (slowdown.hi - 2.0).abs() < 1e-9, "{slowdown:?}");
    }

    #[test]
    fn the_upper_end_spares_nothing() {
        let mut blocks = Blocks::default();
        (0..100).for_each(|_| blocks.add(Span { wait: 20e6, spared: 5e6, ..step(25.0, 25.0) }));
        let slowdown = blocks.estimate(7);
        assert!((slowdown.estimate - 1.8).abs() < 1e-9 && (slowdown.hi - 2.0).abs() < 1e-9, "{slowdown:?}");
    }

    #[test]
    fn an_uneven_slowdown_has_a_wide_one_that_holds_the_mean() {
        let mut blocks = Blocks::default();
        (0..200).for_each(|i| blocks.add(step(25.0, if (i / 10) % 2 == 0 { 50.0 } else { 0.0 })));
        let slowdown = blocks.estimate(7);
        assert!(slowdown.lo < 1.75 && slowdown.hi > 2.2, "{slowdown:?}");
        assert_eq!(slowdown, blocks.estimate(7));
    }

    #[test]
    fn a_queue_grows_where_threads_always_want_to_run() {
        let saturated = |steps: &[(f64, f64)]| {
            let mut blocks = Blocks::default();
            for (run, wait) in steps.iter().cycle().take(10 * steps.len()) {
                (0..5).for_each(|_| blocks.add(step(*run, *wait)));
            }
            blocks.is_saturated()
        };
        assert!(saturated(&[(50.0, 49.0)]), "one thread, half of the CPU");
        assert!(saturated(&[(50.0, 350.0), (60.0, 338.0)]), "four threads");
        assert!(!saturated(&[(50.0, 49.0), (40.0, 30.0)]), "idle in between");
        assert!(!saturated(&[(50.0, 350.0), (50.0, 150.0)]), "two of four threads are idle in between");
        assert!(!saturated(&[(25.0, 50.0)]));
        assert!(!saturated(&[(200.0, 60.0)]), "an even load of eight threads");
        assert!(saturated(&[(200.0, 605.0)]), "eight threads, and one that takes out the rubbish");
        assert!(!Blocks::default().is_saturated());
    }

    #[test]
    fn hours_stay_small_and_keep_their_sum() {
        let mut blocks = Blocks::default();
        (0..100_000).for_each(|_| blocks.add(step(25.0, 5.0)));
        assert!(blocks.full.len() < BLOCKS_AT_MOST);
        assert!((blocks.total().dt - 1e13).abs() < 1.0);
        assert!((blocks.estimate(1).estimate - 1.2).abs() < 1e-9);
    }

    #[test]
    fn a_starved_victim_is_evidence_and_an_idle_one_is_not() {
        assert!(step(0.1, 90.0).is_evidence());
        assert!(step(5.0, 0.0).is_evidence());
        assert!(!step(0.5, 0.5).is_evidence());
        assert!(!Span::default().is_evidence());
    }
}
