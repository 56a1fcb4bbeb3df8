//! Replays, and the clock that maps them.

use std::time::Duration;

use berth::GapReason;
use berth_core::{node::NodeLimits, timeline::Pong};

use crate::{
    agent::at,
    world::{World, node},
};

/// An agent that has run for 20 s without anybody to tell.
fn unheard() -> World {
    let mut world = World::new(NodeLimits::default());
    world.agent.add_container("/m-a", 7);
    (0..100).for_each(|_| world.sample(2));
    world
}

#[test]
fn a_whole_replay_in_one_burst_is_mapped_to_when_it_happened() {
    let mut world = unheard();
    world.connect();
    world.deliver_all();
    world.check_history();
    assert_eq!(world.view().history.begins(), Some(at(0)));
    assert_eq!(world.view().clock_error_nsec, Some(0));
}

#[test]
fn records_that_come_before_the_pong_wait_for_it() {
    let mut world = unheard();
    let orders = world.node.attach(world.agent.hello(), world.now);
    let berth_core::node::Order::Resume(from) = orders[0] else { panic!("{orders:?}") };
    for series in world.agent.open(from) {
        world.node.series(series).unwrap();
    }
    world.deliver_all();
    assert_eq!(world.view().history.newest_at(), None, "nothing is mapped yet");
    let (sent, now) = (world.now, world.now + Duration::from_millis(4));
    let pong = world.agent.pong(world.now + Duration::from_millis(2));
    world.node.pong(sent, pong, now);
    world.check_history();
    assert_eq!(world.view().clock_error_nsec, Some(2_000_000));
}

#[test]
fn without_a_pong_the_fastest_arrival_maps() {
    let mut world = unheard();
    let orders = world.node.attach(world.agent.hello(), world.now);
    let berth_core::node::Order::Resume(from) = orders[0] else { panic!("{orders:?}") };
    for series in world.agent.open(from) {
        world.node.series(series).unwrap();
    }
    world.deliver_all();
    world.node.tick(world.now + Duration::from_millis(900));
    assert_eq!(world.view().history.newest_at(), None);
    world.node.tick(world.now + Duration::from_secs(1));
    let view = world.view();
    let newest = view.history.newest_at().unwrap();
    assert_eq!(newest, world.now, "the newest tick is taken to have come at once");
    assert_eq!(newest.since(view.history.begins().unwrap()), at(199).since(at(0)));
    assert_eq!(view.clock_error_nsec, None);
}

#[test]
fn a_restarted_aggregator_holds_what_one_that_never_stopped_holds() {
    let mut world = unheard();
    world.connect();
    world.deliver_all();
    let (before, peaks) = (world.kept(), world.view().subjects[0].peaks);
    world.restart_aggregator();
    world.connect();
    world.deliver_all();
    world.check_history();
    assert_eq!(world.kept(), before);
    assert_eq!(world.view().subjects[0].peaks, peaks);
    assert!(peaks.cpu_millicpu_max_1s.is_some() && peaks.memory_bytes_max.is_some());
}

#[test]
fn the_time_between_two_agents_is_a_gap_and_history_goes_on() {
    let mut world = unheard();
    world.connect();
    world.deliver_all();
    let subject = world.id_of("/m-a");
    world.pass(50);
    world.restart_agent(&[("/m-a", 7)]);
    world.connect();
    (0..30).for_each(|_| world.sample(2));
    world.deliver_all();
    world.check_history();
    assert_eq!(world.view().account.gap(GapReason::AgentDown).ticks, 50);
    assert_eq!(world.id_of("/m-a"), subject, "the same container keeps its id");
}

#[test]
fn after_a_reboot_the_same_path_and_inode_are_another_subject() {
    let mut world = unheard();
    world.connect();
    world.deliver_all();
    let subject = world.id_of("/m-a");
    world.pass(300);
    world.restart_agent(&[("/m-a", 7)]);
    world.agent.boot_id = "boot-2";
    world.agent.offset_nsec = world.now.0 - 5_000_000_000;
    world.connect();
    assert_ne!(world.id_of("/m-a"), subject);
}

#[test]
fn a_pong_without_a_stream_is_passed_over() {
    let mut node = node(NodeLimits::default());
    node.pong(at(0), Pong { received_nsec: 1, sent_nsec: 2 }, at(1));
    assert_eq!(node.view().clock_error_nsec, None);
}
