use std::sync::Arc;

use berth::CpuList;
use proptest::prelude::*;

use super::*;
use crate::{
    contention::{
        fixtures::{key, suspect},
        history::{History, TOLD_OVER},
        step::{NodeHeld, Step},
    },
    frame::ContainerUse,
};

const DT_NSEC: u64 = 100_000_000;

fn step(node: Option<NodeHeld>, threads: ThreadUse, others: &[u64]) -> Step {
    let victim =
        ContainerUse { threads: Some(threads), ..suspect(1, threads.run_nsec.max(0).unsigned_abs()) };
    let suspects = others.iter().zip(2..).map(|(usage, number)| suspect(number, *usage));
    Step::for_test(DT_NSEC, node, std::iter::once(victim).chain(suspects).collect())
}

fn parts(split: &Split) -> f64 {
    let others: f64 = split.others.iter().map(|held| held.nsec).sum();
    split.throttled + split.own + split.irq + split.steal + split.unowned + others
}

fn msec(msec: f64) -> i64 {
    format!("{:.0}", msec * 1e6).parse().unwrap()
}

/// `threads` that always want to run share one CPU with a hog or alone, as in the measurements at a
/// quota of 30 ms in 100 ms; rates in ms/s. The expected own and foreign waits follow by arithmetic.
struct Golden {
    name: &'static str,
    threads: f64,
    run: f64,
    wait: f64,
    throttled_wall: f64,
    hog: bool,
    own: f64,
    foreign: f64,
}

const GOLDEN: [Golden; 5] = [
    Golden {
        name: "1 thread, quota, alone",
        threads: 1.0,
        run: 299.0,
        wait: 699.0,
        throttled_wall: 698.0,
        hog: false,
        own: 0.0,
        foreign: 0.0,
    },
    Golden {
        name: "1 thread, quota, hog",
        threads: 1.0,
        run: 300.0,
        wait: 700.0,
        throttled_wall: 423.0,
        hog: true,
        own: 0.0,
        foreign: 277.0,
    },
    Golden {
        name: "3 threads, quota, alone",
        threads: 3.0,
        run: 301.0,
        wait: 2700.0,
        throttled_wall: 699.0,
        hog: false,
        own: 602.0,
        foreign: 0.0,
    },
    Golden {
        name: "3 threads, quota, hog",
        threads: 3.0,
        run: 300.0,
        wait: 2699.0,
        throttled_wall: 424.0,
        hog: true,
        own: 600.0,
        foreign: 828.0,
    },
    Golden {
        name: "3 threads, no quota, hog",
        threads: 3.0,
        run: 516.0,
        wait: 2482.0,
        throttled_wall: 0.0,
        hog: true,
        own: 1032.0,
        foreign: 1452.0,
    },
];

#[test]
fn the_measured_rows_split_as_arithmetic_says() {
    for row in GOLDEN {
        let siblings = row.run * (row.threads - 1.0) / row.threads / (1000.0 - row.throttled_wall);
        let throttled = row.threads * row.throttled_wall;
        let tick = 0.1;
        let threads = ThreadUse {
            run_nsec: msec(row.run * tick),
            wait_nsec: msec(row.wait * tick),
            throttled_nsec: msec(throttled * tick),
            sibling_nsec_cpus: msec((row.wait - throttled) * siblings * tick),
        };
        let hog = if row.hog { msec((1000.0 - row.run) * tick).unsigned_abs() } else { 0 };
        let node = NodeHeld { cpus: 1.0, ..NodeHeld::default() };
        let split = decompose(&step(Some(node), threads, &[hog]), key(1), &mut Carry::default()).unwrap();
        let foreign: f64 = split.others.iter().map(|held| held.nsec).sum();
        for (what, got, expected) in [("own", split.own, row.own), ("foreign", foreign, row.foreign)] {
            let got = got / 1e6 / tick;
            assert!((got - expected).abs() <= 3.0, "{}: {what} {got}, expected {expected}", row.name);
        }
    }
}

/// A thread that runs 157 ms of a second, beside others: `(run + wait) / run` as it was seen, and how much
/// longer its requests took.
const MEASURED: [(&str, f64, f64); 4] = [
    ("a hog", 1.70, 1.59),
    ("a neighbour of 30 %, on and off", 1.37, 1.28),
    ("a hog that copies memory", 1.95, 1.89),
    ("nobody", 1.01, 1.01),
];

#[test]
fn the_measured_slowdowns_are_told_within_a_twentieth() {
    let run = 15.7;
    for (beside, seen, measured) in MEASURED {
        let threads =
            ThreadUse { run_nsec: msec(run), wait_nsec: msec((seen - 1.0) * run), ..ThreadUse::default() };
        let node = NodeHeld { cpus: 1.0, ..NodeHeld::default() };
        let other = msec(100.0 - run).unsigned_abs();
        let mut history = History::new(None);
        history.push(&step(Some(node), threads, &[other]), key(1));
        let told = history.trailing(TOLD_OVER).slowdown();
        assert!((told / measured - 1.0).abs() < 0.05, "beside {beside}: told {told}, measured {measured}");
    }
}

