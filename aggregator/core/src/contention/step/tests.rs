use std::time::Duration;

use super::*;
use crate::contention::fixtures::{key, suspect};

const MSEC: u64 = 1_000_000;

fn frame(tick: u64, msec: u64, node: Option<NodeUse>, containers: Vec<ContainerUse>) -> Frame {
    Frame {
        tick,
        at: AxisNsec(tick * msec * MSEC),
        dt_nsec: msec * MSEC,
        node,
        node_pressure: None,
        available_bytes: None,
        containers,
        gpus: Vec::new(),
    }
}

fn node(idle_nsec: u64) -> NodeUse {
    NodeUse { cpus: 2, idle_nsec, irq_nsec: 0, steal_nsec: 0 }
}

#[test]
fn fast_ticks_are_laid_together_and_nothing_is_lost() {
    let mut assembler = Assembler::default();
    let steps: Vec<Step> = (1..=50)
        .filter_map(|tick| {
            let threads = Some(ThreadUse { wait_nsec: 1, ..ThreadUse::default() });
            let containers = match tick % 2 {
                0 => vec![ContainerUse { threads, ..suspect(1, 3) }, suspect(2, 4)],
                _ => vec![suspect(2, 4)],
            };
            assembler.push(frame(tick, 20, Some(node(10 * MSEC)), containers))
        })
        .collect();
    assert_eq!(steps.len(), 12);
    assert!(steps.iter().all(|step| step.dt_nsec == 80 * MSEC && step.containers.len() == 2));
    let first = steps[0].container(key(1)).unwrap();
    assert_eq!((first.usage_nsec, first.threads.unwrap().wait_nsec), (6, 2));
    assert!(steps[0].holds(4) && !steps[0].holds(5));
}

#[test]
fn a_tick_at_ten_hertz_is_a_step_in_spite_of_jitter() {
    let mut assembler = Assembler::default();
    assert!(assembler.push(frame(1, 93, None, Vec::new())).is_some());
    assert!(assembler.push(frame(2, 107, None, Vec::new())).is_some());
    assert!(assembler.push(frame(2, 107, None, Vec::new())).is_none(), "a repeat");
}

#[test]
fn late_news_reaches_the_step_under_way() {
    let mut assembler = Assembler::default();
    let threads = Some(ThreadUse::default());
    let containers = vec![ContainerUse { threads, ..suspect(1, 0) }];
    assert!(assembler.push(frame(1, 50, None, containers.clone())).is_none());
    let add = ThreadUse { wait_nsec: 9, ..ThreadUse::default() };
    assert!(assembler.correct(&Late { tick: 1, key: key(1), add }));
    assert!(!assembler.correct(&Late { tick: 0, key: key(1), add }));
    let step = assembler.push(frame(2, 50, None, containers)).unwrap();
    assert_eq!(step.container(key(1)).unwrap().threads.unwrap().wait_nsec, 9);
}

/// What the node used beside its containers, told over a minute through counters in quanta of 10 ms
/// and cgroups that lag by up to 4 ms.
fn unowned_told(unowned_msec_per_step: u64) -> Vec<f64> {
    let mut assembler = Assembler::default();
    let (mut busy, mut idle_told, mut usage_told) = (0, 0, 0);
    (1..=600)
        .map(|tick| {
            busy += 61 * MSEC;
            let idle =
                (tick * 200 * MSEC - busy - tick * unowned_msec_per_step * MSEC) / (10 * MSEC) * (10 * MSEC);
            let usage = busy - tick * 7 % 5 * MSEC;
            let containers = vec![suspect(1, usage - usage_told)];
            let frame = frame(tick, 100, Some(node(idle - idle_told)), containers);
            (idle_told, usage_told) = (idle, usage);
            assembler.push(frame).unwrap().node.unwrap().unowned_nsec
        })
        .collect()
}

#[test]
fn the_noise_of_coarse_counters_is_nobodys_work() {
    assert!(unowned_told(0).iter().all(|nsec| *nsec <= 0.0));
}

#[test]
fn work_in_no_cgroup_is_told_once_it_passes_the_noise() {
    let told = unowned_told(10);
    let mean = told.iter().sum::<f64>() / 600.0;
    assert!((mean - 10e6).abs() < 0.5e6, "{mean}");
}

#[test]
fn irq_and_steal_are_told_as_their_mean_over_a_second() {
    let mut assembler = Assembler::default();
    let mut told = 0.0;
    for tick in 1..=50 {
        let steal_nsec = if tick % 5 == 0 { 10 * MSEC } else { 0 };
        let node = NodeUse { steal_nsec, ..node(198 * MSEC) };
        told = assembler.push(frame(tick, 100, Some(node), Vec::new())).unwrap().node.unwrap().steal_nsec;
    }
    assert!((told - 2e6).abs() < 1.0, "{told}");
    assert_eq!(NODE_WINDOW, Duration::from_secs(1));
}
