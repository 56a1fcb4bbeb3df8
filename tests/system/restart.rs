//! What a restart of either side costs, and what it does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use berth::wire::{self, episode_event::Event};
use berth_kit::{DEADLINE, wait_for};

use crate::node::Node;

/// History that is there before the aggregator is killed. `make soak` asks for more than 100 s.
fn history() -> Duration {
    let seconds = std::env::var_os("BERTH_HISTORY_SECONDS");
    Duration::from_secs(seconds.map_or(6, |text| text.to_str().unwrap().parse().unwrap()))
}

fn span(ticks: &[(i64, i64)]) -> Duration {
    let (first, last) = (ticks.first().map_or(0, |tick| tick.0), ticks.last().map_or(0, |tick| tick.0));
    Duration::from_nanos((last - first).try_into().unwrap())
}

/// Every tick is there once, in order.
fn assert_once(ticks: &[(i64, i64)]) {
    for pair in ticks.windows(2) {
        assert!(pair[1].0 > pair[0].0, "a tick is there twice, or out of order");
        assert!(pair[1].1 >= pair[0].1, "CPU time went back");
    }
}

#[test]
fn a_killed_aggregator_gets_the_samples_back_from_the_agent_each_once() {
    let Some(mut node) = Node::start() else { return };
    let before = wait_for("some history", history() * 3 + DEADLINE, || {
        Some(node.cpu_ticks()).filter(|ticks| span(ticks) >= history())
    });
    assert_once(&before);

    node.kill_aggregator();
    node.start_aggregator();
    let newest = before.last().unwrap().1;
    let after = wait_for("the samples to come back", DEADLINE, || {
        Some(node.cpu_ticks()).filter(|ticks| ticks.last().is_some_and(|tick| tick.1 > newest))
    });
    // The new aggregator maps the node's clock anew, so ticks are told apart by what they count.
    assert_once(&after);
    let rising = |ticks: &[(i64, i64)]| {
        let mut values: Vec<i64> = ticks.iter().map(|tick| tick.1).collect();
        values.dedup();
        values
    };
    let kept = rising(&after);
    let lost: Vec<_> = rising(&before).into_iter().filter(|value| !kept.contains(value)).collect();
    assert!(lost.is_empty(), "{} of {} values did not come back", lost.len(), before.len());

    let status = node.status().unwrap();
    assert_eq!(status.values_refused, 0);
    assert_eq!(status.values_received, status.values_stored + status.values_repeated);
    assert!(status.gaps.iter().all(|gap| gap.values == 0), "{:?}", status.gaps);
}

#[test]
fn a_watch_that_is_opened_again_on_another_aggregator_is_told_to_start_anew() {
    let Some(mut node) = Node::start() else { return };
    let first_event = |node: &Node, incarnation: &str| {
        let mut episodes = node.episodes();
        let request = wire::WatchEpisodesRequest {
            incarnation: incarnation.to_owned(),
            after_revision: 0,
            filter: None,
        };
        let event = node.runtime.block_on(async {
            let mut events = episodes.watch(request).await.unwrap().into_inner();
            events.message().await.unwrap().unwrap().event.unwrap()
        });
        let Event::Reset(reset) = event else { panic!("the first event is {event:?}") };
        reset.incarnation
    };
    let before = first_event(&node, "");
    node.kill_aggregator();
    node.start_aggregator();
    let after = first_event(&node, &before);
    assert_ne!(after, before);
}

/// A look takes 10 ms and a tick 100 ms: five ticks.
const LOOKS: u32 = 50;

#[test]
fn a_killed_agent_leaves_a_counted_gap() {
    let Some(mut node) = Node::start() else { return };
    wait_for("some history", DEADLINE, || Some(node.cpu_ticks()).filter(|ticks| ticks.len() > 10));
    let before = node.status().unwrap();

    node.kill_agent();
    wait_for("the stream to end", DEADLINE, || node.status().filter(|status| !status.connected));
    // Started at once, it would not miss a whole tick.
    let mut looks = 0;
    wait_for("some ticks to be missed", DEADLINE, || {
        looks += 1;
        (looks > LOOKS).then_some(())
    });
    node.start_agent();
    let after = wait_for("the new agent", DEADLINE, || {
        node.status().filter(|status| status.connected && status.incarnation != before.incarnation)
    });
    let counted = |status: &wire::NodeStatus| {
        let down = status.gaps.iter().find(|gap| gap.reason() == wire::GapReason::AgentDown).copied();
        down.map_or((0, 0), |gap| (gap.gaps, gap.ticks))
    };
    assert_eq!(counted(&before), (0, 0));
    let (gaps, ticks) = wait_for("the gap to be counted", DEADLINE, || {
        node.status().map(|status| counted(&status)).filter(|(gaps, _)| *gaps > 0)
    });
    assert_eq!(gaps, 1);
    assert!(ticks >= 1, "a gap of no ticks");
    assert_eq!(after.values_refused, 0);
}
