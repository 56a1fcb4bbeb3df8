use proptest::prelude::*;

use super::{
    simulator::{START_NSEC, Simulator},
    *,
};
use crate::clock::SECOND_NSEC;

const TICK_NSEC: u64 = SECOND_NSEC / 10;
const HORIZON_NSEC: u64 = 2 * SECOND_NSEC;

/// A fold under its own quota, on a node of `cpus` CPUs.
fn under_quota(cpus: u32) -> Fold {
    let mut fold = Fold::new(START_NSEC, cpus);
    fold.set_quotas(std::iter::once(Level::Own));
    fold
}

fn add(sum: &mut Amounts, more: Amounts) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

/// Sends what a sampler would send at a flush, and adds it up by tick.
fn flush(fold: &mut Fold, ticks: &mut Vec<Amounts>, now_nsec: u64) {
    let ordinal = u64::try_from(ticks.len()).unwrap();
    ticks.push(fold.send(ordinal));
    fold.corrections(now_nsec.saturating_sub(HORIZON_NSEC), |ordinal, news| {
        add(&mut ticks[usize::try_from(ordinal).unwrap()], news);
    });
}

fn total(ticks: &[Amounts]) -> Amounts {
    let mut sum = [0; 4];
    for &tick in ticks {
        add(&mut sum, tick);
    }
    sum
}

/// One row of the golden table: how much of each there is a second, in milliseconds.
struct Folded {
    run: f64,
    wait: f64,
    stopped: f64,
    throttled: f64,
    sibling: f64,
    hog_contending: f64,
}

const SECONDS: u64 = 5;

fn simulate(threads: usize, quota_msec: Option<u64>, hog: bool, read_hz: u32) -> Folded {
    let quota = quota_msec.map(|msec| msec * 1_000_000);
    let mut simulator = Simulator::new(threads, quota, hog, START_NSEC);
    let mut fold = under_quota(1);
    (0..threads).for_each(|_| fold.add(Some(START_NSEC)));
    fold.throttled(0, START_NSEC, 0);
    let mut ticks = Vec::new();
    let step = SECOND_NSEC / u64::from(read_hz);
    for reading in 1..=SECONDS * u64::from(read_hz) {
        // Readings do not fall on the kernel's own ticks.
        let at = START_NSEC + reading * step + 1_300_000;
        simulator.run_until(at);
        fold.throttled(0, at, simulator.throttled_nsec / 1_000);
        for thread in 0..threads {
            fold.thread(thread, at, simulator.schedstat(thread));
        }
        if (reading * step).is_multiple_of(TICK_NSEC) {
            fold.tick(u64::try_from(ticks.len()).unwrap(), at);
            flush(&mut fold, &mut ticks, at);
        }
    }
    let per_second = |nsec: i64| nsec as f64 / 1e6 / SECONDS as f64;
    let [run, wait, throttled, sibling] = total(&ticks).map(per_second);
    Folded {
        run,
        wait,
        throttled,
        sibling,
        stopped: per_second(simulator.throttled_nsec.cast_signed()),
        hog_contending: per_second(simulator.hog_contending_nsec.cast_signed()),
    }
}

/// Measured on Linux 6.18: threads, quota, hog; then R, W and the throttled time of the cgroup. For
/// n always-runnable threads on one CPU arithmetic gives T = n x throttled, self = (n-1) x R and
/// neighbour = n x (1000 - R - throttled).
const ROWS: [(usize, Option<u64>, bool, f64, f64, f64); 5] = [
    (1, Some(30), false, 299.0, 699.0, 698.0),
    (1, Some(30), true, 300.0, 700.0, 423.0),
    (3, Some(30), false, 301.0, 2_700.0, 699.0),
    (3, Some(30), true, 300.0, 2_699.0, 424.0),
    (3, None, true, 516.0, 2_482.0, 0.0),
];

