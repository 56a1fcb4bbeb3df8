//! What the aggregator asks of the agent, and when.

use std::time::Duration;

use berth::{Group, Seq};
use berth_core::node::{NodeLimits, Order};

use crate::{
    agent::{Agent, at},
    world::{World, node},
};

fn focus(orders: &[Order]) -> Vec<&Order> {
    orders.iter().filter(|order| matches!(order, Order::Focus { .. })).collect()
}

#[test]
fn the_models_are_in_focus_and_nobody_else() {
    let mut world = World::new(NodeLimits::default());
    let model = world.agent.add(Group::ContainerCpu, &crate::agent::container("/m-a", 7));
    world.agent.add(Group::ContainerCpu, &crate::agent::container("/s-b", 8));
    world.connect();
    world.sample(2);
    world.deliver_all();
    assert_eq!(
        focus(&world.orders),
        [&Order::Focus { series: vec![model], thread_hz: 50, raw_threads: false }]
    );
    // It is asked for once, and again when it is another.
    world.orders.clear();
    world.sample(2);
    world.deliver_all();
    assert_eq!(focus(&world.orders), [] as [&Order; 0]);
    let second = world.agent.add(Group::ContainerCpu, &crate::agent::container("/m-c", 9));
    world.agent.retire(&[model]);
    world.sample(2);
    world.deliver_all();
    let last = *focus(&world.orders).last().unwrap();
    assert_eq!(*last, Order::Focus { series: vec![second], thread_hz: 50, raw_threads: false });
    // A new stream knows nothing of it.
    world.disconnect();
    world.connect();
    world.orders.clear();
    world.sample(2);
    world.deliver_all();
    assert_eq!(focus(&world.orders).len(), 1);
}

#[test]
fn a_stream_starts_with_resume_and_a_burst_of_pings_then_one_every_ten_seconds() {
    let mut node = node(NodeLimits::default());
    let orders = node.attach(Agent::new(1).hello(), at(0));
    assert_eq!(orders, [Order::Resume(Seq::FIRST), Order::Ping { id: 1 }]);
    let mut pings = Vec::new();
    for step in 1..=150 {
        let now = at(0) + Duration::from_millis(200 * step);
        pings.extend(node.tick(now).into_iter().map(|order| (step, order)));
    }
    let due = [(1, 2), (2, 3), (3, 4), (53, 5), (103, 6)];
    assert_eq!(pings, due.map(|(step, id)| (step, Order::Ping { id })));
    node.detach(at(400));
    assert_eq!(node.tick(at(800)), []);
}

#[test]
fn another_base_rate_is_asked_for_where_it_is_set() {
    let mut node = node(NodeLimits { tick_hz: Some(50), ..NodeLimits::default() });
    let orders = node.attach(Agent::new(1).hello(), at(0));
    assert_eq!(orders.last(), Some(&Order::Rate { tick_hz: 50 }));
    let mut same = crate::world::node(NodeLimits { tick_hz: Some(10), ..NodeLimits::default() });
    assert_eq!(same.attach(Agent::new(1).hello(), at(0)).len(), 2);
}

#[test]
fn a_silent_node_keeps_no_model() {
    let mut world = World::new(NodeLimits::default());
    world.agent.add_container("/m-a", 7);
    world.connect();
    for _ in 0..10 {
        world.sample(4);
        world.deliver_all();
    }
    assert_eq!(world.view().models.len(), 1);
    world.disconnect();
    world.node.tick(world.now + Duration::from_secs(110));
    assert_eq!(world.view().models.len(), 1, "the agent may still bring what is missing");
    world.node.tick(world.now + Duration::from_secs(130));
    assert_eq!(world.view().models.len(), 0);
}
