//! From records to episodes: what the detector says of what the stream brought.

use berth::{Batch, Block, Gap, GapReason, Group, Record, Seq, Series, SeriesId, Subject};
use berth_core::{
    contention::{Cause, Episode, Verdict},
    node::Node,
    time::AxisNsec,
    who::Role,
};

use crate::{
    agent::{at, container, packed},
    world::{HOUR, attached},
};

/// The node, a model and a scanner on two CPUs; from 5 s to 15 s they fight.
fn records() -> Vec<Record> {
    let (mut busy, mut idle, mut model, mut scanner) = (0, 0, 0, 0);
    let record = |number: u64| {
        let fight = (50..150).contains(&number);
        let (run, scan) = if fight { (60_000, 140_000) } else { (60_000, 0) };
        let wait = if fight { 60_000_000 } else { 100_000 };
        (busy, idle) = (busy + run + scan, idle + 200_000 - run - scan);
        (model, scanner) = (model + run, scanner + scan);
        let block =
            |group, values: &[i64]| Block { group, values: packed(values), absent: bytes::Bytes::new() };
        Record::Batch(Batch {
            seq: Seq::new(number + 1).unwrap(),
            first_tick: number,
            times_nsec: vec![HOUR + number * 100_000_000],
            absolute: true,
            produced_before: number * 10,
            blocks: vec![
                block(Group::NodeCpu, &[busy, idle, 0, 0]),
                block(Group::ContainerCpu, &[model, scanner]),
                block(Group::ContainerThreads, &[run * 1_000, wait, 0, 0]),
            ],
        })
    };
    (0..300).map(record).collect()
}

fn watched() -> Node {
    let mut node = attached();
    let series = [
        (Group::NodeCpu, Subject::Node),
        (Group::ContainerCpu, container("/m-shop", 7)),
        (Group::ContainerCpu, container("/s-scan", 8)),
        (Group::ContainerThreads, container("/m-shop", 7)),
    ];
    for (id, (group, subject)) in (1..).zip(series) {
        let id = SeriesId::new(id).unwrap();
        node.series(Series { id, first_seq: Seq::FIRST, group, subject }).unwrap();
    }
    node
}

/// Feeds records as they come, and asks for what changed after each.
fn live(node: &mut Node, records: &[Record]) -> Vec<Episode> {
    let mut episodes = Vec::new();
    for (tick, record) in (1..).zip(records) {
        node.record(record.clone(), at(tick)).unwrap();
        episodes.extend(node.episodes());
    }
    episodes
}

#[test]
fn a_model_that_a_scanner_starves_gets_one_episode_and_it_ends() {
    let mut node = watched();
    let episodes = live(&mut node, &records());
    let last = episodes.last().expect("an episode");
    assert!(episodes.iter().all(|episode| episode.id == last.id));
    assert_eq!((last.node.as_str(), last.victim.display_name().as_str()), ("node-a", "demo/shop"));
    assert_eq!(last.verdict, Verdict::Neighbour);
    let second = std::time::Duration::from_secs(1);
    assert!(last.onset >= at(50) - second && last.onset <= at(50) + second, "{:?}", last.onset);
    let cleared = last.cleared.expect("it is over");
    assert!(cleared >= at(150) - second && cleared <= at(170), "{cleared:?}");
    let view = node.view();
    assert_eq!(view.models.len(), 1);
    assert_eq!(view.models[0].verdict, Verdict::Nobody);
    assert_eq!(view.models[0].who.role, Role::Model);
    assert!((view.models[0].cpus - 0.6).abs() < 0.05, "{}", view.models[0].cpus);
}

#[test]
fn the_level_of_a_quota_comes_through() {
    let mut node = watched();
    let quotas = SeriesId::new(5).unwrap();
    let (group, subject) = (Group::ContainerQuotas, container("/m-shop", 7));
    node.series(Series { id: quotas, first_seq: Seq::FIRST, group, subject }).unwrap();
    let with_quotas = |(number, record): (i64, Record)| {
        let Record::Batch(mut batch) = record else { return record };
        let fight = (50..150).contains(&number);
        // It runs 60 ms and is stopped for the other 40 by its pod's quota of 600m.
        let stopped = (number.clamp(50, 150) - 50) * 40_000;
        let block =
            |group, values: &[i64]| Block { group, values: packed(values), absent: bytes::Bytes::new() };
        let wait = if fight { [60_000_000, 40_000_000, 40_000_000, 0] } else { [60_000_000, 0, 0, 0] };
        batch.blocks[2] = block(Group::ContainerThreads, &wait);
        batch.blocks.push(block(Group::ContainerQuotas, &[0, stopped, stopped, 600, -1]));
        Record::Batch(batch)
    };
    let records: Vec<Record> = (0..).zip(records()).map(with_quotas).collect();
    let episodes = live(&mut node, &records);
    let last = episodes.last().expect("an episode");
    assert_eq!(last.verdict, Verdict::SelfThrottled);
    assert_eq!(last.shares[0].cause, Cause::PodThrottle);
    let limit = last.evidence.iter().find(|evidence| evidence.name == "pod_cpu_limit_millicpu");
    assert!(limit.is_some_and(|limit| (limit.value - 600.0).abs() < 1e-9), "{:?}", last.evidence);
}

#[test]
fn a_replay_in_one_burst_tells_the_same_episodes() {
    let records = records();
    let told = live(&mut watched(), &records);
    let mut replayed = watched();
    let mut again = Vec::new();
    for record in &records {
        replayed.record(record.clone(), at(300)).unwrap();
        again.extend(replayed.episodes());
    }
    assert_eq!(format!("{told:?}"), format!("{again:?}"));
}

#[test]
fn news_that_nobody_asked_for_is_told_once_in_its_newest_state() {
    let mut node = watched();
    for record in records() {
        node.record(record, at(300)).unwrap();
    }
    let episodes = node.episodes();
    assert_eq!(episodes.len(), 1);
    assert!(episodes[0].cleared.is_some());
    assert_eq!(node.episodes(), []);
}

#[test]
fn lost_values_close_what_was_open() {
    let mut node = watched();
    let records = records();
    let open = live(&mut node, &records[..100]);
    assert!(open.last().is_some_and(|episode| episode.cleared.is_none()));
    let (seq, last_seq) = (Seq::new(101).unwrap(), Seq::new(120).unwrap());
    let gap = Gap { seq, last_seq, reason: GapReason::ReplayFull, ticks: 20, values: 200 };
    node.record(Record::Gap(gap), at(120)).unwrap();
    node.record(records[120].clone(), at(121)).unwrap();
    let closed: Vec<AxisNsec> = node.episodes().iter().filter_map(|episode| episode.cleared).collect();
    assert_eq!(closed.len(), 1);
}