#[test]
fn the_five_measured_cases_split_into_throttle_self_and_neighbour() {
    for (row, (threads, quota, hog, run, wait, stopped)) in (1..).zip(ROWS) {
        for read_hz in [50, 100] {
            let got = simulate(threads, quota, hog, read_hz);
            let near = |what: &str, got: f64, golden: f64| {
                let off = (got - golden).abs() / wait;
                assert!(off <= 0.03, "row {row} at {read_hz} Hz: {what} {got:.0}, golden {golden:.0}");
            };
            let n = threads as f64;
            near("R", got.run, run);
            near("W", got.wait, wait);
            near("throttled", got.stopped, stopped);
            near("T", got.throttled, n * got.stopped);
            // X over the contended wait is the CPUs that siblings used while they could run.
            let siblings = got.sibling / (got.wait - got.throttled).max(1.0) * (1_000.0 - got.stopped);
            let of_siblings = siblings / (siblings + got.hog_contending).max(1.0);
            let (own, others) = ((n - 1.0) * got.run, n * (1_000.0 - got.run - got.stopped));
            near("self", (own + others) * of_siblings, own);
        }
    }
}

/// One reading of all threads and the quota: how long after the one before, and the increments.
#[derive(Debug, Clone)]
struct Reading {
    after_nsec: u64,
    run_nsec: Vec<u64>,
    wait_nsec: Vec<u64>,
    throttled_usec: u64,
    closes_tick: bool,
    flushes: bool,
}

const THREADS: usize = 3;

fn reading() -> impl Strategy<Value = Reading> {
    let lump = || prop_oneof![3 => Just(0), 3 => 0..30_000_000_u64, 1 => 0..4_000_000_000_u64];
    let threads = move || prop::collection::vec(lump(), THREADS);
    let throttled = prop_oneof![2 => Just(0), 1 => 0..300_000_u64];
    (1_000_000..60_000_000_u64, threads(), threads(), throttled, prop::bool::weighted(0.4), any::<bool>())
        .prop_map(|(after_nsec, run_nsec, wait_nsec, throttled_usec, closes_tick, flushes)| Reading {
            after_nsec,
            run_nsec,
            wait_nsec,
            throttled_usec,
            closes_tick,
            flushes,
        })
}

struct Outcome {
    sent: Vec<Amounts>,
    unsent: Amounts,
    /// By brute force: the overlap of each thread's waits with all throttles.
    overlap_nsec: u64,
}

/// Plays readings back; `quota_first` says which of the two is heard of first.
fn play(readings: &[Reading], quota_first: bool) -> Outcome {
    let mut fold = under_quota(64);
    (0..THREADS).for_each(|_| fold.add(Some(START_NSEC)));
    fold.throttled(0, START_NSEC, 0);
    let mut now = START_NSEC;
    let mut quota = Quota::new(Level::Own);
    quota.grown(START_NSEC, 0);
    let (mut run, mut wait, mut throttled) = ([0; THREADS], [0; THREADS], 0);
    let (mut waits, mut throttles) = (vec![Vec::new(); THREADS], Vec::new());
    let (mut sent, mut closed) = (Vec::new(), 0_u64);
    for reading in readings {
        now += reading.after_nsec;
        throttled += reading.throttled_usec;
        let so_far = run.iter().sum::<u64>() + if quota_first { 0 } else { reading.run_nsec.iter().sum() };
        let stopped =
            (reading.throttled_usec > 0).then(|| quota.grow(now, reading.throttled_usec * 1_000, so_far));
        if quota_first {
            throttles.extend(stopped);
            fold.throttled(0, now, throttled);
        }
        for thread in 0..THREADS {
            run[thread] += reading.run_nsec[thread];
            wait[thread] += reading.wait_nsec[thread];
            let newest = Span::ending(now, reading.wait_nsec[thread]);
            waits[thread].push(placed(newest, reading.after_nsec, &merged(throttles.clone())));
            fold.thread(thread, now, Schedstat { run_nsec: run[thread], wait_nsec: wait[thread] });
        }
        if !quota_first {
            throttles.extend(stopped);
            fold.throttled(0, now, throttled);
        }
        if reading.closes_tick {
            fold.tick(closed, now);
            closed += 1;
        }
        while reading.flushes && u64::try_from(sent.len()).unwrap() < closed {
            flush(&mut fold, &mut sent, now);
        }
        for [_, wait, throttled, _] in &sent {
            assert!(throttled <= wait, "no tick shows more throttled wait than wait");
        }
    }
    let throttles = merged(throttles);
    let of_thread = |waits: Vec<Span>| -> u64 {
        let overlaps = |wait: Span| throttles.iter().filter_map(move |stopped| wait.overlap(*stopped));
        merged(waits).into_iter().flat_map(overlaps).map(Span::nsec).sum()
    };
    let overlap_nsec = waits.into_iter().map(of_thread).sum();
    Outcome { sent, unsent: fold.ticks.unsent(), overlap_nsec }
}

