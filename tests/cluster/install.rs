//! The README's install, on a fresh cluster.

use berth_kit::wait_for;
use serde_json::json;

use crate::{
    shell::{list, text},
    stage::{SOON, Stage},
};

#[test]
fn the_install_brings_in_the_first_samples_of_every_node_within_a_minute_and_status_is_all_green() {
    let Some(stage) = Stage::with_berth() else { return };
    let seen = |node: &str| {
        let samples = stage.shell.run(&format!("kubectl berth samples -A --node {node} | head -n 3")).out;
        samples.lines().count() == 3
    };
    wait_for("samples of every node", SOON, || stage.cluster.nodes().into_iter().all(seen).then_some(()));
    let status = stage.shell.berth_until("status to be green", SOON, "status", |status| {
        (status["degraded"] == json!([])).then(|| status.clone())
    });
    let reporting: Vec<&str> = list(&status, "/nodes")
        .iter()
        .filter(|node| node["reports"] == json!(true))
        .map(|node| text(node, "/node"))
        .collect();
    assert_eq!(reporting, ["node-a", "node-b"]);
    assert_eq!(stage.shell.run("kubectl berth status").code, Some(0));
}
