//! The README's install, on a fresh cluster.

use berth_kit::wait_for;

use crate::stage::{SOON, Stage};

/// The aggregator's metrics, through the API server.
const METRICS: &str = "/api/v1/namespaces/berth-system/services/berth-aggregator:7701/proxy/metrics";

#[test]
fn the_base_brings_in_the_first_samples_of_every_node_within_a_minute() {
    let Some(stage) = Stage::with_berth() else { return };
    let cluster = &stage.cluster;
    let stored = |node: &str| format!("berth_node_values_total{{node=\"{node}\",outcome=\"stored\"}} ");
    wait_for("samples of every node", SOON, || {
        let metrics = cluster.ask(&["get", "--raw", METRICS]).ok()?;
        let count = |node: &str| metrics.lines().find_map(|line| line.strip_prefix(&stored(node)));
        let all = cluster.nodes().into_iter().all(|node| count(node).is_some_and(|count| count != "0"));
        all.then_some(())
    });
}