/// Where a wait belongs, given the throttles that are known by then.
fn placed(wait: Span, slack_nsec: u64, throttles: &[Span]) -> Span {
    let begun = throttles.iter().find(|stopped| stopped.start < wait.start && wait.start < stopped.end);
    match begun.map(|stopped| (stopped.nsec(), wait.start - stopped.start)) {
        Some((stopped_nsec, early)) if stopped_nsec <= wait.nsec() && early <= slack_nsec => {
            Span { start: wait.start - early, end: wait.end - early }
        }
        _ => wait,
    }
}

/// The union, by sorting.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| span.start);
    let mut union: Vec<Span> = Vec::new();
    for span in spans {
        match union.last_mut().filter(|last| last.end >= span.start) {
            Some(last) => last.end = last.end.max(span.end),
            None => union.push(span),
        }
    }
    union
}

proptest! {
    #[test]
    fn run_and_wait_are_conserved_and_throttled_wait_is_the_overlap_whichever_came_first(
        readings in prop::collection::vec(reading(), 1..60)) {
        let run: u64 = readings.iter().flat_map(|reading| &reading.run_nsec).sum();
        let wait: u64 = readings.iter().flat_map(|reading| &reading.wait_nsec).sum();
        for quota_first in [true, false] {
            let outcome = play(&readings, quota_first);
            let mut all = total(&outcome.sent);
            add(&mut all, outcome.unsent);
            let [all_run, all_wait, all_throttled, all_sibling] = all;
            prop_assert_eq!(all_run, run.cast_signed());
            prop_assert_eq!(all_wait, wait.cast_signed());
            prop_assert_eq!(all_throttled, outcome.overlap_nsec.cast_signed());
            prop_assert!(0 <= all_throttled && all_throttled <= all_wait && all_sibling >= 0);
            for [run, wait, throttled, _] in &outcome.sent {
                prop_assert!(*run >= 0 && *wait >= 0 && *throttled >= 0);
            }
        }
    }
}

/// A fold of one thread, read at `readings` as (time in ms, run in ms, wait in ms), ticks of 100 ms.
fn one_thread(readings: &[(u64, u64, u64)]) -> Fold {
    let mut fold = under_quota(8);
    fold.add(Some(START_NSEC));
    fold.throttled(0, START_NSEC, 0);
    let mut ordinal = 0;
    for &(at, run, wait) in readings {
        let now = Schedstat { run_nsec: run * 1_000_000, wait_nsec: wait * 1_000_000 };
        fold.thread(0, START_NSEC + at * 1_000_000, now);
        while (ordinal + 1) * 100 <= at {
            ordinal += 1;
            fold.tick(ordinal - 1, START_NSEC + ordinal * TICK_NSEC);
        }
    }
    fold
}

