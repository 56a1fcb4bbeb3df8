//! Single threads: asked for while somebody records them, and for that only.

use berth::{ContainerThreads, Group, RawThreads, SeriesId, usage::ThreadReading};
use berth_core::node::{NodeLimits, Order};

use crate::{agent::container, world::World};

/// What the agent was asked for with its last Focus.
fn asked(world: &mut World) -> Option<bool> {
    let orders = world.node.tick(world.now);
    let mut asked = world.orders.drain(..).chain(orders).filter_map(|order| match order {
        Order::Focus { raw_threads, .. } => Some(raw_threads),
        Order::Resume(_) | Order::Ping { .. } | Order::Rate { .. } => None,
    });
    asked.next_back()
}

fn reading(series: SeriesId, tids: std::ops::Range<u32>) -> ContainerThreads {
    let threads = tids.map(|tid| ThreadReading { tid, run_nsec: 7, wait_nsec: 9 }).collect();
    ContainerThreads { series, at_nsec: 5_000_000_000, dt_nsec: 20_000_000, threads }
}

/// A node with one model in Focus: the series of its CPU time, and of its threads.
fn world() -> (World, SeriesId, SeriesId) {
    let mut world = World::new(NodeLimits::default());
    let model = container("/m-a", 7);
    let cpu = world.agent.add(Group::ContainerCpu, &model);
    let threads = world.agent.add(Group::ContainerThreads, &model);
    world.connect();
    world.sample(2);
    world.deliver_all();
    (world, cpu, threads)
}

#[test]
fn they_are_asked_for_while_they_are_recorded_and_on_each_stream_anew() {
    let (mut world, ..) = world();
    assert_eq!(asked(&mut world), Some(false));
    world.node.record_threads(true);
    assert_eq!([asked(&mut world), asked(&mut world)], [Some(true), None], "once");
    world.disconnect();
    world.connect();
    assert_eq!(asked(&mut world), None, "it is not known yet which series live");
    world.sample(2);
    world.deliver_all();
    assert_eq!(asked(&mut world), Some(true));
    world.node.record_threads(false);
    assert_eq!(asked(&mut world), Some(false));
}

#[test]
fn what_nobody_asked_for_or_no_longer_wants_is_dropped() {
    let (mut world, _, threads) = world();
    let raw = || RawThreads { lost: 0, containers: vec![reading(threads, 1..3)] };
    world.node.raw_threads(raw());
    world.node.record_threads(true);
    assert_eq!(world.node.recorded_threads(), []);
    world.node.raw_threads(raw());
    assert_eq!(world.node.recorded_threads().len(), 1);
    world.node.raw_threads(raw());
    world.node.record_threads(false);
    world.node.record_threads(true);
    assert_eq!(world.node.recorded_threads(), []);
}

#[test]
fn a_reading_is_its_containers_on_the_axis_and_what_is_lost_is_told_by_the_next() {
    let (mut world, cpu, threads) = world();
    world.node.record_threads(true);
    let stranger = SeriesId::new(999).unwrap();
    let containers = vec![reading(stranger, 0..4), reading(threads, 1..3), reading(threads, 1..2)];
    world.node.raw_threads(RawThreads { lost: 5, containers });
    let kept = world.node.recorded_threads();
    let told: Vec<_> = kept.iter().map(|raw| (raw.key.0, raw.threads.len(), raw.lost)).collect();
    assert_eq!(told, [(cpu, 2, 9), (cpu, 1, 0)]);
    assert_eq!((kept[0].who.pod.as_str(), kept[0].dt_nsec), ("a", 20_000_000));
    assert_eq!(world.node.recorded_input(), Ok(Vec::new()), "the detector never takes it");
}

#[test]
fn what_nobody_fetches_is_bounded_and_counted() {
    let (mut world, _, threads) = world();
    world.node.record_threads(true);
    for _ in 0..100 {
        world.node.raw_threads(RawThreads { lost: 0, containers: vec![reading(threads, 0..4_000)] });
    }
    let kept = world.node.recorded_threads();
    assert!(kept.iter().map(berth_core::frame::RawThreads::bytes).sum::<usize>() <= 4 << 20);
    world.node.raw_threads(RawThreads { lost: 0, containers: vec![reading(threads, 0..1)] });
    let missing = 4_000 * (100 - u64::try_from(kept.len()).unwrap());
    assert!(missing > 0);
    assert_eq!(world.node.recorded_threads()[0].lost, missing);
}
