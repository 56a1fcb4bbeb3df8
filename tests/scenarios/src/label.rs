//! The label of a trial: how much slower the victim really was, and by whose doing.
//!
//! Invariant: seconds of guard count for neither side. Pure: the load engine's intervals and the
//! schedule come in. Deliberately absent: what anybody detected.

use std::collections::BTreeMap;

use berth_loadgen::{Interval, Phase as LoadPhase, Statistic, ratio_interval};

use crate::{blocks::Block, result};

/// Left out at the very beginning: caches fill, connections open.
const WARM_SECONDS: u32 = 2;

/// The seconds of a run that count, each with the parts that were on.
fn measured<'a>(
    blocks: &'a [Block],
    intervals: &'a [Interval],
) -> impl Iterator<Item = (&'a [usize], &'a Interval)> {
    let of_second = |second: u32| {
        let from_nanos = u64::from(second) * berth_loadgen::NANOS_PER_SEC;
        let near = |interval: &&Interval| {
            interval.phase == LoadPhase::Load
                && interval.from_nanos.abs_diff(from_nanos) < berth_loadgen::NANOS_PER_SEC / 2
        };
        intervals.iter().find(near)
    };
    let seconds = blocks.iter().flat_map(|block| block.measured().map(move |second| (&block.on[..], second)));
    seconds
        .filter(|(_, second)| *second >= WARM_SECONDS)
        .filter_map(move |(on, second)| of_second(second).map(|interval| (on, interval)))
}

/// Mean service time with all `parts` on to that with all off; `None` where a side has too little.
pub fn service_slowdown(
    blocks: &[Block],
    intervals: &[Interval],
    parts: usize,
    seed: u64,
) -> Option<result::Interval> {
    let side = |on: usize| -> Vec<Interval> {
        let seconds = measured(blocks, intervals).filter(|(parts_on, _)| parts_on.len() == on);
        seconds.map(|(_, interval)| interval.clone()).collect()
    };
    // Nothing to switch: the second half of the run against the first has to come out as 1.
    let (on, off) = if parts == 0 { halves(side(0)) } else { (side(parts), side(0)) };
    let ratio = ratio_interval(&on, &off, Statistic::MeanService, seed).ok()?;
    Some(result::Interval { estimate: ratio.estimate, lo: ratio.lo, hi: ratio.hi })
}

/// The same of the response time.
pub fn response_slowdown(
    blocks: &[Block],
    intervals: &[Interval],
    parts: usize,
    seed: u64,
) -> Option<result::Interval> {
    let as_service = |interval: &Interval| {
        let mut interval = interval.clone();
        interval.tally.service = interval.tally.response.clone();
        interval
    };
    let intervals: Vec<Interval> = intervals.iter().map(as_service).collect();
    service_slowdown(blocks, &intervals, parts, seed)
}

fn halves(mut all: Vec<Interval>) -> (Vec<Interval>, Vec<Interval>) {
    let later = all.split_off(all.len() / 2);
    (later, all)
}

/// Each part's share of the added service time; empty unless every subset of at least two was measured.
pub fn shapley(blocks: &[Block], intervals: &[Interval], parts: usize) -> Vec<f64> {
    let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (on, interval) in measured(blocks, intervals) {
        let mask = on.iter().fold(0_usize, |mask, part| mask | 1 << part);
        let service = &interval.tally.service;
        let count = service.count() as f64;
        let (sum, total) = sums.entry(mask).or_default();
        *sum += service.mean_usec().unwrap_or(0.0) * count;
        *total += count;
    }
    let means: Option<Vec<f64>> = (0..1_usize << parts)
        .map(|mask| sums.get(&mask).filter(|(_, count)| *count > 0.0).map(|(sum, count)| sum / count))
        .collect();
    means.filter(|_| parts >= 2).map_or_else(Vec::new, |means| shares(&means, parts))
}

/// Shapley's value of each part over the whole gain; `means` are by bit mask of the parts that were on.
fn shares(means: &[f64], parts: usize) -> Vec<f64> {
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let number = u32::try_from(parts).expect("a handful of parts");
    let value = |part: usize| -> f64 {
        let without = (0..means.len()).filter(|mask| mask & 1 << part == 0);
        let gains = without.map(|mask| {
            let before = mask.count_ones();
            let weight = factorial(before) * factorial(number - before - 1) / factorial(number);
            weight * (means[mask | 1 << part] - means[mask])
        });
        gains.sum()
    };
    let whole = means[means.len() - 1] - means[0];
    (0..parts).map(|part| value(part) / whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{pairs, seconds, subsets};

    /// A run whose every request of a second takes what `usec` says of the parts that are on in it.
    fn run(blocks: &[Block], usec: impl Fn(&[usize], bool) -> u64) -> Vec<Interval> {
        let second = |at: u32| {
            let block = blocks.iter().find(|block| (block.start..block.end).contains(&at)).unwrap();
            let mut tally = berth_loadgen::Tally::default();
            for _ in 0..50 {
                tally.service.record_nanos(usec(&block.on, !block.measured().contains(&at)) * 1_000);
            }
            tally.response = tally.service.clone();
            let from_nanos = u64::from(at) * berth_loadgen::NANOS_PER_SEC + 300_000;
            Interval {
                seq: u64::from(at),
                phase: LoadPhase::Load,
                from_nanos,
                to_nanos: from_nanos + berth_loadgen::NANOS_PER_SEC,
                tally,
                generator: berth_loadgen::Generator::default(),
            }
        };
        (0..seconds(blocks)).map(second).collect()
    }

    #[test]
    fn the_slowdown_is_that_of_the_measured_seconds_and_no_guard_counts() {
        let blocks = pairs(1, 2);
        let intervals =
            run(&blocks, |on, guard| if guard { 90_000 } else { 5_000 + 2_500 * on.len() as u64 });
        let slowdown = service_slowdown(&blocks, &intervals, 1, 7).unwrap();
        assert!((slowdown.estimate - 1.5).abs() < 0.01, "{slowdown:?}");
        assert_eq!(service_slowdown(&blocks, &intervals, 1, 7), response_slowdown(&blocks, &intervals, 1, 7));
    }

    #[test]
    fn a_quiet_trial_compares_its_halves() {
        let blocks = pairs(0, 2);
        let intervals = run(&blocks, |_, _| 5_000);
        let slowdown = service_slowdown(&blocks, &intervals, 0, 7).unwrap();
        assert!((slowdown.estimate - 1.0).abs() < 0.01, "{slowdown:?}");
    }

    #[test]
    fn parts_that_add_up_get_what_each_adds() {
        let blocks = subsets(3, 2);
        let intervals =
            run(&blocks, |on, _| 5_000 + on.iter().map(|part| [1_000, 2_000, 0][*part]).sum::<u64>());
        let shares = shapley(&blocks, &intervals, 3);
        for (share, truth) in shares.iter().zip([1.0 / 3.0, 2.0 / 3.0, 0.0]) {
            assert!((share - truth).abs() < 0.02, "{shares:?}");
        }
        assert!(shapley(&pairs(2, 1), &intervals, 2).is_empty(), "pairs measure no single part");
    }

    #[test]
    fn what_two_do_only_together_is_parted_evenly() {
        assert_eq!(shares(&[1.0, 1.0, 1.0, 3.0], 2), [0.5, 0.5]);
    }
}
