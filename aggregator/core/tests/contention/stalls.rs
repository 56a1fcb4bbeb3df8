//! Memory and block I/O: what a model waits for besides CPU time.

use std::time::Duration;

use berth_core::{
    contention::{Confidence, Detector, Episode, Resource, Tier, Verdict},
    frame::{ContainerUse, Frame, IoUse, Limits, NodeUse, Pressure, Reclaim},
    who::Role,
};

use crate::sim::{START, container, key};

const TICK: Duration = Duration::from_millis(100);
const GIB: u64 = 1 << 30;

/// What a container does in each second, of which every tenth tick hears.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    usage_msec: u64,
    pressure: Pressure,
    memory_bytes: u64,
    reclaim: Reclaim,
    io: IoUse,
    limits: Limits,
}

fn frame(tick: u64, available_bytes: u64, containers: &[(&str, Role, Second)]) -> Frame {
    let at = START + TICK * u32::try_from(tick).expect("a test has few ticks");
    let is_read = tick.is_multiple_of(10);
    let of = |(index, (name, role, second)): (usize, &(&str, Role, Second))| ContainerUse {
        pressure: Some(if is_read { second.pressure } else { Pressure::default() }),
        memory_bytes: Some(second.memory_bytes),
        reclaim: Some(if is_read {
            second.reclaim
        } else {
            Reclaim {
                anon_bytes: second.reclaim.anon_bytes,
                file_bytes: second.reclaim.file_bytes,
                ..Reclaim::default()
            }
        }),
        io: Some(if is_read { second.io } else { IoUse::default() }),
        limits: Some(second.limits),
        ..ContainerUse::new(key(index), container(name, *role, []).who, second.usage_msec * 100_000)
    };
    Frame {
        tick,
        at,
        dt_nsec: 100_000_000,
        node: Some(NodeUse { cpus: 2, idle_nsec: 100_000_000, ..NodeUse::default() }),
        node_pressure: None,
        available_bytes: Some(available_bytes),
        containers: containers.iter().enumerate().map(of).collect(),
        gpus: Vec::new(),
    }
}

/// The episodes of ten quiet seconds, ten in which `hurt` holds, and ten quiet ones: each as it was last.
fn detect(
    available_bytes: u64,
    quiet: &[(&str, Role, Second)],
    hurt: &[(&str, Role, Second)],
) -> Vec<Episode> {
    let mut detector = Detector::new("node-1".to_owned());
    let mut last: Vec<Episode> = Vec::new();
    for tick in 1..=300 {
        let now = if (101..=200).contains(&tick) { hurt } else { quiet };
        let frame = frame(tick, available_bytes, now);
        let at = frame.at;
        detector.push(frame);
        for episode in detector.step(at) {
            last.retain(|known| known.id != episode.id);
            last.push(episode);
        }
    }
    last
}

fn model() -> Second {
    let limits = Limits { memory_bytes: Some(GIB), ..Limits::default() };
    Second { usage_msec: 200, memory_bytes: GIB / 2, limits, ..Second::default() }
}

fn stalled_for_memory(msec: u64) -> Pressure {
    Pressure { memory_some_usec: msec * 1000, memory_full_usec: msec * 1000, ..Pressure::default() }
}

fn stalled_for_io(msec: u64) -> Pressure {
    Pressure { io_some_usec: msec * 1000, io_full_usec: msec * 1000, ..Pressure::default() }
}

fn names(episode: &Episode) -> Vec<String> {
    episode.culprits().iter().map(|who| who.display_name()).collect()
}