#[test]
fn one_thread_that_waits_while_nobody_runs_waits_for_nobody() {
    let split = |wait_nsec, node| {
        let threads = ThreadUse { run_nsec: 20_000_000, wait_nsec, ..ThreadUse::default() };
        decompose(&step(node, threads, &[]), key(1), &mut Carry::default()).unwrap()
    };
    let node = Some(NodeHeld { cpus: 1.0, ..NodeHeld::default() });
    for (wait_nsec, node) in [(30_000_000, node), (3_000_000, node), (30_000_000, None)] {
        let split = split(wait_nsec, node);
        assert!(split.own.abs() < 1e-9, "it never waits for itself");
        assert!(split.throttled.abs() < 1e-9, "no counter of a quota says so");
        assert!((split.unowned - wait_nsec as f64).abs() < 1e-3);
    }
}

#[test]
fn a_neighbour_that_hardly_ran_is_not_blamed() {
    let threads = ThreadUse { run_nsec: 20_000_000, wait_nsec: 9_000_000, ..ThreadUse::default() };
    let split = decompose(&step(None, threads, &[500_000]), key(1), &mut Carry::default()).unwrap();
    assert!(split.others.is_empty() && (split.unowned - 9e6).abs() < 1e-3);
}

#[test]
fn a_correction_below_zero_is_taken_from_the_next_step() {
    let mut carry = Carry::default();
    let mut wait = |wait_nsec| {
        let threads = ThreadUse { run_nsec: 20_000_000, wait_nsec, ..ThreadUse::default() };
        decompose(&step(None, threads, &[]), key(1), &mut carry).unwrap().wait
    };
    assert!(wait(-3_000_000).abs() < 1e-9);
    assert!((wait(10_000_000) - 7e6).abs() < 1e-9);
}

#[test]
fn a_container_without_threads_has_use_and_no_wait() {
    let step = Step::for_test(DT_NSEC, None, vec![suspect(1, 5_000_000)]);
    let split = decompose(&step, key(1), &mut Carry::default()).unwrap();
    assert!(!split.seen && split.wait.abs() < 1e-9 && (split.usage - 5e6).abs() < 1e-9);
    assert!(decompose(&step, key(2), &mut Carry::default()).is_none());
}

prop_compose! {
    fn any_threads()(
        run_nsec in -5_000_000_i64..400_000_000,
        wait_nsec in -5_000_000_i64..2_000_000_000,
        throttled_nsec in -5_000_000_i64..2_000_000_000,
        sibling_nsec_cpus in -5_000_000_i64..4_000_000_000,
    ) -> ThreadUse {
        ThreadUse { run_nsec, wait_nsec, throttled_nsec, sibling_nsec_cpus }
    }
}

prop_compose! {
    fn any_node()(
        cpus in 1_u32..64,
        irq_nsec in 0.0..1e8,
        steal_nsec in 0.0..1e8,
        unowned_nsec in 0.0..1e9,
    ) -> NodeHeld {
        NodeHeld { cpus: f64::from(cpus), irq_nsec, steal_nsec, unowned_nsec }
    }
}

proptest! {
    #[test]
    fn the_parts_sum_to_the_wait_and_no_wait_is_lost(
        steps in prop::collection::vec(
            (any_threads(), prop::option::of(any_node()), prop::collection::vec(0_u64..400_000_000, 0..6)),
            1..20,
        ),
    ) {
        let mut carry = Carry::default();
        let (mut told, mut seen) = (0.0, 0.0);
        for (threads, node, others) in steps {
            let split = decompose(&step(node, threads, &others), key(1), &mut carry).unwrap();
            prop_assert!((parts(&split) - split.wait).abs() <= 1e-9 * split.wait.max(1.0));
            let all = [split.throttled, split.own, split.irq, split.steal, split.unowned];
            prop_assert!(all.iter().chain(split.others.iter().map(|held| &held.nsec)).all(|part| *part >= 0.0));
            told += split.wait;
            seen += threads.wait_nsec as f64;
        }
        prop_assert!((told + carry.0.wait_nsec as f64 - seen).abs() < 1.0);
    }
}

fn on(cpus: &str, of: ContainerUse) -> ContainerUse {
    ContainerUse { cpus: Some(Arc::new(CpuList::parse(cpus).unwrap())), ..of }
}

#[test]
fn who_cannot_run_on_the_victims_cpus_held_none_of_them() {
    let threads = ThreadUse { run_nsec: 50_000_000, wait_nsec: 40_000_000, ..ThreadUse::default() };
    let victim = ContainerUse { threads: Some(threads), ..suspect(1, 50_000_000) };
    let pinned = on("0", victim.clone());
    let elsewhere = || on("1-3", suspect(2, 200_000_000));
    let beside = || on("0", suspect(3, 30_000_000));
    let roaming = || suspect(4, 80_000_000);
    let node = Some(NodeHeld { cpus: 4.0, ..NodeHeld::default() });
    let shares = |containers: Vec<ContainerUse>| {
        let step = Step::for_test(DT_NSEC, node, containers);
        let split = decompose(&step, key(1), &mut Carry::default()).unwrap();
        assert!((parts(&split) - split.wait).abs() < 1e-3);
        split.others.iter().map(|held| (held.key, held.nsec / split.wait)).collect::<Vec<_>>()
    };
    assert_eq!(shares(vec![pinned.clone(), elsewhere(), beside()]), [(key(3), 1.0)]);
    let told = shares(vec![pinned, elsewhere(), beside(), roaming()]);
    assert!(told.iter().map(|(key, _)| *key).eq([key(3), key(4)]));
    assert!((told[0].1 - 0.6).abs() < 1e-9, "a quarter of what roams over four CPUs: {told:?}");
    let told = shares(vec![victim, elsewhere()]);
    assert_eq!(told, [(key(2), 1.0)], "a victim that is not pinned may have waited anywhere");
}