#[test]
fn a_wait_that_ends_now_is_laid_on_the_ticks_in_which_it_happened() {
    let mut fold = one_thread(&[(100, 10, 0), (200, 10, 0), (300, 10, 0)]);
    let mut ticks = Vec::new();
    (0..3).for_each(|_| flush(&mut fold, &mut ticks, START_NSEC + 3 * TICK_NSEC));
    assert_eq!(ticks, [[10_000_000, 0, 0, 0], [0; 4], [0; 4]]);
    fold.thread(0, START_NSEC + 350_000_000, Schedstat { run_nsec: 10_000_000, wait_nsec: 330_000_000 });
    fold.tick(3, START_NSEC + 4 * TICK_NSEC);
    flush(&mut fold, &mut ticks, START_NSEC + 4 * TICK_NSEC);
    let waits: Vec<i64> = ticks.iter().map(|[_, wait, ..]| wait / 1_000_000).collect();
    assert_eq!(waits, [80, 100, 100, 50]);
}

#[test]
fn what_is_older_than_the_horizon_is_laid_on_the_oldest_tick_that_may_still_change() {
    let readings: Vec<_> = (1..=30).map(|tick| (tick * 100, 10, 0)).collect();
    let mut fold = one_thread(&[]);
    let mut ticks = Vec::new();
    for (ordinal, (at, run, _)) in (0..).zip(readings) {
        let at = START_NSEC + at * 1_000_000;
        fold.thread(0, at, Schedstat { run_nsec: run * 1_000_000, wait_nsec: 0 });
        fold.tick(ordinal, at);
        flush(&mut fold, &mut ticks, at);
    }
    // At 3.05 s a wait of 2.5 s ends. Sent ticks of the last 2 s may change: from 1.1 s on.
    let at = START_NSEC + 3_050_000_000;
    fold.thread(0, at, Schedstat { run_nsec: 10_000_000, wait_nsec: 2_500_000_000 });
    fold.tick(30, START_NSEC + 3_100_000_000);
    flush(&mut fold, &mut ticks, START_NSEC + 3_100_000_000);
    let waits: Vec<i64> = ticks.iter().map(|[_, wait, ..]| wait / 1_000_000).collect();
    assert_eq!(waits.iter().sum::<i64>(), 2_500);
    assert_eq!(waits[..10], [0; 10], "ticks older than the horizon do not change");
    assert_eq!(waits[10], 100 + 450, "the oldest that may change takes what is older");
    assert_eq!(waits[11], 100);
    assert_eq!(waits[30], 50);
}

#[test]
fn a_thread_that_was_there_before_us_counts_from_its_first_reading() {
    let mut fold = Fold::new(START_NSEC, 8);
    fold.add(None);
    for (step, run_nsec, wait_nsec) in [(1, 900, 800), (2, 950, 810)] {
        fold.thread(0, START_NSEC + step * 20_000_000, Schedstat { run_nsec, wait_nsec });
    }
    fold.tick(0, START_NSEC + TICK_NSEC);
    assert_eq!(fold.send(0), [50, 10, 0, 0]);
}

#[test]
fn throttled_time_is_divided_by_the_cpus_that_it_was_summed_over() {
    // Four threads run 50 of 100 ms on a CPU each and are then stopped: 200 ms of throttled time.
    let mut quota = Quota { last_usec: Some(0), grown_nsec: START_NSEC, ..Quota::new(Level::Own) };
    let stopped = quota.grow(START_NSEC + 100_000_000, 200_000_000, 200_000_000);
    assert_eq!(stopped.nsec(), 50_000_000);
    // One thread runs 30 of 100 ms, a neighbour another 28, and the rest is throttled.
    let mut quota = Quota { last_usec: Some(0), grown_nsec: START_NSEC, ..Quota::new(Level::Own) };
    assert_eq!(quota.grow(START_NSEC + 100_000_000, 42_000_000, 30_000_000).nsec(), 42_000_000);
    // Its next throttle does not reach back beyond that one, whatever the kernel claims.
    assert_eq!(quota.grow(START_NSEC + 150_000_000, 70_000_000, 30_000_000).nsec(), 50_000_000);
}

