//! What each node's agent delivered.

use berth::Group;
use berth_core::node::NodeView;

use super::{
    exposition::{Exposition, Kind},
    seconds,
};
use crate::ingest::Published;

pub(super) fn write(out: &mut Exposition, nodes: &[Published]) {
    let connected = nodes.iter().filter(|node| node.view.connected).count();
    let mut family = out.family(Kind::Gauge, "berth_nodes", "Nodes that are known, by whether they report.");
    family.sample(&[("connected", "true")], connected as f64);
    family.sample(&[("connected", "false")], (nodes.len() - connected) as f64);

    let help = "Values that came from the agent, by what became of them; together they are all that came.";
    let mut family = out.family(Kind::Counter, "berth_node_values_total", help);
    for view in views(nodes) {
        let account = &view.account;
        for (outcome, count) in [
            ("stored", account.values_stored),
            ("repeated", account.values_repeated),
            ("refused", account.values_refused),
        ] {
            family.sample(&[("node", view.name.as_str()), ("outcome", outcome)], count as f64);
        }
    }
    let help = "Values that by the agent's own count were neither sent nor given up: 0 unless it is broken.";
    let mut family = out.family(Kind::Counter, "berth_node_values_unexplained_total", help);
    for view in views(nodes) {
        family.sample(&[("node", view.name.as_str())], view.account.values_unexplained as f64);
    }
    gaps(out, nodes);

    let help = "When the newest tick was read.";
    let mut family = out.family(Kind::Gauge, "berth_node_last_sample_timestamp_seconds", help);
    for view in views(nodes) {
        if let Some(at) = view.history.newest_at() {
            family.sample(&[("node", view.name.as_str())], seconds(at.0));
        }
    }
    let help = "Half the round trip of the ping that maps the node's clock.";
    let mut family = out.family(Kind::Gauge, "berth_node_clock_error_seconds", help);
    for view in views(nodes) {
        if let Some(nsec) = view.clock_error_nsec {
            family.sample(&[("node", view.name.as_str())], seconds(nsec));
        }
    }
    agents(out, nodes);
}

fn views(nodes: &[Published]) -> impl Iterator<Item = &NodeView> {
    nodes.iter().map(|node| &*node.view)
}

fn gaps(out: &mut Exposition, nodes: &[Published]) {
    let counts = || {
        views(nodes).flat_map(|view| {
            view.account.gaps().map(|(reason, count)| (view.name.as_str(), reason.name(), count))
        })
    };
    let help = "Ticks that will never come, by reason.";
    let mut family = out.family(Kind::Counter, "berth_node_gap_ticks_total", help);
    for (node, reason, count) in counts() {
        family.sample(&[("node", node), ("reason", reason)], count.ticks as f64);
    }
    let help = "Values that were produced and will never come, by reason.";
    let mut family = out.family(Kind::Counter, "berth_node_gap_values_total", help);
    for (node, reason, count) in counts() {
        family.sample(&[("node", node), ("reason", reason)], count.values as f64);
    }
}

/// The agents' own cost, as they measure it: the tuple of the group begins with `cpu_usec`, `ticks`,
/// `missed_ticks`.
fn agents(out: &mut Exposition, nodes: &[Published]) {
    let own = |view: &NodeView| {
        view.history.newest().find(|(key, _)| key.group == Group::Agent).map(|(_, values)| values)
    };
    let value = |values: &[Option<i64>], metric: usize| values.get(metric).copied().flatten();
    let agents: Vec<_> = views(nodes).filter_map(|view| Some((view.name.as_str(), own(view)?))).collect();
    for (name, help, metric, scale) in [
        ("berth_agent_cpu_seconds_total", "CPU time that the agent used.", 0, 1e6),
        ("berth_agent_ticks_total", "Ticks that the agent read.", 1, 1.0),
        ("berth_agent_missed_ticks_total", "Ticks that the agent was too late for.", 2, 1.0),
    ] {
        let mut family = out.family(Kind::Counter, name, help);
        for (node, values) in &agents {
            if let Some(count) = value(values, metric) {
                family.sample(&[("node", node)], count as f64 / scale);
            }
        }
    }
}