#[test]
fn a_model_at_its_own_memory_limit_hurts_itself_whoever_is_beside_it() {
    let scanner = Second { usage_msec: 900, memory_bytes: 8 * GIB, ..Second::default() };
    let hurt = Second {
        pressure: stalled_for_memory(300),
        memory_bytes: GIB,
        reclaim: Reclaim { limit_hits: 50, refaults: 4000, ..Reclaim::default() },
        ..model()
    };
    let with = |model| [("model", Role::Model, model), ("scan", Role::Scanner, scanner)];
    // The node is short of memory too: its own limit comes first, because mending the node would not help.
    for available_bytes in [8 * GIB, GIB / 8] {
        let told = detect(available_bytes, &with(model()), &with(hurt));
        let [episode] = &told[..] else { panic!("one episode: {told:?}") };
        assert_eq!((episode.resource, episode.verdict), (Resource::Memory, Verdict::MemoryOwnLimit));
        assert_eq!((episode.confidence, episode.tier), (Confidence::Confirmed, Tier::Pressure));
        assert!((episode.slowdown.estimate - 2.5).abs() < 0.1, "{:?}", episode.slowdown);
        assert!(episode.cleared.is_some() && names(episode).is_empty());
    }
}

#[test]
fn who_thrashes_the_nodes_memory_is_named_for_it() {
    let thrash = Reclaim { refaults: 20_000, direct_reclaim_pages: 5_000, ..Reclaim::default() };
    // What was taken from it, it reads again.
    let victim = Reclaim { refaults: 60_000, ..Reclaim::default() };
    let idle = Second { usage_msec: 10, memory_bytes: GIB, ..Second::default() };
    let quiet = [("model", Role::Model, model()), ("scan", Role::Scanner, idle), ("web", Role::Other, idle)];
    let hurt = [
        ("model", Role::Model, Second { pressure: stalled_for_memory(100), reclaim: victim, ..model() }),
        ("scan", Role::Scanner, Second { usage_msec: 500, reclaim: thrash, ..idle }),
        ("web", Role::Other, idle),
    ];
    let told = detect(GIB / 8, &quiet, &hurt);
    let [episode] = &told[..] else { panic!("one episode: {told:?}") };
    assert_eq!((episode.resource, episode.verdict), (Resource::Memory, Verdict::Neighbour));
    assert_eq!(names(episode), ["demo/scan"]);
}

#[test]
fn who_keeps_the_device_busy_is_named_in_proportion_and_own_reads_are_the_models_work() {
    let moved = |mib: u64| IoUse { read_bytes: mib << 20, read_ops: mib * 8, ..IoUse::default() };
    let reading = Second { io: moved(4), pressure: stalled_for_io(60), ..model() };
    let scan = |mib| Second { usage_msec: 100, io: moved(mib), ..Second::default() };
    let with = |model, large, small| {
        [
            ("model", Role::Model, model),
            ("large", Role::Scanner, scan(large)),
            ("small", Role::Scanner, scan(small)),
        ]
    };
    let alone = with(reading, 0, 0);
    assert!(detect(8 * GIB, &alone, &alone).is_empty());
    let slow = Second { pressure: stalled_for_io(400), ..reading };
    let told = detect(8 * GIB, &alone, &with(slow, 72, 24));
    let [episode] = &told[..] else { panic!("one episode: {told:?}") };
    assert_eq!((episode.resource, episode.verdict), (Resource::Io, Verdict::Neighbour));
    assert_eq!(names(episode), ["demo/large", "demo/small"]);
    assert_eq!(episode.confidence, Confidence::Possible, "which device each uses is not known");
    assert!((episode.shares[0].share - 0.75).abs() < 1e-9, "{:?}", episode.shares);
}

#[test]
fn a_model_short_of_memory_and_behind_a_disk_has_an_episode_of_each() {
    let quiet = [("model", Role::Model, model()), ("scan", Role::Scanner, Second::default())];
    let both = Pressure { io_some_usec: 200_000, ..stalled_for_memory(200) };
    let io = IoUse { write_bytes: GIB / 8, write_ops: 1000, ..IoUse::default() };
    let hits = Reclaim { limit_hits: 50, ..Reclaim::default() };
    let hurt = [
        ("model", Role::Model, Second { pressure: both, reclaim: hits, ..model() }),
        ("scan", Role::Scanner, Second { io, ..Second::default() }),
    ];
    let mut resources: Vec<_> = detect(8 * GIB, &quiet, &hurt).iter().map(|told| told.resource).collect();
    resources.sort_unstable();
    assert_eq!(resources, [Resource::Memory, Resource::Io]);
}