#[test]
fn a_wait_that_can_contain_a_throttle_contains_all_of_it() {
    let msec = |msec: u64| msec * 1_000_000;
    let mut throttled = Union::new(4);
    throttled.insert(Span { start: msec(30), end: msec(100) }, |_| {});
    for (name, wait, expected) in [
        ("it ran second, and was read a reading later", (45, 120), (30, 105)),
        ("it woke up while the others were stopped", (55, 130), (55, 130)),
        ("it is shorter than the throttle", (40, 100), (40, 100)),
        ("it began before the throttle", (25, 105), (25, 105)),
        ("it began after the throttle", (101, 190), (101, 190)),
    ] {
        let span = |(start, end)| Span { start: msec(start), end: msec(end) };
        assert_eq!(begun_with_throttle(span(wait), msec(20), &throttled), span(expected), "{name}");
    }
}

#[test]
fn siblings_stopped_by_a_quota_use_no_cpu_meanwhile() {
    // Two threads share a CPU for 40 ms, 20 each, and are stopped for the other 60.
    let mut fold = under_quota(8);
    fold.add(Some(START_NSEC));
    fold.add(Some(START_NSEC));
    fold.throttled(0, START_NSEC, 0);
    let at = START_NSEC + TICK_NSEC;
    for thread in 0..2 {
        fold.thread(thread, at, Schedstat { run_nsec: 20_000_000, wait_nsec: 80_000_000 });
    }
    fold.throttled(0, at, 60_000);
    fold.tick(0, at);
    // Each waits 20 ms while the other has half of the CPU.
    assert_eq!(fold.send(0), [40_000_000, 160_000_000, 120_000_000, 20_000_000]);
}

#[test]
fn what_several_quotas_stop_at_once_counts_once_and_for_the_nearest_whichever_is_heard_of_first() {
    let msec = |msec: u64| START_NSEC + msec * 1_000_000;
    let mut fold = Fold::new(START_NSEC, 8);
    fold.set_quotas([Level::Own, Level::Pod, Level::Slice].into_iter());
    fold.add(Some(START_NSEC));
    (0..3).for_each(|quota| fold.throttled(quota, START_NSEC, 0));
    fold.thread(0, msec(10), Schedstat { run_nsec: 10_000_000, wait_nsec: 0 });
    // Its pod's quota stops it from 30 to 60, its own from 40 to 80, its class's from 70 to 95.
    fold.throttled(1, msec(60), 30_000);
    assert_eq!(fold.stopped_nsec(), [0, 30_000_000, 30_000_000]);
    fold.throttled(0, msec(80), 40_000);
    fold.throttled(2, msec(95), 25_000);
    assert_eq!(fold.stopped_nsec(), [40_000_000, 50_000_000, 65_000_000], "own, pod's too, any");
    fold.thread(0, msec(100), Schedstat { run_nsec: 10_000_000, wait_nsec: 90_000_000 });
    fold.tick(0, msec(100));
    assert_eq!(fold.send(0)[1..3], [90_000_000, 65_000_000], "a wait inside two throttles counts once");
}

#[test]
fn quotas_that_come_and_go_leave_what_was_counted() {
    let mut fold = under_quota(8);
    fold.throttled(0, START_NSEC, 5_000);
    fold.throttled(0, START_NSEC + TICK_NSEC, 45_000);
    fold.set_quotas([Level::Own, Level::Slice].into_iter());
    for (quota, usec) in [(0, 45_000), (1, 900_000)] {
        fold.throttled(quota, START_NSEC + TICK_NSEC, usec);
    }
    assert_eq!(fold.stopped_nsec(), [40_000_000; 3], "of each the first reading is where counting starts");
    fold.throttled(1, START_NSEC + 2 * TICK_NSEC, 930_000);
    assert_eq!(fold.stopped_nsec(), [40_000_000, 40_000_000, 70_000_000]);
}

#[test]
fn a_thread_alone_never_blames_itself() {
    let mut fold = one_thread(&[(20, 10, 10), (60, 30, 30), (100, 50, 50)]);
    assert_eq!(fold.send(0), [50_000_000, 50_000_000, 0, 0]);
}
