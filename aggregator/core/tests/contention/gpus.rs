//! Time on a GPU: who holds it while a model waits, as episodes.

use std::time::Duration;

use berth::{
    CgroupVersion, NodeFacts, NodeName, SeriesId,
    trace::{Entry, Header},
};
use berth_core::{
    contention::{Confidence, Detector, Episode, Input, Replay, Resource, Tier, Verdict},
    frame::{ContainerUse, Frame, GpuUse, GpuUser, NodeUse},
    trace::{Decoder, Encoder},
    who::Role,
};

use crate::sim::{START, container, key};

const TICK: Duration = Duration::from_millis(100);
const GIB: u64 = 1 << 30;

/// How long the model, the scanner, and what nobody owns hold the GPU, in thousandths; `None` is no user.
type Held = [Option<u64>; 3];

const ALONE: Held = [Some(400), None, None];

fn frame(tick: u64, held: Held) -> Frame {
    let containers = [("model", Role::Model), ("scan", Role::Scanner)];
    let of = |(index, (name, role)): (usize, (&str, Role))| {
        ContainerUse::new(key(index), container(name, role, []).who, 20_000_000)
    };
    let owners = [Some(key(0).0), Some(key(1).0), None];
    let user = |(container, sm_permille): (Option<SeriesId>, Option<u64>)| {
        sm_permille?;
        Some(GpuUser { container, sm_permille, memory_used_bytes: Some(10 * GIB) })
    };
    Frame {
        tick,
        at: START + TICK * u32::try_from(tick).expect("a test has few ticks"),
        dt_nsec: 100_000_000,
        node: Some(NodeUse { cpus: 2, idle_nsec: 160_000_000, ..NodeUse::default() }),
        node_pressure: None,
        available_bytes: Some(8 * GIB),
        containers: containers.into_iter().enumerate().map(of).collect(),
        gpus: vec![GpuUse {
            key: key(9).0,
            sm_permille: Some(held.iter().flatten().sum::<u64>().min(1000)),
            memory_used_bytes: Some(20 * GIB),
            memory_total_bytes: 80 * GIB,
            users: owners.into_iter().zip(held).filter_map(user).collect(),
        }],
    }
}

/// Ten seconds alone, ten in which it is held like this, and ten alone again.
fn inputs(held: Held) -> Vec<Input> {
    let frames = (1..=300).map(|tick| frame(tick, if (101..=200).contains(&tick) { held } else { ALONE }));
    frames.flat_map(|frame| [Input::Frame(frame.clone()), Input::Step(frame.at)]).collect()
}

/// The episodes, each as it was last.
fn detect(held: Held) -> Vec<Episode> {
    let mut replay = Replay::new("node-1".to_owned());
    for input in inputs(held) {
        replay.take(input);
    }
    replay.finish()
}

fn only(held: Held) -> Episode {
    let mut told = detect(held);
    assert_eq!(told.len(), 1, "{told:?}");
    let episode = told.remove(0);
    assert_eq!((episode.resource, episode.tier), (Resource::GpuTime, Tier::Usage));
    assert_eq!(episode.confidence, Confidence::Possible, "it may have had no work meanwhile");
    assert!((episode.slowdown.lo - 1.0).abs() < 1e-9 && !episode.saturated, "{:?}", episode.slowdown);
    episode
}

#[test]
fn a_model_that_shares_its_gpu_in_turns_is_slowed_by_at_most_what_the_other_holds() {
    let episode = only([Some(250), Some(750), None]);
    assert_eq!(episode.verdict, Verdict::Neighbour);
    let names: Vec<_> = episode.culprits().iter().map(|who| who.display_name()).collect();
    assert_eq!(names, ["demo/scan"]);
    assert!((episode.slowdown.estimate - 4.0).abs() < 0.1, "{:?}", episode.slowdown);
    assert!(episode.slowdown.hi >= episode.slowdown.estimate);
    let evidence = |name: &str| episode.evidence.iter().find(|one| one.name == name).map(|one| one.value);
    assert!(evidence("gpu_msec_per_sec").is_some_and(|msec| (msec - 250.0).abs() < 25.0), "{episode:?}");
    let lasted = episode.cleared.expect("it has cleared").since(episode.onset);
    assert!((9..=11).contains(&lasted.as_secs()), "{lasted:?}");
}

#[test]
fn work_that_is_nobodys_is_told_as_such() {
    assert_eq!(only([Some(400), None, Some(600)]).verdict, Verdict::Unowned);
}

#[test]
fn a_busy_model_alone_and_a_gpu_with_room_are_no_episodes() {
    for held in [[Some(1000), None, None], [Some(450), Some(480), None], [Some(20), Some(980), None]] {
        assert!(detect(held).is_empty(), "{held:?}");
    }
}

#[test]
fn a_process_that_leaves_the_gpu_ends_its_episode() {
    let mut detector = Detector::new("node-1".to_owned());
    let mut told = Vec::new();
    for tick in 1..=150 {
        let held = if tick <= 100 { [Some(500), Some(500), None] } else { [None, Some(1000), None] };
        let frame = frame(tick, held);
        let now = frame.at;
        detector.push(frame);
        told.extend(detector.step(now).into_iter().map(|episode| (tick, episode)));
    }
    let (tick, last) = told.last().expect("an episode");
    assert!(last.cleared.is_some() && *tick <= 120, "tick {tick}: {last:?}");
    assert_eq!(detector.models()[0].episode, None);
}

fn header() -> Entry {
    let facts = NodeFacts {
        cpus: 2,
        cpu_list: "0-1".to_owned(),
        memory_bytes: 8 * GIB,
        cgroup_version: CgroupVersion::V2,
        pressure: true,
        thread_waits: true,
        kernel: "simulated".to_owned(),
        gpus: 1,
        hidden_processes: 0,
    };
    let node = NodeName::new("node-1").expect("a name");
    let (berth_version, start_unix_nsec) = ("0.1.0".to_owned(), START.0);
    Entry::Header(Box::new(Header {
        berth_version,
        node,
        facts,
        start_unix_nsec,
        named: true,
        threads: false,
    }))
}

#[test]
fn a_trace_with_gpus_says_what_was_said_live() {
    let inputs = inputs([Some(300), Some(500), Some(200)]);
    let mut encoder = Encoder::new(START);
    let entries = inputs.iter().flat_map(|input| encoder.encode(input).expect("few names"));
    let files: Vec<Vec<u8>> = [header()].into_iter().chain(entries).map(Entry::to_file).collect();
    let mut entries = files.iter().map(|file| {
        let length = Entry::length(file).expect("it is short").expect("it is whole");
        Entry::from_file(&file[file.len() - length..]).expect("it was written so")
    });
    let mut decoder = Decoder::new(entries.next().expect("a header")).expect("a header");
    let decoded: Vec<Input> = entries.filter_map(|entry| decoder.decode(entry).expect("named")).collect();
    assert_eq!(decoded, inputs);
    let mut replay = Replay::new("node-1".to_owned());
    for input in decoded {
        replay.take(input);
    }
    let told = replay.finish();
    assert_eq!(told, detect([Some(300), Some(500), Some(200)]));
    assert_eq!(told.len(), 1);
}