#[test]
fn what_has_no_pressure_file_has_no_episode_of_it() {
    let mut detector = Detector::new("node-1".to_owned());
    for tick in 1..=100 {
        let mut frame = frame(tick, GIB, &[("model", Role::Model, model())]);
        frame.containers[0].pressure = None;
        frame.containers[0].reclaim = Some(Reclaim { limit_hits: 9, ..Reclaim::default() });
        let at = frame.at;
        detector.push(frame);
        assert!(detector.step(at).is_empty());
    }
}

#[test]
fn who_grows_on_a_tight_node_is_named_for_what_is_reclaimed_from_others() {
    let mut detector = Detector::new("node-1".to_owned());
    let mut last = None;
    for tick in 1..=200_u64 {
        let hurt = tick > 100;
        let pressure = if hurt { stalled_for_memory(200) } else { Pressure::default() };
        let grown = if hurt { (tick - 100) << 24 } else { 0 };
        let scan = Reclaim { anon_bytes: GIB + grown, ..Reclaim::default() };
        let victim = Reclaim { file_bytes: GIB / 4, refaults: 9_000, ..Reclaim::default() };
        let containers = [
            ("model", Role::Model, Second { pressure, reclaim: victim, ..model() }),
            ("scan", Role::Scanner, Second { usage_msec: 300, reclaim: scan, ..Second::default() }),
        ];
        let frame = frame(tick, GIB / 8, &containers);
        let at = frame.at;
        detector.push(frame);
        last = detector.step(at).pop().or(last);
    }
    let episode = last.unwrap();
    assert_eq!((episode.resource, episode.verdict), (Resource::Memory, Verdict::Neighbour));
    assert_eq!(names(&episode), ["demo/scan"]);
}

#[test]
fn a_model_that_takes_a_tight_nodes_memory_itself_is_under_no_limit() {
    let mut detector = Detector::new("node-1".to_owned());
    let mut last = None;
    for tick in 1..=200_u64 {
        let pressure = if tick > 100 { stalled_for_memory(200) } else { Pressure::default() };
        let grown = tick.saturating_sub(100) << 25;
        let reclaim = Reclaim { anon_bytes: GIB + grown, ..Reclaim::default() };
        let growing = Second { pressure, reclaim, limits: Limits::default(), ..model() };
        let web = Second { usage_msec: 100, ..Second::default() };
        let frame = frame(tick, GIB / 8, &[("model", Role::Model, growing), ("web", Role::Other, web)]);
        let at = frame.at;
        detector.push(frame);
        last = detector.step(at).pop().or(last);
    }
    let episode = last.unwrap();
    assert_eq!((episode.resource, episode.verdict), (Resource::Memory, Verdict::SelfOversubscribed));
    assert!(names(&episode).is_empty());
}

#[test]
fn a_container_full_of_files_is_at_its_limit_only_where_charges_fail() {
    let full = Second { memory_bytes: GIB - GIB / 32, ..model() };
    let scan = |msec, refaults| {
        let reclaim = Reclaim { refaults, ..Reclaim::default() };
        Second { usage_msec: msec, memory_bytes: GIB, reclaim, ..Second::default() }
    };
    let quiet = [("model", Role::Model, full), ("scan", Role::Scanner, scan(10, 0))];
    let stalled = Second { pressure: stalled_for_memory(200), ..full };
    let hurt = [("model", Role::Model, stalled), ("scan", Role::Scanner, scan(500, 20_000))];
    let told = detect(GIB / 8, &quiet, &hurt);
    let [episode] = &told[..] else { panic!("one episode: {told:?}") };
    assert_eq!((episode.resource, episode.verdict), (Resource::Memory, Verdict::Neighbour));
    assert_eq!(names(episode), ["demo/scan"]);
}

#[test]
fn a_stall_without_any_shortage_is_laid_on_nobody() {
    let quiet = [("model", Role::Model, model()), ("scan", Role::Scanner, Second::default())];
    let stalled = Second { pressure: stalled_for_memory(300), ..model() };
    let hurt = [("model", Role::Model, stalled), ("scan", Role::Scanner, Second::default())];
    assert!(detect(8 * GIB, &quiet, &hurt).is_empty());
}
